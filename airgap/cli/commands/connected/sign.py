"""``airgap sign``: sign a finished bundle with one more key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.bundle.media import Media
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.exporter.seal import write_signatures
from airgap.format import names
from airgap.format.outer import Unverified
from airgap.text import printable


@grouped
def sign_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory, or a medium with it alone.")],
    key: inputs.KeyOption,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Sign a finished bundle with one more key.

    Example: airgap sign /mnt/usb/prod-site-0007 --key second.key
    """
    if not bundle.is_dir() or bundle.name.endswith(names.PARTIAL):
        raise UsageError("not a finished bundle", where=printable(str(bundle)), expected=f"a directory with {names.CATALOG}")
    media = Media.find([bundle])
    catalog = Unverified.read(media.catalog_raw).claims
    signers = inputs.signers(key, passphrase_file)
    holders = [directory for directory in media.directories if fsio.is_there(directory / names.CATALOG)]
    written = [path for directory in holders for path in write_signatures(directory, media.catalog_raw, signers)]
    facts = {"bundle": catalog.name, "signatures": [path.name for path in written]}
    said.console().result(facts, [f"signed       {catalog.name}: {path.name}" for path in written])
