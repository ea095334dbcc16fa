"""skopeo's ``dir:``: one image in a directory, its manifest in manifest.json, every blob in a file named by its digest.

    version                      Directory Transport Version: 1.1
    manifest.json                the image, or the index of all its platforms
    HEX.manifest.json            the manifests below an index
    HEX                          configs and layers
    signature-1 ...              signatures of manifest.json, HEX.signature-1 ... those of the others: GPG's, or Sigstore's

(containers/image, directory transport.)
"""

from __future__ import annotations

import re
from pathlib import Path

from airgap.archives.dirsigstore import DirectorySignature, SignatureImage, parse_sigstore
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
SIGNATURE_SUFFIX = ".sig"
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


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
        self._attached: dict[Digest, SignatureImage | None] = {}
        raw = self._tree.read(MANIFEST, MAX_MANIFEST)
        where = printable(str(path / MANIFEST))
        self._root = Manifest.parse(raw, sniff_media_type(raw, where), where)

    def pick(self, name: str = "") -> Manifest:
        """The image; a directory holds only one and has no name for it."""
        if name:
            raise UsageError("a dir: source (skopeo format) has no image names", where=self._where, got=printable(name, 200))
        return self._root

    def manifest(self, repository: Repository, selector: str) -> Manifest:  # noqa: ARG002
        """As ``Source.manifest``, by digest only, and the Sigstore signatures of a manifest by the tag that cosign has for them."""
        if ":" not in selector:
            attached = self._attachment(selector)
            if attached is None:
                raise Lacking("the directory has no such name", where=self._where, expected=printable(selector, 200))
            return attached.manifest
        digest = Digest.parse(selector, self._where)
        if digest == self._root.digest:
            return self._root
        made = next((one.manifest for one in self._made() if one.manifest.digest == digest), None)
        if made is not None:
            return made
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
        made = self._made_blob(descriptor.digest)
        return descriptor.size == (self._tree.size(descriptor.digest.hex) if made is None else len(made))

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``."""
        if descriptor.digest == self._root.digest or self._tree.size(_manifest_name(descriptor.digest)) is not None:
            return BytesReader(self.manifest(repository, descriptor.digest).raw, offset)
        made = self._made_blob(descriptor.digest)
        if made is not None:
            return BytesReader(made, offset)
        return self._tree.open(descriptor.digest.hex, descriptor.size, offset)

    def signatures(self, digest: Digest) -> tuple[bytes, ...]:
        """The GPG signatures of one manifest, unchecked, in their order.

        Raises:
            Damaged: too many, or one too large.
            UsageError: one of a kind that nobody knows.
        """
        return tuple(blob for blob, sigstore in self._signatures(digest) if sigstore is None)

    def _signatures(self, digest: Digest) -> list[tuple[bytes, DirectorySignature | None]]:
        prefix = "" if digest == self._root.digest else f"{digest.hex}."
        found: list[tuple[bytes, DirectorySignature | None]] = []
        while self._tree.size(name := f"{prefix}signature-{len(found) + 1}") is not None:
            if len(found) == MAX_SIGNATURES:
                raise Damaged("too many signatures of one manifest", where=self._where, expected=f"at most {MAX_SIGNATURES}")
            blob = self._tree.read(name, MAX_SIGNATURE_BLOB)
            found.append((blob, parse_sigstore(blob, printable(str(self.path / name)))))
        return found

    def _attachment(self, tag: str) -> SignatureImage | None:
        """What the tag of a manifest's Sigstore signatures means; None for every other tag, and where there are none."""
        algorithm, _, hexadecimal = tag.removesuffix(SIGNATURE_SUFFIX).partition("-")
        if not tag.endswith(SIGNATURE_SUFFIX) or algorithm != "sha256" or not _HEX.fullmatch(hexadecimal):
            return None
        subject = Digest.parse(f"{algorithm}:{hexadecimal}", self._where)
        if subject not in self._attached:
            there = subject == self._root.digest or self._tree.size(_manifest_name(subject)) is not None
            found = [sigstore for _, sigstore in self._signatures(subject) if sigstore is not None] if there else []
            self._attached[subject] = SignatureImage.of(found, self._where) if found else None
        return self._attached[subject]

    def _made(self) -> list[SignatureImage]:
        return [one for one in list(self._attached.values()) if one is not None]

    def _made_blob(self, digest: Digest) -> bytes | None:
        return next((one.blobs[digest] for one in self._made() if digest in one.blobs), None)

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
