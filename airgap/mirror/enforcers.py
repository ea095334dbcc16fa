"""Objects by which a cluster judges images itself: Kyverno, Sigstore's policy-controller, OpenShift.

They can say less than a policy. What one of them cannot say is refused and never left out: a cluster must not accept what the
import would refuse. They have no key files, so keys and certificates stand in the objects. Pure, but for reading the keys.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from airgap.errors import Refused, UsageError
from airgap.mirror import kyverno, openshift, policycontroller
from airgap.mirror.demands import Demand, Objects, Scope, Wanted, cannot
from airgap.mirror.engines import Written
from airgap.mirror.policy import DOCKER, HostRules, Mode
from airgap.mirror.yamltext import yaml_text
from airgap.oci.hosts import name_scopes
from airgap.text import listing, printable
from airgap.trust.keys.certificates import Roots
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.requirements import AcceptAnything, KeySource, Requirements, SignedBy, SigstoreSigned
from airgap.trust.policy.scopes import scope_name
from airgap.trust.policy.templates import REJECT
from airgap.trust.sigstore.trustedroot import TrustedRoot


class Enforcer(enum.StrEnum):
    """Who judges in the cluster."""

    KYVERNO = "kyverno"
    CONTROLLER = "policy-controller"
    OPENSHIFT = "openshift"


@dataclass(frozen=True)
class _Format:
    """What one of them can do.

    Attributes:
        title: its name for people.
        node: it judges where images are pulled, with the library of podman: it knows the name in a signature, mirrors, and that the
            narrowest scope decides alone. The others ask the registry that an image names for a signature of its digest, and apply
            every policy that matches.
        policies: makes the objects.
    """

    title: str
    node: bool
    policies: Callable[[Wanted], Objects]

    @property
    def apply(self) -> str:
        """The command that installs them."""
        return "oc apply -f" if self.node else "kubectl apply -f"


_FORMATS = {
    Enforcer.KYVERNO: _Format("Kyverno", False, kyverno.policies),
    Enforcer.CONTROLLER: _Format("policy-controller", False, policycontroller.policies),
    Enforcer.OPENSHIFT: _Format("OpenShift", True, openshift.policies),
}


def default_mode(enforcer: Enforcer, *, signed: bool) -> Mode:
    """How images are pulled if nobody says it; ``signed``: the site has a key."""
    return Mode.SITE if signed else Mode.ORIGINAL if _FORMATS[enforcer].node else Mode.INTERNAL


def for_cluster(
    enforcer: Enforcer,
    mode: Mode,
    rules: HostRules,
    store: KeyStore,
    unnamed: Collection[str] = (),
    *,
    insecure: bool = False,
    root: Callable[[], TrustedRoot | None] = lambda: None,
) -> Written:
    """The objects.

    Args:
        enforcer: who judges.
        mode: how images are pulled.
        rules: what the names that are pulled require.
        store: reads the keys that the requirements name.
        unnamed: scopes in which a key and a digest are enough, whatever name a vendor signed.
        insecure: whether the target is reached over plain HTTP.
        root: reads what the site trusts of a Sigstore instance; asked if a requirement is about certificates of one.

    Raises:
        Refused: as ``root``.
        UsageError: they cannot express what the policy requires, or a key cannot be read.
    """
    found = _FORMATS[enforcer]
    if mode is Mode.ORIGINAL and not found.node:
        raise UsageError(
            f"{found.title} asks the registry that an image names, and knows no mirrors",
            where="--mode",
            got=mode.value,
            hint="let pods use the names at the target: --mode site with --site-key, or --mode internal",
        )
    document = json.dumps({"default": REJECT, "transports": {DOCKER: rules.docker}}).encode()
    docker = parse_policy(document, "the policy for the cluster").transports[DOCKER]
    scopes = _apart(found, [_read(found, name, requirements, store, root) for name, requirements in docker.items()])
    if not any(scope.demands for scope in scopes):
        raise UsageError(
            "no scope requires a signature", hint="sign at the site (import --sign-by KEY) and give --site-key KEY.pub"
        )
    warnings = [*(rules.stricter if found.node else ()), *rules.warnings, *_names(found, mode, scopes, unnamed)]
    made = found.policies(Wanted(scopes, insecure))
    name = f"{enforcer}.yaml"
    text = yaml_text(made.items, f"Written by airgap mirror-config: {found.apply} {name}")
    return Written({name: text}, {name: f"the cluster: {found.apply}"}, (*warnings, *made.notes))


def _read(found: _Format, name: str, requirements: Requirements, store: KeyStore, root: Callable[[], TrustedRoot | None]) -> Scope:
    """One scope with its keys. Several requirements must all be satisfied: one that accepts anything adds nothing."""
    if any(isinstance(one, SignedBy) for one in requirements):
        hint = "sign at the site with a key file (import --sign-by KEY) and give --site-key KEY.pub"
        raise cannot(found.title, name, "verify OpenPGP signatures", hint)
    signed = [one for one in requirements if isinstance(one, SigstoreSigned)]
    rejects = any(not isinstance(one, SigstoreSigned | AcceptAnything) for one in requirements)
    if scope_name(name) != name:  # nor can OpenShift's allowedRegistries name a part of a repository
        raise cannot(
            found.title, name, "tell a tag or a digest from the rest of its repository", "give the policy whole repositories"
        )
    return Scope(name, () if rejects else tuple(_demand(name, one, store, root) for one in signed), rejects)


def _demand(name: str, wanted: SigstoreSigned, store: KeyStore, root: Callable[[], TrustedRoot | None]) -> Demand:
    instance = root() if wanted.fulcio else None
    roots = wanted.fulcio.ca if wanted.fulcio else wanted.pki.roots if wanted.pki else None
    try:
        trusted = store.roots(roots, wanted.pki.intermediates if wanted.pki else KeySource()) if roots else None
        return Demand(
            keys=tuple(key.pem.decode() for key in store.public(wanted.keys)) if wanted.keys else (),
            logs=tuple(key.pem.decode() for key in store.log_keys(wanted.rekor)) if wanted.rekor else (),
            trusted=_with_intermediates(trusted, instance) if trusted and instance else trusted,
            fulcio=wanted.fulcio,
            pki=wanted.pki,
            ct_logs=tuple(log.key.pem.decode() for log in instance.ct_logs) if instance else (),
            identity=wanted.identity,
        )
    except (Refused, UsageError) as error:
        what, hint = f"a key of this scope cannot be read: {error.what}", error.hint
        raise UsageError(what, where=printable(name), expected=error.expected, got=error.got, hint=hint) from error


def _with_intermediates(policy: Roots, instance: TrustedRoot) -> Roots:
    """The policy's authorities, with what leads up to them at the instance. No root is added: the policy says whom it believes."""
    chains = (one.chain for one in instance.authorities if one.chain[-1] in policy.roots)
    found = [one for chain in chains for one in chain[:-1] if one.subject != one.issuer]  # else it would be taken for a root
    return replace(policy, intermediates=tuple(dict.fromkeys(found)))


