"""How clusters read the objects that mirror-config writes: facts about their formats, and who would be let in.

The facts come from the projects' own files, in August 2026: the CRDs of kyverno/kyverno (config/crds/kyverno),
sigstore/policy-controller (config/300-*.yaml) and openshift/api (config/v1), how Kyverno's wildcards and policy-controller's globs
match, and how OpenShift's machine-config-operator makes a policy.json from the objects.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Reference


@dataclass(frozen=True)
class Signed:
    """An image as it is pulled, and whose signatures there are for its digest, whatever names they were made for.

    Attributes:
        keys: PEM texts.
        people: issuer and email of keyless signers.
    """

    name: str
    keys: frozenset[str] = frozenset()
    people: frozenset[tuple[str, str]] = frozenset()


# Kyverno


@functools.cache
def _wild(pattern: str) -> re.Pattern[str]:
    """In its wildcards, ``*`` is anything, and a dot any character."""
    return re.compile("".join(".*" if c == "*" else "." if c == "." else re.escape(c) for c in pattern), re.DOTALL)


def kyverno_admits(objects: Sequence[Mapping[str, Any]], image: Signed) -> bool:
    """Every rule that matches the image must let it in; what none matches is let in."""
    (policy,) = objects
    return all(_rule(rule, image) for rule in policy["spec"]["rules"])


def _rule(rule: Mapping[str, Any], image: Signed) -> bool:
    if "verifyImages" in rule:
        (verify,) = rule["verifyImages"]
        matches = any(_wild(reference).fullmatch(image.name) for reference in verify["imageReferences"])
        return not matches or all(
            sum(_attested(entry, image) for entry in attestor["entries"]) >= attestor["count"] for attestor in verify["attestors"]
        )
    if "foreach" not in rule["validate"]:
        return True  # about volumes
    (each,) = rule["validate"]["foreach"]
    return not any(_holds(condition, image) for condition in each["deny"]["conditions"]["any"])


def _holds(condition: Mapping[str, Any], image: Signed) -> bool:
    found = re.fullmatch(r"\{\{ regex_match\('(.*)', element\.image\) \}\}", condition["key"])
    assert found
    assert condition["operator"] == "Equals"
    return (re.search(found[1], image.name) is not None) is condition["value"]


def _attested(entry: Mapping[str, Any], image: Signed) -> bool:
    if "keys" in entry:
        return entry["keys"]["publicKeys"] in image.keys
    who = entry["keyless"]
    return any(re.search(who["issuerRegExp"], issuer) and re.search(who["subjectRegExp"], email) for issuer, email in image.people)


# policy-controller


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """``**`` is anything, ``*`` anything without a slash."""
    parts = (".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*\*|\*)", pattern))
    return re.compile("".join(parts))


def controller_admits(objects: Sequence[Mapping[str, Any]], image: Signed) -> bool:
    """Every policy that matches must have an authority that lets the image in; what no policy matches is denied."""
    assert [one["data"] for one in objects if one["kind"] == "ConfigMap"] == [{"no-match-policy": "deny"}]
    policies = [one["spec"] for one in objects if one["kind"] == "ClusterImagePolicy"]
    roots = {one["metadata"]["name"] for one in objects if one["kind"] == "TrustRoot"}
    matching = [one for one in policies if any(_glob(pattern["glob"]).fullmatch(image.name) for pattern in one["images"])]
    return bool(matching) and all(any(_authority(found, image, roots) for found in one["authorities"]) for one in matching)


def _authority(authority: Mapping[str, Any], image: Signed, roots: set[str]) -> bool:
    if "static" in authority:
        return bool(authority["static"]["action"] == "pass")
    if "key" in authority:
        return authority["key"]["data"] in image.keys
    assert {authority["keyless"]["trustRootRef"], authority["ctlog"]["trustRootRef"]} <= roots
    return any((one["issuer"], one["subject"]) in image.people for one in authority["keyless"]["identities"])


# OpenShift


def openshift_policy(objects: Sequence[Mapping[str, Any]], allowed: Sequence[str]) -> dict[str, Any]:
    """The policy.json of the nodes, once ``allowedRegistries`` are set: objects with one scope add up."""
    docker: dict[str, list[Any]] = {}
    for one in objects:
        for scope in one["spec"]["scopes"]:
            docker.setdefault(scope, []).append(_requirement(one["spec"]["policy"]))
    for scope in allowed:
        docker.setdefault(scope, [{"type": "insecureAcceptAnything"}])
    return {"default": [{"type": "reject"}], "transports": {"docker": docker}}


def _requirement(policy: Mapping[str, Any]) -> dict[str, Any]:
    root = policy["rootOfTrust"]
    found: dict[str, Any] = {"type": "sigstoreSigned"}
    body = root[root["policyType"][0].lower() + root["policyType"][1:] if root["policyType"] != "PKI" else "pki"]
    if "keyData" in body:
        found["keyData"] = body["keyData"]
    if "rekorKeyData" in body:
        found["rekorPublicKeyData"] = body["rekorKeyData"]
    if "fulcioCAData" in body:
        who = body["fulcioSubject"]
        found["fulcio"] = {"caData": body["fulcioCAData"], "oidcIssuer": who["oidcIssuer"], "subjectEmail": who["signedEmail"]}
    if "caRootsData" in body:
        who = body["pkiCertificateSubject"]
        names = {"email": "subjectEmail", "hostname": "subjectHostname"}
        found["pki"] = {"caRootsData": body["caRootsData"], **{names[key]: value for key, value in who.items()}}
    identity = policy.get("signedIdentity")
    if identity:
        kind = identity["matchPolicy"]
        more = {"RemapIdentity": "remapIdentity", "ExactRepository": "exactRepository"}.get(kind)
        fields = dict(identity[more]) if more else {}
        if "repository" in fields:
            fields["dockerRepository"] = fields.pop("repository")
        found["signedIdentity"] = {"type": kind[0].lower() + kind[1:], **fields}
    return found


def import_admits(docker: Mapping[str, Sequence[Mapping[str, Any]]], image: Signed) -> bool:
    """What the narrowest scope of a policy says, if names in signatures are left aside."""
    reference = Reference.parse(image.name)
    names = [str(reference), *name_scopes(str(reference.repository))]
    requirements = next((docker[name] for name in names if name in docker), [{"type": "reject"}])
    return all(_satisfied(one, image) for one in requirements)


def _satisfied(requirement: Mapping[str, Any], image: Signed) -> bool:
    if requirement["type"] != "sigstoreSigned":
        return bool(requirement["type"] == "insecureAcceptAnything")
    if "fulcio" in requirement:
        return (requirement["fulcio"]["oidcIssuer"], requirement["fulcio"]["subjectEmail"]) in image.people
    keys = requirement.get("keyDatas") or [requirement["keyData"]]
    return any(base64.b64decode(key).decode() in image.keys for key in keys)


# The forms of the objects: the part that is written here. No other field may stand there.


def _closed(**properties: Any) -> dict[str, Any]:
    optional = {name.removesuffix("_") for name in properties if name.endswith("_")}
    named = {name.removesuffix("_"): form for name, form in properties.items()}
    return {"type": "object", "additionalProperties": False, "properties": named, "required": sorted(set(named) - optional)}


def _list(form: Any) -> dict[str, Any]:
    return {"type": "array", "items": form, "minItems": 1}


_TEXT = {"type": "string", "minLength": 1}
_FLAG = {"type": "boolean"}
_ENFORCE = {"const": "Enforce"}
_PUBLIC = {"type": "string", "pattern": r"^-----BEGIN PUBLIC KEY-----\n"}
_MATCH = _closed(any=_list(_closed(resources=_closed(kinds=_list(_TEXT), operations=_list({"enum": ["CREATE", "UPDATE"]})))))
_CONDITIONS = _closed(any=_list(_closed(key=_TEXT, operator={"enum": ["Equals", "AnyIn"]}, value={"type": ["boolean", "array"]})))
_REKOR = _closed(url=_TEXT, pubkey_=_PUBLIC, ignoreTlog_=_FLAG)
_ENTRY = _closed(
    keys_=_closed(publicKeys=_PUBLIC, rekor=_REKOR, ctlog=_closed(ignoreSCT=_FLAG)),
    keyless_=_closed(
        issuerRegExp=_TEXT, subjectRegExp=_TEXT, roots=_TEXT, rekor=_REKOR, ctlog=_closed(ignoreSCT_=_FLAG, pubkey_=_PUBLIC)
    ),
)
_VERIFY = _closed(
    type={"enum": ["Cosign", "SigstoreBundle", "Notary"]},
    failureAction=_ENFORCE,
    imageReferences=_list(_TEXT),
    mutateDigest=_FLAG,
    verifyDigest=_FLAG,
    required=_FLAG,
    attestors=_list(_closed(count={"type": "integer", "minimum": 1}, entries=_list(_ENTRY))),
    imageRegistryCredentials_=_closed(allowInsecureRegistry=_FLAG),
)
_VALIDATE = _closed(
    failureAction=_ENFORCE,
    message=_TEXT,
    foreach_=_list(_closed(list=_TEXT, deny=_closed(conditions=_CONDITIONS))),
    deny_=_closed(conditions=_CONDITIONS),
)
_KYVERNO = _closed(
    validationFailureAction=_ENFORCE,
    failurePolicy={"const": "Fail"},
    background=_FLAG,
    rules=_list(_closed(name={"type": "string", "maxLength": 63}, match=_MATCH, validate_=_VALIDATE, verifyImages_=_list(_VERIFY))),
)
_AUTHORITY = _closed(
    name=_TEXT,
    key_=_closed(data=_PUBLIC, hashAlgorithm={"enum": ["sha256", "sha384", "sha512"]}),
    keyless_=_closed(
        url=_TEXT, trustRootRef=_TEXT, insecureIgnoreSCT_=_FLAG, identities=_list(_closed(issuer=_TEXT, subject=_TEXT))
    ),
    ctlog_=_closed(url=_TEXT, trustRootRef=_TEXT),
    static_=_closed(action={"enum": ["pass", "fail"]}, message_=_TEXT),
)
_GLOB = {"type": "string", "pattern": r"^[a-zA-Z0-9-_:/*.@]+$"}
_CONTROLLER = _closed(mode={"const": "enforce"}, images=_list(_closed(glob=_GLOB)), authorities=_list(_AUTHORITY))
_LOG = _closed(baseURL=_TEXT, hashAlgorithm={"enum": ["sha-256", "sha-384", "sha-512"]}, publicKey=_TEXT)
_TRUST_ROOT = _closed(
    sigstoreKeys=_closed(
        certificateAuthorities=_list(_closed(subject=_closed(organization=_TEXT, commonName=_TEXT), uri=_TEXT, certChain=_TEXT)),
        tLogs=_list(_LOG),
        ctLogs_=_list(_LOG),
    )
)
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"({_LABEL}(?:\.{_LABEL})+|localhost)(:[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-*)[a-z0-9]+)*"
_PREFIX = {"type": "string", "maxLength": 512, "pattern": rf"^{_DOMAIN}(/{_PART})*$"}
_SCOPE = {"type": "string", "maxLength": 512, "pattern": rf"^(\*(\.{_LABEL})+|{_DOMAIN}(/{_PART})*)$"}
_EMAIL = {"type": "string", "pattern": r"^\S+@\S+$"}
_DATA = {"type": "string", "maxLength": 8192, "minLength": 68, "pattern": "^[A-Za-z0-9+/]+={0,2}$"}
_OPENSHIFT = _closed(
    scopes={**_list(_SCOPE), "maxItems": 256},
    policy=_closed(
        rootOfTrust=_closed(
            policyType={"enum": ["PublicKey", "FulcioCAWithRekor", "PKI"]},
            publicKey_=_closed(keyData=_DATA, rekorKeyData_=_DATA),
            fulcioCAWithRekor_=_closed(
                fulcioCAData=_DATA,
                rekorKeyData=_DATA,
                fulcioSubject=_closed(oidcIssuer=_TEXT, signedEmail=_EMAIL),
            ),
            pki_=_closed(
                caRootsData=_DATA, caIntermediatesData_=_DATA, pkiCertificateSubject=_closed(email_=_TEXT, hostname_=_TEXT)
            ),
        ),
        signedIdentity_=_closed(
            matchPolicy={"enum": ["MatchRepoDigestOrExact", "MatchRepository", "ExactRepository", "RemapIdentity"]},
            exactRepository_=_closed(repository=_PREFIX),
            remapIdentity_=_closed(prefix=_PREFIX, signedPrefix=_PREFIX),
        ),
    ),
)
_FORMS = {
    ("kyverno.io/v1", "ClusterPolicy"): jsonschema.Draft202012Validator(_KYVERNO),
    ("policy.sigstore.dev/v1beta1", "ClusterImagePolicy"): jsonschema.Draft202012Validator(_CONTROLLER),
    ("policy.sigstore.dev/v1alpha1", "TrustRoot"): jsonschema.Draft202012Validator(_TRUST_ROOT),
    ("config.openshift.io/v1", "ClusterImagePolicy"): jsonschema.Draft202012Validator(_OPENSHIFT),
}


def check_form(one: Mapping[str, Any]) -> None:
    """Whether the API server would take an object. Raises ``jsonschema.ValidationError``."""
    name = one["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 253
    if one["kind"] != "ConfigMap":
        assert one["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "airgap"}
        _FORMS[one["apiVersion"], one["kind"]].validate(one["spec"])
