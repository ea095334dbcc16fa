"""Why the policy says what it says about an image: scope, requirements, and what decided for each instance (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.judge.images import ImageVerdict, judged_name
from airgap.trust.judge.judging import Judgement
from airgap.trust.policy.demands import Demanded, Demands
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import SigstoreSigned
from airgap.trust.policy.scopes import Selected, image_scopes, requirements_for_image
from airgap.trust.policy.unnamed import UnnamedSignatures
from airgap.trust.policy.words import in_words

_DECIDES = "  <- decides"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Lines for people, facts for ``--json``; ``accepted`` is None when no signatures were looked at."""

    accepted: bool | None
    lines: tuple[str, ...]
    facts: dict[str, Any]


def explain(
    policy: Policy,
    reference: Reference,
    judgements: Sequence[Judgement] | None = None,
    unnamed: UnnamedSignatures | None = None,
    demands: Demands | None = None,
) -> Explanation:
    """Explain what the policy wants for an image, and with verdicts what it got.

    Args:
        policy: the site's policy.
        reference: the source reference; with both tag and digest the tag is judged, as on import.
        judgements: the verdict on each instance; None when there is no image at hand.
        unnamed: for which images signatures count that name no image.
        demands: the attestations that images must have besides.
    """
    judged = judged_name(reference)
    selected = requirements_for_image(policy, judged)
    permission = (unnamed or UnnamedSignatures()).permission(judged)
    demanded = (demands or Demands()).of(judged)
    candidates = (*image_scopes(judged), "")
    accepted = None if judgements is None else bool(judgements) and all(one.verdict.accepted for one in judgements)
    facts: dict[str, Any] = {
        "reference": str(reference),
        "scope": selected.label,
        "scopes_tried": list(_tried(candidates, selected)),
        "requirements": [in_words(requirement) for requirement in selected.requirements],
        "unnamed_accepted": permission.accepted,
        "unnamed_scope": permission.scope,
        "demand_scope": demanded.scope,
        "demands": [demand.text for demand in demanded.demands],
    }
    if judgements is not None:
        facts |= {"accepted": accepted, "instances": [one.facts() for one in judgements]}
    lines = [str(reference), *_scope_lines(candidates, selected), *_wish_lines(selected)]
    if any(isinstance(requirement, SigstoreSigned) for requirement in selected.requirements):
        counts = "counts by key and digest" if permission.accepted else "does not count"
        lines.append(f"  a Sigstore bundle that names no image {counts}: {permission.label}")
    lines += _demand_lines(demanded, selected)
    for one in judgements or ():
        lines += _verdict_lines(f"{one.platform} {one.instance}".strip(), one.verdict)
    return Explanation(accepted, tuple(lines), facts)


def _tried(candidates: Sequence[str], selected: Selected) -> Iterator[str]:
    """The scopes in the order in which they are looked for, up to the one that decides."""
    for scope in candidates:
        yield scope
        if selected.transport and scope == selected.scope:
            return
    yield "default"


def _scope_lines(candidates: Sequence[str], selected: Selected) -> Iterator[str]:
    yield "  scopes of transport docker that could match, most specific first; only the first one in the policy decides:"
    for scope in candidates:
        shown = printable(scope) or '"" (every other image)'
        yield f"    {shown}{_DECIDES if selected.transport and scope == selected.scope else ''}"
    yield f"    default (of the whole policy){'' if selected.transport else _DECIDES}"


def _wish_lines(selected: Selected) -> Iterator[str]:
    together = "" if len(selected.requirements) == 1 else " all of these"
    yield f"  {selected.label} requires{together}:"
    for number, requirement in enumerate(selected.requirements, 1):
        yield f"    {number}. {in_words(requirement)}"


def _demand_lines(demanded: Demanded, selected: Selected) -> Iterator[str]:
    """What attestations there must be, if anything is said about the image; each is verified by the requirements above."""
    if demanded.scope is None:
        return
    if not demanded.demands:
        yield f"  no attestation is demanded: {demanded.label} = false"
        return
    signed = any(isinstance(requirement, SigstoreSigned) for requirement in selected.requirements)
    how = "signed as sigstoreSigned requires above" if signed else "which nothing can verify: no sigstoreSigned is required above"
    yield f"  {demanded.label} demands, {how}:"
    for number, demand in enumerate(demanded.demands, 1):
        yield f"    {number}. {printable(str(demand))}"


def _verdict_lines(name: str, verdict: ImageVerdict) -> Iterator[str]:
    yield f"  {printable(name)}: {'accepted' if verdict.accepted else 'REFUSED'}"
    for number, decision in enumerate(verdict.decisions, 1):
        yield f"    {number}. {decision.requirement}: {'yes' if decision.accepted else 'NO'}: {decision.reason}"
