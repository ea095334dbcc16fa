"""Signed incremental bundles of a careless exporter: what decides about an image must be in the bundle, and nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.store import BundleStore
from airgap.delta.bases import Base, of_catalog
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.planning import plan
from tests.support import images
from tests.support.bundles import Sender, catalog_of
from tests.support.cli import DAMAGED, REFUSED, failed, here, tree
from tests.support.origin import Origin

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

WEB = "docker.io/shop/web"


class Desk:
    """An exporter that leaves out whatever it likes, and a site with a store that has all of it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.sender = Sender.make(work / "sender")
        self.origin = Origin()
        self.web = images.image([images.layer("web", 50_000)])
        self.references = [self.origin.push(f"{WEB}:1", self.web)]
        payload = images.simple_signing(self.references[0].repository, self.web.digest)
        self.signature = images.cosign_signature(payload, "c2lnbmF0dXJl")
        self.origin.push(f"{WEB}:{digest_tag(self.web.digest, '.sig')}", self.signature)
        self.first = self.sender.bundle(self.origin, self.references, work / "usb")
        assert here(*self.command(self.first)).returncode == 0

    @property
    def store(self) -> Path:
        return self.work / "store"

    def base(self) -> Base:
        catalog = catalog_of(self.first)
        raw = (self.first / "catalog.json").read_bytes()
        return of_catalog("first", raw, catalog, BundleStore(catalog, {1: self.first / "volume-0001.tar"}))

    def second(self, leave_out: Digest) -> Path:
        """The same images again, without one blob."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "holdable", lambda _: {leave_out})
            made = self.sender.bundle(self.origin, self.references, self.work / "usb", serial=2, bases=[self.base()])
        assert catalog_of(made).blobs[leave_out].held
        return made

    def command(self, bundle: Path, *options: object) -> list[object]:
        policy = {
            "default": [{"type": "reject"}],
            "transports": {
                "airgap": {"": [{"type": "insecureAcceptAnything"}]},
                "docker": {"": [{"type": "insecureAcceptAnything"}]},
            },
        }
        path = self.work / "policy.json"
        if not path.exists():
            path.write_text(json.dumps(policy))
        return ["import", bundle, "--to", f"oci:{self.store}", "--policy", path, "--state", self.work / "state", "--json", *options]

    def refuses(self, bundle: Path, *says: str, policy: dict[str, Any] | None = None) -> None:
        """Import fails well, and the store is as before."""
        if policy is not None:
            (self.work / "policy.json").write_text(json.dumps(policy))
        before = tree(self.store)
        failed(here(*self.command(bundle)), DAMAGED, *says, hint=False)
        assert tree(self.store) == before


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Desk(tmp_path)


PARTS: dict[str, Callable[[Desk], Digest]] = {
    "the image's manifest": lambda desk: desk.web.digest,
    "the signature's manifest": lambda desk: desk.signature.digest,
}


@pytest.mark.parametrize("part", PARTS)
def test_a_manifest_that_is_only_held_is_refused(desk: Desk, part: str) -> None:
    desk.refuses(desk.second(PARTS[part](desk)), "the bundle lacks a manifest", PARTS[part](desk))


def test_a_signature_that_is_only_held_does_not_count(desk: Desk) -> None:
    """What is at the destination was not judged with this bundle, and is not asked before it was: it counts as not there."""
    bundle = desk.second(desk.signature.blobs[1].descriptor.digest)
    key = {"type": "sigstoreSigned", "keyPath": str(desk.sender.root / "sender.pub")}
    scopes = {"airgap": {"": [{"type": "insecureAcceptAnything"}]}, "docker": {"": [key]}}
    policy = {"default": [{"type": "reject"}], "transports": scopes}
    (desk.work / "policy.json").write_text(json.dumps(policy))
    before = tree(desk.store)
    failed(here(*desk.command(bundle)), REFUSED, "the policy does not accept the image", "no sigstore signature exists")
    assert tree(desk.store) == before


def test_a_layer_that_is_only_held_is_taken(desk: Desk) -> None:
    done = here(*desk.command(desk.second(desk.web.blobs[1].descriptor.digest)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sent_blobs"] == 0
