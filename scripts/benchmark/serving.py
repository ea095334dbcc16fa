"""scripts/bench serve: parallel pulls from `airgap serve` beside nginx, the same files on the same machine."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmark import stage
from benchmark.measure import read_once
from benchmark.puller import Pull, pull_all

_DESCRIPTION = """\
Makes a store of images (random bytes, layers of the sizes that real images have), serves it with `airgap serve` and its files with
nginx (sendfile, one worker a core), and lets 64 clients pull images from one and then the other: manifest, config and layers over
one connection each. Everything is in the page cache. Rounds alternate who comes first; the ratio is airgap's throughput divided by
nginx's, 1.0 is as fast. CPU is the seconds that the server's processes took for a GB; on a busy machine it says more than the
throughput. Memory is the peak resident set: of airgap its process, of nginx all its processes.
"""
_EPILOG = """\
needs: nginx, Python 3.11; about 700 MB of disk and page cache. Example:
  scripts/bench serve --rounds 7 --json serve.json
"""
#: Layer sizes of one image in bytes: a distribution base, its packages, a runtime, an application and small changes.
LAYERS = (28_000_000, 9_000_000, 3_500_000, 800_000, 60_000, 1_500, 300)
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NGINX = """\
daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log crit; worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2;
  fastcgi_temp_path {work}/t3; uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  server {{ listen {address}; root {store}; }}
}}
"""

#: For every image its name, and the digest and size of its manifest and of every blob.
Images = list[tuple[str, list[tuple[str, int]]]]
Found = TypeVar("Found")


def main(arguments: list[str]) -> int:
    """Run the comparison; the exit code."""
    parser = stage.parser("scripts/bench serve", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one to warm up (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=64, help="pulls at a time (default: %(default)s)")
    parser.add_argument("--images", type=int, default=16, help="different images in the store (default: %(default)s)")
    parser.add_argument("--pulls", type=int, default=256, help="pulls in a round (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the sizes of layers (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not shutil.which("nginx"):
        parser.error("nginx is not installed; on Debian: apt-get install nginx-light")
    options.cache.mkdir(parents=True, exist_ok=True)
    with stage.work_directory(options) as work:
        names = make_store(work / "store", options.images, options.scale)
        read_once(work / "store")
        facts = _contest(work, options.airgap, names, options)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def make_store(store: Path, count: int, scale: float) -> Images:
    """An OCI layout with these images."""
    blobs = store / "blobs/sha256"
    blobs.mkdir(parents=True)
    (store / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    source = random.Random(64)  # the same bytes every time

    def put(data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return digest, len(data)

    def described(media_type: str, blob: tuple[str, int]) -> dict[str, object]:
        return {"mediaType": media_type, "digest": f"sha256:{blob[0]}", "size": blob[1]}

    entries, found = [], []
    for number in range(count):
        config = put(json.dumps({"os": "linux", "architecture": "amd64", "number": number}).encode())
        layers = [put(source.randbytes(max(1, int(size * scale)))) for size in LAYERS]
        content = {"config": described(_CONFIG, config), "layers": [described(_LAYER, layer) for layer in layers]}
        manifest = put(json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, **content}).encode())
        name = f"bench/image-{number}"
        reference = {"org.opencontainers.image.ref.name": f"bench.example/{name}:1"}
        entries.append({**described(_MANIFEST, manifest), "annotations": reference})
        found.append((name, [manifest, config, *layers]))
    (store / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return found


@dataclass(frozen=True)
class Side:
    """One server: its name, address and process, and what is pulled from it in a round."""

    name: str
    address: str
    pid: int
    pulls: list[Pull]

    def run(self, parallel: int) -> dict[str, float]:
        """Pull everything once."""
        total = sum(sum(pull.sizes) for pull in self.pulls)
        before = _cpu(self.pid)
        seconds = pull_all(self.address, self.pulls, parallel, min(parallel, 2 * (os.cpu_count() or 1)))
        return {"mb_s": total / seconds / 1e6, "cpu_s_gb": (_cpu(self.pid) - before) / total * 1e9, "peak_rss": _peak(self.pid)}


def _contest(work: Path, airgap: str, images: Images, options: argparse.Namespace) -> dict[str, object]:
    ours = [_pull(blobs, partial(_registry_path, name)) for name, blobs in images]
    theirs = [_pull(blobs, lambda _, digest: f"/blobs/sha256/{digest}") for _, blobs in images]
    stage.say(f"{options.pulls} pulls of {len(images)} images a round, {options.parallel} at a time")
    rounds = []
    with _airgap(work, airgap) as ours_at, _nginx(work) as theirs_at:
        sides = [
            Side(name, *at, [pulls[n % len(pulls)] for n in range(options.pulls)])
            for name, at, pulls in (("airgap", ours_at, ours), ("nginx", theirs_at, theirs))
        ]
        for number in range(options.rounds + 1):
            done = {side.name: side.run(options.parallel) for side in (sides if number % 2 else reversed(sides))}
            rounds.append(done)
            shown = (
                f"{name} {done[name]['mb_s']:6.0f} MB/s, {done[name]['cpu_s_gb']:.3f} CPU s/GB" for name in ("airgap", "nginx")
            )
            memory = f"{done['airgap']['peak_rss'] / 1e6:.0f} and {done['nginx']['peak_rss'] / 1e6:.0f} MB"
            title = f"round {number}" if number else "warm-up"
            print(f"{title:8} {'   '.join(shown)}   ratio {_ratio(done, 'mb_s'):.3f}   peak {memory}", flush=True)
    counted = rounds[1:] or rounds
    ratios = {f"ratio_{what}": statistics.median(_ratio(done, what) for done in counted) for what in ("mb_s", "cpu_s_gb")}
    grown = rounds[-1]["airgap"]["peak_rss"] - rounds[0]["airgap"]["peak_rss"]
    print(
        f"\nmedian of {len(counted)} ratios airgap/nginx: throughput {ratios['ratio_mb_s']:.3f}, CPU {ratios['ratio_cpu_s_gb']:.3f}"
    )
    print(f"airgap's peak memory grew by {grown / 1e6:.1f} MB after the first round")
    return {**ratios, "airgap_peak_rss_growth": grown, "rounds": rounds}


def _ratio(done: dict[str, dict[str, float]], what: str) -> float:
    return done["airgap"][what] / done["nginx"][what]


def _pull(blobs: list[tuple[str, int]], path: Callable[[int, str], str]) -> Pull:
    return Pull(tuple(path(n, digest) for n, (digest, _) in enumerate(blobs)), tuple(size for _, size in blobs))


def _registry_path(name: str, number: int, digest: str) -> str:
    return f"/v2/{name}/manifests/1" if number == 0 else f"/v2/{name}/blobs/sha256:{digest}"


@contextlib.contextmanager
def _airgap(work: Path, command: str) -> Iterator[tuple[str, int]]:
    log = work / "airgap.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([command, "serve", str(work / "store"), "--listen", "127.0.0.1:0"], stderr=stderr)
    try:
        yield _until(lambda: re.search(r"http://([\d.:]+)/v2/", log.read_text()), process, "airgap serve")[1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def _nginx(work: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = work / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration.write_text(user + _NGINX.format(work=work, store=work / "store", address=address))
    process = subprocess.Popen(["nginx", "-p", str(work), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _answers(address), process, "nginx")
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def _until(ask: Callable[[], Found | None], process: subprocess.Popen[bytes], name: str) -> Found:
    for _ in range(300):
        if found := ask():
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise SystemExit(f"bench: {name} does not answer")


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False


def _processes(pid: int) -> list[str]:
    return [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _peak(pid: int) -> float:
    """Peak resident bytes of a process and its children."""
    found = (re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{one}/status").read_text()) for one in _processes(pid))
    return 1024.0 * sum(int(match[1]) for match in found if match)


def _cpu(pid: int) -> float:
    """Seconds that a process and its children have computed, in the kernel too."""
    fields = (Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split() for one in _processes(pid))
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")
