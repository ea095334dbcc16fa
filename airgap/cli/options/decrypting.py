"""Options for the keys of sites that can read encrypted bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_KEY, MAX_RECIPIENTS
from airgap.text import printable

if TYPE_CHECKING:
    from airgap.cipher.sites import SiteKey, SiteSecret

EncryptOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--encrypt-to",
        metavar="KEY.pub",
        help="Encrypt the bundle to this site's public key (keys generate --type x25519); may be repeated.",
    ),
]
DecryptOption = Annotated[
    list[Path] | None,
    typer.Option("--decrypt-key", metavar="KEY", help="The site's private key, for encrypted bundles; may be repeated."),
]


def site_keys(files: Sequence[Path] | None) -> list[SiteKey]:
    """What ``--encrypt-to`` names, each key once. Raises ``UsageError``."""
    from airgap.cipher.sites import SiteKey  # here, for commands that decrypt nothing start faster without

    keys = [SiteKey.load(fsio.read_input(file, MAX_KEY, "key file"), printable(str(file))) for file in files or ()]
    found = list({key.key_id: key for key in keys}.values())
    if len(found) > MAX_RECIPIENTS:
        raise UsageError("too many recipients", expected=f"{MAX_RECIPIENTS} at most", got=str(len(found)))
    return found


def site_secrets(files: Sequence[Path] | None, passphrase_file: Path | None) -> tuple[SiteSecret, ...]:
    """What ``--decrypt-key`` names. Raises ``UsageError``."""
    from airgap.cipher.sites import SiteSecret  # as above
    from airgap.cli.options import inputs

    def ask() -> bytes | None:
        return inputs.passphrase(passphrase_file, "passphrase of the site's decryption key")

    return tuple(SiteSecret.load(fsio.read_input(file, MAX_KEY, "key file"), ask, printable(str(file))) for file in files or ())
