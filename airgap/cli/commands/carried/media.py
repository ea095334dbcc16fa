"""The commands below `airgap media`, for the people who carry the media; none needs the network or a trusted key."""

from __future__ import annotations

import typer

from airgap.cli.commands.carried import check as checking
from airgap.cli.commands.carried import copy as spreading
from airgap.cli.commands.carried import log as custody
from airgap.cli.commands.carried.repair import repair_command

media = typer.Typer(no_args_is_help=True, help="Copy bundles to media, check and repair them, log who had them.")
media.command("copy")(spreading.copy_command)
media.command("check")(checking.check_command)
media.command("repair")(repair_command)
media.command("log")(custody.log_command)
