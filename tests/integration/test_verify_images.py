"""``export --verify-images``: the operator's own policy decides before any layer moves, with real registries and real gpg."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.gated import Yard
from tests.support.images import Built
from tests.support.signing import Key, bundle_document, cosign_payload, payload
from tests.support.tools import require
from tests.support.trustkit import gpg_home

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

REFUSED, USAGE = 3, 2
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        yield Yard.make(tmp_path, registry)


def policy(yard: Yard, **scopes: Any) -> Path:
    """A policy that rejects all but what the scopes of transport docker say; ``web`` and ``tool`` are the two repositories."""
    known = {"web": f"{yard.registry.address}/shop/web", "tool": f"{yard.registry.address}/tool"}
    path = yard.work / "images-policy.json"
    transports = {"docker": {known[name]: [requirement] for name, requirement in scopes.items()}}
    path.write_text(json.dumps({"default": [{"type": "reject"}], "transports": transports}))
    return path


def signed(key: Key) -> dict[str, Any]:
    return {
        "type": "sigstoreSigned",
        "keyData": base64.b64encode(key.pem).decode(),
        "signedIdentity": {"type": "matchRepository"},
    }


ANYTHING = {"type": "insecureAcceptAnything"}


def sign(yard: Yard, key: Key, name: str, built: Built) -> None:
    """A cosign signature tag for one manifest."""
    repository = Repository(yard.registry.address, name)
    data = cosign_payload(built.manifest.raw, str(repository))
    signature = images.cosign_signature(data, base64.b64encode(key.sign(data)).decode())
    with LayoutStore(yard.work / f"signature-{built.digest.short}") as layout:
        images.publish_attachment(layout, Repository("origin.example", name), built.digest, ".sig", signature)
        layout.commit()
        images.push_layout_to_registry(layout, yard.registry.address)


def test_every_instance_with_a_cosign_signature_is_accepted_and_reported(yard: Yard) -> None:
    key = Key()
    for child in yard.web.children:
        sign(yard, key, "shop/web", child)
    facts = yard.export("--verify-images", policy(yard, web=signed(key), tool=ANYTHING))
    judged = {(found["instance"], found["platform"]) for found in facts["judgements"] if found["image"] == yard.web_name}
    assert judged == {(str(child.digest), str(child.descriptor.platform)) for child in yard.web.children}
    assert all(found["accepted"] for found in facts["judgements"])
    assert len(facts["judgements"]) == 4


def test_all_images_that_are_not_accepted_are_named_and_nothing_is_fetched(yard: Yard) -> None:
    key = Key()
    sign(yard, key, "shop/web", yard.web.children[0])
    done = yard.refused(
        REFUSED,
        "the policy does not accept 3 of 4 image instances",
        f"{yard.web_name} linux/arm64",
        f"{yard.web_name} linux/arm/v7",
        yard.tool_name,
        options=("--verify-images", policy(yard, web=signed(key), tool={"type": "reject"})),
    )
    assert f"{yard.web_name} linux/amd64" not in done.stderr
    assert not yard.out.exists()
    log = yard.registry.log.read_text()
    assert not any(
        _fetched(log, content) for content in (*yard.tool.blobs, *yard.web.children[0].blobs[1:]) if content.raw[:2] == b"\x1f\x8b"
    )


def _fetched(log: str, content: images.Content) -> bool:
    return any(f"/blobs/{content.descriptor.digest}" in line and '"GET ' in line for line in log.splitlines())


def test_a_signature_by_another_key_does_not_count(yard: Yard) -> None:
    sign(yard, Key(), "tool", yard.tool)
    yard.refused(REFUSED, yard.tool_name, options=("--verify-images", policy(yard, web=ANYTHING, tool=signed(Key()))))


def test_a_cosign_3_bundle_counts_as_the_importer_counts_it(yard: Yard) -> None:
    key = Key()
    named = str(Repository(yard.registry.address, "tool"))
    for name, options, code in ((None, (), REFUSED), (None, ("--accept-unnamed-sigstore-bundles",), 0), (named, (), 0)):
        document = json.dumps(bundle_document(key, yard.tool.manifest.raw, name)).encode()
        referrer = images.artifact(yard.tool, BUNDLE, document, media_type=BUNDLE)
        yard.publish("tool", referrer)
        yard.publish(f"tool:{str(yard.tool.digest).replace(':', '-')}", images.fallback_index([referrer]))
        command = yard.command("--verify-images", policy(yard, web=ANYTHING, tool=signed(key)), *options, "--restart")
        command[command.index("--out") + 1] = yard.work / f"out-{name is None}-{len(options)}"
        done = yard.site.run(*command, check=False, state=f"state-{name is None}-{len(options)}")
        assert done.returncode == code, done.stderr


def test_gpg_signatures_from_the_lookaside_are_judged(yard: Yard) -> None:
    require("gpg")
    with gpg_home() as home:
        fingerprint = home.new_key("vendor")
        public = yard.work / "vendor.asc"
        public.write_bytes(home.export(fingerprint))
        message = home.message(fingerprint, payload(yard.tool.manifest.raw, yard.tool_name))
    place = yard.work / f"sigs/tool@{str(yard.tool.digest).replace(':', '=')}"
    place.mkdir(parents=True)
    (place / "signature-1").write_bytes(message)
    settings = yard.work / "registries.d"
    settings.mkdir()
    (settings / "default.yaml").write_text(f"default-docker:\n  lookaside: file://{yard.work}/sigs\n")
    wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(public)}
    options = ("--verify-images", policy(yard, web=ANYTHING, tool=wanted))
    yard.refused(REFUSED, yard.tool_name, options=options)
    facts = yard.export(*options, "--registries-d", settings)
    (decision,) = next(found for found in facts["judgements"] if found["image"] == yard.tool_name)["decisions"]
    assert fingerprint[-16:].lower() in decision["key"]


def test_an_unfinished_export_is_judged_again_before_it_goes_on(yard: Yard) -> None:
    yard.refused(REFUSED, options=("--gate", "false"))
    yard.refused(REFUSED, yard.tool_name, options=("--verify-images", policy(yard, web=ANYTHING)))
    assert len(yard.export("--verify-images", policy(yard, web=ANYTHING, tool=ANYTHING))["judgements"]) == 4


def test_a_bundle_that_is_sealed_already_is_judged_too(yard: Yard) -> None:
    yard.export()
    done = yard.site.run(*yard.command("--verify-images", policy(yard, tool=ANYTHING)), check=False)
    assert done.returncode == REFUSED
    assert "an earlier run has finished it" in done.stderr


def test_require_signed_refuses_what_the_policy_lets_pass_unsigned(yard: Yard) -> None:
    options = ("--verify-images", policy(yard, web=ANYTHING, tool=ANYTHING), "--require-signed")
    yard.refused(REFUSED, yard.web_name, yard.tool_name, "--require-signed", options=options)


@pytest.mark.parametrize("option", ["--require-signed", "--accept-unnamed-sigstore-bundles"])
def test_options_of_a_policy_without_one_are_a_mistake(yard: Yard, option: str) -> None:
    yard.refused(USAGE, option, "--verify-images", options=(option,))


def test_a_policy_that_does_not_parse_stops_everything(yard: Yard) -> None:
    path = yard.work / "bad.json"
    path.write_text('{"default": []}')
    yard.refused(USAGE, "bad.json", options=("--verify-images", path))
    yard.refused(USAGE, "missing.json", options=("--verify-images", yard.work / "missing.json"))
