"""Which beginnings of source names lead where at the target: as few routes as say it right. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository


@dataclass(frozen=True)
class Placed:
    """One image that the target really holds: its source reference, its name there, and what that stands for now."""

    source: Reference
    destination: Reference
    digest: Digest


@dataclass(frozen=True)
class Route:
    """Everything at and below ``source`` is at and below ``location``; with ``exact`` only that repository is.

    Attributes:
        source: a host, namespace or repository, such as ``docker.io/library``.
        location: the target's counterpart, such as ``registry.site:5000/mirror/docker.io/library``.
    """

    source: str
    location: str
    exact: bool = False

    @property
    def host(self) -> str:
        """The source's host."""
        return self.source.partition("/")[0]

    @property
    def path(self) -> str:
        """The source without its host."""
        return self.source.partition("/")[2]


@dataclass(frozen=True)
class Routes:
    """All routes, and the images that no route leads to: those whose tag is another one at the target."""

    routes: tuple[Route, ...]
    unreachable: tuple[Placed, ...]

    @property
    def hosts(self) -> dict[str, list[Route]]:
        """The routes by source host."""
        found: dict[str, list[Route]] = {}
        for route in self.routes:
            found.setdefault(route.host, []).append(route)
        return found


def find_routes(placed: Sequence[Placed], *, exact: bool = False) -> Routes:
    """The routes to what is there.

    Args:
        placed: every image.
        exact: one route for each repository, instead of one for as many as possible.
    """
    places: dict[Repository, set[Repository]] = {}
    for one in placed:
        if one.source.tag == one.destination.tag:
            places.setdefault(one.source.repository, set()).add(one.destination.repository)
    sure = {str(source): str(found.copy().pop()) for source, found in places.items() if len(found) == 1}
    unreachable = [
        one for one in placed
        if one.source.tag != one.destination.tag or sure.get(str(one.source.repository)) != str(one.destination.repository)
    ]  # fmt: skip
    if exact:
        routes = [Route(source, location, exact=True) for source, location in sorted(sure.items())]
    else:
        hosts = sorted({source.partition("/")[0] for source in sure})
        routes = [route for host in hosts for route in _collapsed(host, sure)]
    return Routes(tuple(routes), tuple(unreachable))


def _collapsed(prefix: str, places: Mapping[str, str]) -> Iterator[Route]:
    """One route where everything below the prefix stays together, else the routes of its parts."""
    inside = {source: place for source, place in places.items() if source == prefix or source.startswith(f"{prefix}/")}
    bases = {_base(place, source[len(prefix) :]) for source, place in inside.items()}
    base = bases.pop() if len(bases) == 1 else None
    if base is not None:
        yield Route(prefix, base)
        return
    if prefix in inside:
        yield Route(prefix, inside[prefix], exact=True)
    for part in sorted({source[len(prefix) + 1 :].partition("/")[0] for source in inside if source != prefix}):
        yield from _collapsed(f"{prefix}/{part}", inside)


def _base(place: str, rest: str) -> str | None:
    """The place without what follows the prefix in the source's name; None when it does not end like that."""
    if not rest:
        return place
    return place.removesuffix(rest) if place.endswith(rest) and len(place) > len(rest) else None
