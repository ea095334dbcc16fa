"""``airgap mirror-config`` by the site's policy: the files and objects with which hosts and clusters take only signed images."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from airgap import fsio
from airgap.admission import site
from airgap.errors import AirgapError, Refused, UsageError
from airgap.limits import MAX_KEYRING, MAX_POLICY
from airgap.mirror.enforcers import Enforcer, default_mode, for_cluster
from airgap.mirror.engines import Written
from airgap.mirror.policy import HostKey, HostRules, Mode, SiteMirror, SitePolicy, host_rules
from airgap.mirror.policyfiles import mirror_config
from airgap.mirror.routes import Routes
from airgap.mirror.unread import unread_images
from airgap.naming.mapping import RegistryTarget
from airgap.oci import strictjson
from airgap.state import Accepted
from airgap.text import printable
from airgap.trust.keys.keyfiles import check_key_file
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.keys.signatures import load_pem_key
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.requirements import KeySource, SigstoreSigned
from airgap.trust.sigstore.trustedroot import TrustedRoot

#: Makes files, and facts about them, when it is told the target, the choices, and whom to ask what is there.
Maker: TypeAlias = Callable[[RegistryTarget, "PolicyChoices", "Imports"], tuple[Written, dict[str, object]]]

_POLICY = {"policy.json": "/etc/containers/policy.json"}
_PLACES = {
    "registries.d/airgap.yaml": "/etc/containers/registries.d/airgap.yaml",
    "registries.conf": "/etc/containers/registries.conf.d/10-airgap.conf",
}
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class PolicyChoices:
    """What the options say about signatures."""

    mode: Mode | None
    lookaside: str
    site_keys: tuple[Path, ...]
    sources: tuple[str, ...]
    policy: Path | None
    insecure: bool
    namespaces: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    root: Callable[[], TrustedRoot | None] = lambda: None


@dataclass(frozen=True)
class Imports:
    """What was imported.

    Attributes:
        routes: asks the target where images are; only needed when their names do not follow from the sources' alone, or nothing
            names the sources: then they are those of the images that are there.
        accepted: reads in the state by which signatures the imports accepted the images.
    """

    routes: Callable[[], Routes]
    accepted: Callable[[], Sequence[Accepted]]


@dataclass(frozen=True)
class _Asked:
    """What is pulled how, and what that requires."""

    mode: Mode
    mirror: SiteMirror
    policy: SitePolicy
    rules: HostRules
    warnings: tuple[str, ...]


def make_policy(target: RegistryTarget, choices: PolicyChoices, imports: Imports) -> tuple[Written, dict[str, object]]:
    """The files, and facts about them: one policy.json, or with namespaces one for each of them, as CRI-O reads them."""
    keys = [_site_key(path) for path in choices.site_keys]
    asked = _asked(target, choices, choices.mode or (Mode.SITE if keys else Mode.ORIGINAL), keys, imports)
    made = mirror_config(asked.mirror, asked.policy, asked.rules)
    _check_keys(parse_policy(made.policy.encode(), "policy.json"))
    places = {f"policies/{name}.json": f"/etc/crio/policies/{name}.json" for name in choices.namespaces} or _POLICY
    files = dict.fromkeys(places, made.policy)
    files |= {"registries.d/airgap.yaml": made.registries_d, "registries.conf": made.registries_conf}
    facts: dict[str, object] = {"mode": asked.mode.value, "key_files": list(made.key_files)}
    return Written(files, {**places, **_PLACES}, (*made.warnings, *asked.warnings)), facts


def make_namespaced(target: RegistryTarget, choices: PolicyChoices, imports: Imports) -> tuple[Written, dict[str, object]]:
    """The same for CRI-O, which has a policy for each namespace."""
    if not choices.namespaces:
        raise UsageError(
            "no namespace is given", expected="--namespace NAME, once or several times", hint="or --format policy for all"
        )
    for name in choices.namespaces:
        if not _NAMESPACE.fullmatch(name):
            expected = "lower-case letters, digits and hyphens"
            raise UsageError("not a namespace", where="--namespace", got=printable(name), expected=expected)
    return make_policy(target, choices, imports)


def make_objects(
    enforcer: Enforcer, target: RegistryTarget, choices: PolicyChoices, imports: Imports
) -> tuple[Written, dict[str, object]]:
    """The objects for a cluster, and facts about them."""
    keys = [_site_key(path) for path in choices.site_keys]
    asked = _asked(target, choices, choices.mode or default_mode(enforcer, signed=bool(keys)), keys, imports)
    with contextlib.closing(KeyStore(site.read_key)) as store:
        unnamed = [asked.mirror.name(scope) for scope in choices.unnamed]
        made = for_cluster(enforcer, asked.mode, asked.rules, store, unnamed, insecure=choices.insecure, root=choices.root)
    return replace(made, warnings=(*made.warnings, *asked.warnings)), {"mode": asked.mode.value}


def _asked(target: RegistryTarget, choices: PolicyChoices, mode: Mode, keys: Sequence[HostKey], imports: Imports) -> _Asked:
    policy, sources = _site_policy(choices.policy), choices.sources
    locations = None
    warnings: list[str] = [] if mode is Mode.SITE else list(unread_images(policy.parsed, imports.accepted()))
    if mode is not Mode.SITE and not sources and not policy.names_sources:
        sources = tuple(route.source for route in imports.routes().routes)
    if mode is Mode.ORIGINAL and not target.rules.is_plain:
        found = imports.routes()
        locations = {route.source: route.location for route in found.routes}
        warnings += (f"{one.source} cannot be pulled by its own name" for one in found.unreachable)
    mirror = SiteMirror(target, _lookaside(choices.lookaside), choices.insecure)
    return _Asked(mode, mirror, policy, host_rules(mode, mirror, policy, sources, keys, locations), tuple(warnings))


def _lookaside(text: str) -> str:
    """A URL as it is; a directory as its ``file`` URL."""
    return text if not text or "://" in text else Path(text).absolute().as_uri()


def _site_key(path: Path) -> HostKey:
    """A key file, checked to be a public key. Raises ``UsageError``."""
    content = fsio.read_input(path, MAX_KEYRING, "site's key")
    try:
        return HostKey(str(path.absolute()), check_key_file(content, as_it_is=True).openpgp)
    except UsageError as error:
        error.where = printable(str(path))
        raise


def _check_keys(policy: Policy) -> None:
    """Refuse to write a policy with a key that the hosts cannot read: they would reject every image.

    Raises:
        UsageError: there is such a key. Files that are missing on this machine may be on the hosts.
    """
    for requirement in policy.requirements():
        for source in (requirement.keys, requirement.rekor) if isinstance(requirement, SigstoreSigned) else ():
            for where, content in _contents(source or KeySource()):
                try:
                    load_pem_key(content)
                except (Refused, UsageError) as error:
                    what = f"podman and skopeo cannot read a key: {error.what}"
                    raise UsageError(what, where=where, expected=error.expected, got=error.got, hint=error.hint) from error


def _contents(source: KeySource) -> Iterator[tuple[str, bytes]]:
    for path in source.paths:
        with contextlib.suppress(AirgapError):
            yield printable(path), site.read_key(path)
    yield from (("keyData in the policy", data) for data in source.datas)


def _site_policy(path: Path | None) -> SitePolicy:
    parsed, name = site.read_policy(path)
    return SitePolicy(parsed, strictjson.parse_object(fsio.read_input(Path(name), MAX_POLICY, "policy"), name))
