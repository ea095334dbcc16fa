"""scripts/bench bare: export, verify and import beside a loop that copies blobs and hashes each byte once."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmark import stage
from benchmark.measure import Measured, measure
from benchmark.registry import Registry
from benchmark.serving import Images

_DESCRIPTION = """\
Puts images of random bytes into a docker-registry on loopback and takes them out again in turn: by `airgap export`, and by a loop
that fetches one blob after the other, hashes it once with SHA-256 and writes it to a file of its own. Then `airgap verify` and
`airgap import` of that bundle into an empty registry. One warm-up round, then rounds in which the order changes; medians. Wall time
counts `sync` afterwards. Random bytes cannot be compressed: nothing but copying and hashing is measured.
"""
_EPILOG = """\
needs: docker-registry, skopeo, openssl, Python 3.11; disk for five times the images. Example:
  scripts/bench bare --before ../older/.venv/bin/airgap
"""
#: What export may take of the loop: processor time, and wall time with `sync`.
_WANTED_CPU, _WANTED_WALL = 1.6, 1.25
#: Bytes of one image that `serving.make_store` makes, about.
_IMAGE = 41_361_800
_BUFFER = 1 << 20

#: Wall and processor seconds and peak memory, by who did what.
Rows = dict[str, dict[str, float]]


def main(arguments: list[str]) -> int:
    """Run the comparison; 1 when what is wanted was missed."""
    parser = stage.parser("scripts/bench bare", _DESCRIPTION, _EPILOG)
    add_options(parser)
    rows = run(parser.parse_args(arguments))
    ours, loop = rows["airgap: export"], rows["bare loop: export"]
    cpu, wall = ours["cpu"] / loop["cpu"], ours["wall"] / loop["wall"]
    print(f"export, of the loop: processor {cpu:.2f} (at most {_WANTED_CPU}), wall with sync {wall:.2f} (at most {_WANTED_WALL})")
    return 0 if cpu <= _WANTED_CPU and wall <= _WANTED_WALL else 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part, which `scripts/bench small` has too."""
    stage.add_airgap(parser)
    parser.add_argument("--before", metavar="COMMAND", help="another airgap, measured beside this one")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--images", type=int, default=8, help="how many images (default: %(default)s)")
    parser.add_argument("--size", type=int, default=1430, help="size of all images in MB (default: %(default)s)")
    parser.set_defaults(peers=False)


def run(options: argparse.Namespace) -> Rows:
    """Make the images and take turns; what is printed: a row for each who did something."""
    options.cache.mkdir(parents=True, exist_ok=True)
    commands = {"airgap": options.airgap} | ({"airgap before": options.before} if options.before else {})
    with stage.work_directory(options) as work, Registry(work, work / "registry") as source:
        images = _made(work / "store", options.images, options.size * 1e6 / _IMAGE / options.images)
        for name, _ in images:
            _skopeo(work, source, name)
        shutil.rmtree(work / "store")
        contest = _Contest(work, source, images, peers=options.peers)
        rounds = [contest.round(number, commands) for number in range(options.rounds + 1)][1:]
    return _told(rounds, options)


def _made(store: Path, count: int, scale: float) -> Images:
    """The images, made by a process of its own: this one must stay small (see measure.py)."""
    code = "import json, sys; from pathlib import Path; from benchmark import serving\n"
    code += "print(json.dumps(serving.make_store(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))"
    command = [sys.executable, "-c", code, str(store), str(count), str(scale)]
    made = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(stage.ROOT / "scripts")})
    images: Images = json.loads(made.stdout)
    return images


def _skopeo(work: Path, source: Registry, name: str) -> None:
    copied = ["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{work}/store:bench.example/{name}:1"]
    measure([[*copied, f"docker://{source.address}/{name}:1"]])


