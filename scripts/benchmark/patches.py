"""scripts/bench patches: speed and memory of the token codec and of patches, beside `gzip -dc` of the same layers."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark import stage

_DESCRIPTION = """\
Takes layers of v2 of the corpus (scripts/bench --help) with the ones they follow in v1, evenly spread by size, and measures
  decode        gzip bytes to tokens
  encode        tokens in memory to gzip bytes
  make          a patch: both layers to tokens, compression, and the proof: rebuilding, with size and SHA-256
  rebuild       what an import does: the old layer to tokens, decompression, gzip bytes, size and SHA-256
against `gzip -dc LAYER > /dev/null` of the new layer, as the ratio of speeds in plain tar bytes: 2 is twice as fast as gzip.

Each work is a process of its own, held on one core; start-up does not count. Right before each (in every second round: after it)
gzip runs on the same core. Then two of the same layers at once on two cores, in one process as the exporter and the importer have
them. One warm-up round. A pair's figure is its median over the rounds, and what is wanted must hold for the median of the pairs.
"cpu" ratios compare processor time: they bear a busy machine better, and are for information.
"""
_EPILOG = """\
needs: what scripts/bench needs to build the corpus, gzip, and a Python with airgap. Ends with exit code 1 when something wanted is
missed. Example:
  scripts/bench patches --pairs 4 --runs 5 --json result.json
"""

#: The least speed that is wanted of each work, gzip's being 1.
_WANTED = {"decode": 1.0, "encode": 1.0, "make": 0.25, "rebuild": 0.45}
_TWO_AT_ONCE = ("make", "rebuild")
#: The most memory that one work may take at the default level, in bytes.
_MEMORY = 400e6


@dataclass(frozen=True)
class Pair:
    """A layer and the one it follows."""

    new: Path
    base: Path

    def __str__(self) -> str:
        size = self.new.stat().st_size
        return f"{self.new.name[:12]} ({size / 1e6:.0f} MB, {_plain(self.new) / 1e6:.0f} MB plain)"


@dataclass(frozen=True)
class Sample:
    """One work and the gzip beside it; seconds, and the peak memory in bytes of the work's process."""

    wall: float
    cpu: float
    gzip_wall: float
    gzip_cpu: float
    peak_rss: int
    patch: int


#: For every work, one core or "two": its samples.
Samples = dict[str, list[Sample]]


