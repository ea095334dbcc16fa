"""Imports on several machines: a real Dask cluster of several processes, a registry of the site that wants a login."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.bundles import CREATED
from tests.support.cli import DAMAGED, MEDIA, NETWORK, USAGE, failed, here
from tests.support.daskcluster import Cluster, dask_cluster
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.s3server import s3_server
from tests.support.site import Site
from tests.support.tools import require
from tests.support.wiretap import Wiretap

INTERRUPTED = 130
#: Bytes a second of each machine, so that a volume takes a while.
SLOW = ("--limit-rate", "150kB")
LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass
class Landing:
    """A bundle of several volumes, the site's registry, and a cluster whose workers have auth files of their own."""

    root: Path
    site: Site
    registry: DockerRegistry
    cluster: Cluster
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def shared(self) -> Path:
        """Where all machines see the bundles."""
        return self.root / "shared"

    def environment(self, name: str, *, auth: bool = True) -> dict[str, str]:
        """Of a machine with a home of its own; nothing is compressed on the wire, so that a test can read it."""
        home = self.root / f"home-{name}"
        (home / ".docker").mkdir(parents=True, exist_ok=True)
        if auth:
            (home / ".docker/config.json").write_text(json.dumps({"auths": {self.registry.address: {"auth": LOGIN}}}))
        return {"PATH": os.environ["PATH"], "HOME": str(home), "DASK_DISTRIBUTED__COMM__COMPRESSION": "null", **self.more}

    def export(self, *options: object, serial: int = 1, version: int = 1) -> Path:
        """A bundle in the shared directory."""
        source = self.root / f"source-{version}"
        with LayoutStore(source) as layout:
            for number in range(3):
                texts = {f"f{one}": images.seeded((number, one), 30_000) for one in range(3)}
                layers = [images.tar_layer({**texts, "version": f"{version} {layer}".encode()}) for layer in range(3)]
                images.publish(layout, f"origin.example/shop/web{number}:1", images.image(layers))
            layout.commit()
        fixed = ("--stream", "prod", "--serial", serial, "--created", CREATED, "--key", self.site.key, "--volume-size", "100kB")
        self.site.run("export", f"oci:{source}", "--out", self.shared, *fixed, *options)
        return self.shared / f"prod-{serial:04}"

    def workers(self, count: int, *, auth: bool = True) -> None:
        for _ in range(count):
            name = f"worker-{len(self.cluster.workers)}"
            self.cluster.add(name, self.environment(name, auth=auth))
        self.cluster.ready(len(self.cluster.workers))

    def start(self, path: object, *options: object, state: str = "state", address: str = "") -> subprocess.Popen[str]:
        """An import as a process of its own."""
        fixed = ["--to", f"docker://{self.registry.address}/mirror", "--policy", self.site.policy]
        words = ["import", path, *fixed, "--state", self.root / state, "--json", "--scheduler", address or self.cluster.address]
        command = [sys.executable, "-m", "airgap", *map(str, [*words, *options])]
        environment = self.environment("client")
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root)

    def finish(self, process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def load(self, path: object, *options: object, **more: str) -> Any:
        done = self.finish(self.start(path, *options, **more))
        assert done.returncode == 0, done.stderr + self.cluster.logs()
        return json.loads(done.stdout)

    def tags(self) -> dict[str, str]:
        """The digest of every image's name at the registry; what has none is left out."""
        found = {}
        for number in range(3):
            url = f"http://{self.registry.address}/v2/mirror/origin.example/shop/web{number}/manifests/1"
            accept = "application/vnd.oci.image.manifest.v1+json"
            request = urllib.request.Request(url, method="HEAD", headers={"Accept": accept, "Authorization": f"Basic {LOGIN}"})
            try:
                with urllib.request.urlopen(request) as answer:
                    found[f"web{number}"] = answer.headers["Docker-Content-Digest"]
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
        return found

    def roots(self, bundle: Path) -> dict[str, str]:
        """What they should be."""
        listed = json.loads((bundle / "catalog.json").read_bytes())["images"]
        return {one["reference"].split("/")[-1].split(":")[0]: one["digest"] for one in listed}

    def uploads(self) -> list[str]:
        """The machines' agents that have sent blobs, by the registry's own log."""
        return [line for line in self.registry.log.read_text().splitlines() if '"PUT /v2/' in line and "/blobs/uploads/" in line]


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    require("docker-registry")
    with (
        DockerRegistry(tmp_path / "registry", htpasswd(tmp_path / "users")) as registry,
        dask_cluster(tmp_path / "cluster") as cluster,
    ):
        yield Landing(tmp_path, Site.make(tmp_path / "site", "ed25519"), registry, cluster)


def test_four_workers_load_a_bundle_and_the_client_sets_the_names(landing: Landing) -> None:
    bundle = landing.export()
    assert len(list(bundle.glob("volume-*"))) > 6
    landing.workers(4)
    facts = landing.load(bundle)
    assert landing.tags() == landing.roots(bundle)
    assert facts["sent_blobs"] == len(landing.uploads())
    again = landing.load(bundle)
    assert again["sent_blobs"] == 0
    alone = here("verify", bundle, "--policy", landing.site.policy, "--state", landing.root / "other")
    assert alone.returncode == 0, alone.stderr


def test_scheduler_and_workers_never_hear_a_secret(landing: Landing) -> None:
    bundle = landing.export()
    with Wiretap(landing.cluster.address) as tap:
        landing.cluster.address = tap.address
        landing.workers(2)
        landing.load(bundle)
        heard = tap.heard
    layer = json.loads((bundle / "catalog.json").read_bytes())["images"][0]["digest"]
    assert b"mirror/origin.example/shop/web0" in heard, "the test cannot read what is said"
    assert layer.encode() not in heard, "manifests are the client's"
    for secret in (PASSWORD, LOGIN, landing.site.key.read_text().splitlines()[1]):
        assert secret.encode() not in heard
        assert secret not in landing.cluster.logs()


def test_worker_that_is_killed_while_it_sends_changes_nothing_but_time(landing: Landing) -> None:
    bundle = landing.export()
    landing.workers(3)
    process = landing.start(bundle, *SLOW)
    landing.cluster.kill(landing.cluster.busy(process))
    done = landing.finish(process)
    assert done.returncode == 0, done.stderr + landing.cluster.logs()
    assert landing.tags() == landing.roots(bundle)


def test_patches_are_applied_by_workers_to_what_the_registry_holds(landing: Landing) -> None:
    first = landing.export()
    landing.workers(2)
    landing.load(first)
    second = landing.export("--since", first / "catalog.json", "--patch", "always", serial=2, version=2)
    facts = landing.load(second)
    assert facts["rebuilt_blobs"] > 0
    assert landing.tags() == landing.roots(second)


def test_damage_that_a_worker_finds_sets_no_name(landing: Landing) -> None:
    bundle = landing.export()
    blobs = json.loads((bundle / "catalog.json").read_bytes())["blobs"]
    volume, offset, _ = next(one["extents"][0] for one in blobs.values() if one.get("size", 0) > 70_000)
    path = bundle / f"volume-{volume:04}.tar"
    body = bytearray(path.read_bytes())
    body[offset + 100] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)
    landing.workers(2)
    done = landing.finish(landing.start(bundle))
    assert done.returncode == DAMAGED, done.stderr
    assert path.name in done.stderr
    assert landing.tags() == {}


