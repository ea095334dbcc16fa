"""Ours and skopeo agree on generated policies, references and GPG signatures: a sample of what scripts/differential runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.differential import ACCEPTED, BAD, DIFFERENCES, REJECTED, Difference, Judges, check_range
from tests.support.policycases import Blob, Case, dump, make, pairs
from tests.support.signatureforms import Forge, open_forge
from tests.support.tools import require

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

NAME = "example.com/ns/repo:tag"
REJECT = [{"type": "reject"}]
SIGNED: dict[str, Any] = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "@vendor@"}
SEED, CASES, PARTS = 2026, 200, 8


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    require("skopeo")
    with open_forge() as opened:
        yield opened


@pytest.mark.parametrize("part", range(PARTS))
def test_policy_decisions_are_those_of_skopeo_or_differ_as_written_down(forge: Forge, part: int) -> None:
    outcomes = check_range(forge, SEED, range(part, CASES, PARTS))
    reports = [outcome.report for outcome in outcomes if outcome.report]
    assert not reports, "\n\n".join(reports)
    assert {outcome.ours for outcome in outcomes} == {ACCEPTED, BAD, REJECTED}


def wanting(**changes: Any) -> dict[str, Any]:
    """A policy that wants a signature of the vendor."""
    requirement = {name: value for name, value in {**SIGNED, **changes}.items() if value is not None}
    return {"default": REJECT, "transports": {"docker": {"example.com": [requirement]}}}


def with_scope(transport: str, scope: str) -> dict[str, Any]:
    policy = wanting()
    policy["transports"][transport] = {scope: REJECT}
    return policy


def with_requirement(**fields: Any) -> dict[str, Any]:
    policy = wanting()
    policy["transports"]["docker"]["x.example"] = [{"type": "sigstoreSigned", **fields}]
    return policy


def with_name(name: str) -> dict[str, Any]:
    policy = wanting()
    other = {**SIGNED, "signedIdentity": {"type": "exactReference", "dockerReference": name}}
    policy["transports"]["docker"]["x.example"] = [other]
    return policy


def with_key_data(value: object) -> dict[str, Any]:
    policy = wanting()
    policy["transports"]["docker"]["x.example"] = [{"type": "signedBy", "keyType": "GPGKeys", "keyData": value}]
    return policy


POLICIES = {
    "not-unicode": dump(pairs(wanting())).replace(b'"example.com"', b'"x\xff":[{"type":"reject"}],"example.com"'),
    "respelled": with_scope("docker", "QUAY.IO"),
    "not-a-stream": with_scope("airgap", "Prod/Site"),
    "atomic-scope": with_scope("atomic", "h/a/b/c"),
    "empty-path": with_requirement(keyPath=""),
    "sha384-name": with_name(f"x.example/y@sha384:{'0' * 96}"),
    "byte-list": with_key_data([1, 2, 3]),
    "long-port": with_name("x.example:5000000/y:1"),
    "newer-field": with_requirement(keyPaths=["/x"]),
}
ODD_BLOBS = {
    "garbage": (Blob(reference=NAME), Blob(form="garbage")),
    "subkey": (Blob("team", NAME),),
    "sha384-name": (Blob(reference=f"example.com/ns/repo@sha384:{'0' * 96}"),),
}


def shown(difference: Difference) -> Case:
    """A case in which a difference shows."""
    name = difference.name
    blobs: tuple[Blob, ...] = (Blob(reference=NAME),)
    policy: Any = wanting()
    if difference.subject == "policy":
        policy = POLICIES[name]
    elif difference.subject == "key":
        policy = wanting(keyPath=None, keyPaths=["@vendor@", "@not-a-key@"])
    else:
        keys = {"keyPath": "@team@"} if name == "subkey" else {}
        policy = wanting(**keys, signedIdentity={"type": "matchRepository"})
        blobs = ODD_BLOBS.get(name, (Blob(reference=NAME, form=name),))
    return Case(policy if isinstance(policy, bytes) else dump(pairs(policy)), NAME, blobs, frozenset([name]))


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda found: f"{found.subject}-{found.name}")
def test_every_difference_that_is_written_down_is_there(forge: Forge, difference: Difference) -> None:
    with Judges(forge) as judges:
        outcome = judges.compare(shown(difference))
    assert outcome.difference == difference, outcome


def test_a_seed_always_makes_the_same_cases() -> None:
    assert [make(SEED, number) for number in range(40)] == [make(SEED, number) for number in range(40)]
    assert make(SEED, 0) != make(SEED + 1, 0)
