"""Decide what may be removed from a target without breaking anything that is kept. Pure.

Only what a dropped generation brought, and what lies below it, is a candidate. A candidate stays if anything else needs it: a kept
generation, a name that the state does not know, or anything at the target that airgap did not bring. An image needs its children
and their blobs, and everything attached to any of them, by whatever means and whoever brought it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from airgap.oci.digest import Digest
from airgap.oci.image import TAG_KINDS, digest_tag
from airgap.state import Brought

_SUFFIXES = ("", *TAG_KINDS)


@dataclass(frozen=True)
class HeldManifest:
    """A manifest at the target.

    Attributes:
        children: of an index.
        blobs: config and layers with their sizes in bytes.
        subject: what it refers to.
        referrers: what the target lists as referring to it.
        size: in bytes.
    """

    children: tuple[Digest, ...] = ()
    blobs: tuple[tuple[Digest, int], ...] = ()
    subject: Digest | None = None
    referrers: tuple[Digest, ...] = ()
    size: int = 0


@dataclass(frozen=True, order=True)
class ShelfEntry:
    """A name at the target and its digest; the name is empty for what a layout lists without one."""

    name: str
    digest: Digest

    @property
    def tag(self) -> str:
        """The part of the name after the last colon; empty if there is none."""
        return self.name.rpartition(":")[2] if "@" not in self.name else ""


@dataclass(frozen=True)
class Inventory:
    """One repository of a registry, or one layout: content is shared only within it.

    Attributes:
        entries: all its names.
        nodes: the manifests reached from the names and from everything ever brought, with all below them.
        loose_names: whether a name can be removed without its manifest (a layout), or only with it (a registry).
    """

    entries: tuple[ShelfEntry, ...]
    nodes: Mapping[Digest, HeldManifest]
    loose_names: bool = False

    @cached_property
    def tagged(self) -> dict[str, list[ShelfEntry]]:
        """The entries by tag."""
        found: dict[str, list[ShelfEntry]] = {}
        for entry in self.entries:
            if entry.tag:
                found.setdefault(entry.tag, []).append(entry)
        return found

    @cached_property
    def referring(self) -> dict[Digest, list[Digest]]:
        """The manifests by their subject."""
        found: dict[Digest, list[Digest]] = {}
        for digest, node in self.nodes.items():
            if node.subject is not None:
                found.setdefault(node.subject, []).append(digest)
        return found

    def attached(self, digest: Digest) -> Iterator[ShelfEntry]:
        """The entries whose tag says that they belong to a manifest."""
        for suffix in _SUFFIXES:
            yield from self.tagged.get(digest_tag(digest, suffix), ())


@dataclass(frozen=True)
class Removal:
    """What can be removed from a shelf.

    Attributes:
        names: entries to remove.
        manifests: digests, parents before children.
        blobs: blobs that only these manifests need, with sizes in bytes.
        stay: names of dropped generations that stay, because their manifest is needed or somebody has moved them.
    """

    names: tuple[ShelfEntry, ...] = ()
    manifests: tuple[Digest, ...] = ()
    blobs: tuple[tuple[Digest, int], ...] = ()
    stay: tuple[str, ...] = ()
    sizes: Mapping[Digest, int] = field(default_factory=dict, compare=False)


def plan_removal(shelf: Inventory, kept: Sequence[Brought], dropped: Sequence[Brought]) -> Removal:
    """What can be removed with the dropped generations.

    Args:
        shelf: the content of the repository.
        kept: what the kept generations brought here, and what anything else in the state needs.
        dropped: what the dropped generations brought here.
    """
    going = _going(shelf, kept, dropped)
    candidates = below(shelf, [*(one.digest for one in dropped), *(entry.digest for entry in going)])
    reached = needed(shelf, kept, going, candidates)
    removed = candidates - reached
    attached = {entry for digest in reached for entry in shelf.attached(digest)}
    names = [entry for entry in going if entry.digest in removed or (shelf.loose_names and entry.name and entry not in attached)]
    blobs = {
        (digest, size)
        for one in removed
        for digest, size in shelf.nodes[one].blobs
        if digest not in reached and digest not in removed
    }
    kept_names = {one.name for one in kept}
    mentioned = {one.name for one in dropped} - kept_names - {entry.name for entry in names}
    return Removal(
        names=tuple(sorted(set(names))),
        manifests=tuple(_parents_first(shelf, removed, {one.digest for one in dropped if one.image})),
        blobs=tuple(sorted(blobs)),
        stay=tuple(sorted({entry.name for entry in shelf.entries if entry.name in mentioned})),
        sizes={one: shelf.nodes[one].size for one in removed},
    )


def needed(shelf: Inventory, kept: Iterable[Brought], going: Iterable[ShelfEntry], candidates: set[Digest]) -> set[Digest]:
    """Every manifest and blob that must stay.

    Args:
        shelf: the content of the repository.
        kept: what the kept generations brought.
        going: the entries that may be removed.
        candidates: the manifests that may be removed.
    """
    may_go = set(going)
    todo = [entry.digest for entry in shelf.entries if entry not in may_go]
    todo += [one.digest for one in kept]
    todo += [digest for digest in shelf.nodes if digest not in candidates]
    reached: set[Digest] = set()
    while todo:
        digest = todo.pop()
        if digest in reached:
            continue
        reached.add(digest)
        node = shelf.nodes.get(digest, HeldManifest())
        todo += [*node.children, *node.referrers, *shelf.referring.get(digest, ())]
        todo += [blob for blob, _ in node.blobs]  # to a layout a blob may well be a manifest, too
        todo += [entry.digest for entry in shelf.attached(digest)]
    return reached


def below(shelf: Inventory, roots: Iterable[Digest]) -> set[Digest]:
    """Manifests and the children below them, as far as they exist."""
    found: set[Digest] = set()
    todo = list(roots)
    while todo:
        digest = todo.pop()
        if digest in shelf.nodes and digest not in found:
            found.add(digest)
            todo += shelf.nodes[digest].children
    return found


def _going(shelf: Inventory, kept: Iterable[Brought], dropped: Iterable[Brought]) -> list[ShelfEntry]:
    """The entries that refer to exactly what a dropped generation brought under this name, and that no kept one names."""
    kept_names, kept_digests = {one.name for one in kept}, {one.digest for one in kept}
    pairs = {(one.name, one.digest) for one in dropped if one.name not in kept_names}
    unnamed = {one.digest for one in dropped} - kept_digests
    return [entry for entry in shelf.entries if (entry.name, entry.digest) in pairs or (not entry.name and entry.digest in unnamed)]


def _parents_first(shelf: Inventory, removed: set[Digest], images: set[Digest]) -> list[Digest]:
    """Indexes before what they list, and images before what is attached to them: what is left in between is never half an image."""
    heights: dict[Digest, int] = {}

    def height(digest: Digest) -> int:
        if digest not in heights:
            heights[digest] = 1 + max((height(child) for child in shelf.nodes[digest].children if child in removed), default=-1)
        return heights[digest]

    of_images = below(shelf, images)
    return sorted(removed, key=lambda digest: (digest not in of_images, -height(digest), digest))
