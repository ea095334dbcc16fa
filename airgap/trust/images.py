"""May this image enter: the requirements of policy.json's transport ``docker`` for its source reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airgap.errors import Refused
from airgap.oci.reference import Reference
from airgap.trust.policy import Policy
from airgap.trust.requirements import AcceptAnything, Reject, Requirement, SignedBaseLayer, type_name
from airgap.trust.scopes import requirements_for_image


@dataclass(frozen=True, slots=True)
class Decision:
    """What one requirement said about an image, and why, in one sentence."""

    requirement: str
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What the policy says about one image: the scope that decided, and every requirement of it. All must accept."""

    reference: Reference
    scope: str
    decisions: tuple[Decision, ...]

    @property
    def accepted(self) -> bool:
        """Whether the image may enter. Without any requirement it may not."""
        return bool(self.decisions) and all(decision.accepted for decision in self.decisions)

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
            raise Refused(
                f"the policy does not accept the image {self.reference}",
                where=self.scope,
                expected=wanted,
                got=self.reason,
                hint="get the image signed as the policy says, or change the policy's scope for it",
            )


def judge_image(policy: Policy, reference: Reference) -> ImageVerdict:
    """Decide whether an image may enter under the name it has at its source.

    Args:
        policy: the site's policy.
        reference: the source reference. Where it has both tag and digest, the tag is judged: it is the tag that will move at the
            destination, and a signature for another tag must not vouch for it.
    """
    judged = replace(reference, digest=None) if reference.tag is not None else reference
    selected = requirements_for_image(policy, judged)
    return ImageVerdict(reference, selected.label, tuple(_decide(requirement) for requirement in selected.requirements))


def _decide(requirement: Requirement) -> Decision:
    kind = type_name(requirement)
    if isinstance(requirement, AcceptAnything):
        return Decision(kind, accepted=True, reason="the policy accepts anything here")
    if isinstance(requirement, Reject):
        return Decision(kind, accepted=False, reason="the policy rejects it")
    if isinstance(requirement, SignedBaseLayer):
        return Decision(kind, accepted=False, reason="signedBaseLayer is never satisfied")
    return Decision(kind, accepted=False, reason="no image signatures were found with it")
