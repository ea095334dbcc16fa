"""Which prefixes of source names lead where at the target, in as few routes as possible. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.hosts import with_parents
from airgap.oci.reference import Reference, Repository


@dataclass(frozen=True)
class Placed:
    """One image that the target really holds: its source reference, its name there, and its digest now."""

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
    """All routes, and the images that no route leads to: those whose tag differs at the target."""

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
    """The routes to the images at the target.

    Args:
        placed: every image.
        exact: one route per repository, instead of one for as many as possible.

    Raises:
        UsageError: a repository at the target holds the images of two source repositories.
    """
    _check_owners(placed)
    places: dict[Repository, set[Repository]] = {}
    for one in placed:
        if _is_reachable(one):
            places.setdefault(one.source.repository, set()).add(one.destination.repository)
    sure = {str(source): str(found.copy().pop()) for source, found in places.items() if len(found) == 1}
    unreachable = [
        one for one in placed
        if not _is_reachable(one) or sure.get(str(one.source.repository)) != str(one.destination.repository)
    ]  # fmt: skip
    if exact:
        routes = [Route(source, location, exact=True) for source, location in sorted(sure.items())]
    else:
        hosts = sorted({source.partition("/")[0] for source in sure})
        below = Counter(name for place in sure.values() for name in with_parents(place))
        routes = [route for host in hosts for route in _collapsed(host, sure, below)]
    return Routes(tuple(routes), tuple(unreachable))


def _is_reachable(one: Placed) -> bool:
    """Whether a route leads there: by the same tag, or by the digest, whatever tag keeps it."""
    return one.source.digest == one.digest if one.source.tag is None else one.source.tag == one.destination.tag


def _check_owners(placed: Iterable[Placed]) -> None:
    """Refuse two sources that lead to one place: a pull of one name could give the other's image."""
    owners: dict[Repository, Repository] = {}
    for one in placed:
        owner = owners.setdefault(one.destination.repository, one.source.repository)
        if owner != one.source.repository:
            raise UsageError(
                "a repository at the target holds the images of two source repositories",
                where=str(one.destination.repository),
                got=f"{owner} and {one.source.repository}",
                hint="import one of them to another place (--map), or choose the names with --names FILE",
            )


def _collapsed(prefix: str, places: Mapping[str, str], below: Mapping[str, int]) -> Iterator[Route]:
    """One route where everything below the prefix stays together and nothing of another source is there, else those of its parts.

    Where hosts lost their names (``strip-host``), ``docker.io`` must not lead to where an image of ``quay.io`` could be found.
    """
    inside = {source: place for source, place in places.items() if source == prefix or source.startswith(f"{prefix}/")}
    bases = {_base(place, source[len(prefix) :]) for source, place in inside.items()}
    base = bases.pop() if len(bases) == 1 else None
    if base is not None and below[base] == len(inside):
        yield Route(prefix, base)
        return
    if prefix in inside:
        yield Route(prefix, inside[prefix], exact=True)
    for part in sorted({source[len(prefix) + 1 :].partition("/")[0] for source in inside if source != prefix}):
        yield from _collapsed(f"{prefix}/{part}", inside, below)


def _base(place: str, rest: str) -> str | None:
    """The place without what follows the prefix in the source's name; None when it does not end like that."""
    if not rest:
        return place
    return place.removesuffix(rest) if place.endswith(rest) and len(place) > len(rest) else None
