"""Options whose values are by scope of images: where signatures without a name count, and where attestations are demanded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from airgap.trust.policy import demands, unnamed
from airgap.trust.policy.document import Policy

ScopesOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{unnamed.NAME}",
        metavar="SCOPE",
        help="Accept Sigstore bundles (cosign 3) that name no image, by key and digest, for images below SCOPE, such as "
        "ghcr.io/acme; SCOPE=false excludes a narrower scope. May be repeated.",
    ),
]
EverywhereOption = Annotated[
    bool,
    typer.Option(
        "--accept-unnamed-sigstore-bundles",
        help=f"The same for every image that --{unnamed.NAME} does not exclude; better name scopes.",
    ),
]


@dataclass(frozen=True)
class Unnamed:
    """Where a signature without a name is enough."""

    unnamed_signatures: ScopesOption = None
    accept_unnamed_bundles: EverywhereOption = False

    @property
    def unnamed(self) -> unnamed.UnnamedSignatures:
        """What they permit. Raises ``UsageError``."""
        return unnamed.UnnamedSignatures.parse(self.unnamed_signatures or (), everywhere=self.accept_unnamed_bundles)


AttestationsOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{demands.NAME}",
        metavar="SCOPE=TYPE[,builder=ID][,source=REPOSITORY]",
        help="Refuse images below SCOPE without such an attestation, signed as the policy requires of the image. TYPE: slsa, spdx, "
        "cyclonedx, vuln or a URI; ID and REPOSITORY may end in *. SCOPE=false excludes a narrower scope. May be repeated.",
    ),
]
ToldOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{demands.NAME}",
        metavar="SCOPE=TYPE[,builder=ID][,source=REPOSITORY]",
        help="(policy, crio, cluster) What import demands: a warning says that hosts and clusters do not check it.",
    ),
]


def demands_of(texts: Sequence[str] | None, policy: Policy) -> demands.Demands:
    """What the option demands, by a policy that can verify it. Raises ``UsageError``."""
    found = demands.Demands.parse(texts or ())
    found.check(policy)
    return found
