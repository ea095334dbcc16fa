"""A base by mistake: it is refused with the reason, before anything is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bundles import Sender, catalog_of, flip
from tests.support.cli import NETWORK, REFUSED, USAGE, failed, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.versions import Far, Stream, make_stream

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@dataclass(frozen=True)
class Ground:
    """A stream of two bundles, a site that has taken the first one, and its signed receipt."""

    stream: Stream
    far: Far
    receipt: Path
    stranger: Sender

    @property
    def state(self) -> Path:
        """The state with which the stream was exported."""
        return self.stream.work / "state"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("mistakes")
    with (
        pytest.MonkeyPatch.context() as patch,
        DockerRegistry(work / "source") as source,
        DockerRegistry(work / "target") as target,
    ):
        patch.setenv("HOME", str(work / "home"))
        stream = make_stream(work, source, (1, 2))
        far = Far(stream, target, work / "far-state")
        far.takes(stream.chain[1])
        site = ("--site", "plant-7", "--key", stream.sender.key, "--state", far.state)
        assert here("receipt", far.target, "-o", work / "plant.receipt", *site).returncode == 0
        yield Ground(stream, far, work / "plant.receipt", Sender.make(work / "stranger"))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def refused(ground: Ground, out: Path, code: int, *says: str, since: list[object], serial: int = 2, hint: bool = True) -> None:
    """The export of version 2 fails and makes nothing."""
    options = [option for base in since for option in (base if isinstance(base, tuple) else ("--since", base))]
    done = here(*ground.stream.command(2, out / "usb", *options, serial=serial, state=ground.state))
    failed(done, code, *says, hint=hint)
    assert not (out / "usb").exists()


def test_a_bundle_of_another_stream(ground: Ground, tmp_path: Path) -> None:
    command = ground.stream.command(1, tmp_path / "other")
    command[command.index("prod")] = "test"
    assert here(*command).returncode == 0
    refused(ground, tmp_path, USAGE, "another stream", "stream prod", "stream test", since=[tmp_path / "other/test-0001"])


@pytest.mark.parametrize(("serial", "number"), [(2, 2), (1, 1), (1, 2)])
def test_a_bundle_that_is_not_earlier(ground: Ground, tmp_path: Path, serial: int, number: int) -> None:
    since: list[object] = [ground.stream.chain[number]]
    refused(ground, tmp_path, USAGE, "not earlier", f"below {serial}", since=since, serial=serial, hint=False)


def test_a_bundle_that_was_not_made_here(ground: Ground, tmp_path: Path) -> None:
    other = ground.stream.export(1, tmp_path / "other", "--patch", "always")
    assert catalog_of(other) != catalog_of(ground.stream.chain[1])
    refused(ground, tmp_path, USAGE, "not the bundle that was exported here", "receipt of the site", since=[other])


def test_two_receipts(ground: Ground, tmp_path: Path) -> None:
    other = tmp_path / "other.receipt"
    assert here("receipt", ground.far.target, "-o", other, "--site", "plant-8").returncode == 0
    refused(ground, tmp_path, USAGE, "several receipts", "plant-7", "plant-8", since=[ground.receipt, other])


def test_a_site_that_is_ahead(ground: Ground, tmp_path: Path) -> None:
    says = ("ahead", "plant.receipt", "less than serial 1 of stream prod", "serial 1")
    refused(ground, tmp_path, USAGE, *says, since=[ground.receipt], serial=1)


def test_receipts_are_believed_only_with_a_signature_of_the_key_given(ground: Ground, tmp_path: Path) -> None:
    sender, copy = ground.stream.sender, tmp_path / "copy.receipt"
    signature = next(ground.receipt.parent.glob("plant.receipt.*.sig"))
    wrong = ("--since-key", ground.stranger.root / "sender.pub")
    right = ("--since-key", sender.root / "sender.pub")
    refused(ground, tmp_path, REFUSED, "plant.receipt", since=[ground.receipt, wrong])
    shutil.copy(ground.receipt, copy)
    refused(ground, tmp_path, REFUSED, "no signature next to it", since=[copy, right])
    shutil.copy(signature, copy.with_name(signature.name.replace("plant", "copy")))
    flip(copy, 30)
    refused(ground, tmp_path, REFUSED, "copy.receipt", since=[copy, right])
    flip(copy, 30)
    done = here(*ground.stream.command(2, tmp_path / "usb", "--since", copy, *right))
    assert done.returncode == 0, done.stderr
    assert "copy.receipt: signed by" in done.stderr
    done = here(*ground.stream.command(2, tmp_path / "more", "--since", copy))
    assert done.returncode == 0, done.stderr
    assert "signature not verified (give --since-key)" in done.stderr


def _text(work: Path, _: Ground) -> Path:
    (work / "base.txt").write_text("docker.io/library/nginx:1\n")
    return work / "base.txt"


def _json(work: Path, _: Ground) -> Path:
    (work / "base.json").write_text("{}")
    return work / "base.json"


def _cut_receipt(work: Path, ground: Ground) -> Path:
    (work / "cut.receipt").write_bytes(ground.receipt.read_bytes()[:-40])
    return work / "cut.receipt"


def _newer_catalog(work: Path, ground: Ground) -> Path:
    raw = (ground.stream.chain[1] / "catalog.json").read_bytes()
    (work / "newer.json").write_bytes(raw.replace(b"airgap.catalog/1", b"airgap.catalog/9"))
    return work / "newer.json"


def _missing(work: Path, _: Ground) -> Path:
    return work / "nothing"


def _directory(work: Path, _: Ground) -> Path:
    (work / "directory").mkdir()
    return work / "directory"


def _unfinished(work: Path, ground: Ground) -> Path:
    shutil.copytree(ground.stream.chain[1], work / "prod-0001.partial")
    return work / "prod-0001.partial"


@pytest.mark.parametrize("make", [_text, _json, _cut_receipt, _newer_catalog, _missing, _directory, _unfinished])
def test_what_is_no_base(ground: Ground, tmp_path: Path, make: Callable[[Path, Ground], Path]) -> None:
    base = make(tmp_path, ground)
    refused(ground, tmp_path, USAGE, base.name, since=[base], hint=False)


def test_a_registry_that_does_not_answer_and_a_store_that_is_none(ground: Ground, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "gone") as registry:
        address = registry.address
    refused(ground, tmp_path, NETWORK, address, since=[f"docker://{address}"])
    refused(ground, tmp_path, 4, "the directory cannot be read", since=[f"oci:{tmp_path}/nowhere"], hint=False)
    refused(ground, tmp_path, USAGE, "docker://", since=["docker://"], hint=False)


@pytest.mark.parametrize("option", ["--patch", "--patch-level"])
def test_choices_that_do_not_exist(ground: Ground, tmp_path: Path, option: str) -> None:
    refused(ground, tmp_path, USAGE, option, "sometimes", since=[(option, "sometimes")], hint=False)


def test_a_bundle_with_a_missing_volume_is_still_a_base(ground: Ground, tmp_path: Path) -> None:
    copy = tmp_path / "prod-0001"
    shutil.copytree(ground.stream.chain[1], copy)
    (copy / "volume-0001.tar").unlink()
    done = here(*ground.stream.command(2, tmp_path / "usb", "--since", copy, state=None), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["patched_blobs"] == 3
    assert "read from their source" in done.stderr
