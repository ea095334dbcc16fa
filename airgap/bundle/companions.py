"""The companion files beside a catalog: they follow from it, so a change in one is damage, or an attempt to mislead people."""

from __future__ import annotations

from pathlib import Path

from airgap import fsio
from airgap.bundle import documents, names
from airgap.bundle.catalog import Catalog
from airgap.errors import Damaged

_LIMIT = 64 * 1024 * 1024


def contradicting(directory: Path, catalog: Catalog, raw: bytes) -> dict[Path, str]:
    """The companion files of a directory that do not agree with the catalog, and why. They may be missing.

    ``SHA256SUMS`` may leave out what lies on other media, but every line must be the catalog's. ``CHECK.txt`` and the scripts are
    compared when this version of airgap made them: another one may have written them in other words.

    Args:
        directory: where to look.
        catalog: the catalog.
        raw: its exact bytes.

    Raises:
        MediaError: the disk refuses.
    """
    sums = frozenset(documents.sha256sums(catalog, raw).splitlines(keepends=True))
    ours = catalog.tool == documents.TOOL
    expected = {names.CHECK: documents.check_txt(catalog, raw), **documents.scripts()} if ours else {}
    wrong = {}
    for name in (names.SUMS, names.CHECK, *names.SCRIPTS):
        try:
            content = fsio.read_if_there(directory / name, _LIMIT)
        except Damaged as error:  # not a regular file, or one that is far too large
            wrong[directory / name] = error.what
            continue
        if content is None:
            continue
        lines = (line for line in content.splitlines(keepends=True) if ours or not _is_of_script(line))
        if not (sums.issuperset(lines) if name == names.SUMS else content == expected.get(name, content)):
            wrong[directory / name] = f"{name} does not agree with the signed catalog"
    return wrong


def _is_of_script(line: bytes) -> bool:
    return line.rstrip(b"\n").rpartition(b"  ")[2].decode("latin-1") in names.SCRIPTS
