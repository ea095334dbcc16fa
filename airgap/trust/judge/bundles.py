"""Who signed a bundle, and whether the policy accepts that.

1. :func:`check_catalog_signatures`, before anything in the catalog is read: check every signature file over the raw bytes with
   every key that the policy names for any bundle. Nothing that could satisfy any scope: refused, the catalog is never parsed.
2. :func:`judge_stream`, when the catalog has said its stream: the requirements of that stream's scope must all pass, each by a
   different key. Two entries are the two-person rule; keys are told apart by their public numbers, in whatever form they come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import AirgapError, MediaError, Refused
from airgap.limits import MAX_SIGNATURE, MAX_SIGNATURES
from airgap.text import listing, plural, printable
from airgap.trust.judge.catalogbundle import SUFFIX, read_signature
from airgap.trust.keys import gpg
from airgap.trust.keys.keystore import ReadKey, known_openpgp_keys, read_keys
from airgap.trust.keys.numbers import all_numbers, names_of, number_of, people
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import PublicKey, decode_signature, load_public_key, verify_by_curve
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import (
    GPG_KEYS,
    AcceptAnything,
    KeySource,
    Reject,
    Requirement,
    SignedBaseLayer,
    SignedBy,
    SigstoreSigned,
    describe,
    type_name,
)
from airgap.trust.policy.scopes import Selected, requirements_for_stream, select
from airgap.trust.policy.scopesyntax import AIRGAP

_NAME = re.compile(r"catalog\.json\.([0-9a-f]{16}\.(sig|asc|sigstore\.json)|sigstore\.json)", re.ASCII)
_SIGNER = re.compile(r"\.([0-9a-f]{16})\.(?:sig|sigstore\.json)\Z", re.ASCII)
_SIGN_HINT = "sign the bundle with a key that the policy requires (airgap sign BUNDLE --key KEY), or correct the policy"
_NONE = Revoked()
_NO_SCOPE_HINT = "write a policy that names the key of your bundles: airgap policy init"


@dataclass(frozen=True)
class Finding:
    """The signatures found for one requirement.

    ``signers`` are the keys that satisfied it (full fingerprint -> description), ``numbers`` their public numbers, subkeys too, and
    ``good`` the files their signatures are in; ``failures`` says for each other signature file why it did not count, ``obstacle``
    why nothing can satisfy the requirement.
    """

    wanted: str
    signers: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    good: frozenset[str] = frozenset()
    failures: Mapping[str, str] = field(default_factory=dict)
    obstacle: str = ""


@dataclass(frozen=True)
class CatalogSignatures:
    """The result of step 1: what each requirement of the policy got, and the files that are no signatures at all."""

    names: tuple[str, ...]
    findings: Mapping[Requirement, Finding]
    broken: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """The bundle is accepted: the scope that decided, why (one sentence each), and the keys that were needed and found."""

    scope: str
    reasons: tuple[str, ...]
    signers: tuple[str, ...]


def check_catalog_signatures(
    raw: bytes, signatures: Mapping[str, bytes], policy: Policy, read_key: ReadKey, revoked: Revoked = _NONE
) -> CatalogSignatures:
    """Step 1: check all signatures over the raw bytes of the catalog.

    Args:
        raw: the catalog, unparsed.
        signatures: the content of each signature file by its file name.
        policy: the site's policy.
        read_key: reads the key files that the policy names.
        revoked: keys whose signatures count as none, whatever the policy says.

    Raises:
        Refused: no scope for bundles could be satisfied by these signatures, or there are more than 128.
    """
    if len(signatures) > MAX_SIGNATURES:
        raise Refused("too many signature files", expected=f"at most {MAX_SIGNATURES}", got=str(len(signatures)))
    usable, broken = _sorted_out(signatures)
    scopes = list(_bundle_scopes(policy))
    requirements = dict.fromkeys(requirement for scope in scopes for requirement in scope.requirements)
    if revoked.keys:
        revoked = revoked.in_every_form(known_openpgp_keys(policy, read_key))
    findings = {requirement: _find(requirement, raw, usable, read_key, revoked) for requirement in requirements}
    found = CatalogSignatures(tuple(sorted(signatures)), findings, broken)
    if not any(_is_satisfied(found, scope.requirements) for scope in scopes):
        raise _nothing_satisfied(found, scopes, policy)
    return found


def judge_stream(found: CatalogSignatures, policy: Policy, stream: str) -> Verdict:
    """Step 2: decide whether the signatures are enough for a bundle of this stream.

    Raises:
        Refused: a requirement of the scope is not satisfied.
    """
    selected = requirements_for_stream(policy, stream)
    where = f"stream {printable(stream)}, {selected.label}"
    assignment = _assign(found, selected.requirements)
    for i, requirement in enumerate(selected.requirements):
        if not _passes(found, requirement, assignment.get(i)):
            raise _refusal(found, selected, i, where)
    signers = tuple(found.findings[selected.requirements[i]].signers[key] for i, key in sorted(assignment.items()))
    return Verdict(selected.label, tuple(_reasons(found, selected, assignment)), signers)


def _sorted_out(signatures: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    usable, broken = {}, {}
    for name, content in sorted(signatures.items()):
        if not _NAME.fullmatch(name):
            broken[printable(name, 80)] = "not a valid signature file name"
        elif len(content) > MAX_SIGNATURE:
            broken[name] = f"larger than {MAX_SIGNATURE} bytes"
        else:
            usable[name] = content
    return usable, broken


def _bundle_scopes(policy: Policy) -> Iterator[Selected]:
    """Every scope that could apply to a bundle. The default counts only where no ``""`` scope stands before it."""
    scopes = policy.transports.get(AIRGAP, {})
    yield from (Selected(AIRGAP, scope, requirements) for scope, requirements in scopes.items() if scope)
    yield select(policy, AIRGAP, ())


def _find(requirement: Requirement, raw: bytes, files: Mapping[str, bytes], read_key: ReadKey, revoked: Revoked) -> Finding:
    if isinstance(requirement, AcceptAnything | Reject | SignedBaseLayer):
        return Finding(type_name(requirement))
    wanted = describe(requirement)
    hindrance = obstacle(requirement)
    if hindrance or requirement.keys is None:
        return Finding(wanted, obstacle=hindrance)
    try:
        keys = read_keys(requirement.keys, read_key)
        if isinstance(requirement, SignedBy):
            return find_openpgp(wanted, keys, raw, files, revoked)
        return find_raw(keys, requirement.keys, raw, files, revoked)
    except MediaError:  # the disk fails: nothing is known about the signature
        raise
    except AirgapError as error:
        return Finding(wanted, obstacle=_sentence(error))


def obstacle(requirement: SignedBy | SigstoreSigned) -> str:
    """Why a requirement can never be satisfied by the signature of a bundle."""
    if requirement.identity is not None:
        return "signedIdentity does not apply to bundles: remove it from the policy"
    if isinstance(requirement, SignedBy):
        return "" if requirement.key_type == GPG_KEYS else f"keyType {requirement.key_type} is never satisfied: use {GPG_KEYS}"
    if requirement.keys is None:
        return "fulcio and pki do not apply to bundles: name a key instead"
    return "Rekor keys do not apply to bundles: remove them from the policy" if requirement.rekor else ""


def find_openpgp(wanted: str, keys: Sequence[bytes], raw: bytes, files: Mapping[str, bytes], revoked: Revoked) -> Finding:
    """Verify the detached OpenPGP signatures among ``files`` with these keys. Raises ``AirgapError``: a key is invalid."""
    signers: dict[str, str] = {}
    failures: dict[str, str] = {}
    armored = {name: content for name, content in files.items() if name.endswith(".asc")}
    if not armored:
        return Finding(wanted)
    with gpg.open_keyring(keys) as ring:
        known = {key.primary: key for key in ring.listed()}
        revoked = revoked.in_every_form(known.values())
        for name, content in armored.items():
            try:
                good = ring.verify_detached(raw, content)
                key = known[good.primary]
                why = revoked.reason(*names_of(key, good.primary), *names_of(key, good.signer))
                if why is not None:
                    raise Refused(why, got=f"key {good.id}")
                signers[f"openpgp:{good.primary}"] = f"OpenPGP key {good.id} ({name})"
            except Refused as error:
                failures[name] = _sentence(error)
        wanted = f"{wanted} ({_ids(gpg.key_id(primary) for primary in ring.primaries)})"
    numbers = {f"openpgp:{primary}": found for primary, found in all_numbers(known.values()).items()}
    return Finding(wanted, signers, numbers, frozenset(armored.keys() - failures.keys()), failures)


def find_raw(keys: Sequence[bytes], source: KeySource, raw: bytes, files: Mapping[str, bytes], revoked: Revoked) -> Finding:
    """Verify the raw signatures among ``files``, in base64 or a Sigstore bundle, with these keys.

    Raises:
        AirgapError: a key is invalid.
    """
    public = [load_public_key(data) for data in keys]
    signers: dict[str, str] = {}
    failures: dict[str, str] = {}
    encoded = {name: content for name, content in files.items() if name.endswith((".sig", SUFFIX))}
    for name, content in encoded.items():
        try:
            key = _maker(public, raw, _raw_signature(name, content, raw), name)
            if (why := revoked.reason(key.fingerprint, key.id)) is not None:
                raise Refused(why, got=f"key {key.id}")
            signers[key.fingerprint] = f"{key.kind} key {key.id} ({name})"
        except Refused as error:
            failures[name] = _sentence(error)
    wanted = f"sigstoreSigned {source.describe()} ({_ids(key.id for key in public)})"
    numbers = {key.fingerprint: frozenset((number_of(key),)) for key in public}
    return Finding(wanted, signers, numbers, frozenset(encoded.keys() - failures.keys()), failures)


def _raw_signature(name: str, content: bytes, raw: bytes) -> bytes:
    """The signature's own bytes. Raises ``Refused``: there are none."""
    signature = read_signature(content, raw) if name.endswith(SUFFIX) else decode_signature(content)
    if signature is None:
        raise Refused("not base64")
    return signature


