"""Warnings about a valid policy: scopes that never match, keys that cannot be read, fields that older programs reject.

Everything here has parsed; nothing here changes a decision. The measurements behind it are against podman 4.3 and skopeo 1.9.3, the
versions of Debian 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from airgap.errors import AirgapError, MediaError
from airgap.text import listing, printable
from airgap.trust.judge.bundles import obstacle
from airgap.trust.judge.hosts import Host
from airgap.trust.keys.keyfiles import KeyFile, check_key_file
from airgap.trust.keys.keystore import KeyStore, ReadKey, read_keys
from airgap.trust.keys.signatures import PublicKey, load_public_key
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import (
    GPG_KEYS,
    AcceptAnything,
    Fulcio,
    KeySource,
    Pki,
    Requirement,
    SignedBaseLayer,
    SignedBy,
    SigstoreSigned,
)
from airgap.trust.policy.scopeadvice import portless_hosts, unmatched, wildcards_without_parent
from airgap.trust.policy.scopesyntax import AIRGAP

#: The transports that podman and skopeo know, and ours.
TRANSPORTS = (AIRGAP, "atomic", "containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive",
              "ostree", "sif", "tarball")  # fmt: skip
_NAMED = ("docker", "atomic", "docker-daemon")
_OLD = "skopeo 1.9 and podman 4.3 (Debian 12)"
_DEBIAN_12 = (Host("podman", (4, 3)), Host("skopeo", (1, 9, 3)))


@dataclass(frozen=True, slots=True)
class Advice:
    """One remark. A warning is about something that hardly anybody wants; a note about something that surprises."""

    where: str
    what: str
    hint: str = ""
    note: bool = False

    @property
    def level(self) -> str:
        """``warning`` or ``note``."""
        return "note" if self.note else "warning"


def advise(policy: Policy, document: dict[str, object], read_key: ReadKey) -> list[Advice]:
    """All remarks about a policy, warnings first.

    Args:
        policy: the policy.
        document: the same as plain JSON: whether a field is there cannot be told from the policy.
        read_key: reads the key files that it names.
    """
    found = [
        *_general(policy),
        *_scopes(policy),
        *_unsatisfiable(policy),
        *portability(policy, document),
        *_keys(policy, read_key),
    ]
    return sorted(dict.fromkeys(found), key=lambda advice: advice.note)


def _places(policy: Policy) -> Iterator[tuple[str, str, Requirement]]:
    """Every requirement: where it stands, under which transport (``""`` for the default)."""
    lists = [("default", "", policy.default)]
    for transport, scopes in policy.transports.items():
        for scope, requirements in scopes.items():
            lists.append((f'transports.{printable(transport, 80)}["{printable(scope)}"]', transport, requirements))
    for where, transport, requirements in lists:
        yield from ((f"{where}[{i}]", transport, requirement) for i, requirement in enumerate(requirements))


def _general(policy: Policy) -> Iterator[Advice]:
    if _accepts_anything(policy.default):
        yield Advice("default", "images and bundles that no scope covers are accepted unsigned", 'write [{"type": "reject"}]')
    if not policy.has_bundle_scope:
        yield Advice(
            "transports", "no scope for bundles: the default applies to them", "add an airgap transport: airgap policy init"
        )
    for scope, requirements in policy.transports.get(AIRGAP, {}).items():
        if _accepts_anything(requirements):
            hint = "name the keys that sign your bundles"
            yield Advice(f'transports.{AIRGAP}["{printable(scope)}"]', "unsigned bundles are accepted", hint)
    for transport in policy.transports:
        if transport not in TRANSPORTS:
            hint = f"the transports are {', '.join(TRANSPORTS)}"
            yield Advice(f"transports.{printable(transport, 80)}", "this transport is unknown and has no effect", hint)
    if _accepts_anything(policy.transports.get("docker", {}).get("", ())):
        what = "images that no other scope covers need no signature of their own: the bundle's is enough"
        hint = "with the same file podman and skopeo accept any such image from any registry"
        yield Advice('transports.docker[""]', what, hint, note=True)


def _accepts_anything(requirements: tuple[Requirement, ...]) -> bool:
    return bool(requirements) and all(isinstance(requirement, AcceptAnything) for requirement in requirements)


def _scopes(policy: Policy) -> Iterator[Advice]:
    for transport in _NAMED:
        scopes = [scope for scope in policy.transports.get(transport, {}) if scope]
        where = f"transports.{transport}"
        for scope in scopes:
            why, hint = unmatched(scope)
            if why:
                yield Advice(f'{where}["{printable(scope)}"]', f"this scope never matches: {why}", hint)
        for scope in wildcards_without_parent(scopes):
            what = f"does not cover {printable(scope[2:])} itself, only hosts below it"
            yield Advice(f'{where}["{printable(scope)}"]', what, f"add a scope {printable(scope[2:])} if it should", note=True)
        hosts = portless_hosts(scopes)
        if hosts:
            what = f"a host without a port does not cover the same host with one: {listing(hosts, 8)}"
            yield Advice(where, what, "write HOST:PORT if image names have the port", note=True)


def _unsatisfiable(policy: Policy) -> Iterator[Advice]:
    for where, transport, requirement in _places(policy):
        if isinstance(requirement, SignedBaseLayer):
            yield Advice(where, "nothing ever satisfies signedBaseLayer", "remove it, or use reject")
        elif isinstance(requirement, SignedBy) and requirement.key_type != GPG_KEYS:
            yield Advice(where, f"nothing ever satisfies keyType {requirement.key_type}", f"use {GPG_KEYS}")
        elif transport == AIRGAP and isinstance(requirement, SignedBy | SigstoreSigned) and obstacle(requirement):
            yield Advice(where, f"no bundle can satisfy this: {obstacle(requirement)}")
    for scope, requirements in policy.transports.get(AIRGAP, {}).items():
        sources = [requirement.keys for requirement in requirements if isinstance(requirement, SignedBy | SigstoreSigned)]
        if any(source is not None and len(source.paths + source.datas) == 1 and sources.count(source) > 1 for source in sources):
            where = f'transports.{AIRGAP}["{printable(scope)}"]'
            yield Advice(where, "the same key is required twice, but each requirement needs a different key", "name two keys")


def portability(policy: Policy, document: dict[str, object]) -> Iterator[Advice]:
    """Warnings where programs of Debian 12 differ from newer ones in reading this policy."""
    for name in sorted({name for host in _DEBIAN_12 for name in host.unknown(document)}):
        what = f"{_OLD} reject the whole file because of {name}"
        yield Advice("", what, "use keyPath or keyData with one key, or give those programs a separate file")
    for where, transport, requirement in _places(policy):
        if isinstance(requirement, SigstoreSigned) and transport != AIRGAP:
            what = f"{_OLD} reject every image here: sigstore is disabled in their library"
            yield Advice(where, what, "require GPG signatures (signedBy) for images that such hosts pull", note=True)
            if requirement.fulcio is not None and "@" not in requirement.fulcio.subject_email.partition("://")[0]:
                what = (
                    "a subjectEmail that is no e-mail address counts for Sigstore bundles only: podman and skopeo compare addresses"
                )
                yield Advice(where, what, "give hosts that pull such images a separate file", note=True)


def _keys(policy: Policy, read_key: ReadKey) -> Iterator[Advice]:
    store = KeyStore(read_key)
    try:
        for where, transport, requirement in _places(policy):
            for source, load in _sources(requirement, store, read_key, transport):
                yield from _source(where, source, load)
    finally:
        store.close()


def _source(where: str, source: KeySource, load: Callable[[KeySource], object]) -> Iterator[Advice]:
    """Each key by itself, so that every bad one is named."""
    singles = [KeySource(paths=(path,)) for path in source.paths] + [KeySource(datas=(data,)) for data in source.datas]
    if not singles:
        yield Advice(where, "no key: nothing satisfies this", "name a key")
    for single in singles:
        place = single.describe()
        if single.paths and not single.paths[0].startswith("/"):
            what = f"{place} is a relative path, so the file depends on the current directory"
            yield Advice(where, what, "write an absolute path")
        try:
            load(single)
        except MediaError:  # the disk fails: nothing is known about the key
            raise
        except AirgapError as error:
            why = "; ".join(value for name, value in error.facts().items() if name in ("error", "got"))
            yield Advice(where, f"{place}: {why}", error.hint or "until this is fixed, nothing satisfies this requirement")


def _bundle_keys(source: KeySource, read_key: ReadKey) -> list[PublicKey]:
    """Keys of bundles, which podman and skopeo never read: DER is as good as PEM."""
    return [load_public_key(data) for data in read_keys(source, read_key)]


def _openpgp_keys(source: KeySource, read_key: ReadKey) -> list[KeyFile]:
    """OpenPGP keys that can still sign."""
    return [check_key_file(data, openpgp=True) for data in read_keys(source, read_key)]


def _sources(
    requirement: Requirement, store: KeyStore, read_key: ReadKey, transport: str
) -> Iterator[tuple[KeySource, Callable[[KeySource], object]]]:
    if isinstance(requirement, SignedBy):
        yield requirement.keys, partial(_openpgp_keys, read_key=read_key)
    if not isinstance(requirement, SigstoreSigned):
        return
    if requirement.keys is not None:
        alone = transport == AIRGAP and requirement.rekor is None
        yield requirement.keys, partial(_bundle_keys, read_key=read_key) if alone else store.public
    if requirement.rekor is not None:
        yield requirement.rekor, store.public if transport == AIRGAP else store.log_keys
    for source in _authorities(requirement.fulcio, requirement.pki):
        yield source, store.roots


def _authorities(fulcio: Fulcio | None, pki: Pki | None) -> Iterator[KeySource]:
    if fulcio is not None:
        yield fulcio.ca
    if pki is not None:
        yield pki.roots
        if pki.intermediates.paths or pki.intermediates.datas:
            yield pki.intermediates
