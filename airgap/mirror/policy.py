"""What hosts at the site require of the imported images that they pull, under ``default: reject``. Pure.

There are three ways to pull. Policies are looked up by the pulled name, lookasides by the registry that is really contacted, which
is always the target:

* original: the vendors' names, redirected to the target; the vendors' signatures and scopes hold as they are;
* internal: the target's names; the vendors' signatures hold after ``remapIdentity``;
* site: the target's names; only the site's own signatures, created by ``airgap import --sign-by``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airgap.errors import UsageError
from airgap.naming.mapping import RegistryTarget
from airgap.naming.renaming import RenameRule
from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Repository
from airgap.text import listing, printable
from airgap.trust.judge.hosts import TAGS_ALONE
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import GPG_KEYS
from airgap.trust.policy.scopeadvice import unmatched
from airgap.trust.policy.scopes import scope_name, select
from airgap.trust.policy.templates import ACCEPT, REJECT

#: A requirement, and a transport's scopes, as they stand in the file: copied with every field they have.
Requirement: TypeAlias = dict[str, Any]
Scopes: TypeAlias = dict[str, list[Requirement]]

DOCKER = "docker"
_PLURALS = {"keyPaths": "keyPath", "keyDatas": "keyData"}


class Mode(enum.StrEnum):
    """How images are pulled at the site."""

    ORIGINAL = "original"
    INTERNAL = "internal"
    SITE = "site"


@dataclass(frozen=True)
class HostKey:
    """A public key of the site: its path on the hosts that pull, and whether it is an OpenPGP key."""

    path: str
    openpgp: bool = True


@dataclass(frozen=True)
class SitePolicy:
    """The site's policy, parsed and as JSON."""

    parsed: Policy
    document: Mapping[str, Any]

    @property
    def docker(self) -> Scopes:
        """The scopes of transport ``docker``."""
        return dict(self.document.get("transports", {}).get(DOCKER, {}))

    @property
    def names_sources(self) -> bool:
        """Whether a scope says where images come from; wildcards and ``""`` do not."""
        return any(map(_is_exact, self.docker))


@dataclass(frozen=True)
class SiteMirror:
    """Where the images are at the site.

    Attributes:
        target: as given to ``airgap import``.
        lookaside: the URL of the tree that ``airgap import --lookaside`` writes; empty if there is none.
        insecure: whether the target is reached over plain HTTP.
    """

    target: RegistryTarget
    lookaside: str = ""
    insecure: bool = False

    @property
    def root(self) -> str:
        """The name below which everything is imported."""
        return f"{self.target.host}/{self.target.prefix}".rstrip("/")

    def name(self, source: str) -> str:
        """Where a source host, namespace or repository is: ``docker.io/library`` -> ``HOST/PREFIX/docker.io/library``.

        Raises:
            UsageError: the rules for names separate what is below it.
        """
        if not self.target.rules.is_plain:
            raise UsageError(
                "vendors' signatures cannot be required under names that these rules create",
                where="--map",
                expected="keep-host or strip-host",
                got=printable(str(self.target.rules)),
                hint="use mode site with a site key, or mode original without one",
            )
        host, _, path = source.partition("/")
        moved = str(self.target.repository(Repository(host, f"{path}/any/x".lstrip("/"))))
        return moved.removesuffix("/any/x")


@dataclass(frozen=True)
class HostRules:
    """Requirements by the names that are pulled.

    Attributes:
        docker: by scope, as in a policy.
        moved: which prefix of a pulled name leads where.
        warnings: what the operator should know.
        stricter: what podman and skopeo ask or refuse beyond the site's policy.
    """

    docker: Scopes
    moved: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    stricter: tuple[str, ...] = ()


def host_rules(
    mode: Mode,
    mirror: SiteMirror,
    policy: SitePolicy,
    sources: Sequence[str] = (),
    site_keys: Sequence[HostKey] = (),
    routes: Mapping[str, str] | None = None,
) -> HostRules:
    """What the names that are pulled require.

    Args:
        mode: how images are pulled.
        mirror: where the images are.
        policy: the site's; its docker scopes name the vendors. Other transports are copied; the default becomes reject.
        sources: source hosts, namespaces or repositories in addition to those in the policy.
        site_keys: the keys that sign at import. Each of them must have signed; in the first two modes in addition to the vendor.
        routes: for mode original, where prefixes of source names lead; by default as ``keep-host`` or ``strip-host`` maps the
            sources.

    Raises:
        UsageError: a policy cannot express what is requested, or something is missing for it.
    """
    warnings: list[str] = []
    stricter: list[str] = []
    moved = {mirror.root: mirror.root}
    if mode is Mode.SITE:
        return HostRules(_site(mirror, sources, site_keys), moved)
    rules = _rules(policy, sources, mode, warnings)
    if mode is Mode.ORIGINAL:
        docker = _original(mirror, policy, rules, site_keys)
        moved = dict(routes) if routes is not None else _locations(mirror, rules)
        if all(map(_is_open, docker.values())):  # then the names at the target are worth no less
            docker |= {name: list(ACCEPT) for name in moved.values()}
            moved |= {mirror.root: mirror.root}
    else:
        docker = _internal(mirror, rules, site_keys, stricter)
    return HostRules(docker, moved, (*warnings, *_unsigned(docker)), (*stricter, *_unread(rules)))


