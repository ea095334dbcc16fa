"""What ``verify``, ``import`` and ``watch`` ask of a bundle, and how the latter two load it: options declared once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.admission.terms import Terms
from airgap.cipher.sites import SiteSecret
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.maps import MapOption
from airgap.cli.options.rooted import STOP, WARN, Rooted, StopOption, TrustedRootOption, WarnOption
from airgap.cli.options.scoped import AttestationsOption, EverywhereOption, ScopesOption, Unnamed, demands_of
from airgap.cli.options.stores import ThreadsOption
from airgap.cli.options.targets import FileOptions, ScratchOption
from airgap.cli.options.turns import WAIT, NoLeaseOption, WaitOption
from airgap.errors import UsageError
from airgap.importer.signing import SiteSigning
from airgap.oci.descriptor import Platform
from airgap.oci.image import kinds_without
from airgap.trust.keys.gpg import GpgSigner
from airgap.trust.keys.signers import load_signer

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Bundle directories or mount points of the media, in any order.")
]
AllowExpired = Annotated[bool, typer.Option("--allow-expired", help="Accept a bundle that has expired.")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="KIND",
        help="Do not load attachments of this kind: referrers, signatures, all or a single kind; may be repeated. The policy still "
        "takes them into account.",
    ),
]

RepairOption = Annotated[
    bool,
    typer.Option(
        "--repair/--no-repair",
        help="Rebuild damaged and missing volumes in --scratch, if the parity files or other copies at hand suffice; the media are "
        "only read.",
    ),
]


@dataclass(frozen=True)
class Trusting:
    """What a site asks of a bundle."""

    policy: inputs.PolicyOption = None
    require_signed: Annotated[
        bool, typer.Option("--require-signed", help="Refuse images that the policy would accept unsigned.")
    ] = False
    unnamed_signatures: ScopesOption = None
    accept_unnamed_bundles: EverywhereOption = False
    attestations: AttestationsOption = None
    trusted_root: TrustedRootOption = None
    root_warn_age: WarnOption = WARN
    root_max_age: StopOption = STOP
    max_age: inputs.MaxAgeOption = None
    revoked: inputs.RevokedOption = None
    decrypt_key: DecryptOption = None
    passphrase_file: inputs.PassphraseOption = None
    state: inputs.StateOption = None

    @cached_property
    def directory(self) -> Path:
        """The state directory."""
        return inputs.state_directory(self.state)

    @cached_property
    def secrets(self) -> tuple[SiteSecret, ...]:
        """The keys that open encrypted bundles."""
        return site_secrets(self.decrypt_key, self.passphrase_file)

    def terms(self, say: Callable[[str], None] | None = None, **more: Any) -> Terms:
        """The site's terms, with ``more`` of their fields.

        Args:
            say: hears if the trusted root grows old; None: it was said before.
            more: fields of the terms.

        Raises:
            UsageError, Refused: as ``Terms.of_site`` and ``Rooted.read``.
        """
        age, unnamed = inputs.max_age(self.max_age), Unnamed(self.unnamed_signatures, self.accept_unnamed_bundles).unnamed
        asked = Terms.of_site(self.directory, self.policy, revoked=self.revoked, secrets=self.secrets, max_age=age)
        demands = demands_of(self.attestations, asked.policy)
        rooted = Rooted(self.trusted_root, self.root_warn_age, self.root_max_age)
        root = rooted.read(self.directory, asked.policy, say or (lambda _: None))
        asked = replace(asked, require_signed=self.require_signed, unnamed=unnamed)
        return replace(asked, demands=demands, trusted_root=root, **more)


@dataclass(frozen=True)
class Loading:
    """How a bundle is loaded."""

    rules: MapOption = None
    platform: Annotated[list[str] | None, typer.Option("--platform", help="Load only this platform; indexes are rebuilt.")] = None
    without: Without = None
    digest_tags: Annotated[
        bool,
        typer.Option(
            "--digest-tags/--no-digest-tags",
            help="Tag images that are listed by digest alone as airgap-sha256-HEX at a registry, so that its garbage collection "
            "keeps them.",
        ),
    ] = True
    sign_by: Annotated[
        list[str] | None,
        typer.Option("--sign-by", metavar="KEY", help="Site key (file or gpg:FINGERPRINT) that signs accepted images."),
    ] = None
    lookaside: Annotated[
        Path | None,
        typer.Option("--lookaside", metavar="DIR", help="Write GPG signatures to this lookaside tree of the site."),
    ] = None
    scratch: ScratchOption = None
    repair: RepairOption = False
    wait: WaitOption = WAIT
    no_lease: NoLeaseOption = False
    threads: ThreadsOption = 4

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What it adds to the site's terms. Raises ``UsageError``."""
        return {
            "platforms": tuple(Platform.parse(text) for text in self.platform or ()),
            "without": kinds_without(self.without or ()),
            "digest_tags": self.digest_tags,
            "threads": self.threads,
        }

    def files(self, signing: SiteSigning) -> FileOptions:
        """What targets that are files need to know."""
        return FileOptions.of(self.asked["platforms"], self.scratch, signing)

    def signing(self, passphrase_file: Path | None, *, needs_place: bool) -> SiteSigning:
        """The signatures that the site adds. Raises ``UsageError``."""
        signers = [
            load_signer(key, lambda: inputs.passphrase(passphrase_file, "passphrase of the site's key"))
            for key in self.sign_by or ()
        ]
        gpg = tuple(signer for signer in signers if isinstance(signer, GpgSigner))
        if gpg and self.lookaside is None and needs_place:
            raise UsageError("there is no directory for GPG signatures of images", where="--sign-by", expected="--lookaside DIR")
        label = f"signed by {', '.join(signer.key_id for signer in signers)}" if signers else ""
        return SiteSigning(tuple(s for s in signers if not isinstance(s, GpgSigner)), gpg, self.lookaside, label)
