"""skopeo's ``dir:``: one image in a directory, its manifest in manifest.json, every blob in a file named by its digest.

    version                      Directory Transport Version: 1.1
    manifest.json                the image, or the index of all its platforms
    HEX.manifest.json            the manifests below an index
    HEX                          configs and layers
    signature-1 ...              GPG signatures of manifest.json, HEX.signature-1 ... those of the others

(containers/image, directory transport.)
"""

from __future__ import annotations

from pathlib import Path

from airgap.errors import Damaged, Lacking, UsageError
from airgap.fsio import DirectoryTree, Tree
from airgap.limits import MAX_MANIFEST, MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader
from airgap.text import printable

VERSION = "version"
VERSION_TEXT = "Directory Transport Version: 1."
MANIFEST = "manifest.json"


class ImageDirectory:
    """A directory that skopeo or podman wrote, as a ``Source`` of one image. Thread-safe.

    Raises:
        UsageError: there is no such directory, or it is not one of these.
        Damaged: its manifest cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._where = printable(str(path))
        self._tree: Tree = DirectoryTree(path)
        self._check_version()
        raw = self._tree.read(MANIFEST, MAX_MANIFEST)
        where = printable(str(path / MANIFEST))
        self._root = Manifest.parse(raw, sniff_media_type(raw, where), where)

    def pick(self, name: str = "") -> Manifest:
        """The image; a directory holds only one and has no name for it."""
        if name:
            raise UsageError("a dir: source (skopeo format) has no image names", where=self._where, got=printable(name, 200))
        return self._root

    def manifest(self, repository: Repository, selector: str) -> Manifest:  # noqa: ARG002
        """As ``Source.manifest``, by digest only."""
        if ":" not in selector:
            raise Lacking("the directory has no such name", where=self._where, expected=printable(selector, 200))
        digest = Digest.parse(selector, self._where)
        if digest == self._root.digest:
            return self._root
        name = _manifest_name(digest)
        if self._tree.size(name) is None:
            raise Lacking("the directory has no such manifest", where=self._where, expected=digest)
        raw = self._tree.read(name, MAX_MANIFEST)
        where, found = printable(str(self.path / name)), Digest.of(raw, digest.algorithm)
        if found != digest:
            raise Damaged("a manifest has the wrong digest", where=where, expected=digest, got=found)
        return Manifest.parse(raw, sniff_media_type(raw, where), where, digest.algorithm)

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:  # noqa: ARG002
        """As ``Source.referrers``: such a directory cannot hold any."""
        return Referrers(())

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002
        """As ``Source.has``."""
        return self._tree.size(descriptor.digest.hex) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``."""
        if descriptor.digest == self._root.digest or self._tree.size(_manifest_name(descriptor.digest)) is not None:
            return BytesReader(self.manifest(repository, descriptor.digest).raw, offset)
        return self._tree.open(descriptor.digest.hex, descriptor.size, offset)

    def signatures(self, digest: Digest) -> tuple[bytes, ...]:
        """The GPG signatures of one manifest, unchecked, in their order.

        Raises:
            Damaged: too many, or one too large.
            UsageError: one of another kind, which cannot be carried this way.
        """
        prefix = "" if digest == self._root.digest else f"{digest.hex}."
        found: list[bytes] = []
        while self._tree.size(name := f"{prefix}signature-{len(found) + 1}") is not None:
            if len(found) == MAX_SIGNATURES:
                raise Damaged("too many signatures of one manifest", where=self._where, expected=f"at most {MAX_SIGNATURES}")
            blob = self._tree.read(name, MAX_SIGNATURE_BLOB)
            if blob.startswith(b"\0"):  # containers/image marks every other kind so
                raise UsageError(
                    "a sigstore signature in a dir: source (skopeo format) cannot be carried",
                    where=printable(str(self.path / name)),
                    expected="GPG signatures",
                    hint="take the image from a registry or an OCI layout that has its .sig tag",
                )
            found.append(blob)
        return tuple(found)

    def _check_version(self) -> None:
        if not self.path.is_dir() or self._tree.size(MANIFEST) is None:
            raise UsageError("not a skopeo directory", where=self._where, expected=f"a directory with {MANIFEST} and {VERSION}")
        text = self._tree.read(VERSION, 4096).decode("ascii", "replace").strip()
        if not text.startswith(VERSION_TEXT):
            raise Damaged(
                "the skopeo directory has an unknown version", where=self._where, expected=VERSION_TEXT, got=printable(text, 80)
            )


def _manifest_name(digest: Digest) -> str:
    return f"{digest.hex}.manifest.json"
