"""Attacks with images in which there is nothing to judge: they must not pass where an unsigned image would not."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import Refused
from airgap.oci.descriptor import Platform
from airgap.oci.image import digest_tag
from airgap.trust.judge.judging import instances_of, require_all
from airgap.trust.judge.terms import ImageTerms
from airgap.trust.policy.document import parse_policy
from tests.support import images
from tests.support.cli import DAMAGED, REFUSED, failed, here, tree
from tests.support.images import Built
from tests.support.signing import Key, cosign_payload
from tests.support.yard import ACCEPT, REJECT, Yard, key_of

NAME = "docker.io/shop/void:1"


def attestation() -> Built:
    """What BuildKit puts into an index: it is no image, but it is a manifest that is pulled by the index's name."""
    built = images.artifact(None, "application/vnd.in-toto+json", b"{}")
    return replace(built, descriptor=replace(built.descriptor, platform=Platform("unknown", "unknown")))


SHAPES: dict[str, Callable[[], Built]] = {
    "an empty index": lambda: images.index([]),
    "an empty Docker list": lambda: images.index([], docker=True),
    "an index of an empty index": lambda: images.index([images.index([])]),
    "an index of empty indexes, four deep": lambda: images.index([images.index([images.index([images.index([])])])]),
    "an index with attestations only": lambda: images.index([attestation()]),
}


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


@pytest.fixture(params=list(SHAPES))
def void(request: pytest.FixtureRequest, yard: Yard) -> Yard:
    """A yard whose only image has nothing in it that could be pulled."""
    yard.references[:] = [yard.origin.push(NAME, SHAPES[request.param]())]
    return yard


def signed_by(key: Key) -> dict[str, Any]:
    identity = {"type": "matchRepository"}
    return {"type": "sigstoreSigned", "keyData": base64.b64encode(key.pem).decode(), "signedIdentity": identity}


def test_an_index_without_instances_does_not_pass_a_policy_that_rejects(void: Yard) -> None:
    bundle, policy = void.bundle(1), void.policy([key_of(void.sender)], {"": REJECT})
    void.refuses(bundle, "does not accept", policy=policy)
    void.refuses(bundle, "does not accept", policy=policy, options=("--dry-run",))
    failed(here("verify", bundle, "--policy", policy, "--state", void.state, "--json"), REFUSED, "does not accept")


def test_an_index_without_instances_does_not_pass_require_signed(void: Yard) -> None:
    bundle = void.bundle(1)
    void.refuses(bundle, "requires no signature", options=("--require-signed",))
    done = here("verify", bundle, "--policy", void.sender.policy, "--require-signed", "--json")
    failed(done, REFUSED, "requires no signature")


def test_an_index_without_instances_is_not_exported_where_the_policy_rejects(void: Yard) -> None:
    raw = json.dumps({"default": REJECT, "transports": {"docker": {"": REJECT}}}).encode()
    terms = ImageTerms(parse_policy(raw), lambda name: Path(name).read_bytes(), dt.datetime.now(dt.UTC))
    with pytest.raises(Refused, match="does not accept"):
        void.bundle(1, terms=terms)


def test_an_index_without_instances_is_not_taken_by_watch(void: Yard) -> None:
    void.bundle(1)
    policy = void.policy([key_of(void.sender)], {"": REJECT})
    drop, store = void.work / "usb", void.work / "store"
    done = here("watch", drop, "--to", f"oci:{store}", "--policy", policy, "--state", void.state, "--once", "--settle", 0)
    assert done.returncode == REFUSED, done.stdout
    assert "does not accept" in done.stdout
    assert tree(store) == {}


def test_explaining_an_index_without_instances_shows_what_is_judged(void: Yard) -> None:
    bundle, policy = void.bundle(1), void.policy([key_of(void.sender)], {"": REJECT})
    done = here("policy", "explain", NAME, "--policy", policy, "--bundle", bundle, "--json")
    found = json.loads(done.stdout)["images"][0]
    assert (found["accepted"], len(found["instances"])) == (False, 1)


def test_an_empty_index_is_accepted_by_a_signature_on_itself_and_by_no_other(yard: Yard) -> None:
    key, void = Key(), images.index([])
    yard.references[:] = [yard.origin.push(NAME, void)]
    policy = yard.policy([key_of(yard.sender)], {"": [signed_by(key)]})
    yard.refuses(yard.bundle(1), "no sigstore signature exists", policy=policy)
    data = cosign_payload(void.manifest.raw, "docker.io/shop/void")
    signature = images.cosign_signature(data, base64.b64encode(key.sign(data)).decode())
    yard.origin.push(f"docker.io/shop/void:{digest_tag(void.digest, '.sig')}", signature)
    assert yard.takes(yard.bundle(2), policy=policy)["judgements"][0]["instance"] == str(void.digest)


def test_an_empty_index_has_none_of_the_platforms_asked_for(yard: Yard) -> None:
    inner = images.index([images.index([]), images.image([images.layer("x")], platform="linux/amd64")])
    yard.references[:] = [yard.origin.push(NAME, inner)]
    yard.refuses(yard.bundle(1), "none of the requested platforms", options=("--platform", "linux/arm64"))
    yard.references[:] = [yard.origin.push(NAME, images.index([images.index([])]))]
    yard.refuses(yard.bundle(2), "none of the requested platforms", options=("--platform", "linux/arm64"))


def test_nothing_is_imported_partially_where_no_image_is_complete(yard: Yard) -> None:
    yard.references[:] = [yard.origin.push("docker.io/shop/large:1", images.image([images.layer("large", 60_000)]))]
    bundle = yard.bundle(1, volume_size=20_000)
    sorted(bundle.glob("volume-*"))[1].unlink()
    yard.refuses(bundle, "no image is complete", options=("--partial",), code=DAMAGED)


def test_a_policy_that_accepts_lets_an_empty_index_in_and_says_so(yard: Yard) -> None:
    yard.references[:] = [yard.origin.push(NAME, images.index([]))]
    facts = yard.takes(yard.bundle(1), policy=yard.policy([key_of(yard.sender)], {"": ACCEPT}))
    assert [(one["image"], one["accepted"]) for one in facts["judgements"]] == [(NAME, True)]


def test_no_conclusion_is_drawn_from_an_empty_list_of_judgements() -> None:
    with pytest.raises(Refused, match="no image was judged"):
        require_all([])
    root = images.index([]).descriptor
    assert instances_of(root, []) == instances_of(root, [root]) == (root,)
    child = images.image([]).descriptor
    assert instances_of(root, [root, child]) == (child,)
