"""Mistakes in a file that a person wrote: all of them are collected, so that they can be corrected at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.text import plural, printable

_MOST_SHOWN = 100


@dataclass(frozen=True)
class Spot:
    """A place in a file; line and column count from 1, columns in characters."""

    line: int
    column: int


class Mistakes:
    """What is wrong with one file; ``raise_any`` makes one error of it.

    Args:
        name: the file's name as the messages show it.
    """

    def __init__(self, name: str) -> None:
        self.name = printable(name)
        self._first: list[tuple[Spot, UsageError]] = []
        self._count = 0

    def add(self, spot: Spot, what: str, *, expected: str = "", got: str = "", hint: str = "") -> None:
        """Note a mistake. ``got`` may be hostile."""
        self._count += 1
        if len(self._first) < _MOST_SHOWN:
            place = f"{self.name}:{spot.line}:{spot.column}"
            shown = printable(got, 200)
            self._first.append((spot, UsageError(what, where=place, expected=expected, got=shown, hint=hint)))

    def add_error(self, spot: Spot, error: UsageError) -> None:
        """Note the mistake that a parser of a part of the file found."""
        self.add(spot, error.what, expected=error.expected, got=error.got, hint=error.hint)

    def origin(self, spot: Spot) -> str:
        """``file:line``."""
        return f"{self.name}:{spot.line}"

    def raise_any(self) -> None:
        """Raise what was found, in the order of the file.

        Raises:
            UsageError: there was at least one mistake.
        """
        errors = [error for _, error in sorted(self._first, key=lambda found: (found[0].line, found[0].column))]
        if self._count == 1:
            raise errors[0]
        if errors:
            lines = [_line(error) for error in errors]
            if self._count > len(lines):
                lines.append(f"and {self._count - len(lines)} more")
            raise UsageError(
                f"{plural(self._count, 'mistake')} in the image list",
                where=errors[0].where,
                expected=errors[0].expected,
                got="\n".join(lines),
                hint="correct them, then run the same command again",
            )


def together(errors: Sequence[UsageError]) -> UsageError:
    """One error of those of several files, none of their mistakes left out."""
    if len(errors) == 1:
        return errors[0]
    # only a report of several mistakes has more than one line
    lines = [line for error in errors for line in (error.got.split("\n") if "\n" in error.got else [_line(error)])]
    return UsageError(
        f"mistakes in {plural(len(errors), 'image list')}",
        where=", ".join(error.where for error in errors),
        got="\n".join(lines),
        hint="correct them, then run the same command again",
    )


def _line(error: UsageError) -> str:
    details = "; ".join(f"{name} {value}" for name, value in (("expected", error.expected), ("got", error.got)) if value)
    return f"{error.where}: {error.what} ({details})" if details else f"{error.where}: {error.what}"
