"""The option for passphrases, apart from `inputs`, so that a small command loads little."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PassphraseOption = Annotated[Path | None, typer.Option("--passphrase-file", help="File that holds the passphrase of the key.")]
