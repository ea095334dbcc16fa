"""Check everything that can be checked before the first byte is fetched."""

from __future__ import annotations

import os
from pathlib import Path

from airgap import fsio
from airgap.errors import MediaError
from airgap.format.names import BLOCK_SIZE
from airgap.limits import LARGEST_FILE
from airgap.planning.plan import Plan
from airgap.text import printable


def check(plan: Plan, out: Path, partial: Path) -> None:
    """Stop before anything is written if the bundle cannot fit.

    Args:
        plan: the layout.
        out: the directory that will hold the bundle.
        partial: the unfinished bundle of an earlier run, whose space counts as free.

    Raises:
        MediaError: there is too little space, or a volume is larger than the file system allows.
    """
    kind = fsio.filesystem_type(out)
    limit = LARGEST_FILE.get(kind)
    if limit is not None and max(plan.sizes) > limit:
        raise MediaError(
            f"the volumes are too large for the file system ({kind})",
            where=printable(str(out)),
            expected=f"{limit} bytes a file at most",
            got=f"{max(plan.sizes)} bytes",
            hint="use --volume-size fat32",
        )
    needed = plan.written + sum(plan.parity_sizes) + overhead(plan)
    hint = f"free some space, choose another --out, {'use less --parity, ' if plan.parity else ''}or shorten the list"
    fsio.require_free(out, needed, "the bundle does not fit", hint, _already_there(partial))


def overhead(plan: Plan) -> int:
    """A generous estimate of catalog, signatures and journal, in bytes."""
    references = sum(len(image.attachments) + 1 for image in plan.images)
    return 256 * (len(plan.blobs) + references) + 67 * ((plan.written + sum(plan.parity_sizes)) // BLOCK_SIZE) + 64 * 1024


def _already_there(partial: Path) -> int:
    if not partial.is_dir():
        return 0
    with os.scandir(partial) as entries:
        return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in entries)
