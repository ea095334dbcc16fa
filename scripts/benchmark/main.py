"""The command line of scripts/bench: build the corpus, run the rounds, print the ratios."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmark import corpus
from benchmark.contest import Contest, Round
from benchmark.measure import measure
from benchmark.registry import Registry

ROOT = Path(__file__).resolve().parents[2]

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
"""


def main() -> int:
    """Run the benchmark; the exit code."""
    options = _options()
    cache = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    chosen = _prepare(cache, options.version)
    if options.build_only:
        return 0
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.work or cache))
    _say(f"work directory {work} ({_file_system(work)})")
    try:
        with Registry(work, cache / "registry", readonly=True) as source:
            rounds = _rounds(Contest(work, options.airgap, chosen, source), options)
    finally:
        if options.keep:
            _say(f"kept: {work}")
        else:
            shutil.rmtree(work)
    result = {direction: _summary(direction, done) for direction, done in rounds.items()}
    if options.json:
        facts = {"corpus": {"images": len(chosen.names), "unique_bytes": chosen.unique_bytes, "copied_bytes": chosen.copied_bytes}}
        options.json.write_text(json.dumps(facts | result, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgap-bench"
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=cache, help="where the corpus is kept (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="where the runs write, on the disk to be measured (default: in the cache)")
    parser.add_argument("--runs", type=int, default=5, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--only", choices=("export", "import"), help="one direction only (import still exports once)")
    parser.add_argument("--version", choices=corpus.VERSIONS, default="v1", help="version of the corpus (default: %(default)s)")
    parser.add_argument("--airgap", default=str(ROOT / ".venv/bin/airgap"), help="the airgap command (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to a file")
    parser.add_argument("--keep", action="store_true", help="do not remove the work directory")
    parser.add_argument("--build-only", action="store_true", help="build the corpus and stop")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be 1 at least")
    return options


def _prepare(cache: Path, version: str) -> corpus.Corpus:
    built = {}
    for name in corpus.VERSIONS:
        if not (cache / f"corpus-{name}").exists():
            _say(f"building corpus {name} in {cache}: downloads packages, compresses layers")
            # in a process of its own: this one must stay small (see measure.py)
            code = "import sys, pathlib; from benchmark import corpus; corpus.build(pathlib.Path(sys.argv[1]), sys.argv[2])"
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
            subprocess.run([sys.executable, "-c", code, str(cache), name], check=True, env=environment)
        built[name] = corpus.build(cache, name)
        facts = f"{len(built[name].names)} images x 2 platforms, {built[name].unique_bytes / 1e6:.0f} MB of blobs"
        _say(f"corpus {name}: {facts} ({built[name].copied_bytes / 1e6:.0f} MB without sharing)")
    _push(cache, built)
    return built[version]


def _push(cache: Path, built: dict[str, corpus.Corpus]) -> None:
    if (cache / "registry").exists():
        return
    storage = cache / "registry.partial"
    shutil.rmtree(storage, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="push-", dir=cache))
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
    with Registry(work, storage) as registry:
        for one in built.values():
            _say(f"pushing {one.layout.name} into the source registry's storage")
            measure([[*copy, f"oci:{one.layout}:{name}", f"docker://{registry.address}/{name}"] for name in one.names])
    shutil.rmtree(work)
    storage.rename(cache / "registry")


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


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], check=True, stdout=subprocess.PIPE, text=True)
    kind = done.stdout.strip()
    return f"{kind}: in memory, not on a disk" if kind in ("tmpfs", "ramfs") else kind


def _say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)
