"""Images that a site accepts by signatures which its hosts do not find: ``mirror-config`` names each of them and the way out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from airgap.trust.keys import evidence as ev
from tests.support import images, signing
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True)
class World:
    """A vendor whose images are signed in three ways, and a site that has imported them into its registry."""

    work: Path
    vendor: DockerRegistry
    registry: DockerRegistry
    key: signing.Key
    site: Site

    @property
    def target(self) -> str:
        """Where the images are imported."""
        return f"docker://{self.registry.address}/mirror"

    def publish(self) -> Path:
        """``team/bundle``, ``team/referrer`` and ``team/tag``, each signed so, ``team/both`` as a tag too; the list of them."""
        with LayoutStore(self.work / "layout") as layout:
            for name in ("bundle", "referrer", "tag", "both"):
                repository, index = Repository("example.com", f"team/{name}"), images.multi_arch(name, platforms=PLATFORMS)
                images.publish(layout, f"{repository}:1", index)
                for child in index.children:
                    self.sign(layout, repository, child, name)
            layout.commit()
        with LayoutStore(self.work / "layout") as layout:
            images.push_layout_to_registry(layout, self.vendor.address)
        path = self.work / "images.txt"
        path.write_text("".join(f"{self.vendor.address}/team/{name}:1\n" for name in ("bundle", "referrer", "tag", "both")))
        return path

    def sign(self, layout: LayoutStore, repository: Repository, child: images.Built, form: str) -> None:
        """Sign one instance in this form, for the name that the site asks for."""
        name = f"{self.vendor.address}/{repository.path}"
        payload = signing.cosign_payload(child.manifest.raw, name)
        signature = base64.b64encode(self.key.sign(payload)).decode()
        if form in ("bundle", "both"):
            raw = json.dumps(signing.bundle_document(self.key, child.manifest.raw, name)).encode()
            made = images.artifact(child, ev.SIGSTORE_BUNDLE, raw, media_type=ev.SIGSTORE_BUNDLE)
            images.attach(layout, repository, child, [made])
        if form == "referrer":
            images.attach(layout, repository, child, [images.cosign_referrer(child, [(payload, {ev.SIGNATURE: signature})])])
        if form in ("tag", "both"):
            images.publish_attachment(layout, repository, child.digest, ".sig", images.cosign_signature(payload, signature))

    def warnings(self, *options: object, kind: str = "policy") -> list[str]:
        """What ``mirror-config`` warns of."""
        facts: dict[str, Any] = self.site.json(
            *("mirror-config", "--to", self.target, "--format", kind, "--policy", self.site.policy),
            *("--out", self.work / f"hosts-{kind}", "--force", *options),
            state="site-state",
        )
        return list(facts["warnings"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, key = Site.make(tmp_path / "site"), signing.Key()
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    with DockerRegistry(tmp_path / "vendor") as vendor, DockerRegistry(tmp_path / "registry") as registry:
        site.run(
            "policy", "add", site.policy, "--image", f"{vendor.address}={tmp_path / 'vendor.pub'}", "--image-default", "reject"
        )
        yield World(tmp_path, vendor, registry, key, site)


def test_each_image_that_no_host_can_verify_is_named_until_the_site_signs(world: World) -> None:
    bundle = world.site.export(world.publish(), world.work / "out")
    world.site.import_(world.target, bundle)
    address, mirror = world.vendor.address, f"{world.registry.address}/mirror/{world.vendor.address.replace(':', '-')}"
    expected = [
        f"{address}/team/bundle:1 was accepted by a Sigstore bundle: hosts will refuse {mirror}/team/bundle:1",
        f"{address}/team/referrer:1 was accepted by a cosign signature in a referrer (OCI 1.1 mode): "
        f"hosts will refuse {mirror}/team/referrer:1",
        "podman, skopeo and CRI-O find sigstore signatures only in .sig tags: import 2 such images again with --sign-by KEY, which "
        "signs at the site as .sig tags, and give mirror-config the public key: --site-key KEY.pub",
    ]
    for kind, options in {"policy": (), "crio": ("--namespace", "shop"), "openshift": (), "policy-controller": ()}.items():
        more = ("--ignore-signed-name", address) if kind == "policy-controller" else options
        assert world.warnings(*more, kind=kind)[-3:] == expected, kind
    mirror_config = ("mirror-config", "--to", world.target, "--format", "policy", "--policy", world.site.policy)
    said = world.site.run(*mirror_config, "--out", world.work / "other", state="site-state").stdout
    assert all(f"warning      {one}" in said.splitlines() for one in expected)
    assert "hosts will refuse" not in "".join(world.warnings(kind="registries.conf")), "no policy, no verdict"

    world.site.run("keys", "generate", "--no-passphrase", "--out", world.work / "own")
    world.site.import_(world.target, bundle, options=("--sign-by", world.work / "own/airgap.key"))
    assert not any("hosts will refuse" in one for one in world.warnings("--site-key", world.work / "own/airgap.pub"))
    vendors = world.warnings("--site-key", world.work / "own/airgap.pub", "--mode", "original")
    assert [one for one in vendors if "hosts will refuse" in one] == expected[:2], "there the vendor's signature is asked for too"

    (generation,) = world.site.json("history", "--generations", state="site-state")["generations"]
    forms = {one["name"].rpartition("/")[2]: one["signed_as"] for one in generation["brought"] if one["is_image"]}
    assert forms == {"bundle:1": ["bundle"], "referrer:1": ["referrer"], "tag:1": ["tag"], "both:1": ["tag"]}


def test_a_policy_that_asks_for_no_such_signature_any_more_needs_no_warning(world: World) -> None:
    world.site.import_(world.target, world.site.export(world.publish(), world.work / "out"))
    world.site.run("policy", "add", world.site.policy, "--image", f"{world.vendor.address}/team/bundle=accept")
    warned = [one for one in world.warnings() if "hosts will refuse" in one]
    assert [one.partition(" ")[0] for one in warned] == [f"{world.vendor.address}/team/referrer:1"]


def test_a_machine_that_has_imported_nothing_knows_no_image_and_says_the_rule(world: World) -> None:
    world.site.import_(world.target, world.site.export(world.publish(), world.work / "out"))
    facts = world.site.json(
        *(
            "mirror-config",
            "--to",
            world.target,
            "--format",
            "policy",
            "--policy",
            world.site.policy,
            "--out",
            world.work / "hosts",
        ),
        state="elsewhere",
    )
    assert not any("hosts will refuse" in one for one in facts["warnings"])
    assert any(
        one.startswith("podman, skopeo and CRI-O find sigstore signatures only in .sig tags: below") for one in facts["warnings"]
    )
    assert not (world.site.root / "elsewhere").exists(), "asking made no state"
