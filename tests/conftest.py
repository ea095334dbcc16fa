"""Shared by all tests: nothing of the caller's environment decides what they see."""

from __future__ import annotations

import os
import signal

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
    monkeypatch.setenv("AIRGAP_CONFIG", "")  # no file of whoever runs the tests


_MARKERS = (
    "slow(why): not in the fast set, and why; the gate runs it",
    "smoke(command, ...): the end-to-end test of these commands that the fast set runs even where its file is slow",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored, by all that is started from here, too


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", "--long", dest="all", action="store_true", help="run the slow tests, too: the gate")
    parser.addoption("--hostile", type=int, default=0, metavar="N", help="so many hostile inputs for every parser, and larger ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, unless everything or certain tests are asked for."""
    certain = any("::" in argument or argument.endswith(".py") for argument in config.args)
    if config.getoption("all") or config.getoption("keyword") or certain:
        return
    left_out = {item for item in items if item.get_closest_marker("slow") and not item.get_closest_marker("smoke")}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]
