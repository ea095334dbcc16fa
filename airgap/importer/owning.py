"""Whose a place at the target is: every repository there is for one source repository, from the first import on.

The site's memory knows the owners, whatever target, stream or key an import was for. To protect tags alone would be too little:
nobody who pulls from a repository could tell the images of two sources apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airgap.admission.closure import Closure
from airgap.errors import UsageError
from airgap.naming.mapping import RegistryTarget, TargetSpec
from airgap.oci.reference import Reference
from airgap.oci.stores import Target
from airgap.state import State
from airgap.text import listing
from airgap.work import Pool


def check_places(names: Mapping[Reference, Reference], spec: TargetSpec, state: State | None, *, replace: bool) -> list[str]:
    """Refuse an import into repositories that an earlier import made for other sources.

    Args:
        names: the destination of every image, by source reference.
        spec: the target.
        state: the site's memory, None where there is none yet.
        replace: take them over (``--replace-names``).

    Returns:
        The repositories that would be taken over.

    Raises:
        UsageError: there are such repositories; all of them are named.
    """
    wanted = _places(names, spec)
    owners = {} if state is None else state.owners(wanted)
    taken = sorted(place for place, owner in owners.items() if owner != wanted[place])
    if taken and not replace:
        raise _belongs({place: (owners[place], wanted[place]) for place in taken})
    return taken


def claim_places(names: Mapping[Reference, Reference], spec: TargetSpec, state: State, *, replace: bool) -> None:
    """Remember the owners, before anything is written: an import that is killed has its place, and two at a time get one each.

    Raises:
        UsageError: another import was faster.
    """
    wanted = _places(names, spec)
    owners = state.claim(wanted, replace=replace)
    if owners:
        raise _belongs({place: (owner, wanted[place]) for place, owner in owners.items()})


def check_keeping_tags(closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target, threads: int) -> None:
    """Refuse to move the tag that would keep an image which is wanted by digest alone, where it stands for something else.

    Raises:
        UsageError: it does; nothing was written.
    """
    made = [(names[c.image.reference], c.root.digest) for c in closures if c.image.reference.tag is None]
    tagged = [(name, root) for name, root in made if name.tag is not None]
    with Pool(threads, "tags") as pool:
        standing = pool.map(lambda item: target.resolve(item[0]), tagged)
    for (name, root), now in zip(tagged, standing, strict=True):
        if now not in (None, root):
            raise UsageError(
                "the tag that would keep an image from the garbage collector stands for something else",
                where=str(name),
                expected=f"nothing, or {root}",
                got=str(now),
                hint="remove that tag at the target, or give such images no tags: --no-digest-tags",
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
        expected=f"images of {owner}, for which an earlier import made {place}",
        got=source,
        hint="map the new source to another place (--map, see docs/targets.md), or give the place to it for good: --replace-names",
    )
