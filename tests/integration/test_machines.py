"""Exports on several machines: a real Dask cluster of several processes, a registry with logins, a real S3 server."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import airgap
from airgap.layout import LayoutStore
from tests.support import images
from tests.support.bundles import CREATED
from tests.support.cli import NETWORK, USAGE, failed, here
from tests.support.daskcluster import Cluster, dask_cluster
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.s3server import S3Server, s3_server
from tests.support.site import Site
from tests.support.tools import require

INTERRUPTED = 130
#: Bytes a second of each machine, so that a volume takes a while.
SLOW = ("--limit-rate", "150kB")


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Yard:
    """A site that exports, a registry that wants a login, a cluster whose workers have auth files of their own."""

    root: Path
    site: Site
    registry: DockerRegistry
    cluster: Cluster
    s3: S3Server

    def environment(self, name: str, *, auth: bool = True) -> dict[str, str]:
        """Of a machine with a home of its own."""
        home = self.root / f"home-{name}"
        (home / ".docker").mkdir(parents=True, exist_ok=True)
        if auth:
            logins = {"auths": {self.registry.address: {"auth": basic(USER, PASSWORD)}}}
            (home / ".docker/config.json").write_text(json.dumps(logins))
        return {"PATH": os.environ["PATH"], "HOME": str(home), **self.s3.environment}

    def workers(self, count: int, *, auth: bool = True, **more: str) -> None:
        for number in range(count):
            self.cluster.add(f"worker-{number}", self.environment(f"worker-{number}", auth=auth) | more)
        self.cluster.ready(count)

    def start(self, out: object, *options: object, state: str) -> subprocess.Popen[str]:
        """An export as a process of its own."""
        fixed = ["--stream", "prod", "--serial", 1, "--created", CREATED, "--key", self.site.key, "--volume-size", "100kB"]
        words = ["export", self.root / "images.txt", "--out", out, *fixed, "--state", self.root / state, "--json", *options]
        command = [sys.executable, "-m", "airgap", *map(str, words)]
        environment = self.environment("client")
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root)

    def export(self, out: object, *options: object, state: str) -> Any:
        done = self.finish(self.start(out, *options, state=state))
        assert done.returncode == 0, done.stderr + self.cluster.logs()
        return json.loads(done.stdout)

    def finish(self, process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require("docker-registry")
    with LayoutStore(tmp_path / "layout") as layout:
        for number in range(3):
            layers = [images.layer(f"layer {number} {one}", 90_000) for one in range(3)]
            images.publish(layout, f"origin.example/shop/web{number}:1", images.image(layers))
        layout.commit()
        with DockerRegistry(tmp_path / "registry") as opened:
            images.push_layout_to_registry(layout, opened.address)
    with (
        DockerRegistry(tmp_path / "registry", htpasswd(tmp_path / "users")) as registry,
        dask_cluster(tmp_path / "cluster") as cluster,
        s3_server(tmp_path / "s3.log") as s3,
    ):
        (tmp_path / "images.txt").write_text("".join(f"{registry.address}/shop/web{number}:1\n" for number in range(3)))
        yield Yard(tmp_path, Site.make(tmp_path / "site", "ed25519"), registry, cluster, s3)


def files_of(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.iterdir()}


def test_bundle_of_four_workers_is_byte_for_byte_that_of_one_process(yard: Yard) -> None:
    one = Path(yard.export(yard.root / "usb", state="one")["path"])
    expected = files_of(one)
    assert len([name for name in expected if name.startswith("volume-")]) > 6
    yard.workers(4)
    shared = Path(yard.export(yard.root / "shared", "--scheduler", yard.cluster.address, state="many")["path"])
    assert files_of(shared) == expected
    facts = yard.export("s3://landing/site-a", "--scheduler", yard.cluster.address, state="bucket")
    assert facts["path"] == "s3://landing/site-a/prod-0001"
    assert {key.removeprefix("site-a/prod-0001/"): body for key, body in yard.s3.objects("landing").items()} == expected
    said = yard.cluster.logs()
    assert PASSWORD not in said
    assert basic(USER, PASSWORD) not in said


@pytest.mark.parametrize("out", ["shared", "s3://landing/site-a"])
def test_worker_that_is_killed_in_the_middle_of_a_volume_changes_nothing_but_time(yard: Yard, out: str) -> None:
    expected = files_of(Path(yard.export(yard.root / "usb", state="one")["path"]))
    yard.workers(3)
    process = yard.start(out if "://" in out else yard.root / out, "--scheduler", yard.cluster.address, *SLOW, state="many")
    yard.cluster.kill(yard.cluster.busy(process))
    done = yard.finish(process)
    assert done.returncode == 0, done.stderr + yard.cluster.logs()
    if "://" in out:
        found = {key.removeprefix("site-a/prod-0001/"): body for key, body in yard.s3.objects("landing").items()}
    else:
        found = files_of(yard.root / out / "prod-0001")
    assert found == expected


def test_client_that_is_killed_continues_and_keeps_the_volumes_that_are_done(yard: Yard) -> None:
    expected = files_of(Path(yard.export(yard.root / "usb", state="one")["path"]))
    yard.workers(2)
    process = yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, *SLOW, state="many")
    filled = yard.root / "shared/prod-0001.partial/filled"
    while not list(filled.glob("volume-*.json")):
        assert process.poll() is None, yard.finish(process).stderr
    process.kill()
    yard.finish(process)
    kept = {path.name.removesuffix(".json"): path.stat().st_ino for path in filled.glob("volume-*.json")}
    before = {name: (filled.parent / name).stat().st_ino for name in kept}
    assert Path(yard.export(yard.root / "shared", "--scheduler", yard.cluster.address, state="many")["path"]).is_dir()
    assert files_of(yard.root / "shared/prod-0001") == expected
    assert {name: (yard.root / "shared/prod-0001" / name).stat().st_ino for name in kept} == before


def test_worker_without_a_login_of_its_own_gets_none_from_the_client(yard: Yard) -> None:
    yard.workers(2, auth=False)
    done = yard.finish(yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, state="many"))
    assert done.returncode == NETWORK, done.stderr
    assert "a worker failed" in done.stderr
    assert "401" in done.stderr
    assert not (yard.root / "shared/prod-0001").exists()


def test_parity_and_gates_go_with_a_file_system_that_all_share(yard: Yard) -> None:
    asked = ("--parity", 1, "--gate", "true {layout}")
    expected = files_of(Path(yard.export(yard.root / "usb", *asked, state="one")["path"]))
    assert [name for name in expected if name.startswith("parity-")]
    yard.workers(2)
    shared = Path(yard.export(yard.root / "shared", *asked, "--scheduler", yard.cluster.address, state="many")["path"])
    assert files_of(shared) == expected


def test_interrupted_export_ends_at_once_and_continues(yard: Yard) -> None:
    expected = files_of(Path(yard.export(yard.root / "usb", state="one")["path"]))
    yard.workers(2)
    process = yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, *SLOW, state="many")
    yard.cluster.busy(process)
    process.send_signal(signal.SIGINT)
    done = yard.finish(process)
    assert done.returncode == INTERRUPTED, done.stderr
    assert "Traceback" not in done.stderr
    assert not (yard.root / "shared/prod-0001").exists()
    yard.export(yard.root / "shared", "--scheduler", yard.cluster.address, state="many")
    assert files_of(yard.root / "shared/prod-0001") == expected


def test_scheduler_that_is_lost_is_named_and_the_export_continues_with_another(yard: Yard) -> None:
    expected = files_of(Path(yard.export(yard.root / "usb", state="one")["path"]))
    yard.workers(2)
    process = yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, *SLOW, state="many")
    yard.cluster.busy(process)
    yard.cluster.scheduler.kill()
    done = yard.finish(process)
    assert done.returncode == NETWORK, done.stderr
    assert yard.cluster.address in done.stderr
    assert re.search("the scheduler (is lost|has dropped the work)", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    with dask_cluster(yard.root / "another") as cluster:
        yard.cluster = cluster
        yard.workers(1)
        yard.export(yard.root / "shared", "--scheduler", cluster.address, state="many")
    assert files_of(yard.root / "shared/prod-0001") == expected


def test_worker_of_another_version_is_refused_with_both(yard: Yard) -> None:
    other = yard.root / "other"
    shutil.copytree(Path(airgap.__file__).parent, other / "airgap", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "airgap/__init__.py").write_text('__version__ = "0.1.7"\n')
    yard.workers(1, PYTHONPATH=str(other))
    done = yard.finish(yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, state="many"))
    assert done.returncode == USAGE, done.stderr
    assert "client and worker differ in their versions" in done.stderr
    assert "airgap 0.1.7" in done.stderr
    assert f"airgap {airgap.__version__}" in done.stderr


def test_worker_without_airgap_is_named(yard: Yard) -> None:
    without = yard.root / "without"
    (without / "airgap").mkdir(parents=True)
    (without / "airgap/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'airgap'\")\n")
    yard.workers(1, PYTHONPATH=str(without))
    done = yard.finish(yard.start(yard.root / "shared", "--scheduler", yard.cluster.address, state="many"))
    assert done.returncode == USAGE, done.stderr
    assert "a worker has no airgap" in done.stderr
    assert "No module named 'airgap'" in done.stderr
    assert "install the same airgap" in done.stderr
    assert "Traceback" not in done.stderr


@dataclass
class Desk:
    """An exporter without a cluster: what it asks for is refused before anybody is asked."""

    root: Path
    site: Site

    def export(self, out: object, address: str, *options: object) -> subprocess.CompletedProcess[str]:
        fixed = ("--out", out, "--stream", "prod", "--key", self.site.key, "--state", self.root / "state")
        return here("export", self.root / "images.txt", *fixed, "--scheduler", address, *options)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "images.txt").write_text("origin.example/shop/web:1\n")
    return Desk(tmp_path, Site.make(tmp_path / "site"))


def test_mistakes_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(desk.export(desk.root / "usb", "here"), USAGE, "not the address of a scheduler")
    monkeypatch.setitem(sys.modules, "distributed", None)
    failed(desk.export(desk.root / "usb", "tcp://127.0.0.1:1"), USAGE, "airgap-bundles[dask]")


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("usb", ("--patch", "always"), "--since"),
        ("usb", ("--since", "BASE"), "--since"),
        ("usb", ("--encrypt-to", "SITE"), "--encrypt-to"),
        ("s3://landing/x", ("--parity", 1), "--parity"),
        ("s3://landing/x", ("--gate", "true {layout}"), "--gate"),
    ],
    ids=["patches", "increments", "encrypted", "parity in a bucket", "gates in a bucket"],
)
def test_what_workers_cannot_do_is_refused_before_anybody_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, out: str, options: tuple[object, ...], said: str
) -> None:
    with s3_server(desk.root / "s3.log") as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        assert here("keys", "generate", "--no-passphrase", "--out", desk.root / "their", "--type", "x25519").returncode == 0
        places = {"SITE": desk.root / "their/airgap.pub", "BASE": desk.root / "base.json"}
        asked = [places.get(str(one), one) for one in options]
        to = out if "://" in out else desk.root / out
        failed(desk.export(to, "tcp://127.0.0.1:1", *asked), USAGE, f"{said} does not go with --scheduler")


def test_scheduler_that_does_not_answer_is_named(yard: Yard) -> None:
    done = yard.finish(yard.start(yard.root / "shared", "--scheduler", "tcp://127.0.0.1:1", state="many"))
    assert done.returncode == NETWORK
    assert "the scheduler does not answer" in done.stderr
    assert "tcp://127.0.0.1:1" in done.stderr
