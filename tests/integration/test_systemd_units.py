"""The systemd units in samples/ are such that systemd takes them, and their command lines such that airgap takes them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import here
from tests.support.tools import require

UNITS = sorted((Path(__file__).resolve().parents[2] / "samples/systemd").glob("*.service"))
PROGRAM = "/usr/local/bin/airgap"


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