def _site(mirror: SiteMirror, sources: Sequence[str], site_keys: Sequence[HostKey]) -> Scopes:
    """One scope for everything at the target: what the vendors signed was judged at import."""
    if not site_keys:
        raise UsageError("mode site needs the site's key", expected="--site-key FILE, the public half of import's --sign-by")
    if sources:
        raise UsageError("mode site covers everything below the target", where="--source", hint="omit --source")
    return {mirror.root: _site_requirements(site_keys)}


def _rules(policy: SitePolicy, sources: Sequence[str], mode: Mode, warnings: list[str]) -> Scopes:
    """The requirements by source scope: the policy's own scopes, then what it says about the other sources."""
    rules = {scope: found for scope, found in policy.docker.items() if _is_exact(scope)}
    for scope in policy.docker:
        if scope.startswith("*.") and not any(scope in name_scopes(source) for source in sources):
            warnings.append(_skipped_wildcard(scope, mode))
    for source in sources:
        _check_source(source)
        if source not in rules:
            rules[source] = _decisive(policy, source)
    if not rules:
        raise UsageError(
            "no source registry is known",
            expected="docker scopes in the policy, or --source",
            hint="add a source, for example --source docker.io",
        )
    if policy.docker.get("", REJECT) != REJECT:
        warnings.append('the docker scope "" is not copied: names outside all other scopes and --source are rejected')
    return rules


def _decisive(policy: SitePolicy, source: str) -> list[Requirement]:
    """What the policy requires of a source that it has no scope for."""
    selected = select(policy.parsed, DOCKER, name_scopes(source))
    return policy.docker[selected.scope] if selected.transport else list(policy.document["default"])


def _is_scope(scope: str) -> bool:
    """Whether anything can match it."""
    return bool(scope) and not unmatched(scope)[0]


def _is_exact(scope: str) -> bool:
    return _is_scope(scope) and "*" not in scope


def _skipped_wildcard(scope: str, mode: Mode) -> str:
    what = "is not redirected to the target" if mode is Mode.ORIGINAL else "has no counterpart at the target"
    return f"the docker scope {printable(scope)} {what}: name its hosts with --source"


def _check_source(source: str) -> None:
    if not _is_exact(source) or scope_name(source) != source:
        why = unmatched(source)[0] if source else ""
        raise UsageError(
            "not a source" + (f": {why}" if why else ""),
            where="--source",
            expected="HOST[:PORT][/NAMESPACE][/NAME], such as docker.io/library",
            got=printable(source),
        )


def _locations(mirror: SiteMirror, rules: Scopes) -> dict[str, str]:
    return {name: mirror.name(name) for name in _outermost(scope_name(scope) for scope in rules)}


def _outermost(names: Iterable[str]) -> list[str]:
    """The names that are below no other one."""
    found: list[str] = []
    for name in sorted(set(names), key=lambda name: (name.count("/"), name)):
        if not any(name.startswith(f"{outer}/") for outer in found):
            found.append(name)
    return found


def _original(mirror: SiteMirror, policy: SitePolicy, rules: Scopes, site_keys: Sequence[HostKey]) -> Scopes:
    """Scopes by source name. A wildcard stays and continues to decide for its hosts."""
    wildcards = {scope: found for scope, found in policy.docker.items() if scope.startswith("*.") and _is_scope(scope)}
    docker = {scope: [_portable(requirement) for requirement in found] for scope, found in {**rules, **wildcards}.items()}
    for scope in rules:
        host = scope.partition("/")[0]
        if site_keys:
            docker[scope] += _site_requirements(site_keys, _remap(host, mirror.name(host)))
    return docker


