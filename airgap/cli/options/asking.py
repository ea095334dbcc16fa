"""What ``resolve``, ``plan`` and ``export`` are asked for: lists, and what of each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options import inputs
from airgap.cli.options.stores import Reach
from airgap.cli.terminal.console import Console
from airgap.lists import RegistrySettings, Wish
from airgap.lookaside import LookasideConfig, LookasideReader
from airgap.oci.image import kinds_without
from airgap.planning.lock import Lock
from airgap.registry import MirroredSource
from airgap.sources.opened import OpenPlaces
from airgap.text import printable

Lists = Annotated[
    list[str],
    typer.Argument(
        metavar="LIST...", help="Image lists (docs/lists.md), places such as oci-archive:FILE, or one lock; - for standard input."
    ),
]


OptionalLists = Annotated[list[str] | None, Lists.__metadata__[0]]


PlatformOption = Annotated[
    list[str] | None, typer.Option("--platform", help="Only this platform, such as linux/arm64; may be repeated.")
]


WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="KIND",
        help="Leave out attachments of this kind: referrers, signatures, all or a single kind; may be repeated. Recorded in the "
        "lock.",
    ),
]


RegistriesDOption = Annotated[
    Path | None,
    typer.Option("--registries-d", metavar="DIR", help="registries.d that says where GPG signatures of images are stored."),
]


def asked_for(
    lists: list[str], platform: list[str] | None, without: list[str] | None, reach: Reach, console: Console, shelf: OpenPlaces
) -> tuple[Lock | Sequence[Wish], Sequence[RegistrySettings]]:
    """What the lists ask for, and their settings for registries; prints what is not supported."""
    found = inputs.read_lists(lists, platform or (), shelf.images, reach.rules.expand, kinds_without(without or ()))
    if isinstance(found, Lock):
        return found, ()
    for notice in found.notices:
        console.say(notice)
    return found.wanted, found.registries


def lookaside_of(store: MirroredSource, directory: Path | None) -> LookasideReader:
    return LookasideReader(LookasideConfig.load([directory] if directory else None), store.fetch_file)


def remark_lines(remarks: Sequence[str]) -> list[str]:
    """Notes on how attachments were found."""
    return [f"note         {printable(remark, 1000)}" for remark in remarks]
