"""``airgap watch s3://...``: a bucket as a landing zone, with a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.bundles import CREATED, Sender
from tests.support.cli import DAMAGED, NETWORK, REFUSED, here
from tests.support.s3server import S3Server, s3_server

PLACE = "s3://landing/in/site-a"


@dataclass(frozen=True)
class Zone:
    """A site that watches a place in a bucket, and an exporter who puts bundles there."""

    work: Path
    sender: Sender
    server: S3Server

    def bundle(self, serial: int = 1, *options: object, sender: Sender | None = None) -> Path:
        """A bundle of several volumes on the exporter's disk."""
        with LayoutStore(self.work / "source") as layout:
            layers = [images.layer(f"layer {serial} {number}", 30_000) for number in range(4)]
            images.publish(layout, "origin.example/shop/web:1", images.image(layers))
            layout.commit()
        key = (sender or self.sender).key
        fixed = ("--stream", "prod", "--serial", serial, "--created", CREATED, "--key", key, "--volume-size", "40kB")
        out = self.work / ("usb" if sender is None else "foreign")
        done = here("export", f"oci:{self.work / 'source'}", "--out", out, *fixed, "--state", out / "state", *options)
        assert done.returncode == 0, done.stderr
        return out / f"prod-{serial:04}"

    def upload(self, bundle: Path, *left_out: str) -> None:
        for path in bundle.iterdir():
            if path.name not in left_out:
                self.put(f"{bundle.name}/{path.name}", path.read_bytes())

    def put(self, name: str, body: bytes) -> None:
        self.server.client.put_object(Bucket="landing", Key=f"in/site-a/{name}", Body=body)

    def words(self, *options: object) -> list[str]:
        fixed = ["--to", f"oci:{self.work / 'store'}", "--policy", self.sender.policy, "--state", self.work / "state", "--json"]
        return [str(word) for word in ["watch", PLACE, *fixed, *options]]

    def once(self, code: int = 0) -> list[tuple[str, str]]:
        """Look once; the events with their bundles."""
        done = here(*self.words("--once"))
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert str(self.copies) not in done.stdout, "the copy is named instead of the bucket"
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return [(one["event"], one["bundle"]) for one in told if one["event"] != "watching"]

    @property
    def copies(self) -> Path:
        return self.work / "state/landing"

    def volumes(self) -> list[str]:
        """What is copied of volumes."""
        return sorted(path.name for path in self.copies.rglob("volume-*"))

    def result(self, name: str) -> Any:
        return json.loads((self.work / f"state/results/{name}.result.json").read_bytes())


@pytest.fixture
def zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with s3_server(tmp_path / "log") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield Zone(tmp_path, Sender.make(tmp_path / "sender"), server)


def test_bundle_that_arrives_in_a_bucket_is_imported_and_its_copy_removed(zone: Zone) -> None:
    zone.upload(zone.bundle())
    assert zone.once() == [("begun", "prod-0001"), ("imported", "prod-0001")]
    with LayoutStore(zone.work / "store") as layout:
        assert [named.path for named in layout.names()] == ["origin.example/shop/web"]
    assert zone.result("prod-0001")["outcome"] == "imported"
    assert zone.once() == []
    assert zone.volumes() == []


def test_bundles_are_imported_in_the_order_of_their_serials(zone: Zone) -> None:
    first = zone.bundle(1)
    second = zone.bundle(2, "--since", first / "catalog.json")
    zone.upload(second)
    zone.upload(first)
    assert zone.once() == [("begun", "prod-0001"), ("imported", "prod-0001"), ("begun", "prod-0002"), ("imported", "prod-0002")]


def test_upload_without_its_catalog_is_not_looked_at(zone: Zone) -> None:
    bundle = zone.bundle()
    zone.upload(bundle, "catalog.json")
    assert zone.once() == []
    assert zone.volumes() == []
    zone.put("prod-0001/catalog.json", (bundle / "catalog.json").read_bytes())
    assert zone.once()[-1] == ("imported", "prod-0001")


def test_bundle_whose_volume_is_missing_waits_for_it(zone: Zone) -> None:
    bundle = zone.bundle()
    zone.upload(bundle, "volume-0002.tar")
    assert zone.once() == [("waiting", "prod-0001")]
    assert "volume-0002.tar" in zone.result("prod-0001")["waits_for"]
    zone.put("prod-0001/volume-0002.tar", (bundle / "volume-0002.tar").read_bytes())
    assert zone.once()[-1] == ("imported", "prod-0001")


def test_volumes_of_a_bundle_that_nobody_vouches_for_are_not_copied(zone: Zone) -> None:
    zone.upload(zone.bundle(sender=Sender.make(zone.work / "stranger")))
    ((kind, name),) = [one for one in zone.once(REFUSED) if one[0] == "refused"]
    assert (kind, name.startswith("untrusted-")) == ("refused", True)
    assert zone.volumes() == []


def test_damaged_volume_is_tried_again_when_another_object_is_there(zone: Zone) -> None:
    bundle = zone.bundle()
    zone.upload(bundle)
    body = bytearray((bundle / "volume-0002.tar").read_bytes())
    body[len(body) // 2] ^= 1
    zone.put("prod-0001/volume-0002.tar", bytes(body))
    assert zone.once(DAMAGED)[-1] == ("failed", "prod-0001")
    assert f"{PLACE}/prod-0001" in json.dumps(zone.result("prod-0001"))
    assert zone.once(DAMAGED) == [("unchanged", "prod-0001")]
    zone.put("prod-0001/volume-0002.tar", (bundle / "volume-0002.tar").read_bytes())
    assert zone.once()[-1] == ("imported", "prod-0001")


def test_what_is_no_bundle_hinders_none(zone: Zone) -> None:
    zone.upload(zone.bundle())
    for key in ("catalog.json/catalog.json", "notes.txt", "../../escape/catalog.json", "a/b/catalog.json", "x/catalog.json"):
        zone.put(key, b"x")
    assert ("imported", "prod-0001") in zone.once(REFUSED)
    assert not (zone.work / "state/escape").exists()


def test_service_imports_what_arrives_while_it_runs_and_ends_in_order(zone: Zone) -> None:
    bundle = zone.bundle()
    command = [sys.executable, "-m", "airgap", *zone.words("--interval", 0.2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        assert service.stdout is not None
        told = iter(service.stdout)
        assert json.loads(next(told))["event"] == "watching"
        zone.upload(bundle)
        while json.loads(next(told))["event"] != "imported":
            pass
        service.send_signal(signal.SIGTERM)
        assert json.loads(list(told)[-1])["event"] == "stopped"
    assert service.returncode == 0


def test_bucket_that_cannot_be_reached_is_named(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = here(*[word for word in zone.words("--once") if word != "--json"])
    assert done.returncode == NETWORK
    assert "cannot list the bucket" in done.stderr
    assert "127.0.0.1:1" in done.stderr
