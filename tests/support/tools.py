"""The real components that tests talk to: docker-registry, skopeo, gpg, openssl, tar."""

from __future__ import annotations

import os
import shutil

import pytest


def require(tool: str) -> str:
    """The path of a command; without it the test is skipped, or fails where AIRGAP_REQUIRE_TOOLS=1 (as in .ci/run)."""
    path = shutil.which(tool)
    if path is not None:
        return path
    reason = f"{tool} is not installed (scripts/test installs it where it may)"
    if os.environ.get("AIRGAP_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
