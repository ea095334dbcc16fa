"""Bundles in an S3-compatible bucket: made into it, checked, verified and imported out of it, with a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.bundles import CREATED, Sender
from tests.support.cli import DAMAGED, NETWORK, USAGE, failed, here
from tests.support.s3server import S3Server, s3_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as found:
        yield found


@dataclass(frozen=True)
class Desk:
    """An exporter and a site that both reach one bucket."""

    work: Path
    sender: Sender
    server: S3Server
    bucket: str

    def export(self, out: object, *options: object, state: str = "state") -> Any:
        fixed = ["--stream", "prod", "--key", self.sender.key, "--created", CREATED, "--volume-size", "40kB", "--threads", 1]
        return here("export", f"oci:{self.work / 'source'}", "--out", out, *fixed, "--state", self.work / state, *options)

    def command(self, *words: object) -> Any:
        return here(*words)

    @property
    def s3(self) -> str:
        return f"s3://{self.bucket}/incoming/site-a"

    def keys(self) -> list[str]:
        return sorted(self.server.objects(self.bucket))


@pytest.fixture
def desk(tmp_path: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    bucket = "b-" + "".join(c if c.isalnum() else "-" for c in f"{tmp_path.parent.parent.name}-{tmp_path.name}".lower()).strip("-")
    server.client.create_bucket(Bucket=bucket[:60].strip("-"))
    with LayoutStore(tmp_path / "source") as layout:
        layers = [images.layer(f"layer {number}", 30_000) for number in range(4)]
        images.publish(layout, "origin.example/shop/web:1", images.image(layers))
        layout.commit()
    return Desk(tmp_path, Sender.make(tmp_path / "sender"), server, bucket[:60].strip("-"))


def files_below(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_bundle_in_a_bucket_is_byte_for_byte_that_on_a_disk(desk: Desk) -> None:
    assert desk.export(desk.work / "usb", state="other-state").returncode == 0
    done = desk.export(desk.s3, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == f"{desk.s3}/prod-0001"
    expected = files_below(desk.work / "usb")
    assert len([name for name in expected if "volume-" in name]) > 2
    found = {key.removeprefix("incoming/site-a/"): body for key, body in desk.server.objects(desk.bucket).items()}
    signatures = {name for name in expected if ".sig" in name}  # ECDSA: another one each time
    assert found.keys() == expected.keys()
    assert {name: body for name, body in found.items() if name not in signatures} == {
        name: body for name, body in expected.items() if name not in signatures
    }
    assert not list((desk.work / "state").rglob("volume-*")), "the copy on this machine is left"


def test_site_inspects_checks_verifies_and_imports_out_of_the_bucket(desk: Desk) -> None:
    assert desk.export(desk.s3, "--parity", 1).returncode == 0
    for words in (
        ("inspect", desk.s3),
        ("media", "check", desk.s3),
        ("verify", desk.s3, "--policy", desk.sender.policy, "--state", desk.work / "site"),
        ("import", desk.s3, "--policy", desk.sender.policy, "--state", desk.work / "site", "--to", f"oci:{desk.work / 'target'}"),
    ):
        done = desk.command(*words)
        assert done.returncode == 0, done.stderr
    with LayoutStore(desk.work / "target") as layout:
        assert [named.path for named in layout.names()] == ["origin.example/shop/web"]
    assert list((desk.work / "scratch").iterdir()) == []


def test_second_bundle_takes_the_next_serial_even_without_the_state(desk: Desk) -> None:
    assert desk.export(desk.s3).returncode == 0
    assert json.loads(desk.export(desk.s3, "--json", state="new-state").stdout)["bundle"] == "prod-0002"
    failed(desk.export(desk.s3, "--serial", 2, state="third-state"), USAGE, "already exists", f"{desk.s3}/prod-0002")


def test_upload_that_was_interrupted_is_no_bundle(desk: Desk) -> None:
    assert desk.export(desk.s3).returncode == 0
    desk.server.client.delete_object(Bucket=desk.bucket, Key="incoming/site-a/prod-0001/catalog.json")
    failed(desk.command("verify", desk.s3, "--policy", desk.sender.policy), USAGE, "no finished bundle here", "prod-0001")


def test_bundle_that_waits_for_its_upload_is_not_made_again(desk: Desk) -> None:
    waiting = desk.work / "state" / "buckets" / desk.bucket / "incoming/site-a"
    assert desk.export(waiting, "--serial", 1).returncode == 0
    expected = files_below(waiting)
    done = desk.export(desk.s3, "--serial", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["already_there"] is True
    assert {key.removeprefix("incoming/site-a/"): body for key, body in desk.server.objects(desk.bucket).items()} == expected
    assert list(waiting.iterdir()) == []


def test_damage_in_the_bucket_is_damage(desk: Desk) -> None:
    assert desk.export(desk.s3).returncode == 0
    key = "incoming/site-a/prod-0001/volume-0002.tar"
    body = bytearray(desk.server.objects(desk.bucket)[key])
    body[700] ^= 1
    desk.server.client.put_object(Bucket=desk.bucket, Key=key, Body=bytes(body))
    failed(
        desk.command("verify", desk.s3, "--policy", desk.sender.policy, "--state", desk.work / "site"),
        DAMAGED,
        f"{desk.s3}/prod-0001/volume-0002.tar",
    )


def test_what_is_no_file_of_a_bundle_is_not_fetched(desk: Desk) -> None:
    assert desk.export(desk.s3).returncode == 0
    for key in (
        "incoming/site-a/../../escape/volume-0001.tar",
        "incoming/site-a/prod-0001/notes.txt",
        "incoming/site-a/a/b/catalog.json",
    ):
        desk.server.client.put_object(Bucket=desk.bucket, Key=key, Body=b"x")
    assert desk.command("media", "check", desk.s3).returncode == 0
    assert list((desk.work / "scratch").iterdir()) == []


def test_mistakes_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(desk.export("s3://no-such-bucket-here/x"), USAGE, "there is no such bucket", "s3://no-such-bucket-here/x")
    failed(desk.command("inspect", "s3://no-such-bucket-here"), USAGE, "there is no such bucket")
    failed(desk.command("inspect", f"s3://{desk.bucket}/nothing"), USAGE, "no finished bundle here")
    failed(desk.command("inspect", "s3:///"), USAGE, "not a place in a bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    failed(desk.command("inspect", desk.s3), NETWORK, "cannot list the bucket", "127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    failed(desk.command("inspect", desk.s3), USAGE, "no usable credentials")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    failed(desk.command("inspect", desk.s3), USAGE, "no usable credentials", "nobody")


def test_missing_extra_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    failed(desk.command("inspect", desk.s3), USAGE, "airgap-bundles[s3]")


def test_configuration_file_names_the_bucket(desk: Desk) -> None:
    config = desk.work / "airgap.toml"
    config.write_text(f'[stream.prod]\nlists = ["oci:source"]\nkey = "sender/sender.key"\nout = "{desk.s3}"\nstate = "state"\n')
    done = desk.command("export", "prod", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == f"{desk.s3}/prod-0001"
