"""What a skopeo sync file says about a registry's TLS reaches the client, for that registry only."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images
from tests.support.cli import NETWORK, USAGE, failed, here
from tests.support.hostile import Hostile
from tests.support.privateca import PrivateCa
from tests.support.taglist import ManyTags

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa(tmp_path / "certs")


@pytest.fixture
def guarded(ca: PrivateCa) -> Iterator[Hostile]:
    """A registry with TLS of a private CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.issue("server", "localhost"))
    with Hostile(ManyTags(["1.0", "1.1"], images.image([images.layer("x")])).answer, tls=context) as server:
        yield server


def listed(work: Path, server: Hostile, settings: str) -> Path:
    path = work / "sync.yaml"
    path.write_text(f"localhost:{server.port}:\n  images-by-semver: {{shop/web: '>1.0'}}\n  {settings}\n")
    return path


def test_the_cert_dir_of_a_list_is_trusted(
    guarded: Hostile, ca: PrivateCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = here("resolve", listed(tmp_path, guarded, f"cert-dir: {ca.root}"), "--json")
    assert done.returncode == 0, done.stderr
    assert [image["reference"] for image in json.loads(done.stdout)["images"]] == [f"localhost:{guarded.port}/shop/web:1.1"]


def test_a_list_that_says_nothing_trusts_nobody(guarded: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    failed(here("resolve", listed(tmp_path, guarded, "tls-verify: true"), "--json"), NETWORK)
    assert not guarded.requests


def test_a_cert_dir_that_is_not_there_is_the_lists_mistake(
    guarded: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    failed(here("resolve", listed(tmp_path, guarded, f"cert-dir: {tmp_path}/nowhere"), "--json"), USAGE, "nowhere")
    assert not guarded.requests


def test_tls_verify_false_takes_any_certificate_of_that_registry(
    guarded: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = here("resolve", listed(tmp_path, guarded, "tls-verify: false"), "--json")
    assert done.returncode == 0, done.stderr
    assert guarded.requests
