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


#: Files in which nearly every test runs the whole way with real registries. Together they take too long for every commit: without
#: ``--long`` every eighth of their tests runs, always the same ones.
_LONG = (
    "fault/",
    "integration/test_archive_targets.py",
    "integration/test_attach.py",
    "integration/test_bad_input_",
    "integration/test_checker.py",
    "integration/test_confidential.py",
    "integration/test_cosign_bundles.py",
    "integration/test_custody.py",
    "integration/test_discover_command.py",
    "integration/test_gates.py",
    "integration/test_import_",
    "integration/test_incremental",
    "integration/test_lists_",
    "integration/test_login.py",
    "integration/test_media_filesystems.py",
    "integration/test_merge_diff.py",
    "integration/test_mirror_",
    "integration/test_parity.py",
    "integration/test_prune.py",
    "integration/test_pull_modes.py",
    "integration/test_reaching_registries.py",
    "integration/test_receipts.py",
    "integration/test_registry_tls.py",
    "integration/test_repair_places.py",
    "integration/test_report_command.py",
    "integration/test_resend.py",
    "integration/test_rollback.py",
    "integration/test_rough_registries.py",
    "integration/test_serve_command.py",
    "integration/test_site_signing.py",
    "integration/test_sources",
    "integration/test_supplements.py",
    "integration/test_toolkit.py",
    "integration/test_verify_images.py",
    "integration/test_watch",
)
_SAMPLE = 8
#: Files that wait for retries, engines and browsers: only with ``--long``.
_ONLY_LONG = (
    "integration/test_mirror_",
    "integration/test_reaching_registries.py",
    "integration/test_rough_registries.py",
    "integration/test_serve_command.py",
    "integration/test_server_limits.py",
    "integration/test_status_page.py",
    "integration/test_watch",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run all tests of the slow files, not every eighth")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most of the slow files' tests, unless everything or a certain test is asked for."""
    if config.getoption("--long") or config.getoption("keyword") or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.nodeid.removeprefix("tests/").startswith(_LONG)]
    left_out = {id(item) for number, item in enumerate(slow) if number % _SAMPLE}
    left_out |= {id(item) for item in items if item.nodeid.removeprefix("tests/").startswith(_ONLY_LONG)}
    config.hook.pytest_deselected(items=[item for item in items if id(item) in left_out])
    items[:] = [item for item in items if id(item) not in left_out]
