"""Scope selection and identity matching."""

from __future__ import annotations

import pytest

from airgap.errors import Refused, UsageError
from airgap.oci.reference import Reference
from airgap.trust.policy import requirements as r
from airgap.trust.policy.document import Policy
from airgap.trust.policy.identity import SignedName, accepts
from airgap.trust.policy.scopes import (
    image_scopes,
    requirements_for_image,
    requirements_for_stream,
)

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64


def marked(scope: str) -> r.Requirements:
    return (r.SignedBy("GPGKeys", r.KeySource(paths=(scope,))),)


def policy(**transports: tuple[str, ...]) -> Policy:
    return Policy((r.Reject(),), {name: {scope: marked(scope) for scope in scopes} for name, scopes in transports.items()})


DEEP = policy(
    docker=("", "unmatched", "deep.com", "*.very.deep.com", "*.deep.com", "deep.com/n1", "deep.com/n1/n2", "deep.com/n1/n2/n3",
            "deep.com/n1/n2/n3/repo", "deep.com/n1/n2/n3/repo:tag2"),
    atomic=("unmatched",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "scope"),
    [
        pytest.param("deep.com/n1/n2/n3/repo:tag2", "deep.com/n1/n2/n3/repo:tag2", id="31"),
        pytest.param("deep.com/n1/n2/n3/repo:nottag2", "deep.com/n1/n2/n3/repo", id="32"),
        pytest.param("deep.com/n1/n2/n3/notrepo:tag2", "deep.com/n1/n2/n3", id="33"),
        pytest.param("deep.com/notn1/n2/n3/repo:tag2", "deep.com", id="34"),
        pytest.param("very.deep.com/n1/n2/n3/repo:tag2", "*.deep.com", id="35"),
        pytest.param("not.very.deep.com/n1/n2/n3/repo:tag2", "*.very.deep.com", id="36"),
        pytest.param("this.does-not/match:anything", "", id="37"),
        pytest.param(f"deep.com/n1/n2/n3/repo@{DIGEST}", "deep.com/n1/n2/n3/repo", id="digest"),
    ],
)
def test_the_most_specific_scope_wins(reference: str, scope: str) -> None:
    selected = requirements_for_image(DEEP, Reference.parse(reference))
    assert (selected.transport, selected.scope, selected.requirements) == ("docker", scope, marked(scope))


def test_38_without_a_matching_scope_the_default_applies() -> None:
    selected = requirements_for_image(DEEP, Reference.parse("deep.com/n1:1"), "atomic")
    assert (selected.label, selected.requirements) == ("default", (r.Reject(),))


def test_39_the_scopes_of_a_reference_from_narrow_to_wide() -> None:
    assert list(image_scopes(Reference.parse("yet.another.example.com:8443/ns/repo"))) == [
        "yet.another.example.com:8443/ns/repo:latest",
        "yet.another.example.com:8443/ns/repo",
        "yet.another.example.com:8443/ns",
        "yet.another.example.com:8443",
        "*.another.example.com",
        "*.example.com",
        "*.com",
    ]
    assert list(image_scopes(Reference.parse("busybox"))) == [
        "docker.io/library/busybox:latest", "docker.io/library/busybox", "docker.io/library", "docker.io", "*.io",
    ]  # fmt: skip
    assert list(image_scopes(Reference.parse("localhost/x:1"))) == ["localhost/x:1", "localhost/x", "localhost"]


def test_40_a_reference_with_tag_and_digest_has_no_scope() -> None:
    with pytest.raises(UsageError):
        requirements_for_image(DEEP, Reference.parse(f"deep.com/x:1@{DIGEST}"))


@pytest.mark.parametrize(
    ("scope", "reference"),
    [
        ("very.example.com", "sub.very.example.com/testing/manifest:latest"),
        ("*.sub.very.example.com", "sub.very.example.com/testing/manifest:latest"),
        ("*example.com", "sub.very.example.com/testing/manifest:latest"),
        ("*.very.example.com/testing", "sub.very.example.com/testing/manifest:latest"),
        ("sub.very.example.com/test", "sub.very.example.com/testing/manifest:latest"),
        ("sub.very.example.com", "sub.very.example.com:5000/testing/manifest:latest"),
        ("testing/manifest", "testing/manifest:latest"),
        ("Sub.very.example.com", "sub.very.example.com/testing/manifest:latest"),
    ],
    ids=lambda text: f"41-{text}",
)
def test_41_near_misses_do_not_match(scope: str, reference: str) -> None:
    assert requirements_for_image(policy(docker=(scope,)), Reference.parse(reference)).label == "default"


