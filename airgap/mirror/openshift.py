"""ClusterImagePolicy of OpenShift (config.openshift.io/v1), from which it writes the policy.json of its nodes. Pure.

Objects with one scope add up: all of their requirements must be satisfied.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from airgap.mirror.demands import Demand, Objects, Scope, Wanted, cannot, metadata
from airgap.mirror.yamltext import Value
from airgap.text import listing
from airgap.trust.keys.certificates import written
from airgap.trust.policy.requirements import (
    ExactRepository,
    MatchRepoDigestOrExact,
    MatchRepository,
    RemapIdentity,
    SignedIdentity,
)

_TITLE = "OpenShift"


def policies(wanted: Wanted) -> Objects:
    """An object a requirement. Raises ``UsageError``."""
    names = listing(wanted.accepted, 32)
    note = (
        "OpenShift accepts every image outside these scopes, until spec.registrySources.allowedRegistries of "
        f"image.config.openshift.io/cluster lists what is accepted: {names}, and the registries of the release"
    )
    return Objects([one for scope in wanted.scopes for one in _of_scope(scope)], (note,))


def _of_scope(scope: Scope) -> Iterator[Mapping[str, Value]]:
    for number, demand in enumerate(scope.demands):
        _check_name(scope.name, scope.name)
        policy: dict[str, Value] = {"rootOfTrust": _root(scope.name, demand)}
        if identity := _identity(scope.name, demand.identity):
            policy["signedIdentity"] = identity
        yield {
            "apiVersion": "config.openshift.io/v1",
            "kind": "ClusterImagePolicy",
            "metadata": metadata(scope.name, number),
            "spec": {"scopes": [scope.name], "policy": policy},
        }


def _root(scope: str, demand: Demand) -> Value:
    if len(demand.keys) > 1 or len(demand.logs) > 1:
        raise cannot(
            _TITLE, scope, "take any one of several keys", "give the scope one key; several requirements must all be satisfied"
        )
    log: dict[str, Value] = {"rekorKeyData": _base64(demand.logs[0])} if demand.logs else {}
    roots = _base64("".join(written(one).decode() for one in demand.trusted.roots)) if demand.trusted else ""
    if demand.fulcio is not None:
        who: Value = {"oidcIssuer": demand.fulcio.oidc_issuer, "signedEmail": demand.fulcio.subject_email}
        return {"policyType": "FulcioCAWithRekor", "fulcioCAWithRekor": {"fulcioCAData": roots, **log, "fulcioSubject": who}}
    if demand.pki is not None and demand.trusted is not None:
        between = "".join(written(one).decode() for one in demand.trusted.intermediates)
        named = {"email": demand.pki.subject_email, "hostname": demand.pki.subject_hostname}
        pki: dict[str, Value] = {"caRootsData": roots, "pkiCertificateSubject": {key: text for key, text in named.items() if text}}
        return {"policyType": "PKI", "pki": pki | ({"caIntermediatesData": _base64(between)} if between else {})}
    return {"policyType": "PublicKey", "publicKey": {"keyData": _base64(demand.keys[0]), **log}}


def _identity(scope: str, identity: SignedIdentity | None) -> Value:
    if identity is None or isinstance(identity, MatchRepoDigestOrExact):  # its default as well
        return {}
    if isinstance(identity, MatchRepository):
        return {"matchPolicy": "MatchRepository"}
    if isinstance(identity, ExactRepository):
        _check_name(scope, identity.docker_repository)
        return {"matchPolicy": "ExactRepository", "exactRepository": {"repository": identity.docker_repository}}
    if isinstance(identity, RemapIdentity):
        _check_name(scope, identity.prefix)
        _check_name(scope, identity.signed_prefix)
        remap: Value = {"prefix": identity.prefix, "signedPrefix": identity.signed_prefix}
        return {"matchPolicy": "RemapIdentity", "remapIdentity": remap}
    raise cannot(_TITLE, scope, "require the exact reference that was pulled or is named", "use matchRepoDigestOrExact")


def _check_name(scope: str, name: str) -> None:
    host = name.partition("/")[0].partition(":")[0]
    if "." not in host and host != "localhost":
        raise cannot(_TITLE, scope, f"name the registry {host}: it wants a domain with a dot", "give the registry a full name")


def _base64(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
