"""Writing a lookaside tree that podman and skopeo read, on disk or behind a static web server.

Write order: at every moment, also after a crash, the files count from 1 without a gap, and each is a whole signature. New content
takes the place of old by a rename; what is too many goes last, from the highest number down. One writer at a time per repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.lookaside.places import directory_name, file_name
from airgap.lookaside.read import read_directory
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.text import printable

#: Upstream reads up to the limit and then calls even the last allowed one too many.
MAX_WRITTEN = MAX_SIGNATURES - 1

# What upstream takes for an OpenPGP message by its first byte: compressed data, one-pass signature or signature packet. Anything
# else makes it refuse the image although there may be a good signature beside it.
_FIRST_BYTES = frozenset({*range(0xA0, 0xA4), 0xC8, *range(0x90, 0x93), 0xC4, *range(0x88, 0x8C), 0xC2})


def write_signatures(base: Path, repository_path: str, digest: Digest, signatures: Sequence[bytes]) -> None:
    """Make these the signatures of a manifest, in this order, each once; what was there before is gone.

    Args:
        base: the directory that ``lookaside:`` names as ``file://``; created where it is missing.
        repository_path: the repository without its host.
        digest: of the manifest.
        signatures: the binary signed messages; none deletes what is there.

    Raises:
        UsageError: not a repository path, or more signatures than podman reads.
        Damaged: something that podman would not read as a signature, or a link in the place of a directory.
        MediaError: the disk refuses.
    """
    wanted = _checked(signatures)
    directory = base / directory_name(Repository("localhost", repository_path).path, digest)
    _refuse_links(base, directory)
    if not wanted and not directory.exists():
        return
    _make_durable(base, directory)
    for number, blob in enumerate(wanted, 1):
        path = directory / file_name(number)
        if not _holds(path, blob):
            fsio.write_durable(path, blob)
    _truncate(directory, len(wanted))


def merge_signatures(base: Path, repository_path: str, digest: Digest, signatures: Sequence[bytes]) -> tuple[bytes, ...]:
    """Add signatures of a manifest behind those it has, each once; all that it has now.

    What is there and cannot be a signature is left out: it would keep podman from seeing the others.

    Raises:
        As :func:`write_signatures`; Damaged also when what is there cannot be read.
    """
    directory = base / directory_name(Repository("localhost", repository_path).path, digest)
    _refuse_links(base, directory)
    kept = [blob for blob in read_directory(directory) if _is_signature(blob)]
    merged = tuple(dict.fromkeys([*kept, *signatures]))
    write_signatures(base, repository_path, digest, merged)
    return merged


def _checked(signatures: Sequence[bytes]) -> tuple[bytes, ...]:
    wanted = tuple(dict.fromkeys(signatures))
    for number, blob in enumerate(wanted, 1):
        if not _is_signature(blob):
            raise Damaged("not a GPG image signature", where=f"signature {number}", expected="a binary OpenPGP signed message")
    if len(wanted) > MAX_WRITTEN:
        raise UsageError(
            "too many signatures for one manifest", expected=f"at most {MAX_WRITTEN}, else podman reads none", got=str(len(wanted))
        )
    return wanted


def _is_signature(blob: bytes) -> bool:
    return 0 < len(blob) <= MAX_SIGNATURE_BLOB and blob[0] in _FIRST_BYTES


def _refuse_links(base: Path, directory: Path) -> None:
    """Nothing below the base may lead elsewhere: the tree is ours, and may lie where others can write."""
    for path in (directory, *directory.parents):
        if path == base:
            return
        if path.is_symlink():
            raise Damaged("not a directory", where=printable(str(path)), got="a symbolic link", hint="remove it")


def _make_durable(base: Path, directory: Path) -> None:
    """Flushed also where it is there already: an earlier run may have made it that could not do so."""
    fsio.make_directory(directory, fsio.UNCHANGEABLE)
    for path in (directory, *directory.parents):
        with fsio.disk_errors("cannot write", path):
            fsio.sync_directory(path)
        if path == base:
            return


def _holds(path: Path, blob: bytes) -> bool:
    try:
        return fsio.read_if_there(path, MAX_SIGNATURE_BLOB) == blob
    except Damaged:  # a link or something too large: the rename takes its place
        return False


def _truncate(directory: Path, count: int) -> None:
    last = count
    while (directory / file_name(last + 1)).is_symlink() or (directory / file_name(last + 1)).exists():
        last += 1
    for number in range(last, count, -1):
        path = directory / file_name(number)
        with fsio.disk_errors("cannot delete", path):
            path.unlink()
    if last > count:
        with fsio.disk_errors("cannot write", directory):
            fsio.sync_directory(directory)