def _maker(keys: Sequence[PublicKey], raw: bytes, signature: bytes, name: str) -> PublicKey:
    """The key that made a signature.

    Without the key of another signer nobody can tell whether their signature is good, so the refusal does not call it bad: it says
    after which key the file is named.

    Raises:
        Refused: none of these.
    """
    key = next((key for key in keys if verify_by_curve(key, raw, signature)), None)
    if key is not None:
        return key
    named = _SIGNER.search(name)
    if named is None:
        raise Refused("no accepted key made it over these bytes")
    if any(key.id == named[1] for key in keys):
        raise Refused("not a signature of these bytes by the key that the file is named after", got=f"key {named[1]}")
    raise Refused("no accepted key made it: the file is named after another key", got=f"key {named[1]}")


def _ids(ids: Iterator[str]) -> str:
    found = sorted(ids)
    return f"{'key' if len(found) == 1 else 'one of the keys'} {', '.join(found)}"


def _sentence(error: AirgapError) -> str:
    facts = [error.what]
    facts += [f"{name} {value}" for name, value in (("in", error.where), ("expected", error.expected), ("got", error.got)) if value]
    return ", ".join(facts) + (f" ({error.hint})" if error.hint else "")


def _assign(found: CatalogSignatures, requirements: Sequence[Requirement]) -> dict[int, str]:
    """Give every requirement that wants a key one of its own, as many as possible (bipartite matching).

    One's own is a key that shares no public number with another's: the same key in two forms is one.
    """
    findings = [found.findings.get(requirement, Finding("")) for requirement in requirements]
    owner = people({key: finding.numbers[key] for finding in findings for key in finding.signers})
    holder: dict[str, tuple[int, str]] = {}

    def claim(i: int, tried: set[str]) -> bool:
        for key in findings[i].signers:
            person = owner[key]
            if person not in tried:
                tried.add(person)
                if person not in holder or claim(holder[person][0], tried):
                    holder[person] = i, key
                    return True
        return False

    for i in range(len(requirements)):
        claim(i, set())
    return dict(holder.values())


