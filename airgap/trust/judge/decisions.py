"""What one requirement or demand decided about an image, and the reasons, as the verdicts on images are made of them (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.errors import AirgapError
from airgap.trust.keys.evidence import SignatureForm

_MOST_REASONS = 8


@dataclass(frozen=True, slots=True)
class Attested:
    """The attestation that met a demand: ``digest`` of the referrer, or of the layer under an ``.att`` tag.

    ``builder`` is ``""`` and ``sources`` are none where it is no SLSA provenance, or states none.
    """

    digest: str
    predicate_type: str
    builder: str = ""
    sources: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """For the report."""
        return {
            "digest": self.digest,
            "predicate_type": self.predicate_type,
            "builder": self.builder,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one requirement about an image, the reason in one sentence, and the deciding signature and key, if any.

    Attributes:
        unnamed_scope: the scope that let a signature count although it names no image; None if it names the image.
        demand_scope: the scope that demanded an attestation, where the decision is about one; None: it is the policy's.
        attested: the attestation that met the demand.
        form: how the deciding signature was found.
    """

    requirement: str
    accepted: bool
    reason: str
    signature: str = ""
    key: str = ""
    unnamed_scope: str | None = None
    demand_scope: str | None = None
    attested: Attested | None = None
    form: SignatureForm | None = None


def facts_of(error: AirgapError) -> str:
    """What an error says, in one line."""
    return "; ".join(_facts(error))


def reasons(failures: Sequence[str]) -> str:
    """The first of many reasons, and how many more there are."""
    more = len(failures) - _MOST_REASONS
    return "; ".join([*failures[:_MOST_REASONS], f"and {more} more"] if more > 0 else failures)


def _facts(error: AirgapError) -> Iterator[str]:
    yield from (value if name == "error" else f"{name} {value}" for name, value in error.facts().items())
