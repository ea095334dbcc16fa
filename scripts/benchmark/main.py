"""The command line of scripts/bench: the contest with skopeo; the other parts are named by the first argument."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict

from benchmark import bare, corpus, far, incremental, many, media, parity, patches, scale, serving, small, stage, startup
from benchmark.contest import Contest, Round
from benchmark.registry import Registry

_DESCRIPTION = """\
Compares airgap with skopeo on a corpus of real images: eight images for two platforms that share bases, made of Debian's packages
and PyPI's wheels, about 1.2 GB of blobs, in two versions (v2 has newer packages). The first run downloads and builds it (some
minutes), later runs take it from the cache.

Two docker-registry processes are the source (read-only) and the target (empty for every run).
  export: airgap export, sealed and signed    against  skopeo copy --all into one OCI layout, image after image
  import: airgap import into an empty registry  against  skopeo copy --all out of that layout, image after image
One warm-up round, then rounds in which the order changes. Page cache warm for both, `sync` before each. Time is wall time;
"settle" is how long `sync` takes afterwards, what was left for the kernel to write.
"""
_EPILOG = """\
needs: docker-registry, skopeo, dpkg-deb, apt-get (Debian), pip, Python 3.11; 8 GB of disk. Example:
  scripts/bench --runs 5 --json result.json
other parts, each with --help:
  scripts/bench bare          export, verify and import beside a loop that hashes each byte once
  scripts/bench far           export of small images from a registry that is 50 ms away, beside skopeo and regctl
  scripts/bench incremental   bytes that a bundle of v2 carries to a site with v1, checked with skopeo as the witness
  scripts/bench patches       speed and memory of patches, beside gzip -dc of the same layers
  scripts/bench many          export and import of a thousand small images, near by
  scripts/bench media         media check beside sha256sum of the same volume
  scripts/bench parity        media repair beside sha256sum of the files that it reads
  scripts/bench scale         memory and time of bundles of very many blobs, planned, read, compared, and import-planned
  scripts/bench serve         64 parallel pulls from airgap serve, beside nginx with the same files
  scripts/bench small         as bare, with 348 MB in four images, beside skopeo and regctl
  scripts/bench startup       the start of small commands, beside the import of typer
"""

_PARTS = {
    "bare": bare.main,
    "far": far.main,
    "incremental": incremental.main,
    "many": many.main,
    "media": media.main,
    "parity": parity.main,
    "patches": patches.main,
    "scale": scale.main,
    "serve": serving.main,
    "small": small.main,
    "startup": startup.main,
}


def main() -> int:
    """Run the benchmark; the exit code."""
    part = _PARTS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if part:
        return part(sys.argv[2:])
    options = _options()
    cache = options.cache.absolute()
    chosen = stage.prepare(cache)[options.version]
    if options.build_only:
        return 0
    with stage.work_directory(options) as work, Registry(work, cache / "registry", readonly=True) as source:
        rounds = _rounds(Contest(work, options.airgap, chosen, source), options)
    result = {direction: _summary(direction, done) for direction, done in rounds.items()}
    if options.json:
        facts = {"corpus": {"images": len(chosen.names), "unique_bytes": chosen.unique_bytes, "copied_bytes": chosen.copied_bytes}}
        options.json.write_text(json.dumps(facts | result, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = stage.parser("scripts/bench", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--runs", type=int, default=5, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--only", choices=("export", "import"), help="one direction only (import still exports once)")
    parser.add_argument("--version", choices=corpus.VERSIONS, default="v1", help="version of the corpus (default: %(default)s)")
    parser.add_argument("--build-only", action="store_true", help="build the corpus and stop")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be 1 at least")
    return options


def _rounds(contest: Contest, options: argparse.Namespace) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {}
    for direction, turn in (("export", contest.export), ("import", contest.load)):
        wanted = options.runs if options.only in (None, direction) else 0
        if direction == "import" and not wanted:
            continue
        done = []
        for number in range(wanted + 1):  # round 0 warms up
            done.append(turn(number))
            _print_round(direction, number, done[-1])
        if wanted:
            rounds[direction] = done[1:]
    return rounds


def _print_round(direction: str, number: int, done: Round) -> None:
    name = f"{direction} {number}" if number else f"{direction} warm-up"
    ours, theirs = done.airgap, done.skopeo
    print(
        f"{name:15} airgap {ours.wall:6.2f} s + settle {ours.settle:5.2f} s, {ours.peak_rss / 1e6:4.0f} MB"
        f"   skopeo {theirs.wall:6.2f} s + settle {theirs.settle:5.2f} s, {theirs.peak_rss / 1e6:4.0f} MB"
        f"   ratio {ours.wall / theirs.wall:.3f}",
        flush=True,
    )


def _summary(direction: str, rounds: list[Round]) -> dict[str, object]:
    median = statistics.median
    ratios = [one.airgap.wall / one.skopeo.wall for one in rounds]
    settled = [(one.airgap.wall + one.airgap.settle) / (one.skopeo.wall + one.skopeo.settle) for one in rounds]
    summary: dict[str, object] = {
        "ratio": median(ratios),
        "ratio_settled": median(settled),
        "airgap_seconds": median(one.airgap.wall for one in rounds),
        "skopeo_seconds": median(one.skopeo.wall for one in rounds),
        "airgap_peak_rss": max(one.airgap.peak_rss for one in rounds),
        "airgap_written": max(one.airgap.written for one in rounds),
        **{name: max(one.facts[name] for one in rounds) for name in rounds[0].facts},
        "rounds": [asdict(one) for one in rounds],
    }
    ratio, settled_ratio = summary["ratio"], summary["ratio_settled"]
    print(f"\n{direction}: median of {len(rounds)} ratios airgap/skopeo {ratio:.3f} (settled {settled_ratio:.3f})")
    for name, value in summary.items():
        if isinstance(value, int):
            print(f"  {name:20} {value:>15,} bytes")
        elif isinstance(value, float) and name.endswith("seconds"):
            print(f"  {name:20} {value:>15.2f} s")
    return summary