def _apart(found: _Format, scopes: Sequence[Scope]) -> list[Scope]:
    """The scopes that need an object, so that every image gets the verdict of its narrowest scope.

    What no object names is rejected, or must be (its note); so a scope that rejects needs one only inside another scope.

    Raises:
        UsageError: a wider scope would decide as well, and differently.
    """
    named = {scope.name: scope for scope in scopes}
    kept: list[Scope] = []
    for scope in scopes:
        wider = [named[name] for name in _wider(scope.name) if name in named]
        outer = next((one for one in wider if not one.rejects), None)
        if found.node and scope.rejects and outer:
            raise cannot(
                found.title, scope.name, f"reject a part of {printable(outer.name)}", "give the policy the parts to accept"
            )
        if not found.node and not scope.rejects:
            other = next((one for one in wider if one.rejects and _inside(one, named)), None)
            other = other or next((one for one in wider if not set(one.demands) <= set(scope.demands)), None)
            if other:
                what = f"keep {printable(other.name)} from deciding there as well: it applies every policy that matches"
                raise cannot(found.title, scope.name, what, "use --mode site with --site-key, or a policy whose scopes are apart")
        if not scope.rejects or outer:
            kept.append(scope)
    return kept


def _inside(scope: Scope, named: Mapping[str, Scope]) -> bool:
    return any(name in named and not named[name].rejects for name in _wider(scope.name))


def _wider(scope: str) -> Iterator[str]:
    return (name for name in name_scopes(scope_name(scope)) if name != scope)


def _names(found: _Format, mode: Mode, scopes: Sequence[Scope], unnamed: Collection[str]) -> Iterator[str]:
    """What is said of names in signatures, where nobody checks them.

    Raises:
        UsageError: a vendor's name would not be checked, and nobody allowed that; or a scope that is not there is allowed it.
    """
    signed = [scope.name for scope in scopes if scope.demands]
    covered = {name: [one for one in signed if one == name or one.startswith(f"{name}/")] for name in unnamed}
    for name, those in covered.items():
        if found.node or mode is Mode.SITE or not those:
            raise UsageError("no signed name is left unchecked there", where="--ignore-signed-name", got=printable(name))
        yield f"{listing(those, 8)}: any image that the key has signed passes under any name there (--ignore-signed-name)"
    if found.node:
        return
    if mode is Mode.SITE:
        yield f"{found.title} does not check the name that was signed: an image of the site passes under any name below {signed[0]}"
        return
    for scope in signed:
        if not any(scope in those for those in covered.values()):
            hint = "use --mode site with --site-key, or allow any name: --ignore-signed-name SCOPE, as the policy calls it"
            raise cannot(found.title, scope, "check the name that a signature was made for", hint)