def _internal(mirror: SiteMirror, rules: Scopes, site_keys: Sequence[HostKey], stricter: list[str]) -> Scopes:
    """Scopes by the target's names, so that vendors' signatures hold there."""
    _check_hosts(mirror, sorted({scope.partition("/")[0] for scope in rules}))
    docker: Scopes = {}
    for scope, found in rules.items():
        name = scope_name(scope)
        moved = mirror.name(name) + scope[len(name) :]
        docker[moved] = [_portable(_remapped(requirement, scope, mirror, stricter)) for requirement in found]
        docker[moved] += _site_requirements(site_keys)
    return docker


def _check_hosts(mirror: SiteMirror, hosts: Sequence[str]) -> None:
    """Refuse when a name at the target does not tell whose signature it needs."""
    if mirror.target.rules.rest is RenameRule.STRIP_HOST and len(hosts) > 1:
        raise UsageError(
            "mode internal cannot distinguish the vendors of several hosts if names have no host (strip-host)",
            got=listing(list(hosts), 8),
            hint="import with the default mapping, which keeps the host, or use mode site with a site key",
        )
    owners: dict[str, str] = {}
    for host in hosts:
        other = owners.setdefault(mirror.name(host), host)
        if other != host:
            raise UsageError("two source hosts have the same name at the target", where=mirror.name(host), got=f"{other}, {host}")


def _remapped(requirement: Requirement, scope: str, mirror: SiteMirror, stricter: list[str]) -> Requirement:
    """The same requirement for the name at the target.

    Raises:
        UsageError: its signedIdentity has no counterpart there.
    """
    if requirement["type"] not in ("signedBy", "sigstoreSigned"):
        return requirement
    identity = requirement.get("signedIdentity", {"type": "matchRepoDigestOrExact"})
    kind = identity["type"]
    if kind in ("exactReference", "exactRepository"):  # these do not ask what was pulled
        return requirement
    if kind == "matchExact":
        raise _no_counterpart(scope, kind, "use mode original or site")
    if kind == "matchRepository":
        stricter.append(
            f"{printable(scope)}: matchRepository becomes remapIdentity, which requires the signed tag to equal the pulled one"
        )
    prefix, signed = (identity["prefix"], identity["signedPrefix"]) if kind == "remapIdentity" else ("", "")
    if prefix and prefix.startswith(f"{scope_name(scope)}/"):
        raise _no_counterpart(scope, "remapIdentity of a part of the scope", f"give the policy a scope {printable(prefix)} for it")
    if not prefix or not f"{scope_name(scope)}/".startswith(f"{prefix}/"):  # one that never applies counts as the default
        prefix = signed = scope.partition("/")[0]
    return requirement | {"signedIdentity": _remap(mirror.name(prefix), signed)}


def _remap(prefix: str, signed: str) -> Requirement:
    return {"type": "remapIdentity", "prefix": prefix, "signedPrefix": signed}


def _no_counterpart(scope: str, what: str, hint: str) -> UsageError:
    return UsageError(f"mode internal cannot express {what}", where=f'transports.docker["{printable(scope)}"]', hint=hint)


def _portable(requirement: Requirement) -> Requirement:
    """With ``keyPath`` instead of ``keyPaths`` for a single key: older programs refuse a file with the plural."""
    if requirement["type"] != "sigstoreSigned":
        return requirement
    result = dict(requirement)
    for plural, singular in _PLURALS.items():
        if len(result.get(plural, ())) == 1:
            result[singular] = result.pop(plural)[0]
    return result


def _site_requirements(keys: Sequence[HostKey], identity: Requirement | None = None) -> list[Requirement]:
    more = {} if identity is None else {"signedIdentity": identity}
    kinds: dict[bool, Requirement] = {True: {"type": "signedBy", "keyType": GPG_KEYS}, False: {"type": "sigstoreSigned"}}
    return [{**kinds[key.openpgp], "keyPath": key.path, **more} for key in keys]


def _is_open(found: Sequence[Requirement]) -> bool:
    return all(requirement["type"] == "insecureAcceptAnything" for requirement in found)


def _unsigned(docker: Scopes) -> Iterator[str]:
    if names := [scope for scope, found in docker.items() if _is_open(found)]:
        yield (
            f"no signature is required below {listing(names, 8)}, as in the site's policy: at import the bundle's signature "
            "covered these images, but a pull verifies nothing (add --site-key)"
        )


def _unread(rules: Scopes) -> Iterator[str]:
    if names := [scope for scope, found in rules.items() if any(one["type"] == "sigstoreSigned" for one in found)]:
        yield (
            f"{TAGS_ALONE}: below {listing(names, 8)} they refuse images whose "
            "signature is a referrer, which import accepts (sign with import's --sign-by and use mode site)"
        )
