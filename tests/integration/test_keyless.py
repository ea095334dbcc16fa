"""Signed keyless by a private CA and log, carried, demanded by the site's policy at import, served: images, and the catalog."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.errors import Refused
from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.trust.keys.evidence import SIGSTORE_BUNDLE
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

    def site_command(self, *command: object, root: Instance | None) -> subprocess.CompletedProcess[str]:
        """A command at the site; names are not asked for in this vendor's scope."""
        more: tuple[object, ...] = ()
        if root is not None:
            (self.work / "trusted_root.json").write_bytes(root.trusted_root_json())
            more = ("--trusted-root", self.work / "trusted_root.json")
        scope = ("--unnamed-signatures", f"{self.vendor.address}/team")
        return self.site.run(*command, "--policy", self.site.policy, *scope, *more, check=False, state="site-state")

    def take(self, bundle: Path, root: Instance | None) -> subprocess.CompletedProcess[str]:
        """Import at the site."""
        return self.site_command("import", bundle, "--to", f"oci:{self.store}", root=root)

    @property
    def store(self) -> Path:
        """Where the site keeps its images."""
        return self.work / "store"


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
    for refused in (world.site_command("verify", bundle, root=None), world.take(bundle, None)):
        assert refused.returncode == REFUSED
        assert "cannot be judged without a trusted root" in refused.stderr
    assert not (world.store / "index.json").exists()
    taken = world.take(bundle, world.instance)
    assert taken.returncode == 0, taken.stderr
    assert f"unnamed-signatures: {world.vendor.address}/team" in taken.stdout
    with Serving(world.work, world.store) as serving:
        assert serving.ask("/v2/team/app/manifests/1").status == 200
        assert b"team/app" in serving.ask("/v2/_catalog").body


def test_an_image_signed_keyless_by_the_same_name_at_another_instance_is_refused(world: World) -> None:
    other = Instance()
    bundle = world.site.export(world.publish(other, 1), world.work / "out")
    for root in (world.instance, other):
        assert world.take(bundle, root).returncode == REFUSED
    assert not (world.store / "index.json").exists()


def test_an_image_signed_keyless_without_a_name_is_refused_outside_the_permitted_scope(world: World) -> None:
    bundle = world.site.export(world.publish(world.instance, 1), world.work / "out")
    (world.work / "root.json").write_bytes(world.instance.trusted_root_json())
    beside = ("--unnamed-signatures", f"{world.vendor.address}/other", "--trusted-root", world.work / "root.json")
    words = ("import", bundle, "--to", f"oci:{world.store}", "--policy", world.site.policy, *beside)
    refused = world.site.run(*words, check=False, state="site-state")
    assert refused.returncode == REFUSED
    assert "names no image" in refused.stderr
    assert not (world.store / "index.json").exists()


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
