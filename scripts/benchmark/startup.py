"""scripts/bench startup: how long airgap takes to start, beside the import of typer."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmark import stage
from benchmark.measure import measure

_DESCRIPTION = """\
Starts commands that have next to nothing to do, in rounds, one after the other with `python3 -c "import typer"`, and compares the
medians. Wall time and processor time are both shown: on a machine that does something else, only the second is to be believed.
The program should be an installed one, whose modules are compiled: a checkout that may not write __pycache__ compiles them anew.
"""
_EPILOG = """\
needs: Python 3.11. Example:
  scripts/bench startup --airgap .venv/bin/airgap --json startup.json
"""
_BASE = "import typer"


def main(arguments: list[str]) -> int:
    """Run the comparison; 1 when what is wanted was missed."""
    parser = stage.parser("scripts/bench startup", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count, after one to warm up (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    python = str(Path(shutil.which(options.airgap) or options.airgap).parent / "python3")
    with stage.work_directory(options) as work:
        cases = {
            _BASE: ([python if Path(python).exists() else sys.executable, "-c", "import typer"], 1.0),
            "--version": ([options.airgap, "--version"], 3.0),
            "--help": ([options.airgap, "--help"], 3.0),
            "completion": ([options.airgap, "completion", "bash"], 3.0),
            "inspect": ([options.airgap, "inspect", str(_bundle(work, options.airgap))], 5.0),
        }
        rounds = [{name: _started(command) for name, (command, _) in cases.items()} for _ in range(options.rounds + 1)][1:]
    facts: dict[str, dict[str, float]] = {}
    for name, (_, most) in cases.items():
        wall, cpu = (statistics.median(one[name][kind] for one in rounds) for kind in (0, 1))
        base = facts.get(_BASE, {"wall": wall, "cpu": cpu})
        ratios = {"wall_ratio": wall / base["wall"], "cpu_ratio": cpu / base["cpu"]}
        facts[name] = {"wall": wall, "cpu": cpu, **ratios, "wanted": most}
        clock = f"{wall * 1000:6.0f} ms, {ratios['wall_ratio']:.1f} times"
        processor = f"{cpu * 1000:6.0f} ms, {ratios['cpu_ratio']:.1f} times"
        print(f"{name:<14}{clock}     processor {processor}     wanted: {most:g} at most")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if all(one["cpu_ratio"] <= one["wanted"] for one in facts.values()) else 1


def _started(command: list[str]) -> tuple[float, float]:
    """Seconds that a command took, by the clock and of a processor."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: exit code {process.returncode} from: {' '.join(command)}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


def _bundle(work: Path, airgap: str) -> Path:
    """A bundle of the layout among the samples."""
    settings = {"AIRGAP_STATE": str(work / "state"), "AIRGAP_KEY_PASSPHRASE": ""}
    layout = Path(__file__).resolve().parents[2] / "samples/layout"
    measure([[airgap, "keys", "generate", "--no-passphrase", "--out", str(work / "keys")]], settings)
    command = [airgap, "export", f"oci:{layout}", "--out", str(work), "--stream", "bench", "--key", str(work / "keys/airgap.key")]
    measure([command], settings)
    return work / "bench-0001"
