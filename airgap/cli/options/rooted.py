"""The option that names what the site trusts of a Sigstore instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.site import read_trusted_root
from airgap.trust.sigstore.trustedroot import TrustedRoot

TrustedRootOption = Annotated[
    Path | None,
    typer.Option(
        "--trusted-root",
        metavar="FILE",
        help="The site's own trusted_root.json: logs, CAs and timestamp authorities of a Sigstore instance, by which signatures "
        "without a key (keyless) are judged.",
    ),
]


@dataclass(frozen=True)
class Rooted:
    """Which Sigstore instance is trusted."""

    trusted_root: TrustedRootOption = None

    def read(self) -> TrustedRoot | None:
        """The trusted root, or None: nothing of a Sigstore instance is trusted. Raises as ``read_trusted_root``."""
        return None if self.trusted_root is None else read_trusted_root(self.trusted_root)
