"""What an attestation states: builder and source where builders write them, and nothing that two parsers could read differently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgap.errors import Refused
from airgap.oci.digest import Digest
from airgap.trust.judge.provenance import read_attestation
from tests.support import attesting
from tests.support.attesting import BUILDER, SLSA_V02, SLSA_V1, SOURCE, generator, github

MANIFEST = b"{}"
GIT = "git+https://github.com/acme/app.git"
TEKTON = "https://tekton.dev/chains/v2/slsa"
LIBRARY = {"uri": "git+https://github.com/other/library@refs/tags/v1"}
TASK = {"uri": "git+https://github.com/tektoncd/catalog.git"}


def v1(outside: Any, dependencies: Any = (), build_type: str = "https://example.com/type") -> bytes:
    definition = {"buildType": build_type, "externalParameters": outside, "resolvedDependencies": dependencies}
    return attesting.statement(MANIFEST, SLSA_V1, github(**definition))


def v02(**predicate: Any) -> bytes:
    return attesting.statement(MANIFEST, SLSA_V02, {**generator(), **predicate})


@pytest.mark.parametrize(
    ("stated", "sources"),
    [
        (attesting.statement(MANIFEST), (SOURCE,)),
        (v02(), (SOURCE,)),
        (v1({"source": {"uri": f"git+{SOURCE}@refs/tags/v1"}}), (SOURCE,)),
        (v1({"source": SOURCE, "entryPoint": "build"}), (SOURCE,)),
        (v1({"configSource": {"uri": f"{SOURCE}.git#refs/tags/v0.11.0", "path": "Dockerfile"}}), (SOURCE,)),
        (v1({"configSource": {"path": "Dockerfile"}}, [LIBRARY]), ()),
        (v1({"workflow": "build.yml"}, [LIBRARY]), ()),
        (v1({"workflow": {"repository": SOURCE}, "source": "https://x.example/y"}), (SOURCE, "https://x.example/y")),
        (v1({}, [{"uri": GIT}, {"uri": "pkg:docker/alpine"}, {"uri": "https://x.example/y.git"}]), (SOURCE,)),
        (v1({}, [{"uri": GIT}, LIBRARY]), (SOURCE, "https://github.com/other/library")),
        (v1({}, [{"uri": GIT, "name": "inputs/result"}, {**TASK, "name": "task"}], TEKTON), (SOURCE,)),
        (v1({}, [{"uri": GIT}, *({**TASK, "name": name} for name in ("pipeline", "pipelineTask", "config/x"))], TEKTON), (SOURCE,)),
        (
            v1({}, [{"uri": GIT, "name": "inputs/result"}, {**TASK, "name": "task"}]),
            (SOURCE, "https://github.com/tektoncd/catalog"),
        ),
        (v1({"source": "https://x.example/y"}, [{"uri": GIT, "name": "inputs/result"}], TEKTON), (SOURCE,)),
        (v1({}, None), ()),
        (v02(invocation={}, materials=[{"uri": GIT}, {"uri": "pkg:docker/alpine"}]), (SOURCE,)),
        (v02(invocation={"configSource": {"entryPoint": "Dockerfile"}}, materials=[{"uri": f"{SOURCE}.git#x"}]), ()),
        (v02(buildType="tekton.dev/v1beta1/TaskRun", invocation={"configSource": TASK}, materials=[{"uri": GIT}]), (SOURCE,)),
        (v02(invocation={"configSource": {"uri": "gcr.io/catalog/git-clone"}}, materials=[]), ("gcr.io/catalog/git-clone",)),
        (v02(invocation=None, materials=None), ()),
    ],
)
def test_source_is_read_where_builders_write_it(stated: bytes, sources: tuple[str, ...]) -> None:
    found = read_attestation(stated)
    assert found.sources == sources
    assert found.builder == BUILDER
    assert found.digests == {Digest.of(MANIFEST).hex}


def test_builder_that_is_not_stated_is_empty() -> None:
    assert read_attestation(v02(builder={})).builder == ""
    assert read_attestation(attesting.statement(MANIFEST, predicate={"buildDefinition": {}, "runDetails": {}})).builder == ""
    assert read_attestation(attesting.statement(MANIFEST, predicate={})).sources == ()


def test_predicate_of_another_type_may_hold_anything() -> None:
    predicates: list[Any] = [{"builder": 7, "Builder": 8}, [], "text", None]
    for predicate in predicates:
        stated = json.dumps({**json.loads(attesting.statement(MANIFEST)), "predicateType": "x", "predicate": predicate}).encode()
        found = read_attestation(stated)
        assert (found.predicate_type, found.builder, found.sources) == ("x", "", ())


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"[" * 100_000, "malformed"),
        (attesting.statement(MANIFEST)[:-1] + b',"predicateType":"x"}', "duplicate"),
        (attesting.statement(MANIFEST, PredicateType="x"), "confuse"),
        (attesting.statement(MANIFEST, Subject=[]), "confuse"),
        (attesting.statement(MANIFEST, predicateType=7), "not a string"),
        (attesting.statement(MANIFEST, _type="https://example.com/x"), "not an in-toto statement"),
        (attesting.statement(MANIFEST, subject=None), "not a list"),
        (attesting.statement(MANIFEST, subject=[7]), "not an object"),
        (attesting.statement(MANIFEST, subject=[{"digest": {"sha256": 7}}]), "not a string"),
        (attesting.statement(MANIFEST, subject=[{"digest": {"SHA256": "0", "sha256": "1"}}]), "confuse"),
        (attesting.statement(MANIFEST, subject=[{"digest": {}, "Digest": {}}]), "confuse"),
        (attesting.statement(MANIFEST, predicate=[]), "not an object"),
        (attesting.statement(MANIFEST, predicate={**github(), "RunDetails": {}}), "confuse"),
        (attesting.statement(MANIFEST, predicate={**github(), "runDetails": {"builder": {"id": "x", "ID": "y"}}}), "confuse"),
        (attesting.statement(MANIFEST, predicate={**github(), "runDetails": {"builder": {"id": 7}}}), "not a string"),
        (attesting.statement(MANIFEST, predicate={**github(), "runDetails": {"builder": "x"}}), "not an object"),
        (v1({"workflow": {"repository": SOURCE, "Repository": "x"}}), "confuse"),
        (v1({"workflow": {"repository": SOURCE}, "Workflow": {}}), "confuse"),
        (v1([]), "not an object"),
        (v1({}, {}), "malformed"),
        (v1({}, ["x"]), "not an object"),
        (v1({}, [{"uri": 7}]), "not a string"),
        (v1({}, [{"uri": GIT, "URI": "x"}]), "confuse"),
        (v02(builder="x"), "not an object"),
        (v02(Builder={}), "confuse"),
        (v02(invocation={"configSource": {"uri": SOURCE, "Uri": "x"}}), "confuse"),
        (v02(invocation={"configSource": {}, "ConfigSource": {}}), "confuse"),
        (v02(buildType=7), "not a string"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(stated: bytes, says: str) -> None:
    with pytest.raises(Refused) as raised:
        read_attestation(stated)
    assert says in str(raised.value)
