"""containers-policy.json(5), parsed strictly and purely: one mistake anywhere rejects the whole file.

Bundles are judged under the transport ``airgap``, whose scopes are stream names; podman and skopeo accept the same file.
Key files are named here but read only when a requirement is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_POLICY
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.policy import identity as names
from airgap.trust.policy.fields import JsonFields, as_list, as_object, as_text, mistake
from airgap.trust.policy.requirements import (
    KEY_TYPES,
    AcceptAnything,
    ExactReference,
    ExactRepository,
    Fulcio,
    KeySource,
    MatchExact,
    MatchRepoDigestOrExact,
    MatchRepository,
    Pki,
    Reject,
    RemapIdentity,
    Requirement,
    Requirements,
    SignedBaseLayer,
    SignedBy,
    SignedIdentity,
    SigstoreSigned,
)
from airgap.trust.policy.scopesyntax import expected_scope, respelled


@dataclass(frozen=True)
class Policy:
    """What a site accepts: requirement lists by transport and scope, and the default for everything else."""

    default: Requirements
    transports: Mapping[str, Mapping[str, Requirements]]

    def requirements(self) -> Iterator[Requirement]:
        """Every requirement, wherever it stands."""
        yield from self.default
        for scopes in self.transports.values():
            for requirements in scopes.values():
                yield from requirements

    @property
    def has_bundle_scope(self) -> bool:
        """Whether the policy says anything of its own about bundles."""
        return bool(self.transports.get("airgap"))


def parse_policy(raw: bytes, source: str = "policy.json") -> Policy:
    """Read a policy.

    Args:
        raw: the content of the file.
        source: the file's name, for messages.

    Raises:
        UsageError: any mistake at all; ``where`` is the file and the JSON path of the mistake.
    """
    try:
        if len(raw) > MAX_POLICY:
            raise mistake("", "the file is too large", expected=f"at most {MAX_POLICY} bytes", got=f"{len(raw)} bytes")
        top = JsonFields(_json(raw), "", ("default", "transports"))
        if "default" not in top:
            raise mistake("", "no default", expected="a list of requirements for everything that no scope covers")
        transports = as_object(top.values.get("transports", {}), "transports")
        return Policy(
            default=_requirements(top.values["default"], "default"),
            transports={name: _scopes(name, scopes) for name, scopes in transports.items()},
        )
    except UsageError as error:
        error.where = f"{printable(source)}: {error.where}" if error.where else printable(source)
        raise


def _json(raw: bytes) -> dict[str, object]:
    try:
        return strictjson.parse_object(raw, "")
    except Damaged as error:
        raise mistake("", error.what) from error


def _scopes(transport: str, value: object) -> dict[str, Requirements]:
    path = f"transports.{printable(transport, 80)}"
    result = {}
    for scope, requirements in as_object(value, path).items():
        where = f'{path}["{printable(scope)}"]'
        expected = expected_scope(transport, scope)
        if expected:
            raise mistake(where, "not a valid scope for this transport", expected=expected, got=printable(scope) or '""')
        if transport == "docker" and scope and (canonical := respelled(scope)):
            raise mistake(where, "the scope is not in canonical spelling", expected=printable(canonical), got=printable(scope))
        result[scope] = _requirements(requirements, where)
    return result


def _requirements(value: object, where: str) -> Requirements:
    items = as_list(value, where)
    if not items:
        raise mistake(where, "an empty list of requirements", expected='at least one, such as {"type": "reject"}')
    first, *others = (_requirement(item, f"{where}[{i}]") for i, item in enumerate(items))
    return (first, *others)


def _requirement(value: object, where: str) -> Requirement:
    kind = _type(value, where)
    parse = _REQUIREMENTS.get(kind)
    if parse is None:
        raise mistake(f"{where}.type", "an unknown requirement type", expected=", ".join(_REQUIREMENTS), got=printable(kind, 80))
    return parse(value, where)


def _type(value: object, where: str) -> str:
    fields = as_object(value, where)
    if "type" not in fields:
        raise mistake(where, "no type", expected="type")
    return as_text(fields["type"], f"{where}.type")


def _accept_anything(value: object, where: str) -> Requirement:
    JsonFields(value, where, ("type",))
    return AcceptAnything()


def _reject(value: object, where: str) -> Requirement:
    JsonFields(value, where, ("type",))
    return Reject()


def _signed_by(value: object, where: str) -> Requirement:
    fields = JsonFields(value, where, ("type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"))
    key_type = fields.text("keyType")
    if key_type not in KEY_TYPES:
        raise mistake(fields.path("keyType"), "an unknown key type", expected=", ".join(KEY_TYPES), got=printable(key_type, 80))
    fields.one_of("keyPath", "keyPaths", "keyData")
    return SignedBy(key_type, _source(fields, "keyPath", "keyData"), _optional_identity(fields))


def _sigstore_signed(value: object, where: str) -> Requirement:
    rekor = ("rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas")
    anchors = ("keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki")
    fields = JsonFields(value, where, ("type", *anchors, *rekor, "signedIdentity"))
    anchor = fields.one_of(*anchors)
    has_rekor = fields.at_most_one_of(*rekor)
    if anchor == "fulcio" and not has_rekor:
        raise mistake(where, "fulcio without a Rekor key", expected=" or ".join(rekor))
    if anchor == "pki" and has_rekor:
        raise mistake(fields.path(has_rekor), "a Rekor key together with pki", expected="pki alone")
    return SigstoreSigned(
        keys=None if anchor in ("fulcio", "pki") else _filled_source(fields, "keyPath", "keyData"),
        fulcio=_fulcio(fields.values["fulcio"], fields.path("fulcio")) if anchor == "fulcio" else None,
        pki=_pki(fields.values["pki"], fields.path("pki")) if anchor == "pki" else None,
        rekor=_filled_source(fields, "rekorPublicKeyPath", "rekorPublicKeyData") if has_rekor else None,
        identity=_optional_identity(fields),
    )


def _fulcio(value: object, where: str) -> Fulcio:
    fields = JsonFields(value, where, ("caPath", "caData", "oidcIssuer", "subjectEmail"))
    fields.one_of("caPath", "caData")
    return Fulcio(_source(fields, "caPath", "caData"), fields.text("oidcIssuer"), fields.text("subjectEmail"))


def _pki(value: object, where: str) -> Pki:
    roots, intermediates = ("caRootsPath", "caRootsData"), ("caIntermediatesPath", "caIntermediatesData")
    fields = JsonFields(value, where, (*roots, *intermediates, "subjectEmail", "subjectHostname"))
    fields.one_of(*roots)
    fields.at_most_one_of(*intermediates)
    if not fields.present("subjectEmail", "subjectHostname"):
        raise mistake(where, "no subject is named", expected="subjectEmail or subjectHostname")
    return Pki(
        roots=_source(fields, *roots),
        intermediates=_source(fields, *intermediates),
        subject_email=fields.text("subjectEmail") if "subjectEmail" in fields else "",
        subject_hostname=fields.text("subjectHostname") if "subjectHostname" in fields else "",
    )


def _signed_base_layer(value: object, where: str) -> Requirement:
    fields = JsonFields(value, where, ("type", "baseLayerIdentity"))
    if "baseLayerIdentity" not in fields:
        raise mistake(where, "no baseLayerIdentity", expected="baseLayerIdentity")
    return SignedBaseLayer(_identity(fields.values["baseLayerIdentity"], fields.path("baseLayerIdentity")))


def _source(fields: JsonFields, path: str, data: str) -> KeySource:
    """The one of ``xPath``, ``xPaths``, ``xData`` and ``xDatas`` that is there; presence was checked."""
    if path in fields:
        return KeySource(paths=(fields.text(path),))
    if f"{path}s" in fields:
        return KeySource(paths=fields.texts(f"{path}s"))
    if data in fields:
        return KeySource(datas=(fields.data(data),))
    return KeySource(datas=fields.datas(f"{data}s") if f"{data}s" in fields else ())


def _filled_source(fields: JsonFields, path: str, data: str) -> KeySource:
    source = _source(fields, path, data)
    if not source.paths and not source.datas:
        raise mistake(fields.path(fields.one_of(f"{path}s", f"{data}s")), "an empty list", expected="at least one key")
    return source


def _optional_identity(fields: JsonFields) -> SignedIdentity | None:
    return _identity(fields.values["signedIdentity"], fields.path("signedIdentity")) if "signedIdentity" in fields else None


def _identity(value: object, where: str) -> SignedIdentity:
    kind = _type(value, where)
    parse = _IDENTITIES.get(kind)
    if parse is None:
        raise mistake(f"{where}.type", "an unknown identity type", expected=", ".join(_IDENTITIES), got=printable(kind, 80))
    return parse(value, where)


def _plain_identity(identity: SignedIdentity) -> Callable[[object, str], SignedIdentity]:
    def parse(value: object, where: str) -> SignedIdentity:
        JsonFields(value, where, ("type",))
        return identity

    return parse


def _exact_reference(value: object, where: str) -> SignedIdentity:
    fields = JsonFields(value, where, ("type", "dockerReference"))
    text = fields.text("dockerReference")
    if not names.is_reference(text, complete=True):
        raise mistake(
            fields.path("dockerReference"), "not an image name", expected="HOST/NAME:TAG or HOST/NAME@DIGEST", got=printable(text)
        )
    return ExactReference(text)


def _exact_repository(value: object, where: str) -> SignedIdentity:
    fields = JsonFields(value, where, ("type", "dockerRepository"))
    text = fields.text("dockerRepository")
    if not names.is_reference(text, complete=False):
        raise mistake(fields.path("dockerRepository"), "not a valid repository name", expected="HOST/NAME", got=printable(text))
    return ExactRepository(text)


def _remap_identity(value: object, where: str) -> SignedIdentity:
    fields = JsonFields(value, where, ("type", "prefix", "signedPrefix"))
    prefix, signed = fields.text("prefix"), fields.text("signedPrefix")
    for name, text in (("prefix", prefix), ("signedPrefix", signed)):
        if not names.is_remap_prefix(text):
            raise mistake(fields.path(name), "not a valid repository prefix", expected="HOST[:PORT][/PATH]", got=printable(text))
    return RemapIdentity(prefix, signed)


_REQUIREMENTS: dict[str, Callable[[object, str], Requirement]] = {
    "insecureAcceptAnything": _accept_anything,
    "reject": _reject,
    "signedBy": _signed_by,
    "sigstoreSigned": _sigstore_signed,
    "signedBaseLayer": _signed_base_layer,
}
_IDENTITIES: dict[str, Callable[[object, str], SignedIdentity]] = {
    "matchExact": _plain_identity(MatchExact()),
    "matchRepoDigestOrExact": _plain_identity(MatchRepoDigestOrExact()),
    "matchRepository": _plain_identity(MatchRepository()),
    "exactReference": _exact_reference,
    "exactRepository": _exact_repository,
    "remapIdentity": _remap_identity,
}
