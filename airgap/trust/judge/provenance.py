"""What a signed attestation states: its subjects, its predicate type and, of SLSA provenance, builder and source (pure).

Sources: in-toto Statement v1 and v0.1; SLSA provenance v1 (``runDetails.builder.id``, ``buildDefinition``) and v0.2
(``builder.id``, ``invocation.configSource``, ``materials``), https://slsa.dev/spec/v1.0/provenance#schema and
https://slsa.dev/spec/v0.2/provenance#schema; what builders put into ``externalParameters`` is said by their build types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.judge.sigstorebundle import STATEMENTS
from airgap.trust.policy.demands import SLSA_V02, SLSA_V1, repository_of

_STATEMENT = ("_type", "subject", "predicateType", "predicate")
#: Where the parameters of a build state its source: an object, and the field in it.
_PARAMETERS = {"workflow": "repository", "configSource": "uri", "source": "uri"}
#: Tekton Chains names the definition of a build where others name its source, so only its inputs count (Chains, ``slsa/v2.md``).
_TEKTON = ("tekton.dev/", "https://tekton.dev/", "https://chains.tekton.dev/")
#: Its dependencies that are definitions. ``config/...`` is written so in some versions of that page.
_DEFINITIONS = ("pipeline", "task", "pipelineTask")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is kept of a statement that somebody signed. All of it comes from outside.

    Attributes:
        predicate_type: what it is about.
        digests: the SHA-256 of its subjects, in hex. Their names are not kept: they name files, or repositories of the build.
        builder: of SLSA provenance, the id of the builder; ``""`` if none is stated.
        sources: of SLSA provenance, the repositories that it was built from, without ref.
    """

    predicate_type: str
    digests: frozenset[str]
    builder: str = ""
    sources: tuple[str, ...] = ()


def read_attestation(payload: bytes) -> Statement:
    """Read a signed statement strictly. Of a predicate that is not SLSA provenance nothing is read but that it is JSON.

    Raises:
        Refused: it is malformed, or two parsers could read it differently.
    """
    try:
        statement = strictjson.parse_object(payload, "statement")
        strictjson.refuse_lookalikes(statement, _STATEMENT, "statement")
        kind = strictjson.string(statement.get("_type"), "_type")
        predicate = strictjson.string(statement.get("predicateType"), "predicateType")
        digests = frozenset(_digests(strictjson.array(statement.get("subject"), "subject")))
        if kind not in STATEMENTS:
            raise Refused("the signed payload is not an in-toto statement", expected=STATEMENTS[0], got=printable(kind, 120))
        read = _READERS.get(predicate)
        if read is None:
            return Statement(predicate, digests)
        builder, sources = read(strictjson.mapping(statement.get("predicate"), "predicate"))
    except Damaged as error:
        where = f"{error.where}: " if error.where else ""
        raise Refused(f"the attestation is malformed: {printable(where, 200)}{error.what}", got=error.got) from error
    return Statement(predicate, digests, builder, tuple(dict.fromkeys(repository_of(uri) for uri in sources if uri)))


def _digests(subjects: list[Any]) -> Iterator[str]:
    for item in subjects:
        subject = strictjson.mapping(item, "subject")
        strictjson.refuse_lookalikes(subject, ("digest",), "subject")
        digests = strictjson.mapping(subject.get("digest"), "subject digest")
        strictjson.refuse_lookalikes(digests, ("sha256",), "subject digest")
        if sha256 := strictjson.string(digests.get("sha256", ""), "sha256"):
            yield sha256


def _version_1(predicate: dict[str, Any]) -> tuple[str, list[str]]:
    """Builder and sources of SLSA provenance v1."""
    definition = _object(predicate, "buildDefinition", ("buildDefinition", "runDetails"))
    details = _object(predicate, "runDetails", ("buildDefinition", "runDetails"))
    builder = _id(_object(details, "builder", ("builder",)))
    fields = ("buildType", "externalParameters", "resolvedDependencies")
    outside = _object(definition, "externalParameters", fields)
    if _is_tekton(definition):
        return builder, [uri for uri, name in _dependencies(definition, "resolvedDependencies", fields) if not _defines(name)]
    stated = list(_in_parameters(outside))
    return builder, stated or [uri for uri, _ in _dependencies(definition, "resolvedDependencies", fields)]


def _version_02(predicate: dict[str, Any]) -> tuple[str, list[str]]:
    """Builder and sources of SLSA provenance v0.2."""
    fields = ("builder", "buildType", "invocation", "materials")
    builder = _id(_object(predicate, "builder", fields))
    config = _object(_object(predicate, "invocation", fields), "configSource", ("configSource",))
    uri = "" if _is_tekton(predicate) else _text(config, "uri")
    return builder, [uri] if uri else [used for used, _ in _dependencies(predicate, "materials", fields)]


def _in_parameters(outside: dict[str, Any]) -> Iterator[str]:
    """The source where build types of GitHub, of its generators, of BuildKit and of GitLab state it: all that are there.

    What else is in the parameters is the build type's own, so a field of another form is ``""``: it states no source, and yet no
    dependency takes its place.
    """
    strictjson.refuse_lookalikes(outside, _PARAMETERS, "externalParameters")
    for name, inner in _PARAMETERS.items():
        value = outside.get(name)
        if isinstance(value, dict):
            strictjson.refuse_lookalikes(value, (inner,), name)
            value = value.get(inner)
        elif name != "source":  # GitLab's is the URL itself
            value = None
        if name in outside:
            yield value if isinstance(value, str) else ""


def _dependencies(holder: dict[str, Any], name: str, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The git repositories among what the build used, and what they are called."""
    strictjson.refuse_lookalikes(holder, known, name)
    found = holder.get(name)
    for item in [] if found is None else strictjson.array(found, name):
        used = strictjson.mapping(item, name)
        uri, called = _text(used, "uri"), _text(used, "name")
        if uri.startswith("git+"):
            yield uri, called


def _defines(name: str) -> bool:
    return name in _DEFINITIONS or name.startswith("config/")


def _is_tekton(holder: dict[str, Any]) -> bool:
    return _text(holder, "buildType").startswith(_TEKTON)


def _id(builder: dict[str, Any]) -> str:
    return _text(builder, "id")


def _object(holder: dict[str, Any], name: str, known: tuple[str, ...]) -> dict[str, Any]:
    """An object in another, empty if there is none; ``known`` are the names that are read there. Raises ``Damaged``."""
    strictjson.refuse_lookalikes(holder, known, name)
    value = holder.get(name)
    return {} if value is None else strictjson.mapping(value, name)


def _text(holder: dict[str, Any], name: str) -> str:
    """A text, ``""`` if there is none. Raises ``Damaged``."""
    strictjson.refuse_lookalikes(holder, (name,), name)
    value = holder.get(name)
    return "" if value is None else strictjson.string(value, name)


_READERS = {SLSA_V1: _version_1, SLSA_V02: _version_02}
