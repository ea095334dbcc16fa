"""Which ``airgap.toml`` is read: the one that is named, else the first of the working directory's, the user's and the machine's."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from airgap import fsio
from airgap.errors import Refused, UsageError
from airgap.format import names
from airgap.limits import MAX_FOLDER
from airgap.text import printable

NAME = "airgap.toml"
VARIABLE = "AIRGAP_CONFIG"
SYSTEM = Path("/etc/airgap") / NAME
_OF_MEDIA = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "iso9660", "udf", "hfsplus"})
_WHERE_MEDIA_ARE = (Path("/media"), Path("/run/media"), Path("/mnt"))


def users_file(environ: Mapping[str, str]) -> Path | None:
    """The user's file, whether or not it is there; None for a user without a home directory."""
    if base := environ.get("XDG_CONFIG_HOME"):
        return Path(base, "airgap", NAME)
    try:
        return Path.home() / ".config/airgap" / NAME
    except RuntimeError:
        return None


def places(environ: Mapping[str, str]) -> list[Path]:
    """Where a file is looked for, in this order."""
    found = (Path(NAME), users_file(environ), SYSTEM)
    return [path for path in found if path is not None]


def find(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that counts; None if there is none, or none is wanted.

    Args:
        option: ``--config``; an empty one, like an empty AIRGAP_CONFIG, wants none.
        environ: the environment.

    Raises:
        UsageError: the named file is not there.
        Refused: others may have written the file that was found.
    """
    named = option if option is not None else environ.get(VARIABLE)
    if named is not None:
        if named and not Path(named).exists():
            where = "--config" if option is not None else VARIABLE
            raise UsageError("the configuration does not exist", where=where, got=printable(named), hint=f"{where}='' uses none")
        return Path(named) if named else None
    for path in places(environ):
        if fsio.is_there(path):
            _check_owner(path)
            if path == Path(NAME):
                _check_no_medium(Path.cwd())
            return path
    return None


def _check_owner(path: Path) -> None:
    with fsio.disk_errors("cannot read the configuration", path):
        status = path.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise Refused(
            "others may have written the configuration",
            where=printable(str(path.absolute())),
            expected="a file of yours or root's that not everybody may write to",
            got=f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}",
            hint=f"chown or chmod it; or, if you trust it, name it: --config {printable(str(path))}",
        )


def _check_no_medium(directory: Path) -> None:
    """A medium must not bring the policy that it is judged by, nor a command that is run as gate."""
    if reason := _medium(directory):
        raise Refused(
            "a configuration on a medium is not used",
            where=printable(str(directory / NAME)),
            expected="no airgap.toml in a directory with bundles or on a disk that travels",
            got=reason,
            hint=f"run airgap from another directory; or, if you trust the file, name it: --config {NAME}",
        )


def _medium(directory: Path) -> str:
    """Why a directory is taken for a medium; empty if it is not."""
    with fsio.disk_errors("cannot read the directory", directory):
        inside = [entry for entry in itertools.islice(directory.iterdir(), MAX_FOLDER) if not entry.is_file()]
    for place in (directory, *directory.parents, *inside):
        if fsio.is_there(place / names.CATALOG):
            return f"a bundle: {printable(str(place))}"
    kind = fsio.filesystem_type(directory)
    if kind in _OF_MEDIA:
        return f"file system {kind}"
    mount = next(place for place in (directory, *directory.parents) if place.is_mount() or place == place.parent)
    return f"mounted at {printable(str(mount))}" if any(place in _WHERE_MEDIA_ARE for place in mount.parents) else ""
