"""Check that a target can hold what is to be loaded, before the first byte is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from airgap import fsio
from airgap.admission.closure import Closure
from airgap.bundle.store import BundleStore
from airgap.errors import UsageError
from airgap.naming.mapping import FileTarget, Form, TargetSpec
from airgap.oci import media
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.text import listing


def check_fits(spec: TargetSpec, store: BundleStore, closures: Sequence[Closure], platforms: Sequence[Platform]) -> None:
    """Refuse images that the format of the target cannot hold.

    Args:
        spec: the target.
        store: the bundle.
        closures: the images as they will be loaded.
        platforms: the requested platforms.

    Raises:
        UsageError: several images for a ``dir:``; several platforms of one for a docker archive or, where skopeo cannot choose, for
            a container storage.
    """
    if not isinstance(spec, FileTarget):
        return
    if spec.form is Form.DIRECTORY and len(closures) != 1:
        raise UsageError(
            "a dir: target (skopeo format) holds exactly one image",
            where=str(spec),
            got=listing([str(closure.image.reference) for closure in closures]) or "none",
            hint="import into oci: or oci-archive:, which hold several images",
        )
    if spec.form is Form.STORAGE and len(platforms) > 1:
        raise UsageError(
            "a container storage holds one platform of an image",
            where=str(spec),
            expected="one --platform",
            got=listing([str(platform) for platform in platforms]),
            hint="choose one of them, or import into oci:, which holds them all",
        )
    for closure in closures:
        if spec.form is not Form.DOCKER_ARCHIVE and not (spec.form is Form.STORAGE and _is_nested(closure)):
            continue
        found = _platforms(store, closure)
        if len(found) > 1:
            raise UsageError(
                f"a {'docker archive' if spec.form is Form.DOCKER_ARCHIVE else 'container storage'} holds one platform of an image",
                where=str(closure.image.reference),
                expected="--platform",
                got=listing([str(platform or "one without a platform") for platform in found]),
                hint="choose one of them, or import into oci-archive:, which holds them all",
            )


def check_room(directory: Path, needed: int) -> None:
    """Find out without writing whether this many bytes can be written below a directory, which need not exist yet.

    Raises:
        MediaError: it is read-only, not writable, below something that is not a directory, or too small.
    """
    parent = fsio.existing_parent(directory)
    with fsio.disk_errors("cannot write", directory):
        if not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(parent, os.W_OK | os.X_OK):
            reason = errno.EROFS if os.statvfs(parent).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(reason, os.strerror(reason))
    fsio.require_free(directory, needed, "the images do not fit", "free some space or choose another place")


def _platforms(store: BundleStore, closure: Closure) -> list[Platform | None]:
    """The platforms of the real images among the parts; attestations (``unknown/unknown``) are none."""
    indexes = [part.digest for part in closure.parts if part.media_type in media.INDEXES]
    found: dict[Digest, Platform | None] = {}
    for digest in indexes:
        for child in (closure.rebuilt.get(digest) or store.find_manifest(digest)).children:
            if child.media_type in media.IMAGES and child.digest in closure.manifests:
                found[child.digest] = found.get(child.digest) or child.platform
    return [platform for platform in found.values() if platform is None or platform.os != "unknown"]


def _is_nested(closure: Closure) -> bool:
    """Whether an index lies within the image's index."""
    return sum(part.media_type in media.INDEXES for part in closure.parts) > 1
