"""The option by which images must have attestations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from airgap.trust.policy.demands import NAME, Demands
from airgap.trust.policy.document import Policy

AttestationsOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{NAME}",
        metavar="SCOPE=TYPE[,builder=ID][,source=REPOSITORY]",
        help="Refuse images below SCOPE without such an attestation, signed as the policy requires of the image. TYPE: slsa, spdx, "
        "cyclonedx, vuln or a URI; ID and REPOSITORY may end in *. SCOPE=false excludes a narrower scope. May be repeated.",
    ),
]
ToldOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{NAME}",
        metavar="SCOPE=TYPE[,builder=ID][,source=REPOSITORY]",
        help="(policy, crio, cluster) What import demands: a warning says that hosts and clusters do not check it.",
    ),
]


def demands_of(texts: Sequence[str] | None, policy: Policy) -> Demands:
    """What the option demands, by a policy that can verify it. Raises ``UsageError``."""
    found = Demands.parse(texts or ())
    found.check(policy)
    return found
