"""ClusterImagePolicy and TrustRoot of Sigstore's policy-controller. Pure.

Every policy whose glob matches must be satisfied, by one of its authorities: a policy a requirement, an authority a key.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

from airgap.mirror.demands import NOWHERE, Demand, Objects, Scope, Wanted, cannot, metadata
from airgap.mirror.yamltext import Value
from airgap.trust.keys.certificates import subject, written

_TITLE = "policy-controller"
_GROUP = "policy.sigstore.dev"
_OTHERS: Mapping[str, Value] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "config-policy-controller", "namespace": "cosign-system"},
    "data": {"no-match-policy": "deny"},
}
_ACCEPT: Value = {"name": "accept", "static": {"action": "pass"}}
_REJECT: Value = {"name": "reject", "static": {"action": "fail", "message": "The site's policy rejects this image."}}


def policies(wanted: Wanted) -> Objects:
    """The policies, the roots that they need, and that an image without a policy is denied. Raises ``UsageError``."""
    notes = [f'policy-controller judges only in namespaces with the label {_GROUP}/include: "true"']
    if any(demand.fulcio for scope in wanted.scopes for demand in scope.demands):
        notes.append("policy-controller takes a time stamp only in place of a log, so it is told of no timestamp authority")
    if wanted.insecure:
        notes.append("policy-controller asks registries over HTTPS, unless their address is private: it may refuse every image")
    return Objects([_OTHERS, *(one for scope in wanted.scopes for one in _of_scope(scope))], tuple(notes))


def _of_scope(scope: Scope) -> Iterator[Mapping[str, Value]]:
    if not scope.demands:
        yield _policy(scope, 0, [_REJECT if scope.rejects else _ACCEPT])
    for number, demand in enumerate(scope.demands):
        if demand.fulcio is not None:
            yield _root(scope, number, demand)
        yield _policy(scope, number, list(_authorities(scope, number, demand)))


def _policy(scope: Scope, number: int, authorities: list[Value]) -> Mapping[str, Value]:
    globs = [f"{scope.name}{end}" for end in (("/**",) if scope.is_host else ("/**", ":**", "@**"))]
    return {
        "apiVersion": f"{_GROUP}/v1beta1",
        "kind": "ClusterImagePolicy",
        "metadata": metadata(scope.name, number),
        "spec": {"mode": "enforce", "images": [{"glob": glob} for glob in globs], "authorities": authorities},
    }


def _authorities(scope: Scope, number: int, demand: Demand) -> Iterator[Value]:
    if demand.pki is not None:
        raise cannot(_TITLE, scope.name, "verify certificates without a log", "require a key")
    if demand.keys and demand.logs:
        raise cannot(
            _TITLE, scope.name, "require a log for signatures by key: it knows logs only beside authorities", "require a key alone"
        )
    for count, pem in enumerate(demand.keys, start=1):
        yield {"name": f"key-{count}", "key": {"data": pem, "hashAlgorithm": "sha256"}}
    if demand.fulcio is not None:
        root = metadata(scope.name, number)["name"]
        keyless: Value = {
            "url": NOWHERE,
            "trustRootRef": root,
            **({} if demand.ct_logs else {"insecureIgnoreSCT": True}),  # without keys it cannot tell
            "identities": [{"issuer": demand.fulcio.oidc_issuer, "subject": demand.fulcio.subject_email}],
        }
        yield {"name": "keyless", "keyless": keyless, "ctlog": {"url": NOWHERE, "trustRootRef": root}}


def _root(scope: Scope, number: int, demand: Demand) -> Mapping[str, Value]:
    authorities: list[Value] = []
    for one in (*demand.trusted.roots, *demand.trusted.intermediates) if demand.trusted else ():
        organization, common = subject(one)
        called: Value = {"organization": organization or "-", "commonName": common or "-"}  # shown, never compared
        authorities.append({"subject": called, "uri": NOWHERE, "certChain": base64.b64encode(written(one)).decode()})
    keys: dict[str, Value] = {"certificateAuthorities": authorities, "tLogs": _logs(demand.logs)}
    if demand.ct_logs:
        keys["ctLogs"] = _logs(demand.ct_logs)
    return {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "TrustRoot",
        "metadata": metadata(scope.name, number),
        "spec": {"sigstoreKeys": keys},
    }


def _logs(pems: Sequence[str]) -> list[Value]:
    return [{"baseURL": NOWHERE, "hashAlgorithm": "sha-256", "publicKey": base64.b64encode(pem.encode()).decode()} for pem in pems]
