"""What of a list could not be resolved, all of it in one error."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.errors import AirgapError, Damaged, MediaError, Refused, RegistryError, UsageError
from airgap.lists import Entry


def raise_gaps(outcomes: Sequence[tuple[Entry, BaseException | None]]) -> None:
    """Raise what kept entries from being resolved; nothing happens when all of them were.

    Args:
        outcomes: every entry, with what went wrong with it.

    Raises:
        AirgapError: of one entry its own error; of several one that names all of them.
    """
    failures = [(entry, error) for entry, error in outcomes if error is not None]
    if not failures:
        return
    for _, error in failures:
        if not isinstance(error, AirgapError):
            raise error
    if len(failures) == 1:
        raise failures[0][1]
    kinds: tuple[type[AirgapError], ...] = (UsageError, Refused, Damaged, MediaError)
    kind = next((kind for kind in kinds if all(isinstance(error, kind) for _, error in failures)), RegistryError)
    hints = {error.hint for _, error in failures if isinstance(error, AirgapError) and error.hint}
    raise kind(
        f"{len(failures)} of {len(outcomes)} images cannot be resolved",
        got="".join(f"\n  {entry.reference} ({entry.origin}): {_summary(error)}" for entry, error in failures),
        hint="; ".join(sorted(hints)),
    )


def _summary(error: BaseException) -> str:
    facts = (
        (error.what, error.expected and f"expected {error.expected}", error.got)
        if isinstance(error, AirgapError)
        else (str(error),)
    )
    return ": ".join(fact for fact in facts if fact)
