"""``airgap sign``: sign a finished bundle with one more key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.exporter.seal import write_signatures
from airgap.format import names
from airgap.format.outer import Unverified
from airgap.limits import MAX_CATALOG
from airgap.text import printable


@grouped
def sign_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")],
    key: inputs.KeyOption,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Sign a finished bundle with one more key.

    Example: airgap sign /mnt/usb/prod-site-0007 --key second.key
    """
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG) if bundle.is_dir() else b""
    if not raw or bundle.name.endswith(names.PARTIAL):
        raise UsageError("not a finished bundle", where=printable(str(bundle)), expected=f"a directory with {names.CATALOG}")
    catalog = Unverified.read(raw).claims
    written = write_signatures(bundle, raw, inputs.signers(key, passphrase_file))
    facts = {"bundle": catalog.name, "signatures": [path.name for path in written]}
    said.console().result(facts, [f"signed       {catalog.name}: {path.name}" for path in written])
