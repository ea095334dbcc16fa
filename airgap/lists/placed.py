"""Images in places that are not registries: ``oci-archive:/srv/app.tar:1.0 as registry.example/app:1.0``.

What such a line means can depend on what is in the place, so whoever reads the list brings an answer (``Places``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes, Spot
from airgap.oci.places import Place
from airgap.oci.reference import Reference

#: Which images a place means: each by the reference it will be known by, and with its name in the place. Raises ``UsageError``.
Places = Callable[[Place, Reference | None], Sequence[tuple[Reference, Place]]]

#: The images that the chart in a place names, rendered with files of values. Raises ``UsageError``.
ChartImages = Callable[[Place, Sequence[Path]], Sequence[Reference]]

_AS = re.compile(r"\s+as\s+(\S+)$", re.IGNORECASE)


def by_name(place: Place, reference: Reference | None) -> Sequence[tuple[Reference, Place]]:
    """A ``Places`` that looks nowhere: the name has to be said."""
    if reference is None:
        raise UsageError("an image without a name", got=str(place), expected=f"{place} as registry.example/app:1.0")
    return [(reference, place)]


def images_unknown(place: Place, values: Sequence[Path]) -> Sequence[Reference]:  # noqa: ARG001
    """A ``ChartImages`` that looks nowhere."""
    raise UsageError("the images of a chart are not looked for here", got=str(place))


def placed_images(text: str, places: Places, spot: Spot, mistakes: Mistakes) -> list[tuple[Reference, str]]:
    """The references that ``PLACE [as REFERENCE]`` asks for, each with its place; none when it is a mistake."""
    known_as = _AS.search(text)
    try:
        reference = Reference.parse(known_as[1]) if known_as else None
        place = Place.parse(text[: known_as.start()] if known_as else text)
        return [(found, str(where)) for found, where in places(place, reference)]
    except UsageError as error:
        got = ": ".join(fact for fact in (error.where, error.got) if fact)
        mistakes.add(spot, error.what, expected=error.expected, got=got, hint=error.hint)
        return []
