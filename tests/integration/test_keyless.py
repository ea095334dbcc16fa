"""Signed keyless by a private CA and log, carried, demanded by the site's policy at import, served: images, and the catalog."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.admission.terms import Terms
from airgap.errors import Refused
from airgap.importer.importing import import_bundle
from airgap.importer.run import Destination
from airgap.layout import LayoutStore
from airgap.naming.mapping import parse_target
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Silent
from airgap.state import State
from airgap.trust.keys.evidence import SIGSTORE_BUNDLE
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.unnamed import UnnamedSignatures
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support import images
from tests.support.cli import REFUSED
from tests.support.dockerregistry import DockerRegistry
from tests.support.serving import Serving
from tests.support.sigstoreinstance.instance import IDENTITY, ISSUER, Instance
from tests.support.sigstoreinstance.verdicts import pems
from tests.support.site import Site
from tests.support.tools import require
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


def requirement(instance: Instance, directory: Path) -> dict[str, object]:
    """What the site demands: this person by this CA, logged in these logs; its files in a directory."""
    directory.mkdir(exist_ok=True)
    (directory / "fulcio.pem").write_bytes(pems(instance.fulcio.root))
    logs = [directory / "rekor1.pub", directory / "rekor2.pub"]
    for path, log in zip(logs, (instance.rekor1, instance.rekor2), strict=True):
        path.write_bytes(log.pair.pem)
    fulcio = {"caPath": str(directory / "fulcio.pem"), "oidcIssuer": ISSUER, "subjectEmail": IDENTITY}
    return {"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyPaths": [str(path) for path in logs]}


def trusted(instance: Instance) -> TrustedRoot:
    return TrustedRoot.parse(instance.trusted_root_json(), "trusted_root.json")


@dataclass(frozen=True)
class World:
    """A vendor's registry and Sigstore instance, and a site whose policy demands keyless signatures of that instance."""

    work: Path
    vendor: DockerRegistry
    instance: Instance
    site: Site

    def publish(self, instance: Instance, log: int) -> Path:
        """Publish an index whose instances are signed as cosign 3 signs, without a name; the list of it."""
        with LayoutStore(self.work / "layout") as layout:
            index = images.multi_arch("app", platforms=("linux/amd64", "linux/arm64"))
            repository = Repository("example.com", "team/app")
            images.publish(layout, f"{repository}:1", index)
            for child in index.children:
                stated = {
                    "_type": "https://in-toto.io/Statement/v1",
                    "subject": [{"digest": {"sha256": Digest.of(child.manifest.raw).hex}, "annotations": {}}],
                    "predicateType": "https://sigstore.dev/cosign/sign/v1",
                    "predicate": {},
                }
                raw = json.dumps(instance.statement_bundle(json.dumps(stated).encode(), log=log)).encode()
                images.attach(layout, repository, child, [images.artifact(child, SIGSTORE_BUNDLE, raw, media_type=SIGSTORE_BUNDLE)])
            layout.commit()
        with LayoutStore(self.work / "layout") as layout:
            images.push_layout_to_registry(layout, self.vendor.address)
        (self.work / "images.txt").write_text(f"{self.vendor.address}/team/app:1\n")
        return self.work / "images.txt"

    def verify(self, bundle: Path) -> subprocess.CompletedProcess[str]:
        """At the site, without a trusted root."""
        return self.site.run(
            "verify", bundle, "--policy", self.site.policy, "--accept-unnamed-sigstore-bundles", check=False, state="site-state"
        )

    def take(self, bundle: Path, root: TrustedRoot | None) -> Path:
        """Import at the site; the store."""
        terms = Terms(
            parse_policy(self.site.policy.read_bytes()),
            lambda name: Path(name).read_bytes(),
            dt.datetime.now(dt.UTC),
            unnamed=UnnamedSignatures.parse(("=true",)),
            trusted_root=root,
        )
        store = self.work / "store"
        target = parse_target(f"oci:{store}", "")
        destination = Destination(target, lambda _: contextlib.closing(LayoutStore(store)))
        with (
            State(self.work / "site-state") as state,
            state.turn([target.exclusive_place], "airgap import", 0, Silent().say) as turn,
        ):
            import_bundle([bundle], destination, terms, state, Silent(), turn)
        return store


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, instance = Site.make(tmp_path / "site"), Instance()
    document = json.loads(site.policy.read_text())
    document["transports"]["docker"] = {"": [requirement(instance, tmp_path / "keys")]}
    site.policy.write_text(json.dumps(document))
    with DockerRegistry(tmp_path / "vendor") as vendor:
        yield World(tmp_path, vendor, instance, site)


@pytest.mark.parametrize("log", [1, 2])
def test_an_image_signed_keyless_is_exported_carried_demanded_at_import_and_served(world: World, log: int) -> None:
    bundle = world.site.export(world.publish(world.instance, log), world.work / "out")
    refused = world.verify(bundle)
    assert refused.returncode == REFUSED
    assert "cannot be judged without a trusted root" in refused.stderr
    with pytest.raises(Refused):
        world.take(bundle, None)
    assert not (world.work / "store/index.json").exists()
    store = world.take(bundle, trusted(world.instance))
    with Serving(world.work, store) as serving:
        assert serving.ask("/v2/team/app/manifests/1").status == 200
        assert b"team/app" in serving.ask("/v2/_catalog").body


def test_an_image_signed_keyless_by_the_same_name_at_another_instance_is_refused(world: World) -> None:
    other = Instance()
    bundle = world.site.export(world.publish(other, 1), world.work / "out")
    for root in (trusted(world.instance), trusted(other)):
        with pytest.raises(Refused):
            world.take(bundle, root)
    assert not (world.work / "store/index.json").exists()


def test_a_catalog_signed_keyless_is_demanded_of_a_stream_and_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yard, instance, other = Yard.make(tmp_path), Instance(), Instance()
    bundle = yard.bundle(1)
    next(bundle.glob("*.sig")).unlink()
    catalog = (bundle / "catalog.json").read_bytes()
    document = json.loads(yard.sender.policy.read_text())
    document["transports"]["airgap"] = {"": [requirement(instance, tmp_path / "keys")]}
    yard.sender.policy.write_text(json.dumps(document))
    yard.refuses(bundle, "no signature at all")
    now = dt.datetime.now(dt.UTC)
    for made, reason in (
        (other.message_bundle(catalog), "a log that does not count"),
        (instance.message_bundle(b"x"), "other bytes"),
    ):
        (bundle / "catalog.json.sigstore.json").write_text(json.dumps(made))
        with pytest.raises(Refused) as caught:
            yard.take_at(now, bundle, trusted_root=trusted(instance))
        assert reason in str(caught.value.got)
    (bundle / "catalog.json.sigstore.json").write_text(json.dumps(instance.message_bundle(catalog, log=2)))
    yard.refuses(bundle, "--trusted-root")
    yard.take_at(now, bundle, trusted_root=trusted(instance))
    assert (yard.store / "index.json").exists()