def test_interrupted_import_sets_no_name_and_continues(landing: Landing) -> None:
    bundle = landing.export()
    landing.workers(2)
    process = landing.start(bundle, *SLOW)
    landing.cluster.busy(process)
    process.send_signal(signal.SIGINT)
    done = landing.finish(process)
    assert done.returncode == INTERRUPTED, done.stderr
    assert "Traceback" not in done.stderr
    assert landing.tags() == {}
    landing.load(bundle)
    assert landing.tags() == landing.roots(bundle)


def test_worker_without_a_login_of_its_own_gets_none_from_the_client(landing: Landing) -> None:
    bundle = landing.export()
    landing.workers(2, auth=False)
    done = landing.finish(landing.start(bundle))
    assert done.returncode == NETWORK, done.stderr
    assert "a worker failed" in done.stderr
    assert landing.tags() == {}


def test_worker_that_does_not_see_the_volumes_says_so(landing: Landing) -> None:
    bundle = landing.export()
    landing.workers(1)
    process = landing.start(bundle, *SLOW)
    landing.cluster.busy(process)
    moved = bundle.rename(landing.root / "elsewhere")
    done = landing.finish(process)
    assert done.returncode == MEDIA, done.stderr
    assert landing.tags() == {}
    landing.load(moved)


def test_bundle_in_a_bucket_goes_by_a_scratch_directory_that_all_share(landing: Landing) -> None:
    with s3_server(landing.root / "s3.log") as server:
        bundle = landing.export()
        for path in bundle.iterdir():
            server.client.put_object(Bucket="landing", Key=f"in/{bundle.name}/{path.name}", Body=path.read_bytes())
        landing.more = server.environment
        landing.workers(2)
        (landing.root / "scratch").mkdir()
        landing.load("s3://landing/in", "--scratch", landing.root / "scratch")
        assert landing.tags() == landing.roots(bundle)
        assert list((landing.root / "scratch").iterdir()) == []


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    site = Site.make(tmp_path / "site")
    registry, layout = "docker://registry.example/mirror", f"oci:{tmp_path / 'store'}"

    def run(to: str, address: str, *options: object) -> subprocess.CompletedProcess[str]:
        fixed = ("--policy", site.policy, "--state", tmp_path / "state")
        return here("import", tmp_path, "--to", to, *fixed, "--scheduler", address, *options)

    failed(run(registry, "here"), USAGE, "not the address of a scheduler")
    failed(run(layout, "tcp://127.0.0.1:1"), USAGE, "needs a registry")
    failed(run(registry, "tcp://127.0.0.1:1", "--repair"), USAGE, "--repair does not go with --scheduler")
    monkeypatch.setitem(sys.modules, "distributed", None)
    failed(run(registry, "tcp://127.0.0.1:1"), USAGE, "airgap-bundles[dask]")


def test_encrypted_bundle_stays_on_one_machine(landing: Landing) -> None:
    landing.site.run("keys", "generate", "--no-passphrase", "--out", landing.root / "secret", "--type", "x25519")
    bundle = landing.export("--encrypt-to", landing.root / "secret/airgap.pub")
    done = landing.finish(landing.start(bundle, "--decrypt-key", landing.root / "secret/airgap.key"))
    assert done.returncode == USAGE, done.stderr
    assert "does not go with encrypted bundles" in done.stderr
    assert landing.tags() == {}
