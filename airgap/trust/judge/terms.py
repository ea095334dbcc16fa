"""What is required of images, whoever asks: a site of those that a bundle brings, an operator of those that are exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from airgap.trust.policy.demands import Demands
from airgap.trust.policy.document import Policy
from airgap.trust.policy.unnamed import UnnamedSignatures
from airgap.trust.sigstore.trustedroot import TrustedRoot


@dataclass(frozen=True)
class ImageTerms:
    """What is required of images.

    Attributes:
        policy: its ``docker`` transport judges, with scopes by source reference.
        read_key: reads a key file that the policy names.
        now: the time, UTC, at which certificates of one's own CA must be valid.
        require_signed: refuse images that the policy would accept unsigned.
        unnamed: for which images a cosign 3 bundle that names no image counts if its key and digest are right.
        demands: the attestations that images must have besides.
        trusted_root: the Sigstore instance whose keyless signatures are believed; None: none.
    """

    policy: Policy
    read_key: Callable[[str], bytes]
    now: datetime
    require_signed: bool = False
    unnamed: UnnamedSignatures = field(default_factory=UnnamedSignatures)
    demands: Demands = field(default_factory=Demands)
    trusted_root: TrustedRoot | None = None