def _passes(found: CatalogSignatures, requirement: Requirement, key: str | None) -> bool:
    if isinstance(requirement, AcceptAnything):
        return True
    return key is not None and requirement in found.findings


def _is_satisfied(found: CatalogSignatures, requirements: Sequence[Requirement]) -> bool:
    assignment = _assign(found, requirements)
    return bool(requirements) and all(_passes(found, requirement, assignment.get(i)) for i, requirement in enumerate(requirements))


def _reasons(found: CatalogSignatures, selected: Selected, assignment: Mapping[int, str]) -> Iterator[str]:
    for i, requirement in enumerate(selected.requirements):
        finding = found.findings.get(requirement)
        if i in assignment and finding is not None:
            yield f"{finding.wanted}: signed by {finding.signers[assignment[i]]}"
        else:
            yield f"{type_name(requirement)}: accepted without any signature"
    for name, why in _useless(found, selected.requirements).items():
        yield f"ignored {name}: {why}"


def _useless(found: CatalogSignatures, requirements: Sequence[Requirement]) -> dict[str, str]:
    """The signature files that satisfied none of the requirements, and why."""
    result = dict(found.broken)
    findings = [found.findings[requirement] for requirement in requirements if requirement in found.findings]
    used = frozenset[str]().union(result, *(finding.good for finding in findings))
    for name in found.names:
        if name not in used and _NAME.fullmatch(name):
            why = dict.fromkeys(finding.failures[name] for finding in findings if name in finding.failures)
            result[name] = "; ".join(why) or "of a kind that no requirement here needs"
    return result