class _Contest:
    """The work of one round, in a work directory."""

    def __init__(self, work: Path, source: Registry, images: Images, *, peers: bool) -> None:
        self._work, self._source, self._images, self._peers = work, source, images, peers
        (work / "blobs.json").write_text(json.dumps([source.address, images]))

    def round(self, number: int, commands: dict[str, str]) -> dict[str, Measured]:
        """Everything once; the order of who exports changes from round to round."""
        done: dict[str, Measured] = {}
        turns: list[Callable[[], None]] = [partial(self._bare, done)]
        for name, command in commands.items():
            turns.append(partial(self._airgap, name, command, done))
        if self._peers:
            turns += [partial(self._peer, name, copy, done) for name, copy in self._copies().items()]
        for turn in turns[number % len(turns) :] + turns[: number % len(turns)]:
            turn()
        label = f"round {number}" if number else "warm-up"
        print(f"{label:8} " + "   ".join(f"{name} {one.cpu:.2f} s" for name, one in sorted(done.items())), flush=True)
        return done

    def _bare(self, done: dict[str, Measured]) -> None:
        out = self._work / "loop"
        code = "import sys; from benchmark import bare; bare.fetch(*sys.argv[1:])"
        environment = {"PYTHONPATH": str(stage.ROOT / "scripts")}
        done["bare loop: export"] = measure([[sys.executable, "-c", code, str(self._work / "blobs.json"), str(out)]], environment)
        shutil.rmtree(out)

    def _copies(self) -> dict[str, Callable[[str], list[str]]]:
        """How those of the others that PATH has copy an image into a layout."""
        ways: dict[str, Callable[[str], list[str]]] = {}
        out, source = self._work / "layout", self._source.address
        skopeo = ["skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false"]
        ways["skopeo"] = lambda name: [*skopeo, f"docker://{source}/{name}:1", f"oci:{out}:{name}"]
        if regctl := shutil.which("regctl"):
            os.environ["REGCTL_CONFIG"] = str(self._work / "regctl.json")
            measure([[regctl, "registry", "set", "--tls", "disabled", source]])
            ways["regctl"] = lambda name: [regctl, "image", "copy", f"{source}/{name}:1", f"ocidir://{out}/{name}"]
        return ways

    def _peer(self, name: str, copy: Callable[[str], list[str]], done: dict[str, Measured]) -> None:
        out = self._work / "layout"
        out.mkdir()
        done[f"{name}: export"] = measure([copy(image) for image, _ in self._images])
        shutil.rmtree(out)

    def _airgap(self, name: str, command: str, done: dict[str, Measured]) -> None:
        home = self._work / "run"
        home.mkdir()
        environment = {"AIRGAP_KEY_PASSPHRASE": "", "AIRGAP_STATE": str(home / "state")}
        bundle, policy, listed = str(home / "bench-0001"), home / "policy.json", home / "images.txt"
        measure([[command, "keys", "generate", "--no-passphrase", "--out", str(home / "keys")]], environment)
        signed = [{"type": "sigstoreSigned", "keyPath": str(home / "keys/airgap.pub")}]
        anything = {"": [{"type": "insecureAcceptAnything"}]}
        transports = {"docker": anything, "airgap": {"bench": signed}}
        policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": transports}))
        listed.write_text("".join(f"{self._source.address}/{image}:1\n" for image, _ in self._images))
        made = ["export", str(listed), "--out", str(home), "--stream", "bench", "--key", str(home / "keys/airgap.key")]
        done[f"{name}: export"] = measure([[command, *made]], environment)
        done[f"{name}: verify"] = measure([[command, "verify", bundle, "--policy", str(policy)]], environment)
        with Registry(self._work, home / "target") as target:
            to = ["--to", f"docker://{target.address}/site", "--policy", str(policy)]
            done[f"{name}: import"] = measure([[command, "import", bundle, *to]], environment)
        shutil.rmtree(home)


def fetch(blobs: str, out: str) -> None:
    """The loop: every blob once, over one connection. Exits when a digest is wrong."""
    address, images = json.loads(Path(blobs).read_text())
    Path(out).mkdir()
    connection = http.client.HTTPConnection(address)
    buffer = memoryview(bytearray(_BUFFER))
    for name, wanted in images:
        for digest, _ in wanted[1:]:
            connection.request("GET", f"/v2/{name}/blobs/sha256:{digest}")
            answer, hasher = connection.getresponse(), hashlib.sha256()
            with (Path(out) / digest).open("wb", buffering=0) as file:
                while count := answer.readinto(buffer):
                    hasher.update(buffer[:count])
                    file.write(buffer[:count])
                os.fsync(file.fileno())
            if hasher.hexdigest() != digest:
                raise SystemExit(f"bench: wrong digest of {digest}")


def _told(rounds: list[dict[str, Measured]], options: argparse.Namespace) -> Rows:
    def median(name: str, value: Callable[[Measured], float]) -> float:
        return statistics.median(value(one[name]) for one in rounds)

    base = rounds[0].keys()
    rows = {
        name: {
            "wall": median(name, lambda one: one.wall + one.settle),
            "cpu": median(name, lambda one: one.cpu),
            "peak_rss": median(name, lambda one: one.peak_rss),
        }
        for name in sorted(base)
    }
    print(f"\nmedians of {len(rounds)} rounds{'':20} wall   processor   peak")
    for name, row in rows.items():
        print(f"{name:40} {row['wall']:6.2f} s  {row['cpu']:6.2f} s  {row['peak_rss'] / 1e6:5.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return rows