@pytest.mark.parametrize(
    ("scopes", "stream", "label"),
    [
        (("", "prod"), "prod", 'transports.airgap["prod"]'),
        (("", "prod"), "prod-2", 'transports.airgap[""]'),
        (("prod",), "pro", "default"),
        ((), "prod", "default"),
    ],
)
def test_a_stream_is_judged_by_its_own_scope_then_the_empty_one(scopes, stream, label) -> None:
    assert requirements_for_stream(policy(airgap=scopes), stream).label == label


def test_a_stream_with_a_bad_name_is_refused() -> None:
    with pytest.raises(Refused):
        requirements_for_stream(policy(airgap=("",)), "../x")


IDENTITIES = [
    # vector, intended, signed, matchExact, matchRepoDigestOrExact, matchRepository
    (42, "busybox:latest", "docker.io/library/busybox:latest", True, True, True),
    (43, "busybox:latest", "busybox:notlatest", False, False, True),
    (44, "busybox:latest", "notbusybox:latest", False, False, False),
    (45, f"busybox@{DIGEST}", "busybox:latest", False, True, True),
    (46, f"busybox@{DIGEST}", f"busybox@{OTHER}", False, True, True),
    (47, "busybox:latest", f"busybox@{DIGEST}", False, False, True),
    (48, "busybox:latest", "busybox", False, False, True),
    (49, f"busybox@{DIGEST}", "busybox", False, False, True),
    (50, f"busybox:latest@{DIGEST}", "busybox:latest", False, False, True),
    (51, f"busybox:latest@{DIGEST}", f"busybox:latest@{DIGEST}", True, True, True),
    (52, None, "", False, False, False),
    (53, "busybox:latest", "UPPERCASEISINVALIDINREFERENCES", False, False, False),
    (53, "busybox:latest", "busybox:latest\n", False, False, False),
    (53, "busybox:latest", "a" * 64, False, False, False),
]


@pytest.mark.parametrize(("vector", "intended", "signed", "exact", "default", "repository"), IDENTITIES)
def test_identity_matches(vector, intended, signed, exact, default, repository) -> None:
    wanted = None if intended is None else Reference.parse(intended)
    assert accepts(r.MatchExact(), wanted, signed) is exact
    assert accepts(r.MatchRepoDigestOrExact(), wanted, signed) is default
    assert accepts(None, wanted, signed) is default
    assert accepts(r.MatchRepository(), wanted, signed) is repository


@pytest.mark.parametrize(("vector", "configured", "signed", "exact", "_", "repository"), [row for row in IDENTITIES if row[1]])
def test_exact_reference_and_repository_ignore_what_was_asked_for(vector, configured, signed, exact, _, repository) -> None:
    for intended in (None, Reference.parse("other.example/x:1")):
        assert accepts(r.ExactReference(configured), intended, signed) is exact
        assert accepts(r.ExactRepository(configured), intended, signed) is repository


@pytest.mark.parametrize(
    ("prefix", "signed_prefix", "intended", "signed", "accepted"),
    [
        pytest.param("mirror.example", "public.com", "mirror.example/busybox:1", "public.com/busybox:1", True, id="54"),
        pytest.param("mirror.example", "public.com", "mirror.example/busybox:1", "public.com/busybox:not1", False, id="55"),
        pytest.param("mirror.example", "docker.io/library", "mirror.example/busybox:latest", "busybox:latest", True, id="56"),
        pytest.param("does-not-match.com", "x.com", "busybox:latest", "busybox:latest", True, id="57"),
        pytest.param("example.com/ns", "x.com", "example.com/ns2/image:1", "example.com/ns2/image:1", True, id="58"),
        pytest.param("example.com", "x.com", "example.com:5000/image:1", "x.com:5000/image:1", False, id="59"),
        pytest.param("mirror.example", "x.com", "prefixmirror.example/image:1", "x.com/image:1", False, id="60"),
        pytest.param("m.example/x", "vendor.example:5000", f"m.example/x@{DIGEST}", "vendor.example:5000/x:1", False, id="61"),
        pytest.param("mirror.example/ns/image", "notlocalhost", "mirror.example/ns/image:tag", "notlocalhost:tag", False, id="62"),
        pytest.param("m.example/n", "v.example/x", f"m.example/n/image@{DIGEST}", "v.example/x/image:9", True, id="digest"),
        pytest.param("shortname", "x.com", "shortname:1", "x.com:1", False, id="27"),
    ],
)  # fmt: skip
def test_remap_identity(prefix, signed_prefix, intended, signed, accepted) -> None:
    assert accepts(r.RemapIdentity(prefix, signed_prefix), Reference.parse(intended), signed) is accepted


def test_canonical_names_are_complete_as_they_stand() -> None:
    assert str(SignedName.parse_canonical("docker.io/library/x:1")) == "docker.io/library/x:1"
    for short in ("x", "library/x:1", "docker.io/x:1", "index.docker.io/library/x:1"):
        with pytest.raises(UsageError):
            SignedName.parse_canonical(short)
