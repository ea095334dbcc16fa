"""The real components that tests talk to: docker-registry, skopeo, gpg, openssl, tar, compressors."""

from __future__ import annotations

import os
import shutil

import pytest

#: Large programs that one or two tests look at us with: where they cannot be had, these tests are skipped even in CI.
_EXTRAS = frozenset(
    {
        "podman",
        "chromium",
        "systemd-analyze",
        "containerd",
        "buildah",
        "dockerd",
        "umoci",
        "syft",
        "helm",
        "nginx",
        "mkfs.exfat",
        "mount.exfat-fuse",
        "mkntfs",
        "ntfs-3g",
        "fuseiso",
        "mkfs.ext4",
    }
)


def require(tool: str) -> str:
    """The path of a command; without it the test is skipped, or fails where AIRGAP_REQUIRE_TOOLS=1 (as in .ci/run)."""
    path = shutil.which(tool)
    if path is not None:
        return path
    if tool in _EXTRAS:
        pytest.skip(f"{tool} is not installed")
    reason = f"{tool} is not installed (scripts/test installs it where it may)"
    if os.environ.get("AIRGAP_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
