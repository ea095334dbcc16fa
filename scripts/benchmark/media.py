"""scripts/bench media: `airgap media check` beside sha256sum on the same files."""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from benchmark import stage
from benchmark.measure import Measured, measure, read_once
from benchmark.serving import make_store

_DESCRIPTION = """\
Makes a bundle of random bytes in one volume, and lets `airgap media check` and `sha256sum` read it in rounds that alternate who
comes first. Everything is in the page cache, so that hashing is what is measured. The ratio is airgap's time divided by
sha256sum's: 1.0 or less is wanted, with the start of the interpreter and the reading of the catalog counted. The same again with a
bundle of a quarter of the size: peak memory should not differ.
"""
_EPILOG = """\
needs: sha256sum, openssl, Python 3.11; disk and page cache for one and a quarter times --size. Example:
  scripts/bench media --rounds 5 --json media.json
"""
_WANTED = 1.0
#: Bytes of one image that `make_store` makes, about.
_IMAGE = 41_361_800
_FLAT = 8 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Run the comparison; 1 when what is wanted was missed."""
    parser = stage.parser("scripts/bench media", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--size", type=int, default=2000, help="size of the volume in MB (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    with stage.work_directory(options) as work:
        sizes = {"full": options.size * 10**6, "quarter": options.size * 10**6 // 4}
        bundles = {name: _bundle(work / name, options.airgap, size) for name, size in sizes.items()}
        rounds = [_round(number, bundles, options) for number in range(options.rounds + 1)][1:]
    facts = _summary(rounds)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if facts["ratio"] <= _WANTED and facts["memory_growth"] <= _FLAT else 1


def _bundle(work: Path, airgap: str, size: int) -> Path:
    """An unsigned bundle of one volume; without its store, which is not needed any more."""
    make_store(work / "store", max(1, size // _IMAGE), 1.0)
    state = {"AIRGAP_STATE": str(work / "state"), "AIRGAP_KEY_PASSPHRASE": ""}
    measure([[airgap, "keys", "generate", "--no-passphrase", "--out", str(work / "keys")]], state)
    options = ["--out", str(work), "--stream", "bench", "--key", str(work / "keys/airgap.key")]
    measure([[airgap, "export", f"oci:{work}/store", *options]], state)
    read_once(work / "bench-0001")
    return work / "bench-0001"


def _round(number: int, bundles: dict[str, Path], options: argparse.Namespace) -> dict[str, Measured]:
    def theirs(bundle: Path) -> Measured:
        return measure([["sha256sum", str(bundle / "volume-0001.tar")]])

    def ours(bundle: Path) -> Measured:
        return measure([[options.airgap, "media", "check", "-q", str(bundle)]])

    turns = [("airgap", ours), ("sha256sum", theirs)]
    done = {name: turn(bundles["full"]) for name, turn in (turns if number % 2 else reversed(turns))}
    done["quarter"] = ours(bundles["quarter"])
    size = (bundles["full"] / "volume-0001.tar").stat().st_size / 1e6
    shown = "   ".join(f"{name} {size / done[name].wall:6.0f} MB/s" for name in ("airgap", "sha256sum"))
    print(f"{f'round {number}' if number else 'warm-up':8} {shown}   ratio {_ratio(done):.3f}", flush=True)
    return done


def _ratio(done: dict[str, Measured]) -> float:
    return done["airgap"].wall / done["sha256sum"].wall


def _summary(rounds: list[dict[str, Measured]]) -> dict[str, float]:
    peak = max(done["airgap"].peak_rss for done in rounds)
    facts = {
        "ratio": statistics.median(map(_ratio, rounds)),
        "airgap_seconds": statistics.median(done["airgap"].wall for done in rounds),
        "sha256sum_seconds": statistics.median(done["sha256sum"].wall for done in rounds),
        "peak_rss": peak,
        "memory_growth": peak - max(done["quarter"].peak_rss for done in rounds),
    }
    print(f"\ncheck: median of {len(rounds)} ratios airgap/sha256sum {facts['ratio']:.3f}, wanted at most {_WANTED}")
    growth = facts["memory_growth"] / 1e6
    print(f"peak memory {peak / 1e6:.0f} MB, {growth:.1f} MB more than for a quarter of the bytes")
    return facts
