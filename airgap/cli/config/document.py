"""``airgap.toml``, read: tables of keys, each with its file, line and column."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.cli.config.places import find
from airgap.errors import AirgapError, UsageError
from airgap.format.names import check_stream
from airgap.text import printable

#: The commands whose options ``[site]`` may set, and those of ``[stream.NAME]``; the ones with most options first.
SITE = ("import", "watch", "verify", "mirror-config", "serve", "receipt", "prune", "rollback", "history")
STREAM = ("export", "merge", "plan", "resolve")

#: Keys that may be a table of scopes: ``[site.NAME]``; and what each scope has there.
SCOPED = {"unnamed-signatures": "true or false", "attestations": "demands"}

_MAX_FILE = 256 * 1024
_MOST_DOTS = 32  # of one line, outside strings: the library takes the square of the number of a key's parts
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|#.*")
#: What to do about the library's messages, by how they begin.
_MEANT = {
    "Cannot overwrite": "a key may stand once in a section: keep one of them",
    "Cannot declare": "a section may stand once: put its keys together",
    "Invalid value": "strings need quotes",
    "Expected newline or end": "strings need quotes",
}
_AT = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")


@dataclass(frozen=True)
class Setting:
    """A value in the file.

    Attributes:
        value: as TOML gives it; of a key in ``SCOPED``, the settings in its table.
        where: ``FILE:LINE:COLUMN``, printable.
        base: the directory that relative paths begin at.
    """

    value: Any
    where: str
    base: Path


class Document:
    """One file.

    Args:
        path: the file.

    Attributes:
        path: the same.

    Raises:
        UsageError: it cannot be read, is not TOML, or has something else than ``[site]`` and ``[stream.NAME]`` in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = self._decoded()
        self._tables = self._parsed()
        for name, table in self._tables.items():
            if name not in ("site", "stream"):
                raise self.mistake((name,), "unknown section", "[site] or [stream.NAME]", name, ("site", "stream"))
            self._require_table((name,), table)
        for name, table in self._tables.get("stream", {}).items():
            self._require_table(("stream", name), table)
            try:
                check_stream(name)
            except UsageError as error:
                raise self.mistake(("stream", name), error.what, error.expected, name) from error
        for name, table in self._tables.get("site", {}).items():
            if isinstance(table, dict) and name not in (*SITE, *SCOPED):
                tables = ", ".join(f"[site.{one}]" for one in SCOPED)
                expected = f"[site], {tables} or [site.COMMAND]: {', '.join(SITE)}"
                raise self.mistake(("site", name), "unknown section", expected, name, (*SITE, *SCOPED))

    @property
    def streams(self) -> list[str]:
        """The names of all streams, in the order of the file."""
        return list(self._tables.get("stream", {}))

    @property
    def site_commands(self) -> list[str]:
        """The commands that have a table of their own below ``[site]``."""
        return [name for name, table in self._tables.get("site", {}).items() if isinstance(table, dict) and name in SITE]

    @property
    def has_site(self) -> bool:
        """Whether there is a ``[site]``."""
        return "site" in self._tables

    def stream(self, name: str) -> Mapping[str, Setting]:
        """What ``[stream.NAME]`` says."""
        return self._settings(("stream", name))

    def site(self, command: str = "") -> Mapping[str, Setting]:
        """What ``[site]`` says, or ``[site.COMMAND]``."""
        return self._settings(("site", command) if command else ("site",))

    def place(self, path: tuple[str, ...]) -> str:
        """``FILE:LINE:COLUMN`` of a key or table."""
        line, column = next(self._positions[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self._positions)
        return f"{printable(str(self.path))}:{line}:{column}"

    def mistake(self, path: tuple[str, ...], what: str, expected: str, got: str = "", near: Iterable[str] = ()) -> UsageError:
        """A mistake at a key; ``near`` are the names that it could have been."""
        return UsageError(what, where=self.place(path), expected=expected, got=printable(got, 200), hint=meant(got, near))

    @cached_property
    def _positions(self) -> Mapping[tuple[str, ...], tuple[int, int]]:
        from airgap.cli.config.positions import positions_of  # with tomllib

        return {(): (1, 1), **positions_of(self._text)}

    def _decoded(self) -> str:
        raw = fsio.read_input(self.path, _MAX_FILE, "configuration")
        try:
            return raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            column = error.start - raw.rfind(b"\n", 0, error.start)
            where = f"{printable(str(self.path))}:{line}:{column}"
            raise UsageError("not a configuration", where=where, expected="TOML in UTF-8") from None

    def _parsed(self) -> dict[str, Any]:
        import tomllib  # here, for it takes time to load and most runs have no file

        name = printable(str(self.path))
        for number, line in enumerate(self._text.split("\n"), 1):
            if line.count(".") > _MOST_DOTS and _QUOTED.sub("", line).count(".") > _MOST_DOTS:
                raise UsageError("too many dots for a key", where=f"{name}:{number}:1", expected="[stream.NAME] or KEY = VALUE")
        try:
            return tomllib.loads(self._text)
        except RecursionError:
            raise UsageError("nested too deeply", where=name, expected="keys with values and lists of values") from None
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            at = _AT.search(message)
            end = self._text.count("\n") + 1, len(self._text.rpartition("\n")[2]) + 1
            place = (int(at[1]), int(at[2])) if at and at[1] else end
            got = printable(_AT.sub("", message), 300)
            hint = next((hint for begin, hint in _MEANT.items() if got.startswith(begin)), "")
            raise UsageError("not valid TOML", where=f"{name}:{place[0]}:{place[1]}", got=got, hint=hint) from None

    def _require_table(self, path: tuple[str, ...], table: object) -> None:
        if not isinstance(table, dict):
            raise self.mistake(path, "not a section", f"[{'stream.NAME' if path[0] == 'stream' else path[0]}]")

    def _settings(self, path: tuple[str, ...]) -> dict[str, Setting]:
        table: Any = self._tables
        for name in path:
            table = table.get(name, {})
        return {
            name: self._setting((*path, name), value)
            for name, value in table.items()
            if not (path == ("site",) and isinstance(value, dict) and name in SITE)
        }

    def _setting(self, path: tuple[str, ...], value: Any) -> Setting:
        if path[-1] in SCOPED and isinstance(value, dict):
            value = {scope: Setting(one, self.place((*path, scope)), self.path.parent) for scope, one in value.items()}
        return Setting(value, self.place(path), self.path.parent)


def configured_streams(option: str | None) -> list[str]:
    """The streams of the file that counts, for who only asks; none if there is no file, or it has mistakes.

    Args:
        option: ``--config``, or None.
    """
    with contextlib.suppress(AirgapError, OSError):
        path = find(option, os.environ)
        return [] if path is None else Document(path).streams
    return []


def meant(got: str, near: Iterable[str]) -> str:
    """The hint ``did you mean ...?``, if a known name is near; else nothing."""
    found = nearest(got, near)
    return f"did you mean {found}?" if found else ""


def nearest(got: str, near: Iterable[str]) -> str:
    """The known name that is most like this one; empty if none is near."""
    import difflib  # here, for only mistakes need it

    return next(iter(difflib.get_close_matches(got.replace("_", "-").lower(), list(near), 1)), "")
