"""For which images a signature without a name is enough: scopes as in a policy, and no scope that matches by accident."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.scopes import requirements_for_image
from airgap.trust.policy.unnamed import Permission, UnnamedSignatures, asks_for_sigstore

DIGEST = "sha256:" + "0" * 64
_PATHS = ("", "/acme", "/acme/app", "/acme/app:1", "/acme/app:2", "/acme/application", f"/acme/app@{DIGEST}", "/acme/app/web:1")
_SCOPES = ["", "*.io", "*.example", *(host + path for host in ("ghcr.io", "a.example", "a.example:5000") for path in _PATHS)]
_IMAGES = [scope for scope in _SCOPES if "/" in scope and ":" in scope.rpartition("/")[2]]


def scope_of(image: str, *texts: str) -> str | None:
    return UnnamedSignatures.parse(texts).permission(Reference.parse(image)).scope


@given(st.dictionaries(st.sampled_from(_SCOPES), st.booleans()), st.sampled_from(_IMAGES))
def test_scopes_match_as_those_of_a_policy_do(scopes: dict[str, bool], image: str) -> None:
    types = {True: [{"type": "insecureAcceptAnything"}], False: [{"type": "reject"}]}
    policy = {"default": types[False], "transports": {"docker": {scope: types[value] for scope, value in scopes.items()}}}
    selected = requirements_for_image(parse_policy(json.dumps(policy).encode()), Reference.parse(image))
    found = UnnamedSignatures.parse(UnnamedSignatures(scopes).texts).permission(Reference.parse(image))
    assert found.scope == (selected.scope if selected.transport else None)
    assert found.accepted == (found.scope is not None and scopes[found.scope])


def test_nothing_is_permitted_where_no_scope_says_so() -> None:
    assert UnnamedSignatures().permission(Reference.parse("ghcr.io/acme/app:1")) == Permission()
    assert Permission().label == "no scope of unnamed-signatures covers the image"


def test_every_image_is_permitted_but_for_scopes_that_are_taken_back() -> None:
    everywhere = UnnamedSignatures.parse(["ghcr.io/acme=false", "ghcr.io/acme/app"], everywhere=True)
    accepted = {image: everywhere.permission(Reference.parse(image)).accepted for image in ("quay.io/x/y:1", "ghcr.io/acme/web:1")}
    assert accepted == {"quay.io/x/y:1": True, "ghcr.io/acme/web:1": False}
    assert everywhere.permission(Reference.parse("ghcr.io/acme/app:1")) == Permission(accepted=True, scope="ghcr.io/acme/app")


def test_scope_of_an_image_by_digest_is_its_repository_or_the_digest() -> None:
    image = f"ghcr.io/acme/app@{DIGEST}"
    assert scope_of(image, "ghcr.io/acme/app") == "ghcr.io/acme/app"
    assert scope_of(image, "ghcr.io/acme/app", image) == image
    assert scope_of(image, "ghcr.io/acme/app:1") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "got: nothing"),
        ("ghcr.io/acme=yes", "SCOPE or SCOPE=false"),
        ("ghcr.io/acme=", "SCOPE or SCOPE=false"),
        ("GHCR.io/acme", "write ghcr.io/acme"),
        ("ghcr.io/acme/", "write ghcr.io/acme"),
        ("https://ghcr.io/acme=false", "write ghcr.io/acme"),
        ("index.docker.io", "write docker.io"),
        ("busybox", "no complete image name"),
        ("*.example/acme", "without a path"),
        ("*", "whole first label"),
        ("ghcr.io/acme/*", "whole first label"),
        (f"ghcr.io/acme/app:1@{DIGEST}", "not both"),
    ],
)
def test_scope_that_could_never_match_is_a_mistake(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        UnnamedSignatures.parse([text])
    assert says in str(raised.value)


def test_one_scope_cannot_say_both() -> None:
    with pytest.raises(UsageError, match="contradict"):
        UnnamedSignatures.parse(["ghcr.io/acme", "ghcr.io/acme=false"])
    assert UnnamedSignatures.parse(["ghcr.io/acme", "ghcr.io/acme=true"]).texts == ["ghcr.io/acme=true"]


@pytest.mark.parametrize(
    ("scope", "asks"),
    [
        ("ghcr.io/acme", True),
        ("ghcr.io", True),
        ("ghcr.io/acme/app", True),
        ("", True),
        ("quay.io", False),
        ("ghcr.io/other", False),
        ("*.example", True),
        ("*.com", False),
    ],
)
def test_permission_matters_where_the_policy_asks_for_sigstore(scope: str, asks: bool) -> None:
    signed, reject = [{"type": "sigstoreSigned", "keyData": "eA=="}], [{"type": "reject"}]
    scopes = {"ghcr.io/acme": signed, "reg.example": signed, "": reject}
    policy = parse_policy(json.dumps({"default": reject, "transports": {"docker": scopes}}).encode())
    assert asks_for_sigstore(policy, scope) is asks
