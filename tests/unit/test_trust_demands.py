"""Which attestations a site demands: read strictly, scopes as in a policy, and comparisons that widen nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.trust.policy.demands import Demand, Demanded, Demands, meets, repository_of
from airgap.trust.policy.document import parse_policy

APP = "https://github.com/acme/app"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GITHUB = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"


def of(image: str, *texts: str) -> Demanded:
    return Demands.parse(texts).of(Reference.parse(image))


def test_narrowest_scope_decides_alone_and_an_exempt_one_demands_nothing() -> None:
    texts = ("ghcr.io/acme=slsa", "ghcr.io/acme=spdx", "ghcr.io/acme/app=vuln", "ghcr.io/acme/old=false", "=cyclonedx")
    assert of("ghcr.io/acme/web:1", *texts) == Demanded((Demand("slsa"), Demand("spdx")), "ghcr.io/acme")
    assert of("ghcr.io/acme/app:1", *texts) == Demanded((Demand("vuln"),), "ghcr.io/acme/app")
    assert of("ghcr.io/acme/old:1", *texts) == Demanded((), "ghcr.io/acme/old")
    assert of("quay.io/x/y:1", *texts) == Demanded((Demand("cyclonedx"),), "")
    assert of("quay.io/x/y:1", *texts[:-1]) == Demanded()
    assert of("quay.io/x/y:1").label == "no scope of attestations covers the image"


def test_demand_has_builder_and_source() -> None:
    text = f"ghcr.io/acme=slsa,builder={GITHUB}@refs/tags/*,source={APP}"
    (demand,) = of("ghcr.io/acme/app:1", text).demands
    assert demand == Demand("slsa", f"{GITHUB}@refs/tags/*", APP)
    assert str(demand) == f"slsa attestation with builder {GITHUB}@refs/tags/* and source {APP}"
    assert of("ghcr.io/acme/app:1", f"ghcr.io/acme=slsa,source={APP},builder=x://y").demands == (Demand("slsa", "x://y", APP),)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "ghcr.io", "ghcr.io/acme", "*.example", "a.example:5000/x"]),
            st.sampled_from(["slsa", "spdx", f"slsa,builder={GITHUB}", f"slsaprovenance1,source={APP}", "https://x.example/t"]),
        )
    )
)
def test_texts_read_the_same_again(rules: list[tuple[str, str]]) -> None:
    demands = Demands.parse([f"{scope}={text}" for scope, text in rules])
    assert Demands.parse(demands.texts) == demands
    assert set(demands.texts) == {f"{scope}={text}" for scope, text in rules}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing"),
        ("ghcr.io/acme", "SCOPE=TYPE"),
        ("ghcr.io/acme=", "SCOPE=TYPE"),
        ("GHCR.io/acme=slsa", "write ghcr.io/acme"),
        ("acme=false", "matches no image"),
        ("ghcr.io/acme=true", "not a predicate type"),
        ("ghcr.io/acme=SLSA", "not a predicate type"),
        ("ghcr.io/acme=sbom", "slsa, slsaprovenance"),
        ("ghcr.io/acme=https://a b", "not a predicate type"),
        ("ghcr.io/acme=javascript:x", "not a predicate type"),
        ("ghcr.io/acme=,builder=x://y", "not a predicate type"),
        ("ghcr.io/acme=slsa,", "not a field"),
        ("ghcr.io/acme=slsa,bulider=x://y", "not a field"),
        ("ghcr.io/acme=slsa,predicate=spdx", "not a field"),
        ("ghcr.io/acme=slsa,builder=x://y,builder=x://z", "each once"),
        ("ghcr.io/acme=slsa,builder=", "not a builder"),
        ("ghcr.io/acme=slsa,builder=*", "not a builder"),
        ("ghcr.io/acme=slsa,builder=https://*", "only at its end, after / or @"),
        ("ghcr.io/acme=slsa,builder=https://github.com*", "only at its end, after / or @"),
        ("ghcr.io/acme=slsa,builder=https://github.com/acme*", "only at its end, after / or @"),
        ("ghcr.io/acme=slsa,builder=https://github.com/*/x", "only at its end"),
        ("ghcr.io/acme=slsa,builder=https://github.com/**", "only at its end"),
        ("ghcr.io/acme=slsa,source=github.com/acme/app", "not a source"),
        (f"ghcr.io/acme=slsa,source=git+{APP}", f"expected: {APP}"),
        (f"ghcr.io/acme=slsa,source={APP}.git", f"expected: {APP}"),
        (f"ghcr.io/acme=slsa,source={APP}@refs/heads/main", f"expected: {APP}"),
        (f"ghcr.io/acme=slsa,source={APP}#main", f"expected: {APP}"),
        (f"ghcr.io/acme=spdx,source={APP}", "only a SLSA provenance"),
        ("ghcr.io/acme=https://example.com/type,builder=x://y", "only a SLSA provenance"),
        ("ghcr.io/acme=slsa,builder=x://\x1b[31m", "not a builder"),
    ],
)  # fmt: skip
def test_demand_that_nothing_could_meet_is_a_mistake(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        Demands.parse([text])
    assert says in str(raised.value)


def test_scope_cannot_be_exempt_and_not() -> None:
    with pytest.raises(UsageError, match="contradict"):
        Demands.parse(["ghcr.io/acme=false", "ghcr.io/acme=slsa"])
    assert Demands.parse(["ghcr.io/acme=false", "ghcr.io/acme=false"]).texts == ["ghcr.io/acme=false"]


@pytest.mark.parametrize(
    ("word", "types", "others"),
    [
        ("slsa", ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"), ("https://slsa.dev/provenance/v0.1",)),
        ("slsaprovenance", ("https://slsa.dev/provenance/v0.2",), ("https://slsa.dev/provenance/v1",)),
        ("slsaprovenance1", ("https://slsa.dev/provenance/v1",), ("https://slsa.dev/provenance/v1.0",)),
        ("spdx", ("https://spdx.dev/Document", "https://spdx.dev/Document/v2.3"), ("https://spdx.dev/Document/v2.3/x",)),
        ("cyclonedx", ("https://cyclonedx.org/bom", "https://cyclonedx.org/bom/v1.6"), ("https://cyclonedx.org/bomb",)),
        ("vuln", ("https://cosign.sigstore.dev/attestation/vuln/v1",), ("https://cosign.sigstore.dev/attestation/vuln/v1/v2",)),
        ("https://a.example/t", ("https://a.example/t",), ("https://a.example/t/v1", "https://a.example/T")),
    ],
)
def test_predicate_types_are_those_of_cosign_or_exact(word: str, types: tuple[str, ...], others: tuple[str, ...]) -> None:
    assert all(Demand(word).is_type(one) for one in types)
    assert not any(Demand(word).is_type(one) for one in others)


@pytest.mark.parametrize(
    ("pattern", "value", "met"),
    [
        (APP, APP, True),
        (APP, f"{APP}s", False),
        (APP, "https://github.com/acme/App", False),
        (APP, "http://github.com/acme/app", False),
        (APP, f"{APP}/", False),
        ("https://github.com/acme/*", APP, True),
        ("https://github.com/acme/*", "https://github.com/acme/", False),
        ("https://github.com/acme/*", "https://github.com/acme-evil/app", False),
        ("https://github.com/acme/*", "https://github.com/acme/../evil/app", False),
        ("https://github.com/acme/*", "https://github.com/acme/./app", False),
        ("https://github.com/acme/*", "https://github.com/acme//app", False),
        ("https://github.com/acme/*", "https://github.com/acme/%2e%2e/evil", False),
        ("https://github.com/acme/*", "https://github.com/acme/a?b", False),
        ("https://github.com/acme/*", "https://github.com/acme/a\n", False),
        (f"{GITHUB}@refs/tags/*", f"{GITHUB}@refs/tags/v2.0.0", True),
        (f"{GITHUB}@refs/tags/*", f"{GITHUB}@refs/heads/main", False),
        (f"{GITHUB}@*", f"{GITHUB}@refs/tags/../heads/x", False),
        ("x://y", "", False),
    ],
)
def test_comparison_is_exact_but_for_a_plain_end(pattern: str, value: str, met: bool) -> None:
    assert meets(pattern, value) is met


@pytest.mark.parametrize(
    ("stated", "repository"),
    [
        (f"git+{APP}@refs/heads/main", APP),
        (f"git+{APP}@refs/heads/a@b", APP),
        (f"git+{APP}.git@{COMMIT}", APP),
        (f"{APP}.git#refs/tags/v1:sub", APP),
        (f"{APP}@{COMMIT}{COMMIT[:24]}", APP),
        (f"git+{APP}.git", APP),
        ("git+ssh://git@github.com/acme/app.git", "ssh://git@github.com/acme/app"),
        (f"{APP}@v1", f"{APP}@v1"),
        (f"{APP}@{COMMIT[:20]}", f"{APP}@{COMMIT[:20]}"),
        (f"{APP}@refs/../../evil/app", f"{APP}@refs/../../evil/app"),
        (f"{APP}/", f"{APP}/"),
        ("https://GitHub.com/Acme/app", "https://GitHub.com/Acme/app"),
    ],
)
def test_repository_is_what_is_stated_without_scheme_prefix_ref_and_git(stated: str, repository: str) -> None:
    assert repository_of(stated) == repository


def test_demand_where_nothing_can_verify_it_is_a_mistake() -> None:
    signed, reject = [{"type": "sigstoreSigned", "keyData": "eA=="}], [{"type": "reject"}]
    scopes = {"ghcr.io/acme": signed, "": [{"type": "insecureAcceptAnything"}]}
    policy = parse_policy(json.dumps({"default": reject, "transports": {"docker": scopes}}).encode())
    Demands.parse(["ghcr.io=slsa", "ghcr.io/acme/app=spdx", "quay.io=false", "=vuln"]).check(policy)
    with pytest.raises(UsageError, match=r'attestations "quay[.]io"') as raised:
        Demands.parse(["ghcr.io/acme=slsa", "quay.io=slsa"]).check(policy)
    assert "sigstoreSigned" in str(raised.value)
