"""Ownership at the target: from the first import on, every repository there belongs to one source repository.

The state knows the owners, whatever target, stream or key an import was for. Protecting tags alone is not enough: nobody who pulls
from a repository could tell the images of two sources apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airgap.admission.closure import Closure
from airgap.errors import UsageError
from airgap.naming.mapping import RegistryTarget, TargetSpec
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Target, width
from airgap.state import State
from airgap.text import listing
from airgap.work import Pool


def check_places(names: Mapping[Reference, Reference], spec: TargetSpec, state: State | None, *, replace: bool) -> list[str]:
    """Refuse an import into repositories that an earlier import created for other sources.

    Args:
        names: the destination of every image, by source reference.
        spec: the target.
        state: the site's state, None if there is none yet.
        replace: take them over (``--replace-names``).

    Returns:
        The repositories that would be taken over.

    Raises:
        UsageError: there are such repositories; all are named.
    """
    wanted = _places(names, spec)
    owners = {} if state is None else state.owners(wanted)
    taken = sorted(place for place, owner in owners.items() if owner != wanted[place])
    if taken and not replace:
        raise _belongs({place: (owners[place], wanted[place]) for place in taken})
    return taken


def claim_places(names: Mapping[Reference, Reference], spec: TargetSpec, state: State, *, replace: bool) -> None:
    """Record the owners before anything is written, so that a killed import keeps its place and parallel ones get one each.

    Raises:
        UsageError: another import was faster.
    """
    wanted = _places(names, spec)
    owners = state.claim(wanted, replace=replace)
    if owners:
        raise _belongs({place: (owner, wanted[place]) for place, owner in owners.items()})


def unclaimed(names: Mapping[Reference, Reference], spec: TargetSpec, state: State) -> frozenset[Repository]:
    """The repositories at the target into which no import of this site has begun to write anything."""
    wanted = _places(names, spec)
    free = wanted.keys() - state.owners(wanted).keys()
    return frozenset(one.repository for one in names.values() if str(one.repository) in free)


def check_keeping_tags(closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target, threads: int) -> None:
    """Refuse to move a tag for an image that is listed by digest alone, if the tag already refers to another image.

    Raises:
        UsageError: it does; nothing has been written.
    """
    made = [(names[c.image.reference], c.root.digest) for c in closures if c.image.reference.tag is None]
    tagged = [(name, root) for name, root in made if name.tag is not None]
    with Pool(width(target, threads), "tags") as pool:
        standing = pool.map(lambda item: target.resolve(item[0]), tagged)
    for (name, root), now in zip(tagged, standing, strict=True):
        if now not in (None, root):
            raise UsageError(
                "the tag that protects an image from garbage collection refers to another image",
                where=str(name),
                expected=f"no such tag, or {root}",
                got=str(now),
                hint="remove that tag at the target, or import without such tags: --no-digest-tags",
            )


def _places(names: Mapping[Reference, Reference], spec: TargetSpec) -> dict[str, str]:
    """The source repository by the repository at the target; none for stores, in which images keep their own names."""
    if not isinstance(spec, RegistryTarget):
        return {}
    return {str(destination.repository): str(source.repository) for source, destination in names.items()}


def _belongs(taken: Mapping[str, tuple[str, str]]) -> UsageError:
    place, (owner, source) = next(iter(sorted(taken.items())))
    return UsageError(
        "a repository at the target belongs to another source",
        where=listing(sorted(taken)),
        expected=f"images of {owner}, for which an earlier import created {place}",
        got=source,
        hint="map the new source to another place (--map, see docs/targets.md), or take the place over with --replace-names",
    )
