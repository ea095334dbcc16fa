"""Reading lookaside signatures. Only "there is no such file" ends the count; every other failure is an error, never "unsigned"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged, RegistryError
from airgap.limits import MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.lookaside.config import LookasideConfig
from airgap.lookaside.places import directory_name, file_name, local_directory, shown, signature_url
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.text import printable

#: All signatures of one manifest together, in bytes: they are kept in memory, and real ones have less than a kilobyte each.
MAX_TOTAL = 16 * 1024 * 1024

#: Gets a small file: (URL, most bytes) -> its content, or None when the server says clearly that it does not exist.
Fetch = Callable[[str, int], bytes | None]


class LookasideReader:
    """The signatures of manifests, wherever registries.d says they are. As thread-safe as ``fetch``.

    Args:
        config: which place belongs to which repository.
        fetch: gets a file from a web server; whatever it raises is passed on.
    """

    def __init__(self, config: LookasideConfig, fetch: Fetch) -> None:
        self._config = config
        self._fetch = fetch

    def signatures(self, repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        """All signatures of one manifest (an index or an instance) in their order, unchecked; none when it has none.

        Args:
            repository: the one that is really spoken to.
            digest: of the manifest.

        Raises:
            Damaged, MediaError, RegistryError: there is something that cannot be read or is too much to be believed.
        """
        base = self._config.read_base(repository)
        directory = local_directory(base)
        if directory is not None:
            return read_directory(directory / directory_name(repository.path, digest))

        def get(number: int) -> bytes | None:
            return self._fetch(signature_url(base, repository.path, digest, number), MAX_SIGNATURE_BLOB)

        return _collect(get, RegistryError, shown(signature_url(base, repository.path, digest, 1)))


def read_directory(directory: Path) -> tuple[bytes, ...]:
    """All signatures in one manifest's directory, in their order; none when it does not exist.

    Raises:
        Damaged: one is a link or not a regular file, one is too large, or there are too many.
        MediaError: the disk refuses.
    """

    def get(number: int) -> bytes | None:
        return fsio.read_if_there(directory / file_name(number), MAX_SIGNATURE_BLOB)

    return _collect(get, Damaged, printable(str(directory)))


def _collect(get: Callable[[int], bytes | None], kind: type[Damaged] | type[RegistryError], where: str) -> tuple[bytes, ...]:
    found: list[bytes] = []
    total = 0
    while (blob := get(len(found) + 1)) is not None:
        found.append(blob)
        total += len(blob)
        if len(found) > MAX_SIGNATURES or total > MAX_TOTAL:
            expected = f"at most {MAX_SIGNATURES} signatures and {MAX_TOTAL} bytes"
            raise kind("the lookaside has too many signatures for one manifest", where=where, expected=expected)
    return tuple(found)
