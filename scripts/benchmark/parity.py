"""scripts/bench parity: `airgap media repair` beside sha256sum of the files that it reads."""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import stage
from benchmark.measure import Measured, measure, read_once
from benchmark.serving import make_store

_DESCRIPTION = """\
Makes a bundle of random bytes with parity files, and takes volumes away: one, two and so on up to the number of parity files. Then
`airgap media repair --out` rebuilds them, and `sha256sum` reads the same files that are left, one right after the other, in rounds
that alternate who comes first. Everything is in the page cache. "read" are the bytes of the bundle that are read in a second,
"rebuilt" those of the lost volumes that are written; the ratio is sha256sum's time divided by airgap's: 1 is as fast. 300 MB/s are
wanted of what is read, with one and with two lost volumes on two cores that have nothing else to do.

Before that, what making the parity files adds to the export.
"""
_EPILOG = """\
needs: sha256sum, openssl, Python 3.11; disk and page cache for twice --size. Example:
  scripts/bench parity --volumes 7 --parity 3 --json parity.json
"""
_WANTED = 300e6
_WANTED_UP_TO = 2
#: Bytes of one image that `make_store` makes, about.
_IMAGE = 41_361_800


@dataclass(frozen=True)
class Sample:
    """One repair and the sha256sum beside it; bytes read, and bytes rebuilt."""

    ours: Measured
    theirs: Measured
    read: int
    rebuilt: int

    def facts(self) -> dict[str, float]:
        """What it comes to."""
        return {
            "read_rate": self.read / self.ours.wall,
            "rebuilt_rate": self.rebuilt / self.ours.wall,
            "sha256sum_rate": self.read / self.theirs.wall,
            "ratio": self.theirs.wall / self.ours.wall,
            "peak_rss": self.ours.peak_rss,
        }


def main(arguments: list[str]) -> int:
    """Run the comparison; 1 when what is wanted was missed."""
    parser = stage.parser("scripts/bench parity", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--size", type=int, default=2000, help="size of the volumes together in MB (default: %(default)s)")
    parser.add_argument("--volumes", type=int, default=7, help="how many volumes, about (default: %(default)s)")
    parser.add_argument("--parity", type=int, default=2, help="how many parity files (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    with stage.work_directory(options) as work:
        bundle, added = _bundle(work, options.airgap, options.size * 10**6, options.volumes, options.parity)
        print(f"export with --parity {options.parity} takes {added:.2f} s more", flush=True)
        facts: dict[str, Any] = {"parity_seconds": added}
        for lost in range(1, options.parity + 1):
            rounds = [_round(work, bundle, options.airgap, lost, number) for number in range(options.rounds + 1)][1:]
            facts[f"lost_{lost}"] = _summary(lost, rounds)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if all(facts[f"lost_{n}"]["read_rate"] >= _WANTED for n in range(1, min(options.parity, _WANTED_UP_TO) + 1)) else 1


def _bundle(work: Path, airgap: str, size: int, volumes: int, parity: int) -> tuple[Path, float]:
    """An export with parity files, and how many seconds it took longer than without."""
    make_store(work / "store", max(1, size // _IMAGE), 1.0)
    state = {"AIRGAP_STATE": str(work / "state"), "AIRGAP_KEY_PASSPHRASE": ""}
    measure([[airgap, "keys", "generate", "--no-passphrase", "--out", str(work / "keys")]], state)
    read_once(work / "store")
    options = ["--stream", "bench", "--key", str(work / "keys/airgap.key"), "--volume-size", str(size // volumes + _IMAGE // 2)]
    times = []
    for number in (0, parity):
        command = [airgap, "export", f"oci:{work}/store", "--out", str(work / f"out{number}"), "--parity", str(number), *options]
        times.append(measure([[*command, "--serial", "1", "--state", str(work / f"state{number}"), "-q"]], state).wall)
    shutil.rmtree(work / "out0")
    return work / f"out{parity}" / "bench-0001", times[1] - times[0]


def _round(work: Path, bundle: Path, airgap: str, lost: int, number: int) -> Sample:
    away = work / "away"
    away.mkdir()
    names = [f"volume-{volume:04d}.tar" for volume in range(1, lost + 1)]
    for name in names:
        (bundle / name).rename(away / name)
    left = sorted(path for path in bundle.iterdir() if path.suffix in (".tar", ".bin"))
    read_once(bundle)
    turns = {
        "ours": lambda: measure([[airgap, "media", "repair", "-q", str(bundle), "--out", str(work / "repaired")]]),
        "theirs": lambda: measure([["sha256sum", *map(str, left)]]),
    }
    order = list(turns) if number % 2 else list(reversed(turns))
    done = {name: turns[name]() for name in order}
    rebuilt = sum((away / name).stat().st_size for name in names)
    for name in names:
        if (work / "repaired" / name).stat().st_size != (away / name).stat().st_size:
            raise SystemExit(f"bench: {name} was not rebuilt")
        (away / name).rename(bundle / name)
    shutil.rmtree(work / "repaired")
    away.rmdir()
    return Sample(done["ours"], done["theirs"], sum(path.stat().st_size for path in left), rebuilt)


def _summary(lost: int, rounds: list[Sample]) -> dict[str, float]:
    found = [sample.facts() for sample in rounds]
    facts = {name: statistics.median(one[name] for one in found) for name in found[0]}
    facts["peak_rss"] = max(one["peak_rss"] for one in found)
    print(
        f"{lost} lost: read {facts['read_rate'] / 1e6:5.0f} MB/s, rebuilt {facts['rebuilt_rate'] / 1e6:4.0f} MB/s, "
        f"sha256sum {facts['sha256sum_rate'] / 1e6:5.0f} MB/s, ratio {facts['ratio']:.2f}, peak {facts['peak_rss'] / 1e6:.0f} MB",
        flush=True,
    )
    return facts
