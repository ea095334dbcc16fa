"""The command ``diff``: the differences between two bundles, locks or receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.bundle.media import Media
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Each, InAll, Said
from airgap.documents.difference import Changed, Compared, Difference, Shown, Sort, compare, of_catalog, of_receipt, shown_images
from airgap.documents.holdings import SizeTable
from airgap.documents.receipt import Receipt
from airgap.errors import Damaged, UsageError
from airgap.format.outer import Unverified
from airgap.limits import MAX_CATALOG, MAX_RECEIPT
from airgap.planning.lock import Lock, is_lock, placed_blobs
from airgap.text import human_size, plural, printable

_EXPECTED = "a bundle's directory or medium, a catalog.json, a lock or a receipt"


@grouped
def diff_command(
    a: Annotated[Path, typer.Argument(metavar="A", help="A bundle's directory or medium, a catalog.json, a lock or a receipt.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What to compare it with.")],
    said: Said = Said(),
) -> None:
    """Show how two bundles, locks or receipts differ: images, platforms, signatures, blobs and bytes.

    It verifies nothing: see `airgap verify`. Volumes are not read: a catalog.json is enough. With --json, "same" says
    whether both have the same content.

    Example: airgap diff /srv/out/prod-site-0007 /srv/out/prod-site-0008
    """
    found = compare(read_content(a), read_content(b))
    facts = found.facts()
    said.console().result(facts, _lines(found, facts))


def read_content(path: Path) -> Compared:
    """Read one side. Raises ``UsageError``."""
    try:
        if path.is_dir():
            return of_catalog(Unverified.read(Media.find([path]).catalog_raw).readable())
        raw = fsio.read_input(path, max(MAX_CATALOG, MAX_RECEIPT), "file to compare")
        where = printable(str(path))
        if is_lock(raw):
            return of_lock(where, Lock.from_bytes(raw, where))
        if b"airgap.receipt/" in raw.lstrip()[:200]:
            return of_receipt(Receipt.from_bytes(raw, where))
        return of_catalog(Unverified.read(raw).readable())
    except Damaged as error:
        raise UsageError(
            f"cannot compare: {error.what}", where=printable(str(path)), expected=error.expected or _EXPECTED, got=error.got
        ) from error


def of_lock(name: str, lock: Lock) -> Compared:
    """A lock as one side of a comparison."""
    blobs = SizeTable((descriptor.digest, descriptor.size) for _, _, descriptor, _ in placed_blobs(lock))
    return Compared(name, "lock", shown_images(lock.images), blobs, None, sum(blobs.values()))


def _lines(found: Difference, facts: Mapping[str, Any]) -> list[str]:
    lines = [f"A            {_side(facts['a'])}", f"B            {_side(facts['b'])}", *image_lines(found)]
    parts = [("shared", "shared"), ("only_a", "only in A"), ("only_b", "only in B")]
    blobs = [
        f"{facts['compared_blobs'][key]['count']} {text} ({human_size(facts['compared_blobs'][key]['bytes'])})"
        for key, text in parts
    ]
    lines.append(f"blobs        {', '.join(blobs)}")
    lines += [line for side in ("a", "b") for line in _savings(side.upper(), facts[side])]
    lines.append(f"result       {'the same content' if found.same else 'different'}")
    return [*lines, "not checked  diff verifies nothing: see airgap verify"]


def image_lines(found: Difference) -> list[str]:
    """The changes of the images, as lines for people."""
    lines: list[str] = [Each(f"added        {_entry(name, shown)}") for name, shown in found.added.items()]
    for name, shown in found.removed.items():
        line = f"removed      {_entry(name, shown)}"
        lines += [line, "             SIGNATURE LOST"] if shown.is_signature else [Each(line)]
    for change in found.moved:
        lines += _with_losses([f"moved        {change.reference}", f"             {change.old} -> {change.new}"], change)
    for change in found.changed:
        lines += _with_losses([f"changed      {change.reference}, still {change.old}"], change)
    counts = {"added": found.added, "removed": found.removed, "moved": found.moved, "changed": found.changed}
    lines += [InAll(f"{word:<12} {plural(len(images), 'image')}") for word, images in counts.items()]
    return [*lines, f"unchanged    {plural(found.unchanged, 'image')}"]


def _with_losses(head: Sequence[str], change: Changed) -> list[str]:
    """A change of one image: one that loses a platform or a signature is a warning, which is shown in any case."""
    lines = [*head, *_change(change)]
    is_loss = change.platforms_lost or any(sort.is_signature for sort in change.lost)
    return lines if is_loss else [Each(line) for line in lines]


def _side(side: Mapping[str, Any]) -> str:
    size = f"carries {human_size(side['bytes'])}" if side["bytes"] is not None else f"{human_size(side['full_bytes'])} in total"
    return f"{side['kind']} {side['name']}: {plural(side['image_count'], 'image')}, {plural(side['blob_count'], 'blob')}, {size}"


def _entry(name: str, shown: Shown) -> str:
    return f"{name}  {shown.digest}  {', '.join(shown.platforms or ())}".rstrip()


def _change(change: Changed) -> list[str]:
    lines = [f"             platform gained: {platform}" for platform in change.platforms_gained]
    lines += [f"             platform LOST: {platform}" for platform in change.platforms_lost]
    if change.left_out:
        lines.append(f"             {plural(change.left_out, 'part')} of A left out")
    if change.no_longer_left_out:
        lines.append(f"             {plural(change.no_longer_left_out, 'part')} added that A leaves out")
    for sort, count in sorted(change.lost.items()):
        lines.append(f"             {'SIGNATURE LOST' if sort.is_signature else 'lost'}: {_sort(sort, count)}")
    lines += [f"             gained: {_sort(*one)}" for one in sorted(change.gained.items())]
    return [*lines, *(f"             replaced: {_sort(*one)}" for one in sorted(change.replaced.items()))]


def _sort(sort: Sort, count: int) -> str:
    what = f"{count} x {sort.kind}" + (f" {sort.artifact_type}" if sort.artifact_type else "")
    return f"{what} of {'the image' if sort.of_image else 'its parts'}"


def _savings(name: str, side: Mapping[str, Any]) -> list[str]:
    if side["bytes"] is None:
        return []
    left_out = []
    if side["held_blobs"]:
        left_out.append(f"{plural(side['held_blobs'], 'blob')} held at the site ({human_size(side['held_bytes'])})")
    if side["patched_blobs"]:
        sizes = f"{human_size(side['patch_bytes'])} instead of {human_size(side['patched_bytes'])}"
        left_out.append(f"{plural(side['patched_blobs'], 'layer')} patched ({sizes})")
    line = f"{name} carries    {human_size(side['bytes'])}; a full bundle would be {human_size(side['full_bytes'])}"
    return [", ".join([line, *left_out])]
