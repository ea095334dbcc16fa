"""Finish a filled bundle: write catalog, signatures and companion files, and rename it to its final name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle.check import damaged_blocks
from airgap.delta.patching import SCRATCH
from airgap.errors import Damaged
from airgap.exporter.fill import Filled
from airgap.exporter.journal import LOCK
from airgap.exporter.request import ExportRequest
from airgap.exporter.roots import CarriedRoot
from airgap.format import checktxt, names
from airgap.format.catalog import Catalog, Volume
from airgap.format.outer import Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_CATALOG, MAX_TUF_REPOSITORY
from airgap.oci.digest import Digest
from airgap.planning.plan import Plan
from airgap.progress import Progress
from airgap.trust.keys.signers import Signer


def make_catalog(
    request: ExportRequest, serial: int, header: Mapping[str, Any], plan: Plan, filled: Filled, previous: Digest | None
) -> Catalog:
    """The catalog of a filled bundle; its times are those of the journal's header. Pure."""
    volumes = tuple(
        Volume(names.volume_name(number), size, sha256, tuple(blocks))
        for number, (size, sha256, blocks) in enumerate(zip(plan.sizes, filled.volumes, filled.blocks, strict=True), 1)
    )
    return Catalog(
        stream=request.label.stream,
        serial=serial,
        created=header["created"],
        expires=header["expires"],
        tool=checktxt.TOOL,
        previous=previous,
        base=tuple(base.digest for base in request.far_side.bases),
        volume_size=plan.volume_size,
        # the lock holds small signatures whole; in a catalog they are blobs like all others
        images=tuple(replace(one, signatures=tuple(replace(s, content=None) for s in one.signatures)) for one in plan.images),
        blobs=plan.catalog_blobs,
        volumes=volumes,
        trusted_root=request.root.digest if request.root else None,
    )


def seal(partial: Path, catalog: Unverified, signers: Sequence[Signer], root: CarriedRoot | None = None) -> None:
    """Write catalog, signatures and companion files, and what is carried of a TUF repository.

    The volumes are already on the disk. ``CHECK.txt`` is written last: if it exists, the bundle is complete and lacks only the
    rename (:func:`finish`).
    """
    raw = catalog.raw
    _drop_signatures(partial)
    if root is not None:
        fsio.write_durable(partial / names.TRUSTED_ROOT, root.raw)
    fsio.write_durable(partial / names.CATALOG, raw)
    write_signatures(partial, raw, signers)
    for name, content in _companions(catalog.claims, raw).items():
        fsio.write_durable(partial / name, content)


def _companions(catalog: Outline, raw: bytes) -> dict[str, bytes]:
    sums, check = checktxt.sha256sums(catalog, raw), checktxt.check_txt(catalog, raw)
    return {**checktxt.scripts(), names.SUMS: sums, names.CHECK: check}


def write_signatures(directory: Path, raw: bytes, signers: Sequence[Signer], name: str = names.CATALOG) -> list[Path]:
    """Sign the exact bytes of the catalog (or of another document, ``name``) with every signer; returns the files written."""
    written = []
    for signer in signers:
        path = signature_path(directory, signer, name)
        fsio.write_durable(path, signer.sign(raw))
        written.append(path)
    return written


def signature_path(directory: Path, signer: Signer, name: str = names.CATALOG) -> Path:
    """The file of one signer's signature."""
    return directory / f"{name}.{signer.key_id}.{signer.file_suffix}"


def _drop_signatures(partial: Path) -> None:
    """A run that was killed while it sealed may have signed with other keys, or another catalog."""
    with fsio.disk_errors("cannot remove an old signature", partial):
        for entry in partial.iterdir():
            if names.is_signature(entry.name):
                entry.unlink()


def is_whole(partial: Path, progress: Progress) -> bool:
    """Whether a partial bundle lacks only the rename: its last file exists, and every file can be read back intact.

    Otherwise ``CHECK.txt`` is removed, and the bundle counts as unfinished.

    Raises:
        MediaError: the disk fails.
    """
    check = partial / names.CHECK
    if not check.is_file():
        return False
    with fsio.disk_errors("cannot read the bundle back", partial):
        fsio.sync_directory(partial)
        for entry in sorted(partial.iterdir()):
            if entry.is_file():
                fsio.settle(entry)
    try:
        raw = fsio.read_capped(partial / names.CATALOG, MAX_CATALOG)
        catalog = Unverified.read(raw).claims
        small = _companions(catalog, raw).items()
        same = all(fsio.read_capped(partial / name, len(content)) == content for name, content in small)
        if same and _has_root(partial, catalog) and _are_good(partial, catalog, progress):
            return True
    except Damaged:
        pass
    progress.say("the disk has lost data of the bundle that an earlier run had completed: it is written again")
    with fsio.disk_errors("cannot remove", check):
        check.unlink()
    return False


def _has_root(partial: Path, catalog: Outline) -> bool:
    """Whether the carried root is there that the catalog names; of an encrypted one only the site can tell."""
    wanted = catalog.trusted_root if isinstance(catalog, Catalog) else None
    return wanted is None or Digest.of(fsio.read_capped(partial / names.TRUSTED_ROOT, MAX_TUF_REPOSITORY)) == wanted


def _are_good(partial: Path, catalog: Outline, progress: Progress) -> bool:
    progress.stage("reading back the bundle of an earlier run", sum(file.size for file in catalog.files))
    return not any(damaged_blocks(file, partial / file.name, progress, fresh=True) for file in catalog.files)


def finish(partial: Path) -> Path:
    """Remove what only the unfinished bundle needed and rename it; returns the final path."""
    final = partial.with_name(partial.name.removesuffix(names.PARTIAL))
    with fsio.disk_errors("cannot finish the bundle", partial):
        for leftover in (LOCK, names.JOURNAL):
            (partial / leftover).unlink(missing_ok=True)
        for directory in (partial / SCRATCH, partial / names.FILLED):
            if directory.is_dir():
                shutil.rmtree(directory)
        fsio.sweep(partial)
        fsio.sync_directory(partial)
    fsio.rename_durable(partial, final)
    return final
