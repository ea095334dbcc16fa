"""Who signed a bundle, and whether the policy accepts that.

1. :func:`check_catalog_signatures`, before anything in the catalog is read: check every signature file over the raw bytes with
   every key that the policy names for any bundle. Nothing that could satisfy any scope: refused, the catalog is never parsed.
2. :func:`judge_stream`, when the catalog has said its stream: the requirements of that stream's scope must all pass, each by a
   different key. Two entries are the two-person rule; keys are told apart by their public numbers, in whatever form they come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from airgap.errors import AirgapError, MediaError, Refused
from airgap.limits import MAX_SIGNATURE, MAX_SIGNATURES
from airgap.text import listing, plural, printable
from airgap.trust.judge.findings import Finding, find_openpgp, find_proved, find_raw, sentence
from airgap.trust.keys.keystore import ReadKey, known_openpgp_keys, read_keys
from airgap.trust.keys.numbers import people
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import (
    GPG_KEYS,
    AcceptAnything,
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
from airgap.trust.sigstore.trustedroot import TrustedRoot

_NAME = re.compile(r"catalog\.json\.([0-9a-f]{16}\.(sig|asc|sigstore\.json)|sigstore\.json)", re.ASCII)
_SIGN_HINT = "sign the bundle with a key that the policy requires (airgap sign BUNDLE --key KEY), or correct the policy"
_NONE = Revoked()
_NO_SCOPE_HINT = "write a policy that names the key of your bundles: airgap policy init"


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
    raw: bytes,
    signatures: Mapping[str, bytes],
    policy: Policy,
    read_key: ReadKey,
    revoked: Revoked = _NONE,
    trusted_root: TrustedRoot | None = None,
) -> CatalogSignatures:
    """Step 1: check all signatures over the raw bytes of the catalog.

    Args:
        raw: the catalog, unparsed.
        signatures: the content of each signature file by its file name.
        policy: the site's policy.
        read_key: reads the key files that the policy names.
        revoked: keys whose signatures count as none, whatever the policy says.
        trusted_root: what the site trusts of a Sigstore instance; None: nothing.

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
    findings = {requirement: _find(requirement, raw, usable, read_key, revoked, trusted_root) for requirement in requirements}
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


def _find(
    requirement: Requirement,
    raw: bytes,
    files: Mapping[str, bytes],
    read_key: ReadKey,
    revoked: Revoked,
    trusted_root: TrustedRoot | None,
) -> Finding:
    if isinstance(requirement, AcceptAnything | Reject | SignedBaseLayer):
        return Finding(type_name(requirement))
    wanted = describe(requirement)
    hindrance = obstacle(requirement)
    if hindrance:
        return Finding(wanted, obstacle=hindrance)
    try:
        if isinstance(requirement, SignedBy):
            return find_openpgp(wanted, read_keys(requirement.keys, read_key), raw, files, revoked)
        if requirement.keys is None or requirement.rekor is not None:
            return find_proved(requirement, raw, files, read_key, revoked, trusted_root)
        return find_raw(read_keys(requirement.keys, read_key), requirement.keys, raw, files, revoked)
    except MediaError:  # the disk fails: nothing is known about the signature
        raise
    except AirgapError as error:
        return Finding(wanted, obstacle=sentence(error))


def obstacle(requirement: SignedBy | SigstoreSigned) -> str:
    """Why a requirement can never be satisfied by the signature of a bundle."""
    if requirement.identity is not None:
        return "signedIdentity does not apply to bundles: remove it from the policy"
    if isinstance(requirement, SignedBy):
        return "" if requirement.key_type == GPG_KEYS else f"keyType {requirement.key_type} is never satisfied: use {GPG_KEYS}"
    return "pki does not apply to bundles: name a key, or fulcio, instead" if requirement.pki is not None else ""


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
