"""The options that let signatures count although they name no image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from airgap.trust.policy.unnamed import NAME, UnnamedSignatures

ScopesOption = Annotated[
    list[str] | None,
    typer.Option(
        f"--{NAME}",
        metavar="SCOPE",
        help="Accept Sigstore bundles (cosign 3) that name no image, by key and digest, for images below SCOPE, such as "
        "ghcr.io/acme; SCOPE=false excludes a narrower scope. May be repeated.",
    ),
]
EverywhereOption = Annotated[
    bool,
    typer.Option(
        "--accept-unnamed-sigstore-bundles", help=f"The same for every image that --{NAME} does not exclude; better name scopes."
    ),
]


@dataclass(frozen=True)
class Unnamed:
    """Where a signature without a name is enough."""

    unnamed_signatures: ScopesOption = None
    accept_unnamed_bundles: EverywhereOption = False

    @property
    def unnamed(self) -> UnnamedSignatures:
        """What they permit. Raises ``UsageError``."""
        return UnnamedSignatures.parse(self.unnamed_signatures or (), everywhere=self.accept_unnamed_bundles)
