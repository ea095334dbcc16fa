"""What one side cannot give or take does not keep everything else out: the operator is told, has a way on, and it is on record."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.oci import media
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.state import State
from tests.support import images
from tests.support.cli import NETWORK, REFUSED, USAGE, failed, here
from tests.support.hostile import Reply
from tests.support.replica import FORBIDDEN, Replica
from tests.support.signing import Key, cosign_payload
from tests.support.site import CREATED, Site

pytestmark = pytest.mark.slow("exports and imports against registries that refuse")

SPDX = "application/spdx+json"
WEB = images.image([images.layer("web")])
SBOM = images.artifact(WEB, SPDX, b"{}")
SIGNATURE = images.cosign_signature(b"payload", "c2ln")
REFUSAL = Reply(400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"unknown artifact type"}]}')
IMMUTABLE = Reply(409, b'{"errors":[{"code":"DENIED","message":"tag is immutable"}]}')


class Desk:
    """A source, a target, and the two machines between them."""

    def __init__(self, root: Path, source: Replica, target: Replica) -> None:
        self.root, self.source, self.target = root, source, target
        self.site = Site.make(root)
        self.list = root / "images.txt"
        self.list.write_text(f"{source.address}/web:1\n")
        self.name = f"{source.address.replace(':', '-')}/web"

    def export(self, *options: object, serial: int = 1) -> subprocess.CompletedProcess[str]:
        fixed = (
            "--stream",
            "prod",
            "--serial",
            serial,
            "--created",
            CREATED,
            "--key",
            self.site.key,
            "--state",
            self.root / "sender",
        )
        return here("export", self.list, "--out", self.root, *fixed, *options)

    def import_(self, *options: object) -> subprocess.CompletedProcess[str]:
        to = ("--to", f"docker://{self.target.address}", "--policy", self.site.policy, "--state", self.root / "receiver")
        return here("import", self.root / "prod-0001", *to, *options)

    def loaded(self) -> dict[str, str]:
        """The tags at the target."""
        return {tag: str(digest) for tag, digest in self.target.tags(self.name).items()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "")
    with Replica() as source, Replica() as target:
        source.push("web", WEB, "1")
        source.push("web", SBOM)
        source.push("web", SIGNATURE, digest_tag(WEB.digest, ".sig"))
        yield Desk(tmp_path, source, target)


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def refuses_referrers(key: str, manifest: Manifest) -> Reply | None:
    return REFUSAL if manifest.subject is not None else None


@pytest.mark.smoke("import")
def test_target_that_refuses_an_artifact_keeps_nothing_else_out_and_later_the_rest_comes(desk: Desk) -> None:
    facts(desk.export("--json"))
    desk.target.refuse = refuses_referrers
    failed(desk.import_(), NETWORK, f"referrer {SBOM.digest} ({SPDX})", "--without referrers", "unknown artifact type")
    assert desk.loaded() == {}, "no name moved"
    previewed = facts(desk.import_("--without", "referrers", "--dry-run", "--json"))
    done = facts(desk.import_("--without", "referrers", "--json"))
    said = ["attachments left out of this import (--without): 1 referrer"]
    assert previewed["without"] == done["without"] == {"referrer": 1}
    assert previewed["remarks"] == done["remarks"] == said
    assert desk.loaded() == {"1": WEB.digest, digest_tag(WEB.digest, ".sig"): SIGNATURE.digest}
    history = here("history", "--state", desk.root / "receiver")
    assert f"docker://{desk.target.address} without referrer,referrers-tag: loaded 1 image" in history.stdout
    assert facts(desk.import_("--without", "referrers", "--json"))["already_there"] is True
    desk.target.refuse = lambda key, manifest: None
    rest = facts(desk.import_("--json"))
    assert (rest["already_there"], rest["without"]) == (False, {})
    assert [one.digest for one in desk.target.referring(desk.name, WEB.digest)] == [SBOM.digest]


def test_tag_that_somebody_else_has_at_the_target_stops_before_names_move(desk: Desk) -> None:
    facts(desk.export("--json"))
    desk.target.without_api = {desk.name}
    stranger = images.multi_arch("stranger")
    desk.target.push(desk.name, stranger, digest_tag(WEB.digest))
    failed(desk.import_(), NETWORK, "the fallback tag for referrers is in use", "--without referrers")
    assert desk.loaded() == {digest_tag(WEB.digest): stranger.digest}
    facts(desk.import_("--without", "referrers", "--json"))
    assert desk.loaded()[digest_tag(WEB.digest)] == stranger.digest
    assert desk.loaded()["1"] == WEB.digest


def test_immutable_signature_tag_is_told_with_advice_about_signatures(desk: Desk) -> None:
    facts(desk.export("--json"))
    tag = digest_tag(WEB.digest, ".sig")
    desk.target.refuse = lambda key, manifest: REFUSAL if key == tag else None
    failed(desk.import_(), NETWORK, "--without cosign-signature", tag)
    assert desk.loaded() == {}
    facts(desk.import_("--without", "signatures", "--json"))
    assert desk.loaded() == {"1": WEB.digest}


def test_immutable_fallback_tag_is_told_with_advice_about_referrers(desk: Desk) -> None:
    facts(desk.export("--json"))
    desk.target.without_api = {desk.name}
    tag = digest_tag(WEB.digest)
    desk.target.refuse = lambda key, manifest: IMMUTABLE if key == tag else None
    failed(desk.import_(), NETWORK, "--without referrers", tag, "immutable")
    assert desk.loaded() == {}
    facts(desk.import_("--without", "referrers", "--json"))
    assert desk.loaded()["1"] == WEB.digest


def test_everything_hanging_can_be_left_out_and_a_kind_that_is_none_is_a_mistake(desk: Desk) -> None:
    facts(desk.export("--json"))
    assert facts(desk.import_("--without", "all", "--json"))["without"] == {"cosign-signature": 1, "referrer": 1}
    assert desk.loaded() == {"1": WEB.digest}
    failed(desk.import_("--without", "sboms"), USAGE, "not a valid attachment kind", "referrers, signatures, all", hint=False)


@pytest.mark.smoke("export")
def test_source_that_forbids_lists_of_referrers_is_told_and_exported_without_them(desk: Desk) -> None:
    for one in (WEB, SIGNATURE, SBOM):
        desk.source.special[f"GET /v2/web/referrers/{one.digest}"] = FORBIDDEN
    failed(desk.export(), NETWORK, "but not their referrers", "--no-referrers-api", "--without referrers")
    done = facts(desk.export("--without", "referrers", "--json"))
    missed = "(a site that demands attestations will refuse what lacks them)"
    assert done["remarks"] == [f"not requested: referrer of {desk.source.address}/web:1 {missed}"]
    tags_alone = facts(desk.export("--no-referrers-api", desk.source.address, "--json", serial=2))
    assert tags_alone["remarks"] == [f"the referrers API of {desk.source.address}/web was not used (--no-referrers-api)"]
    lock = desk.root / "images.lock"
    here("resolve", desk.list, "--lock", lock, "--without", "referrers")
    plain = here("plan", lock)
    assert f"note         not requested: referrer of {desk.source.address}/web:1" in plain.stdout


def test_what_is_left_out_is_judged_by_all_the_same(desk: Desk) -> None:
    vendor = Key()
    (desk.root / "vendor.pub").write_bytes(vendor.pem)
    payload = cosign_payload(WEB.manifest.raw, f"{desk.source.address}/web:1")
    signed = images.cosign_signature(payload, base64.b64encode(vendor.sign(payload)).decode())
    desk.source.push("web", signed, digest_tag(WEB.digest, ".sig"))
    policy = json.loads(desk.site.policy.read_bytes())
    policy["transports"]["docker"] = {"": [{"type": "sigstoreSigned", "keyPath": str(desk.root / "vendor.pub")}]}
    desk.site.policy.write_text(json.dumps(policy))
    facts(desk.export("--json"))
    facts(desk.import_("--without", "signatures", "--json"))
    assert desk.loaded() == {"1": WEB.digest}
    facts(desk.export("--without", "signatures", "--json", serial=2))
    (desk.root / "prod-0002").rename(desk.root / "prod-0001.other")
    bundle = desk.root / "prod-0001.other"
    fixed = ("--to", f"docker://{desk.target.address}", "--policy", desk.site.policy, "--state", desk.root / "other")
    failed(here("import", bundle, "--without", "signatures", *fixed), REFUSED, "signature")


def test_a_watched_directory_leaves_out_what_it_was_told_to(desk: Desk) -> None:
    facts(desk.export("--json"))
    (desk.root / "drop").mkdir()
    (desk.root / "prod-0001").rename(desk.root / "drop/prod-0001")
    desk.target.refuse = refuses_referrers
    with State(desk.root / "receiver"):
        pass
    to = ("--to", f"docker://{desk.target.address}", "--policy", desk.site.policy, "--state", desk.root / "receiver")
    watched = ("watch", desk.root / "drop", *to, "--once", "--settle", "0")
    assert here(*watched).returncode == NETWORK
    assert here(*watched, "--without", "referrers").returncode == 0
    assert desk.loaded() == {"1": WEB.digest, digest_tag(WEB.digest, ".sig"): SIGNATURE.digest}
    result = json.loads((desk.root / "drop/prod-0001.result.json").read_text())
    assert result["without"] == {"referrer": 1}


@pytest.mark.parametrize("way", ["api", "tag"])
def test_referrer_that_the_source_lists_and_lacks_is_told_with_what_leaves_it_out(desk: Desk, way: str) -> None:
    if way == "tag":
        desk.source.without_api = {"web"}
        desk.source.push("web", images.fallback_index([SBOM]), digest_tag(WEB.digest))
    else:
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [SBOM.descriptor.to_json()]}
        listed = Reply(200, json.dumps(index).encode(), headers={"Content-Type": media.OCI_INDEX})
        desk.source.special[f"GET /v2/web/referrers/{WEB.digest}"] = listed
    del desk.source.manifests["web", SBOM.digest]
    done = desk.export()
    failed(done, NETWORK, "a listed referrer is missing there", SBOM.digest, "--without referrers", "attachments: in the list")
    assert "bundle" not in done.stderr
    facts(desk.export("--without", "referrers", "--json"))
    desk.list.write_text(f"images:\n- {{name: '{desk.source.address}/web:1', attachments: [cosign-signature]}}\n")
    facts(desk.export("--json", serial=2))


@pytest.mark.parametrize("status", [400, 404, 500])
def test_registry_that_checks_foreign_layers_is_told_with_the_layers_and_the_ways_out(desk: Desk, status: int) -> None:
    foreign = images.content(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    windows = images.image([foreign, images.layer("windows")], platform="windows/amd64")
    both = images.index([images.image([images.layer("linux")]), windows])
    desk.source.push("web", both, "2")
    desk.list.write_text(f"{desk.source.address}/web:2\n")
    facts(desk.export("--json"))
    unknown = Reply(status, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}')
    desk.target.refuse = lambda key, manifest: unknown if manifest.digest == windows.digest else None
    layer = foreign.descriptor.digest
    failed(desk.import_(), NETWORK, "checks foreign layers", layer, "validation.manifests.urls.allow", "--platform linux/amd64")
    assert desk.loaded() == {}
    facts(desk.import_("--platform", "linux/amd64", "--json"))
    assert list(desk.loaded()) == ["2"]
