"""The systemd units in samples/ are such that systemd and airgap take them, and fit what README and docs/watch.md install."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import here
from tests.support.tools import require

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "samples/systemd").glob("*.service"))
PROGRAM = "/opt/airgap/bin/airgap"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    verify = require("systemd-analyze")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))  # it must be there
    done = subprocess.run([verify, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, []), done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_airgap_knows_every_option_in_a_unit(unit: Path) -> None:
    (command,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit.read_text(), re.MULTILINE)
    name, *words = shlex.split(command)
    shown = here(name, "--help").stdout
    assert [word for word in words if word.startswith("--") and word not in shown] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_fits_the_installation_that_the_documents_describe(unit: Path) -> None:
    text, setup = unit.read_text(), (ROOT / "docs/watch.md").read_text()
    assert f"sudo python3 -m venv {Path(PROGRAM).parents[1]} " in (ROOT / "README.md").read_text()
    (user,) = re.findall(r"^User=(.*)$", text, re.MULTILINE)
    (home,) = re.findall(r" HOME=(\S+)", text)
    assert f"--home-dir {home} --shell /usr/sbin/nologin {user}\n" in setup
    assert f"StateDirectory={Path(home).name}\n" in text  # systemd lets the service write there
    assert f"AIRGAP_STATE={home} " in text
    (file,) = re.findall(r"^EnvironmentFile=-(.*)$", text, re.MULTILINE)
    assert file in setup


def test_watching_service_may_write_where_its_bundles_and_stores_lie() -> None:
    text = (ROOT / "samples/systemd/airgap-watch.service").read_text()
    (writable,) = re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)
    places = [Path(one.lstrip("-")) for one in writable.split()]
    (drop,) = re.findall(r"DROP=(\S+)", text)
    (store,) = re.findall(r"STORE=(\S+)", (ROOT / "samples/systemd/airgap-serve.service").read_text())
    assert all(any(Path(path).is_relative_to(place) for place in places) for path in (drop, store, "/media"))


def blocks(document: Path) -> list[str]:
    """The lines of commands in a document."""
    return [
        line
        for block in re.findall(r"^```\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def test_airgap_knows_every_command_and_option_in_readme() -> None:
    lines = [shlex.split(line, comments=True) for line in blocks(ROOT / "README.md") if line.startswith("airgap ")]
    assert len(lines) >= 6
    for _, *words in lines:
        command = words[:2] if words[0] in ("keys", "policy", "media") else words[:1]
        shown = here(*command, "--help").stdout
        assert [word for word in words if word.startswith("-") and word not in shown] == [], words