def _refusal(found: CatalogSignatures, selected: Selected, index: int, where: str) -> Refused:
    requirement = selected.requirements[index]
    finding = found.findings.get(requirement)
    if isinstance(requirement, Reject | SignedBaseLayer) or finding is None:
        what = f"the policy rejects this bundle ({type_name(requirement)})"
        return Refused(what, where=where, hint=_NO_SCOPE_HINT)
    if finding.signers:
        got = f"only {listing(sorted(finding.signers.values()))}, which already satisfies another requirement"
        got += ", there in another file format" if _in_two_forms(found, selected, finding) else ""
        return Refused(
            "too few different keys have signed the bundle",
            where=where,
            expected=f"{plural(len(selected.requirements), 'signature')} by different keys, one of them {finding.wanted}",
            got=got,
            hint=_SIGN_HINT,
        )
    return Refused(
        "a signature that the policy requires is missing",
        where=f"{where}[{index}]",
        expected=finding.wanted,
        got=finding.obstacle or _what_was_found(found, selected.requirements),
        hint=_SIGN_HINT,
    )


def _in_two_forms(found: CatalogSignatures, selected: Selected, finding: Finding) -> bool:
    others = {key for one in selected.requirements if one in found.findings for key in found.findings[one].signers}
    return bool(others - finding.signers.keys())


def _what_was_found(found: CatalogSignatures, requirements: Sequence[Requirement]) -> str:
    if not found.names:
        return "no signature at all"
    useless = [f"{name}: {why}" for name, why in _useless(found, requirements).items()]
    good = [label for requirement in requirements for label in found.findings[requirement].signers.values()]
    return "; ".join([*(f"good signature by {label}" for label in dict.fromkeys(good)), *useless][:20])


def _nothing_satisfied(found: CatalogSignatures, scopes: Sequence[Selected], policy: Policy) -> Refused:
    """One message about all scopes: the catalog is not read, so its stream is not known yet."""
    open_scopes = [scope for scope in scopes if not any(isinstance(requirement, Reject) for requirement in scope.requirements)]
    where = listing([scope.label for scope in scopes])
    if not open_scopes:
        return Refused("the policy rejects every bundle", where=where, hint=_NO_SCOPE_HINT)
    if len(open_scopes) == 1:
        scope = open_scopes[0]
        assignment = _assign(found, scope.requirements)
        first = next(i for i, requirement in enumerate(scope.requirements) if not _passes(found, requirement, assignment.get(i)))
        return _refusal(found, scope, first, scope.label)
    requirements = [requirement for scope in open_scopes for requirement in scope.requirements]
    findings = [found.findings[requirement] for requirement in dict.fromkeys(requirements)]
    obstacles = [f"{finding.wanted}: {finding.obstacle}" for finding in findings if finding.obstacle]
    return Refused(
        "the bundle is not signed as the policy requires",
        where=where,
        expected="; ".join(f"{scope.label}: {_wish(found, scope)}" for scope in open_scopes),
        got="; ".join([_what_was_found(found, requirements), *obstacles]),
        hint=_SIGN_HINT if policy.has_bundle_scope else _NO_SCOPE_HINT,
    )


def _wish(found: CatalogSignatures, scope: Selected) -> str:
    return " and ".join(found.findings[requirement].wanted for requirement in scope.requirements)
