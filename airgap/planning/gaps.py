"""Collect everything in a list that could not be resolved into one error."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.errors import AirgapError, Damaged, MediaError, Refused, RegistryError, UsageError
from airgap.lists import Entry


def raise_gaps(failures: Sequence[tuple[Entry, AirgapError]], count: int) -> None:
    """Raise what kept entries from being resolved; nothing happens when all of them were.

    Args:
        failures: the entries with something wrong, and what.
        count: how many entries there are.

    Raises:
        AirgapError: of one entry its own error; of several one that names all of them.
    """
    if not failures:
        return
    if len(failures) == 1:
        raise failures[0][1]
    kinds: tuple[type[AirgapError], ...] = (UsageError, Refused, Damaged, MediaError)
    kind = next((kind for kind in kinds if all(isinstance(error, kind) for _, error in failures)), RegistryError)
    hints = {error.hint for _, error in failures if error.hint}
    raise kind(
        f"{len(failures)} of {count} images cannot be resolved",
        got="".join(f"\n  {entry.reference} ({entry.origin}): {_summary(error)}" for entry, error in failures),
        hint="; ".join(sorted(hints)),
    )


def _summary(error: AirgapError) -> str:
    return ": ".join(fact for fact in (error.what, error.expected and f"expected {error.expected}", error.got) if fact)
