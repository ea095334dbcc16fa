"""Whether an image is accepted: the requirements of policy.json's transport ``docker`` for its source reference.

All requirements of the scope must accept (AND); each is satisfied by any one signature. Bad signatures never poison good ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeAlias, TypeVar

from airgap.errors import AirgapError, MediaError, Refused
from airgap.limits import MAX_SIGNATURES
from airgap.oci.reference import Reference
from airgap.text import plural, printable
from airgap.trust.judge import attestations
from airgap.trust.judge.decisions import Decision, facts_of, reasons
from airgap.trust.judge.imagesignatures import check_gpg, check_sigstore, signed_envelope
from airgap.trust.judge.sigstorebundle import SignedStatement, check_bundle, signed_statement
from airgap.trust.judge.terms import ImageTerms
from airgap.trust.keys.evidence import Attestation, Evidence, GpgSignature, SignatureForm, SigstoreBundle, SigstoreSignature
from airgap.trust.keys.keystore import KeyStore, ReadKey
from airgap.trust.policy.demands import Demands
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
from airgap.trust.policy.scopes import requirements_for_image
from airgap.trust.policy.unnamed import Permission, UnnamedSignatures
from airgap.trust.sigstore.trustedroot import TrustedRoot

_Sigstore: TypeAlias = SigstoreSignature | SigstoreBundle
_Signature = TypeVar("_Signature", bound=GpgSignature | _Sigstore)
_ANYTHING = type_name(AcceptAnything())


@dataclass(frozen=True, slots=True)
class _Good:
    """A signature was good: by this key, in which form it was found, and by which permission if it names no image."""

    key: str
    form: SignatureForm
    unnamed: Permission | None = None


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """The policy's verdict on one image: the scope that decided, and each of its requirements. All must accept."""

    reference: Reference
    scope: str
    decisions: tuple[Decision, ...]

    @property
    def accepted(self) -> bool:
        """Whether the image may enter. Without any requirement it may not."""
        return bool(self.decisions) and all(decision.accepted for decision in self.decisions)

    @property
    def signature_required(self) -> bool:
        """Whether the policy asked for more than nothing."""
        return any(decision.requirement != _ANYTHING for decision in self.decisions)

    @property
    def unnamed_scopes(self) -> tuple[str, ...]:
        """The scopes that let signatures count which name no image."""
        return tuple(decision.unnamed_scope for decision in self.decisions if decision.unnamed_scope is not None)

    @property
    def demand_scopes(self) -> tuple[str, ...]:
        """The scopes that demanded attestations of the image."""
        return tuple(decision.demand_scope for decision in self.decisions if decision.demand_scope is not None)

    @property
    def lacks_attestations(self) -> bool:
        """Whether nothing but a demand was not met: the policy itself accepts the image."""
        refused = [decision.demand_scope is not None for decision in self.decisions if not decision.accepted]
        return bool(refused) and all(refused)

    @property
    def forms(self) -> frozenset[SignatureForm]:
        """The forms of the signatures that decided."""
        return frozenset(decision.form for decision in self.decisions if decision.form is not None)

    @property
    def reason(self) -> str:
        """The sentence that decided: of the first requirement that refused, else all of them."""
        refused = [decision.reason for decision in self.decisions if not decision.accepted]
        return refused[0] if refused else "; ".join(decision.reason for decision in self.decisions)

    def require(self) -> None:
        """Go on only with an accepted image.

        Raises:
            Refused: it is not accepted.
        """
        if not self.accepted:
            wanted = next((decision.requirement for decision in self.decisions if not decision.accepted), "a requirement")
            hint = "sign the image as the policy requires, or change the policy's scope for it"
            if self.lacks_attestations:
                hint = "carry the attestation that is demanded, signed as the policy requires, or change the demand"
            raise Refused(
                f"the policy does not accept the image {self.reference}",
                where=self.scope,
                expected=wanted,
                got=self.reason,
                hint=hint,
            )