def main(arguments: list[str]) -> int:
    """Run this part; the exit code."""
    options = _options(arguments)
    cache = options.cache.absolute()
    stage.prepare(cache)
    pairs = _chosen(_pairs(cache), options.pairs)
    found: dict[Pair, Samples] = {}
    with stage.work_directory(options) as work:
        for pair in pairs:
            print(f"{pair} from {pair.base.name[:12]}", flush=True)
            found[pair] = _measure(_Bench(pair, work / pair.new.name[:12], options), options.runs)
    result, met = _summary(found, options.level)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = stage.parser("scripts/bench patches", _DESCRIPTION, _EPILOG)
    python = stage.ROOT / ".venv/bin/python"
    parser.add_argument("--python", default=str(python), help="a Python that has airgap (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=4, help="how many layers (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="rounds that count, after one to warm up (default: %(default)s)")
    levels = ("fast", "default", "best", "smallest")
    parser.add_argument("--level", choices=levels, default="default", help="as export's --patch-level")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.pairs < 1:
        parser.error("--runs and --pairs must be 1 at least")
    return options


def _pairs(cache: Path) -> list[Pair]:
    """Every changed layer with the one at its place in the first version, the smallest first; the tiny ones left out."""
    new, old = (_places(cache / f"corpus-{version}") for version in ("v2", "v1"))
    found = {path: Pair(path, old[place]) for place, path in new.items() if place in old and old[place].name != path.name}
    return sorted((pair for pair in found.values() if pair.new.stat().st_size > 1e6), key=lambda pair: pair.new.stat().st_size)


def _places(layout: Path) -> dict[tuple[str, str, int], Path]:
    """The layers of a layout by image, architecture and position."""

    def read(digest: str) -> Any:
        return json.loads(_blob(layout, digest).read_text())

    found = {}
    for root in json.loads((layout / "index.json").read_text())["manifests"]:
        name = root["annotations"]["org.opencontainers.image.ref.name"].rpartition(":")[0]
        for child in read(root["digest"])["manifests"]:
            for position, layer in enumerate(read(child["digest"])["layers"]):
                found[name, child["platform"]["architecture"], position] = _blob(layout, layer["digest"])
    return found


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _chosen(pairs: list[Pair], count: int) -> list[Pair]:
    if count >= len(pairs):
        return pairs
    return [pairs[number * (len(pairs) - 1) // max(count - 1, 1)] for number in range(count)]


def _plain(layer: Path) -> int:
    """Bytes of the tar inside: the last four of a gzip file (RFC 1952), which none of these exceeds."""
    with layer.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(), "little")


class _Bench:
    """Runs the works on one pair."""

    def __init__(self, pair: Pair, patch: Path, options: argparse.Namespace) -> None:
        self._pair = pair
        self._patch = patch
        self._level = options.level
        self._python = options.python
        self._cores = sorted(os.sched_getaffinity(0))

    @property
    def works(self) -> list[tuple[str, int]]:
        """Every work, and how many of it at once: as many as cores are used."""
        return [*((name, 1) for name in _WANTED), *((name, 2) for name in _TWO_AT_ONCE if len(self._cores) > 1)]

    def sample(self, work: str, copies: int, number: int) -> Sample:
        """One work and gzip beside it; which comes first changes from round to round."""
        if number % 2:
            done = self._work(work, copies)
            gzip = self._gzip()
        else:
            gzip = self._gzip()
            done = self._work(work, copies)
        return Sample(gzip_wall=gzip[0], gzip_cpu=gzip[1], **done)

    def _gzip(self) -> tuple[float, float]:
        with _held_on(self._cores[-1:]), self._pair.new.open("rb") as layer:
            start = time.perf_counter()
            process = subprocess.Popen(["gzip", "-dc"], stdin=layer, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"bench: gzip cannot read {self._pair.new}")
        return wall, usage.ru_utime + usage.ru_stime

    def _work(self, work: str, copies: int) -> dict[str, Any]:
        arguments = [work, str(self._pair.new), str(self._pair.base), str(self._patch), self._level, str(copies)]
        script = Path(__file__).with_name("patchwork.py")
        with _held_on(self._cores[-copies:]):
            process = subprocess.Popen([self._python, str(script), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            with process.stdout or contextlib.nullcontext() as output:
                answer = output.read() if output else b""
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"bench: exit code {process.returncode} from: patchwork.py {' '.join(arguments)}")
        return {**json.loads(answer), "peak_rss": usage.ru_maxrss * 1024}


@contextlib.contextmanager
def _held_on(cores: list[int]) -> Iterator[None]:
    """Processes started in the block run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _measure(bench: _Bench, runs: int) -> Samples:
    samples: Samples = {}
    for number in range(runs + 1):  # round 0 warms up
        parts = []
        for work, copies in bench.works:
            one = bench.sample(work, copies, number)
            name = f"two {work}" if copies > 1 else work
            if number:
                samples.setdefault(name, []).append(one)
            parts.append(f"{name} {one.wall:6.2f} s ({copies * one.gzip_wall / one.wall:.2f})")
        print(f"  {f'round {number}' if number else 'warm-up':8} {'   '.join(parts)}", flush=True)
    return samples


def _summary(found: dict[Pair, Samples], level: str) -> tuple[dict[str, Any], bool]:
    print("\npatches: speed in plain tar bytes, gzip -dc being 1; median of the pairs, and the slowest")
    met = True
    figures = {}
    for work, least in _WANTED.items():
        one = _figures([samples[work] for samples in found.values()])
        good = one["ratio"] >= least
        met &= good
        print(
            f"  {work:8} {one['ratio']:.3f}   slowest {one['slowest']:.3f}   cpu {one['cpu_ratio']:.3f}   "
            f"peak {one['peak_rss'] / 1e6:4.0f} MB   wanted: {least} at least: {_verdict(good)}"
        )
        figures[work] = one
    for work in _TWO_AT_ONCE:
        both = [samples for samples in found.values() if f"two {work}" in samples]
        if both:
            speedup = statistics.median(_speedup(samples[work], samples[f"two {work}"]) for samples in both)
            most = max(one.peak_rss for samples in both for one in samples[f"two {work}"])
            print(f"  {work:8} two at once on two cores: {speedup:.2f} times the speed of one   peak {most / 1e6:4.0f} MB")
            figures[f"two {work}"] = {"speedup": speedup, "peak_rss": most}
    carried = sum(samples["make"][0].patch for samples in found.values()) / sum(pair.new.stat().st_size for pair in found)
    peak = max(one["peak_rss"] for work, one in figures.items() if work in _WANTED)
    print(f"  patches are {carried:.4f} of their layers at level {level}")
    if level == "default":
        met &= peak <= _MEMORY
        print(f"  peak memory of one work {peak / 1e6:.0f} MB   wanted: {_MEMORY / 1e6:.0f} at most: {_verdict(peak <= _MEMORY)}")
    pairs = [
        {
            "new": pair.new.name,
            "base": pair.base.name,
            "size": pair.new.stat().st_size,
            "plain": _plain(pair.new),
            "samples": {work: [asdict(one) for one in some] for work, some in samples.items()},
        }
        for pair, samples in found.items()
    ]
    return {"level": level, "patch_ratio": carried, "figures": figures, "pairs": pairs}, met


def _figures(pairs: list[list[Sample]]) -> dict[str, float]:
    """One work: the ratios of every pair's median round, over the pairs."""
    median = statistics.median
    ratios = [median(one.gzip_wall / one.wall for one in samples) for samples in pairs]
    return {
        "ratio": median(ratios),
        "slowest": min(ratios),
        "cpu_ratio": median(median(one.gzip_cpu / one.cpu for one in samples) for samples in pairs),
        "peak_rss": max(one.peak_rss for samples in pairs for one in samples),
    }


def _speedup(one: list[Sample], two: list[Sample]) -> float:
    """What a second core brings; the gzip beside each takes out what the machine did in between."""

    def speed(sample: Sample) -> float:
        return sample.gzip_wall / sample.wall

    return statistics.median(2 * speed(both) / speed(alone) for alone, both in zip(one, two, strict=True))


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"
