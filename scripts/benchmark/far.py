"""scripts/bench far: small images in a registry that is so many milliseconds away, exported and imported."""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections import Counter

from benchmark import stage
from benchmark.distance import Distance
from benchmark.farimages import push
from benchmark.farways import Done, Way, Ways
from benchmark.registry import Registry

_DESCRIPTION = """\
Exports small images out of a docker-registry behind a proxy that delays every answer, and imports them into an empty one behind
such a proxy: each image an index of some platforms, one layer for each, and one cosign signature. Beside it skopeo, and for the
export regctl where PATH has it, image after image, and eight regctl at a time. All take turns within each round. Also counts the
requests, and the manifests that were read more than once.
"""
_EPILOG = """\
needs: docker-registry, skopeo. Examples:
  scripts/bench far --images 60 --milliseconds 50
  scripts/bench far --images 1 --platforms 50
  scripts/bench far --before ../older/.venv/bin/airgap --no-peers --requests
"""
_KINDS = {
    "manifest by digest": r"manifests/sha256:",
    "tag of a digest": r"manifests/sha256-",
    "tag": r"manifests/",
    "list of tags": r"tags/list",
    "referrers": r"referrers/",
    "upload": r"blobs/uploads/",
    "blob": r"blobs/",
}


def main(arguments: list[str]) -> int:
    """Run the comparison; the exit code."""
    parser = stage.parser("scripts/bench far", _DESCRIPTION, _EPILOG)
    add_options(parser)
    return run(parser.parse_args(arguments))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part, which `scripts/bench many` has too."""
    stage.add_airgap(parser)
    parser.add_argument("--before", metavar="COMMAND", help="another airgap, measured beside this one")
    parser.add_argument("--only", choices=("export", "import"), help="one direction only")
    parser.add_argument("--no-peers", action="store_true", help="airgap alone")
    parser.add_argument("--requests", action="store_true", help="also list the requests of airgap by kind")
    parser.add_argument("--images", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--platforms", type=int, default=2, help="platforms of each image (default: %(default)s)")
    parser.add_argument("--milliseconds", type=int, default=50, help="a round trip (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="rounds that count (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """The comparison; the exit code."""
    options.cache.mkdir(parents=True, exist_ok=True)
    commands = {"airgap": options.airgap} | ({"airgap before": options.before} if options.before else {})
    facts = {}
    with stage.work_directory(options) as work, Registry(work, work / "storage") as registry:
        names = [f"far/image{number:03d}:1" for number in range(options.images)]
        for name in names:
            push(registry.address, name, options.platforms)
        with Distance(registry.address, options.milliseconds / 1000) as far:
            ways = Ways(work, commands, registry, far, names, options.milliseconds / 1000)
            for direction, made in (("export", ways.exports), ("import", ways.imports)):
                if options.only in (None, direction):
                    facts[direction] = _rounds(made(peers=not options.no_peers), options.runs, len(names))
                    _print(direction, facts[direction], requests=options.requests)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def _rounds(ways: dict[str, Way], runs: int, images: int) -> dict[str, dict[str, float]]:
    done: dict[str, list[Done]] = {name: [] for name in ways}
    for number in range(runs):
        for name in list(ways) if number % 2 == 0 else reversed(ways):
            done[name].append(ways[name]())
    return {name: _facts(rounds, images) for name, rounds in done.items()}


def _facts(rounds: list[Done], images: int) -> dict[str, float]:
    asked = rounds[0].asked
    twice = sum(count > 1 for line, count in asked.items() if line.startswith("GET") and "/manifests/sha256:" in line)
    kinds = Counter[str]()
    for line, count in asked.items():
        kinds[_kind(line)] += count
    return {
        "seconds": statistics.median(one.measured.wall for one in rounds),
        "cpu": statistics.median(one.measured.cpu for one in rounds),
        "requests": sum(one.asked.total() for one in rounds) / len(rounds) / images,
        "twice": float(twice),
        **{kind: count / images for kind, count in sorted(kinds.items())},
    }


def _kind(line: str) -> str:
    method, _, path = line.partition(" ")
    return f"{method} {next((name for name, pattern in _KINDS.items() if re.search(pattern, path)), 'other')}"


def _print(direction: str, facts: dict[str, dict[str, float]], *, requests: bool) -> None:
    for name, one in facts.items():
        ratio = facts["airgap"]["seconds"] / one["seconds"]
        print(
            f"{direction}  {name:<16}{one['seconds']:7.2f} s {one['cpu']:6.2f} s CPU   airgap takes {ratio:5.2f} of it   "
            f"{one['requests']:5.1f} requests an image   {one['twice']:.0f} manifests more than once",
            flush=True,
        )
    for name, one in facts.items():
        if requests and name.startswith("airgap"):
            print(f"{direction}  {name}: " + ", ".join(f"{count:.2f} {kind}" for kind, count in one.items() if " " in kind))
