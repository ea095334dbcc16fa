"""scripts/bench scale: memory and time of every flow by the number of blobs; layers are holes in sparse volumes."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmark import stage

ROOT = Path(__file__).resolve().parents[2]
#: In the order in which each finds what it needs; ``volumes`` is none of airgap's.
FLOWS = ("resolve", "plan", "catalog", "volumes", "inspect", "verify", "diff", "receipt", "import_plan", "prune")

_DESCRIPTION = """\
Makes bundles of so many blobs, ten to an image and 10 MB each on average: resolved, planned, signed, read, verified (signature,
frame and manifests), compared, received, import-planned and pruned. Layers exist in name only, and the volumes are sparse. Each
flow has a process of its own. Prints its processor time, its peak memory, and how much of that each blob took.
"""
_EPILOG = """\
needs: 5 kB of disk for each blob, and a file system with sparse files. Example:
  scripts/bench scale --blobs 10000 40000 160000 --before ../before/.venv/bin/python
"""


def main(arguments: list[str]) -> int:
    """Measure; the exit code."""
    parser = stage.parser("scripts/bench scale", _DESCRIPTION, _EPILOG)
    parser.add_argument("--blobs", type=int, nargs="+", default=[10_000, 40_000, 160_000], help="(default: %(default)s)")
    own = ROOT / ".venv/bin/python"
    parser.add_argument("--python", default=str(own), metavar="PYTHON", help="one that has airgap installed (default: %(default)s)")
    parser.add_argument("--before", metavar="PYTHON", help="the Python of another airgap, measured beside this one")
    options = parser.parse_args(arguments)
    pythons = {"airgap": options.python} | ({"before": options.before} if options.before else {})
    facts = []
    print("| blobs | flow | who | CPU s | peak MB | bytes a blob |\n| --- | --- | --- | --- | --- | --- |")
    for blobs in options.blobs:
        with tempfile.TemporaryDirectory(prefix="airgap-scale-") as work:
            for name in FLOWS:
                for who, python in pythons.items():
                    place = Path(work) / who
                    place.mkdir(exist_ok=True)
                    done = {"blobs": blobs, "flow": name, "who": who, **_run(python, name, place, blobs)}
                    facts.append(done)
                    if name != "volumes":
                        _print(done)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def _run(python: str, name: str, place: Path, blobs: int) -> dict[str, Any]:
    program = Path(__file__).with_name("manyblobs.py")
    done = subprocess.run([python, program, name, place, str(blobs)], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _print(done: dict[str, Any]) -> None:
    seconds, peak, each = f"{done['seconds']:.1f}", done["peak"] // 10**6, done["grown"] // done["blobs"]
    print(f"| {done['blobs']} | {done['flow']} | {done['who']} | {seconds} | {peak} | {each} |", flush=True)
