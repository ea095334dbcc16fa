"""The commands below `airgap media`: what the people who carry need; none of them takes a key or a network."""

from __future__ import annotations

import typer

media = typer.Typer(no_args_is_help=True, help="Spread a bundle over media, check it without keys, repair it, log who had it.")
