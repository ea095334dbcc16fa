"""Shared by all tests: nothing of the caller's environment decides what they see."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# a slow machine is no failure: no test has a time limit
settings.register_profile("airgap", deadline=None)
settings.load_profile("airgap")

_KEPT = "AIRGAP_REQUIRE_TOOLS"
_REMOVED = frozenset(
    {"SOURCE_DATE_EPOCH", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "CONTAINERS_REGISTRIES_CONF"}
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings that airgap, its proxies and its clock take from the environment."""
    for name in os.environ:
        if (name.startswith("AIRGAP_") and name != _KEPT) or name.lower().endswith("_proxy") or name in _REMOVED:
            monkeypatch.delenv(name)
