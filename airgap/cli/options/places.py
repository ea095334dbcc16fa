"""The options of ``resolve``, ``plan`` and ``export`` about images that come from other places than registries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.site import read_revoked
from airgap.admission.terms import Terms
from airgap.cli.options import inputs
from airgap.cli.terminal.console import Console
from airgap.sources.places import PlaceOptions
from airgap.trust.keys.revoked import Revoked

ScratchOption = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="DIR", help="Temporary directory for images from containers-storage: and docker-daemon:."),
]
BundlePolicyOption = Annotated[
    Path | None,
    typer.Option("--bundle-policy", metavar="FILE", help="Policy to verify source bundles (bundle:DIR) with."),
]
UnverifiedOption = Annotated[
    bool, typer.Option("--accept-unverified-bundles", help="Accept source bundles (bundle:DIR) without verifying their signatures.")
]

ExpiredOption = Annotated[
    bool, typer.Option("--allow-expired-bundles", help="Accept source bundles (bundle:DIR) that have expired.")
]


@dataclass(frozen=True)
class Elsewhere:
    """What the options of one command said about such places."""

    scratch: ScratchOption = None
    bundle_policy: BundlePolicyOption = None
    accept_unverified: UnverifiedOption = False
    allow_expired_bundles: ExpiredOption = False
    revoked: inputs.RevokedOption = None

    def options(self, state: Path, console: Console) -> PlaceOptions:
        """The same for ``OpenPlaces``; ``state`` is the state directory."""
        terms = None if self.bundle_policy is None else partial(Terms.of_site, state, self.bundle_policy, revoked=self.revoked)
        return PlaceOptions(self.scratch, terms, self.accept_unverified, self.allow_expired_bundles, console.say)

    def no_longer_believed(self, state: Path) -> Revoked:
        """The keys that count for nothing. Raises ``UsageError``."""
        return read_revoked(self.revoked, state)
