"""Writing skopeo's ``dir:``, and through it the storage of podman and CRI-O."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from airgap import fsio, programs
from airgap.archives.imagedir import MANIFEST, VERSION, ImageDirectory
from airgap.archives.placed import Signatures, no_signatures
from airgap.errors import Damaged, MediaError, UsageError
from airgap.limits import MAX_SAID
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK
from airgap.targets.collecting import Collecting, is_attachment, name_of
from airgap.targets.contents import digest_of_all, directory_contents
from airgap.text import listing, printable

_VERSION = b"Directory Transport Version: 1.1\n"


class _Pool(Collecting):
    """A directory of blobs by digest, as ``dir:`` has them, under a temporary name."""

    _mode = fsio.PRIVATE

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(where)
        self._path = path
        self._directory: fsio.TemporaryDirectory | None = None
        self._members: dict[str, tuple[int, Digest]] = {}

    @property
    def _pool(self) -> Path:
        return self._begun().path

    def _store(self, descriptor: Descriptor, reader: Reader) -> None:
        path = self._pool / descriptor.digest.hex
        buffer, position = memoryview(bytearray(min(CHUNK, descriptor.size + 1))), 0
        with fsio.new_file(path, durable=False) as fd:
            while count := reader.readinto(buffer):
                with fsio.disk_errors("cannot write", path):
                    fsio.write_at(fd, buffer[:count], position)
                position += count
        with self._guard:
            self._members[path.name] = descriptor.size, descriptor.digest

    def _read(self, digest: Digest, offset: int) -> Reader:
        return fsio.DirectoryTree(self._pool).open(digest.hex, self._blobs[digest], offset)

    def _begun(self) -> fsio.TemporaryDirectory:
        with self._guard:
            if self._directory is None:
                fsio.make_directory(self._path.parent, self._mode)
                with fsio.disk_errors("cannot create the directory", self._path.parent):
                    self._directory = fsio.TemporaryDirectory(self._path, self._mode)
            return self._directory

    def _put(self, name: str, content: bytes) -> None:
        fsio.write_durable(self._pool / name, content)
        self._members[name] = len(content), Digest.of(content)

    def _put_image(self, root: Manifest, repository: Repository, signatures: Signatures) -> set[str]:
        """The files of one image beside its blobs; the names of all that it needs."""
        needed = {VERSION, MANIFEST}
        self._put(VERSION, _VERSION)
        for manifest in self._closure(root):
            name, prefix = f"{manifest.digest.hex}.manifest.json", f"{manifest.digest.hex}."
            if manifest is root:
                name, prefix = MANIFEST, ""
            self._put(name, manifest.raw)
            needed |= {name, *(blob.digest.hex for blob in manifest.blobs())}
            for number, content in enumerate(signatures(repository, manifest.digest), 1):
                self._put(f"{prefix}signature-{number}", content)
                needed.add(f"{prefix}signature-{number}")
        return needed

    def rehearse(self) -> Path:
        """As ``Rehearsing.rehearse``."""
        return self._path.parent

    def close(self) -> None:
        """Remove what was not committed."""
        if self._directory is not None:
            self._directory.remove()


class DirTarget(_Pool):
    """``dir:DIR``, for one image with all its platforms, as a ``Target``. The directory appears when everything is in it.

    Args:
        path: a new or empty directory.
        signatures: the GPG signatures of manifests; they become ``signature-1`` and so on.
    """

    _mode = fsio.UNCHANGEABLE

    def __init__(self, path: Path, signatures: Signatures = no_signatures) -> None:
        super().__init__(path, str(path))
        self.path = path
        self._signatures = signatures

    def resolve(self, reference: Reference) -> Digest | None:  # noqa: ARG002 - a directory has no name for its image
        """As ``Target.resolve``: the image that is there, whatever it is called."""
        try:
            found = ImageDirectory(self.path).pick().digest
        except (Damaged, UsageError):  # nothing there, or nothing of ours: then the first write says so
            return None
        fsio.flush_names(self.path.parent)
        return found

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``. Raises ``UsageError`` for a second image."""
        super().tag(reference, manifest)
        names = list(self._images())
        if len(names) > 1:
            raise UsageError(
                "a dir: target (skopeo format) holds exactly one image",
                where=self._where,
                got=listing([str(name) for name in names]),
                hint="import into oci: or oci-archive:, which hold several images",
            )

    def commit(self) -> None:
        """As ``Target.commit``: the directory appears, whole, without what does not belong to the image."""
        for reference, root in self._images().items():
            self._drop_attachments()
            needed = self._put_image(root, reference.repository, self._signatures)
            with fsio.disk_errors("cannot write", self.path):
                for entry in list(self._pool.iterdir()):
                    if entry.name not in needed:
                        entry.unlink()
                fsio.sync_directory(self._pool)
            self._refuse_taken()
            self.announce(digest_of_all({name: one for name, one in self._members.items() if name in needed}))
            fsio.rename_durable(self._pool, self.path)

    def contents(self) -> Digest | None:
        """As ``Appearing.contents``."""
        found = directory_contents(self.path)
        if found is not None:
            fsio.flush_names(self.path.parent)
        return found

    def rehearse(self) -> Path:
        """As ``Rehearsing.rehearse``. Raises ``UsageError`` when something is there already."""
        self._refuse_taken()
        return super().rehearse()

    def _begun(self) -> fsio.TemporaryDirectory:
        if self._directory is None:
            self._refuse_taken()
        return super()._begun()

    def _refuse_taken(self) -> None:
        with fsio.disk_errors("cannot read the directory", self.path):
            taken = fsio.is_there(self.path) and (self.path.is_symlink() or not self.path.is_dir() or any(self.path.iterdir()))
        if taken:
            raise UsageError("the target is not empty", where=self._where, expected="a new or empty directory")


