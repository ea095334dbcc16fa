"""The companion files of a catalog follow from it, so a change in one is damage or an attempt to mislead people."""

from __future__ import annotations

from pathlib import Path

from airgap import fsio
from airgap.bundle import piecewise
from airgap.errors import Damaged
from airgap.format import checktxt, names
from airgap.format.catalog import Catalog
from airgap.format.outline import Outline
from airgap.limits import MAX_TUF_REPOSITORY
from airgap.oci.digest import Digest

#: Bytes of a line of ``SHA256SUMS``: none of ours is longer.
_LONGEST = 1024


def contradicting(directory: Path, catalog: Outline, raw: bytes) -> dict[Path, str]:
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
    sums = frozenset(checktxt.sha256sums(catalog, raw).splitlines(keepends=True))
    ours = isinstance(catalog, Catalog) and catalog.tool == checktxt.TOOL
    expected = {names.CHECK: checktxt.check_txt(catalog, raw), **checktxt.scripts()} if ours else {}
    wrong = {}
    for name in (names.SUMS, names.CHECK, *names.SCRIPTS):
        path = directory / name
        try:
            if name == names.SUMS:
                good = all(line in sums or (not ours and _is_of_script(line)) for line in piecewise.lines(path, _LONGEST))
            else:
                good = piecewise.holds(path, expected[name]) if name in expected else piecewise.is_regular(path)
        except Damaged as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                wrong[path] = error.what
            continue
        if not good:
            wrong[path] = f"{name} does not agree with the signed catalog"
    return wrong | _wrong_root(directory / names.TRUSTED_ROOT, catalog)


def _wrong_root(path: Path, catalog: Outline) -> dict[Path, str]:
    if not isinstance(catalog, Catalog) or catalog.trusted_root is None:
        return {}
    try:
        raw = fsio.read_if_there(path, MAX_TUF_REPOSITORY)
    except Damaged as error:
        return {path: error.what}
    good = raw is None or Digest.of(raw) == catalog.trusted_root
    return {} if good else {path: f"{path.name} does not agree with the signed catalog"}


def _is_of_script(line: bytes) -> bool:
    return line.rstrip(b"\n").rpartition(b"  ")[2].decode("latin-1") in names.SCRIPTS