class ImageJudge:
    """Judges many images by one policy; keys are read once. A context manager: it holds private keyrings while open.

    For one thread at a time.

    Args:
        policy: the site's policy.
        read_key: reads the key files that the policy names; None when there are no signatures to check.
        require_signed: an image is accepted only if at least one requirement asked for a signature.
        now: when certificates of the site's own CA must be valid.
        unnamed: for which images key and digest of a cosign 3 bundle are enough that names no image.
        demands: the attestations that images must have besides.
        trusted_root: what the site trusts of a Sigstore instance; None: nothing.
    """

    def __init__(
        self,
        policy: Policy,
        read_key: ReadKey | None = None,
        *,
        require_signed: bool = False,
        now: datetime | None = None,
        unnamed: UnnamedSignatures | None = None,
        demands: Demands | None = None,
        trusted_root: TrustedRoot | None = None,
    ) -> None:
        self._policy = policy
        self._trusted_root = trusted_root
        self._require_signed = require_signed
        self._unnamed = unnamed or UnnamedSignatures()
        self._demands = demands or Demands()
        self._now = now or datetime.now(UTC)
        self._keys = KeyStore(read_key or _no_keys)

    @classmethod
    def of(cls, terms: ImageTerms) -> ImageJudge:
        """The judge for some terms: all that they hold counts."""
        return cls(
            terms.policy,
            terms.read_key,
            require_signed=terms.require_signed,
            now=terms.now,
            unnamed=terms.unnamed,
            trusted_root=terms.trusted_root,
            demands=terms.demands,
        )

    def __enter__(self) -> ImageJudge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._keys.close()

    def demands_any(self, reference: Reference) -> bool:
        """Whether the site demands attestations of an image; only then need its evidence have them."""
        return bool(self._demands.of(judged_name(reference)).demands)

    def judge(self, reference: Reference, evidence: Evidence | None = None) -> ImageVerdict:
        """Decide whether a manifest may enter under the name the image has at its source.

        Args:
            reference: the source reference, of the index for every instance of it. Where it has both tag and digest, the tag is
                judged: the tag is what will move at the destination, and a signature for another tag must not vouch for it.
            evidence: the manifest's signatures; without them every requirement that wants one refuses.
        """
        judged = judged_name(reference)
        selected = requirements_for_image(self._policy, judged)
        decisions = [self._decide(requirement, judged, evidence) for requirement in selected.requirements]
        if self._require_signed and not any(isinstance(found, SignedBy | SigstoreSigned) for found in selected.requirements):
            reason = "the policy requires no signature here, but --require-signed was given"
            decisions.append(Decision("a signature", accepted=False, reason=reason))
        demanded = self._demands.of(judged)
        if demanded.demands:
            decisions += attestations.decide(demanded, selected.requirements, evidence, self._open)
        return ImageVerdict(reference, selected.label, tuple(decisions))

    def _decide(self, requirement: Requirement, reference: Reference, evidence: Evidence | None) -> Decision:
        name = describe(requirement)
        if isinstance(requirement, AcceptAnything):
            return Decision(name, accepted=True, reason="the policy accepts anything here")
        if isinstance(requirement, Reject):
            return Decision(name, accepted=False, reason="the policy rejects it")
        if isinstance(requirement, SignedBaseLayer):
            return Decision(name, accepted=False, reason="signedBaseLayer is never satisfied")
        if isinstance(requirement, SignedBy) and requirement.key_type != GPG_KEYS:
            return Decision(name, accepted=False, reason=f"keyType {requirement.key_type} is never satisfied")
        if evidence is None:
            return Decision(name, accepted=False, reason="no image signatures were found")
        try:
            self._keys.prepare(requirement)
        except MediaError:
            raise
        except AirgapError as error:
            return Decision(name, accepted=False, reason=facts_of(error))
        if isinstance(requirement, SigstoreSigned):
            forms: tuple[Sequence[_Sigstore], ...] = (evidence.sigstore, evidence.referred, evidence.bundles)
            found = [signature for form in forms for signature in form[:MAX_SIGNATURES]]
            return _first_good(
                name,
                found,
                lambda one: self._check_sigstore(requirement, reference, evidence, one),
                f"no sigstore signature exists ({plural(len(evidence.gpg), 'GPG signature')})",
            )
        return _first_good(
            name,
            evidence.gpg[:MAX_SIGNATURES],
            lambda found: _Good(check_gpg(requirement, reference, evidence, found, self._keys), SignatureForm.GPG),
            f"no GPG signature exists ({plural(evidence.sigstore_count, 'sigstore signature')})",
        )

    def _open(self, requirement: SigstoreSigned, attestation: Attestation) -> SignedStatement:
        self._keys.prepare(requirement)
        found = attestation.content
        if isinstance(found, SigstoreBundle):
            return signed_statement(requirement, found, self._keys, self._trusted_root, self._now)
        return signed_envelope(requirement, found, self._keys, self._now)

    def _check_sigstore(self, requirement: SigstoreSigned, reference: Reference, evidence: Evidence, found: _Sigstore) -> _Good:
        if isinstance(found, SigstoreSignature):
            key = check_sigstore(requirement, reference, evidence, found, self._keys, self._now)
            return _Good(key, evidence.form_of(found))
        permission = self._unnamed.permission(reference)
        vouched = check_bundle(
            requirement,
            reference,
            evidence,
            found,
            self._keys,
            accept_unnamed=permission.accepted,
            trusted_root=self._trusted_root,
            now=self._now,
        )
        return _Good(vouched.key, SignatureForm.BUNDLE, None if vouched.named else permission)


def judged_name(reference: Reference) -> Reference:
    """The name that the policy is asked about: where there are a tag and a digest, the tag; see :meth:`ImageJudge.judge`."""
    return replace(reference, digest=None) if reference.tag is not None else reference


def _first_good(name: str, signatures: Sequence[_Signature], check: Callable[[_Signature], _Good], none: str) -> Decision:
    failures: list[str] = []
    for signature in signatures:
        label = printable(signature.name, 120)
        try:
            good = check(signature)
        except MediaError:  # the disk fails: nothing is known about the signature
            raise
        except AirgapError as error:
            failures.append(f"{label}: {facts_of(error)}")
        else:
            reason, scope = f"{label} by {good.key}", None
            if good.unnamed is not None:
                reason, scope = f"{reason}, names no image ({good.unnamed.label})", good.unnamed.scope
            return Decision(name, accepted=True, reason=reason, signature=label, key=good.key, unnamed_scope=scope, form=good.form)
    return Decision(name, accepted=False, reason=reasons(failures) or none)


def _no_keys(path: str) -> bytes:
    raise Refused("key files cannot be read here", where=printable(path))