class StorageTarget(_Pool):
    """``containers-storage:``: podman's and CRI-O's local store, through skopeo, as a ``Target``.

    Everything is put into a scratch directory first, for the storage takes images only unpacked. ``commit`` hands them over one by
    one: when one fails, those before it are there. Of an index the storage keeps the platform of this machine, or ``platform``.
    skopeo does not look into an index within an index: of such an image it gets only the one that is wanted.

    Args:
        scratch: a directory with room for the images; what is put there is removed in the end.
        store: ``[driver@root+runroot]`` of another storage than the user's own; may be empty.
        platform: which one of an index.
    """

    def __init__(self, scratch: Path, store: str = "", platform: Platform | None = None) -> None:
        super().__init__(scratch / "images", f"containers-storage:{store}")
        self._store_name = store
        self._platform = platform
        skopeo = shutil.which("skopeo")
        if skopeo is None:
            raise UsageError(
                "skopeo is not installed", where=self._where, hint="install it, or import into oci-archive: and load that"
            )
        self._skopeo = skopeo

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``. Raises ``UsageError`` when an index within an index does not tell which image is wanted."""
        super().tag(reference, manifest)
        if not is_attachment(reference):
            self._handed(reference, manifest)

    def commit(self) -> None:
        """As ``Target.commit``. Raises ``MediaError`` when the storage does not accept an image."""
        self._drop_attachments()
        for reference, root in self._images().items():
            self._put_image(self._handed(reference, root), reference.repository, no_signatures)
            name = name_of(reference)
            command = [*self._command(), f"dir:{self._pool}", f"containers-storage:{self._store_name}{name}"]
            done = programs.run(command, output=False)
            if done.returncode:
                said = printable(done.stderr[-MAX_SAID:].decode("utf-8", "replace").strip(), MAX_SAID)
                raise MediaError("the storage does not accept an image", where=f"{self._where}{name}", got=said)

    def _handed(self, reference: Reference, root: Manifest) -> Manifest:
        if not any(child.media_type in media.INDEXES for child in root.children):
            return root
        return self._choose(root, self._platform, "a container storage holds one platform of an image", str(reference))

    def _command(self) -> list[str]:
        podman = shutil.which("podman")
        inside = [podman, "unshare"] if podman and os.geteuid() else []
        wanted = self._platform
        chosen = []
        if wanted is not None:
            chosen = ["--override-os", wanted.os, "--override-arch", wanted.architecture]
            chosen += ["--override-variant", wanted.variant] if wanted.variant else []
        # what is trusted was decided by the import's own policy
        return [*inside, self._skopeo, "--insecure-policy", *chosen, "copy", "--quiet"]
