"""Collect everything in a list that could not be resolved into one error, and refuse a list that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airgap.errors import AirgapError, Damaged, MediaError, Refused, RegistryError, UsageError
from airgap.lists import Entry
from airgap.oci.image import Image


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


def refuse_moved_tags(images: Iterable[Image]) -> None:
    """A tag that is listed both plain and pinned to a digest must be one image: the site can hold only one."""
    seen: dict[str, Image] = {}
    for image in images:
        if image.reference.tag is None:
            continue
        name = str(image.reference.repository.tagged(image.reference.tag))
        other = seen.setdefault(name, image)
        if other.root.digest != image.root.digest:
            raise UsageError(
                "two entries of the list give one name to different images",
                where=name,
                expected="one digest per tag",
                got=f"{other.reference} is {other.root.digest}, {image.reference} is {image.root.digest}",
                hint="remove one of the two entries, or pin both to the same digest",
            )
