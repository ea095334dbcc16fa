"""Whether the attestations of an image meet what the site demands: each verified by the policy's own requirements for the image.

A demand is met when for every ``sigstoreSigned`` of the image's scope there is an attestation which

1. is signed as that requirement wants it (not its ``signedIdentity``: subjects of attestations are named after files),
2. states the demanded predicate type,
3. is about the manifest: its SHA-256 is one of the statement's subjects, and
4. where the demand says it, states the builder and no other source.

Sources: in-toto attestation framework v1, DSSE v1.0, cosign's ATTESTATION_SPEC; SLSA v1.0, "Verifying artifacts".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from airgap.errors import AirgapError, MediaError, Refused
from airgap.oci.digest import Digest
from airgap.text import listing, plural, printable
from airgap.trust.judge.decisions import Attested, Decision, facts_of, reasons
from airgap.trust.judge.provenance import Statement, read_attestation
from airgap.trust.judge.sigstorebundle import SignedStatement
from airgap.trust.keys.evidence import Attestation, Evidence
from airgap.trust.policy.demands import Demand, Demanded, meets
from airgap.trust.policy.requirements import Requirement, SigstoreSigned, describe

#: Opens one attestation if its signature satisfies a requirement. Raises ``Refused``, or ``AirgapError``: no keys can be had.
Open = Callable[[SigstoreSigned, Attestation], SignedStatement]


def decide(demanded: Demanded, requirements: Sequence[Requirement], evidence: Evidence | None, open_: Open) -> list[Decision]:
    """A decision for each demand and each requirement that must have signed what meets it.

    Args:
        demanded: what the site demands of the image.
        requirements: those of the policy for the image.
        evidence: the attestations of the manifest; None: there are none.
        open_: verifies one. It is asked once for each requirement and attestation.

    Raises:
        MediaError: a key cannot be read because a disk fails.
    """
    signed = [one for one in requirements if isinstance(one, SigstoreSigned)]
    if not signed:
        reason = "the policy requires no sigstore signature of this image, so nothing can verify an attestation"
        return [_unmet(demanded, demand, str(demand), reason) for demand in demanded.demands]
    bench = _Bench(evidence, open_)
    return [bench.decide(demanded, demand, requirement) for requirement in signed for demand in demanded.demands]


class _Bench:
    """The attestations of one manifest: each is opened once for a requirement, and what it states is read once for all."""

    def __init__(self, evidence: Evidence | None, open_: Open) -> None:
        self._evidence = evidence
        self._open = open_
        self._opened: dict[SigstoreSigned, list[tuple[Attestation, SignedStatement | AirgapError]]] = {}
        self._read: dict[Digest, Statement | Refused] = {}

    def decide(self, demanded: Demanded, demand: Demand, requirement: SigstoreSigned) -> Decision:
        name = f"{demand}, {describe(requirement)}"
        failures: list[str] = []
        others: Counter[str] = Counter()
        for attestation, signed in self._all(requirement):
            label = printable(attestation.content.name, 120)
            try:
                statement = self._statement(attestation, signed)
                if not demand.is_type(statement.predicate_type):
                    others[statement.predicate_type] += 1
                    continue
                check(demand, statement, self._digest)
            except AirgapError as error:
                failures.append(f"{label}: {facts_of(error)}")
            else:
                assert isinstance(signed, SignedStatement)  # noqa: S101 - for the type checker: else it has no statement
                return _met(demanded, name, attestation, signed.signer, statement)
        return _unmet(demanded, demand, name, self._why(failures, others))

    @property
    def _digest(self) -> str:
        return self._evidence.manifest_digest.hex if self._evidence else ""

    def _all(self, requirement: SigstoreSigned) -> list[tuple[Attestation, SignedStatement | AirgapError]]:
        if requirement not in self._opened:
            self._opened[requirement] = [
                (one, self._try(requirement, one)) for one in (self._evidence.attestations if self._evidence else ())
            ]
        return self._opened[requirement]

    def _try(self, requirement: SigstoreSigned, attestation: Attestation) -> SignedStatement | AirgapError:
        try:
            return self._open(requirement, attestation)
        except MediaError:  # the disk fails: nothing is known about the signature
            raise
        except AirgapError as error:
            return error

    def _statement(self, attestation: Attestation, signed: SignedStatement | AirgapError) -> Statement:
        if isinstance(signed, AirgapError):
            raise signed
        if attestation.digest not in self._read:
            try:
                self._read[attestation.digest] = read_attestation(signed.payload)
            except Refused as error:
                self._read[attestation.digest] = error
        found = self._read[attestation.digest]
        if isinstance(found, Refused):
            raise found
        return found

    def _why(self, failures: Sequence[str], others: Counter[str]) -> str:
        found = [reasons(failures)] if failures else []
        if others:
            shown = listing([printable(one, 120) for one in others], 4)
            found.append(f"{plural(others.total(), 'signed statement')} of another predicate type: {shown}")
        evidence = self._evidence
        if not found:
            found.append("no attestation hangs off this manifest")
        if evidence and evidence.unread:
            found.append(f"{plural(evidence.unread, 'attestation')} not read: too large, too many, or not in the bundle")
        if evidence and evidence.of_index:
            found.append(f"what hangs off the index ({evidence.of_index}) does not count for its instances")
        return "; ".join(found)


def check(demand: Demand, statement: Statement, digest: str) -> None:
    """Check that a statement of the demanded type meets the rest of the demand.

    Args:
        digest: the SHA-256 of the manifest, in hex.

    Raises:
        Refused: it is about another manifest, or states another builder or source.
    """
    if digest not in statement.digests:
        raise Refused("the attestation is for another manifest", expected=f"sha256:{digest}")
    if demand.builder and not meets(demand.builder, statement.builder):
        got = printable(statement.builder, 300) or "no builder"
        raise Refused("the provenance states another builder", expected=demand.builder, got=got)
    if demand.source and not (statement.sources and all(meets(demand.source, one) for one in statement.sources)):
        got = printable(", ".join(statement.sources[:4]), 600) or "no source"
        raise Refused("the provenance states another source", expected=demand.source, got=got)


def _met(demanded: Demanded, name: str, attestation: Attestation, signer: str, statement: Statement) -> Decision:
    label = printable(attestation.content.name, 120)
    words = [f"{label} of type {printable(statement.predicate_type, 120)} by {signer}"]
    words += [f"builder {printable(statement.builder, 300)}"] if statement.builder else []
    words += [f"source {printable(', '.join(statement.sources[:4]), 600)}"] if statement.sources else []
    attested = Attested(str(attestation.digest), statement.predicate_type, statement.builder, statement.sources)
    return Decision(
        f"{name} ({demanded.label})",
        accepted=True,
        reason=", ".join(words),
        signature=label,
        key=signer,
        demand_scope=demanded.scope,
        attested=attested,
    )


def _unmet(demanded: Demanded, demand: Demand, name: str, why: str) -> Decision:
    reason = f"no {demand.predicate} attestation meets the demand ({demanded.label}): {why}"
    return Decision(f"{name} ({demanded.label})", accepted=False, reason=reason, demand_scope=demanded.scope)
