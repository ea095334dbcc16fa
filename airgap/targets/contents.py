"""The whole content of an archive or directory as one digest: an import that died before it was recorded recognises its work.

Names, sizes and digests of all members, nothing more and nothing less; of an archive also that there is nothing between them. Blobs
count by the digest in their name, so that what was hashed while it was written need not be read again.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from airgap import fsio
from airgap.archives.tree import TarTree
from airgap.errors import Damaged, UsageError
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader
from airgap.oci.verify import digest_of
from airgap.targets.tarwriter import END, space

_SHA512 = re.compile(r"(?:blobs/sha512/)?[0-9a-f]{128}", re.ASCII)


def digest_of_all(members: Mapping[str, tuple[int, Digest]]) -> Digest:
    """One digest over all members: size and digest by name."""
    return Digest.of(strictjson.canonical([[name, size, digest] for name, (size, digest) in sorted(members.items())]))


def archive_contents(path: Path) -> Digest | None:
    """The same of an archive, every byte of which is read; None when there is none, or none like ours. Raises ``MediaError``."""
    try:
        tree = TarTree(path)
    except (Damaged, UsageError):
        return None
    with contextlib.closing(tree):
        members = tree.members()
        if tree.length != sum(space(name, member.size) for name, member in members.items()) + END:
            return None
        return digest_of_all({name: (one.size, _hash(name, tree.open(name, one.size, 0))) for name, one in members.items()})


def directory_contents(path: Path) -> Digest | None:
    """The same of a directory with nothing but files in it. Raises ``MediaError``."""
    if not fsio.is_there(path):
        return None
    found: dict[str, tuple[int, Digest]] = {}
    with fsio.disk_errors("cannot read the directory", path):
        if path.is_symlink() or not path.is_dir():
            return None
        entries = {entry.name: entry.lstat() for entry in path.iterdir()}
    if not all(stat.S_ISREG(status.st_mode) for status in entries.values()):
        return None
    tree = fsio.DirectoryTree(path)
    for name, status in entries.items():
        found[name] = (status.st_size, _hash(name, tree.open(name, status.st_size, 0)))
    return digest_of_all(found)


def _hash(name: str, reader: Reader) -> Digest:
    return digest_of(reader, "sha512" if _SHA512.fullmatch(name) else "sha256")
