"""A ClusterPolicy of Kyverno (kyverno.io/v1), its ``verifyImages`` with signatures of type Cosign. Pure.

Not ImageValidatingPolicy: that one looks at Sigstore bundles alone as soon as an image has one, and takes any attestation by the
key for a signature. In Kyverno's wildcards a dot is any character, which only makes more rules apply; where a match too many would
accept something, there is a regular expression instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from airgap.mirror.demands import LABELS, NOWHERE, Demand, Objects, Scope, Wanted, cannot
from airgap.mirror.yamltext import Value
from airgap.text import listing
from airgap.trust.keys.certificates import written

_TITLE = "Kyverno"
_PODS: Value = {"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE", "UPDATE"]}}]}
_LEFT_OUT = "Kyverno judges nothing in the namespaces that its resourceFilters leave out, by default kube-system and its own"
_CONTAINERS = "request.object.spec.[ephemeralContainers, initContainers, containers][]"
_KINDS_OF_VOLUMES: Value = {"key": "{{ request.object.spec.volumes[].keys(@)[] || '' }}", "operator": "AnyIn", "value": ["image"]}
_VOLUMES: Value = {
    "name": "volumes",
    "match": _PODS,
    "validate": {
        "failureAction": "Enforce",
        "message": "Kyverno cannot verify the images of volumes.",
        "deny": {"conditions": {"any": [_KINDS_OF_VOLUMES]}},
    },
}


def policies(wanted: Wanted) -> Objects:
    """One policy: which names there may be, and for each scope its signatures. Raises ``UsageError``."""
    signed = [scope for scope in wanted.scopes if scope.demands]
    rules: list[Value] = [_allowed(wanted), _VOLUMES]
    rules += [_signed(number, scope, wanted.insecure) for number, scope in enumerate(signed, start=1)]
    policy: Mapping[str, Value] = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "airgap", "labels": LABELS},
        "spec": {"validationFailureAction": "Enforce", "failurePolicy": "Fail", "background": False, "rules": rules},
    }
    return Objects([policy], (_LEFT_OUT,))


def _allowed(wanted: Wanted) -> Value:
    """Deny every name outside the scopes: an image that no rule of ``verifyImages`` names would be let in."""
    rejected = [scope.name for scope in wanted.scopes if scope.rejects]
    conditions: list[Value] = [_condition(wanted.accepted, inside=False)]
    conditions += [_condition(rejected, inside=True)] if rejected else []
    message = f"The site's policy accepts images below {listing(wanted.accepted, 8)} alone."
    foreach: Value = [{"list": _CONTAINERS, "deny": {"conditions": {"any": conditions}}}]
    return {"name": "names", "match": _PODS, "validate": {"failureAction": "Enforce", "message": message, "foreach": foreach}}


def _condition(names: Sequence[str], *, inside: bool) -> Value:
    pattern = "|".join(name.replace(".", "[.]") + ("/.*" if "/" not in name else "([/:@].*)?") for name in names)
    return {"key": f"{{{{ regex_match('^({pattern})$', element.image) }}}}", "operator": "Equals", "value": inside}


def _signed(number: int, scope: Scope, insecure: bool) -> Value:
    references: list[Value] = [f"{scope.name}{end}" for end in (("/*",) if scope.is_host else ("/*", ":*", "@*"))]
    attestors: list[Value] = [{"count": 1, "entries": list(_entries(scope.name, demand))} for demand in scope.demands]
    verify: dict[str, Value] = {
        "type": "Cosign",
        "failureAction": "Enforce",
        "imageReferences": references,
        "mutateDigest": True,
        "verifyDigest": True,
        "required": True,
        "attestors": attestors,
    }
    if insecure:
        verify["imageRegistryCredentials"] = {"allowInsecureRegistry": True}
    return {"name": f"signed-{number}", "match": _PODS, "verifyImages": [verify]}


def _entries(scope: str, demand: Demand) -> Iterator[Value]:
    """The signers of whom one is enough, each with each log."""
    logs: list[Value] = [{"url": NOWHERE, "pubkey": pem} for pem in demand.logs] or [{"url": NOWHERE, "ignoreTlog": True}]
    times: Value = {"ignoreSCT": True}  # nor does podman or the import ask for one
    if demand.pki is not None:
        raise cannot(_TITLE, scope, "check whom a certificate of one's own authority names", "require a key")
    if demand.fulcio is not None and demand.trusted is not None:
        who: dict[str, Value] = {
            "subjectRegExp": f"^{re.escape(demand.fulcio.subject_email)}$",  # as it stands, a dot would be any character
            "issuerRegExp": f"^{re.escape(demand.fulcio.oidc_issuer)}$",
            "roots": "".join(written(one).decode() for one in demand.trusted.roots),
        }
        seen: list[Value] = [{"pubkey": pem} for pem in demand.ct_logs] or [times]  # without keys it cannot tell
        yield from ({"keyless": {**who, "rekor": log, "ctlog": one}} for log, one in product(logs, seen))
    yield from ({"keys": {"publicKeys": pem, "rekor": log, "ctlog": times}} for pem, log in product(demand.keys, logs))
