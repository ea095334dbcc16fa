"""``airgap export --resend``: answer a resend request from the bundle if it still exists, else from its sources."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.bundle.media import Media
from airgap.bundle.several import several, unverified
from airgap.cli.options.asking import Asking
from airgap.cli.options.stores import Reach, registries
from airgap.cli.terminal.console import Console
from airgap.documents.request import ResendRequest, files_of
from airgap.errors import UsageError
from airgap.exporter.resend import Blocks, KnownBundle, OriginalBlocks, Resent, SourceBlocks, answer, check
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed
from airgap.limits import MAX_CATALOG, MAX_REQUEST
from airgap.lists import Entry
from airgap.oci.digest import Digest
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.sources.opened import OpenPlaces
from airgap.state import State
from airgap.text import human_size, listing, plural, printable

ResendOption = Annotated[
    Path | None,
    typer.Option(
        "--resend",
        metavar="REQUEST",
        help="Answer a resend request with a supplement. Instead of LIST: the bundle, its media or its catalog.json, if available.",
    ),
]


def require(lists: list[str] | None, stream: str | None, key: list[str] | None) -> tuple[list[str], str, list[str]]:
    """The arguments that an export without ``--resend`` needs. Raises ``UsageError`` as typer would."""
    for given, what in ((lists, "argument 'LIST...'"), (stream, "option '--stream'"), (key, "option '--key'")):
        if given is None or given == []:
            raise UsageError(f"Missing {what}", hint="see airgap export --help")
    return lists or [], stream or "", key or []


@dataclass(frozen=True)
class Resending:
    """One command.

    Attributes:
        file: the request.
        places: the bundle's directory or media, or its ``catalog.json``; empty if it is gone.
        out: the directory for the supplement.
        reach: how registries are reached.
        asking: where images may come from besides registries, and the state directory.
        threads: how many requests are made at a time.
        console: receives messages and progress.
    """

    file: Path
    places: Sequence[str]
    out: Path
    reach: Reach
    asking: Asking
    threads: int
    console: Console

    @cached_property
    def request(self) -> ResendRequest:
        """The request. Raises ``UsageError``."""
        return ResendRequest.from_bytes(fsio.read_input(self.file, MAX_REQUEST, "resend request"), printable(str(self.file)))

    def run(self) -> None:
        """Create the supplement and print the result. Raises ``AirgapError``."""
        known, directories, lock = self._known()
        check(self.request, known)
        files = _at_hand(known.catalog, directories)
        own = [name for name in self.request.files if name in files]
        gone = [name for name in self.request.files if name not in files]
        places: list[tuple[Blocks, list[str]]] = [(OriginalBlocks(known.catalog, files), own)]
        with contextlib.ExitStack() as stack:
            if gone:
                places.append((stack.enter_context(self._again(known.catalog, gone, lock)), gone))
            done = answer(self.request, known, places, self.out, self.console)
        self._tell(done)

    def _tell(self, done: Resent) -> None:
        facts = {
            "supplement": str(done.path),
            "bundle": self.request.bundle,
            "file_names": list(self.request.files),
            "blocks": done.blocks,
            "bytes": done.size,
            "already_there": not done.fresh,
        }
        lines = [
            f"{'created' if done.fresh else 'exists':<12} {done.path}",
            f"content      {plural(done.blocks, 'block')} of {listing(list(self.request.files))}, {human_size(done.size)}",
            "next         name it along with the media: airgap import BUNDLE... SUPPLEMENT --to TARGET",
        ]
        self.console.result(facts, lines, "export-resend")

    def _known(self) -> tuple[KnownBundle, Sequence[Path], bytes]:
        """The bundle, the directories that may have files of it, and the lock it was made from, if recorded."""
        kept = None
        if State.exists(self.asking.directory):
            with State(self.asking.directory) as memory:
                kept = memory.catalogs.find(self.request.stream, self.request.serial)
        if kept is not None and Digest.of(kept[0]) != self.request.catalog:
            kept = None
        lock = kept[2] if kept else b""
        if self.places:
            known, directories = self._named([Path(place) for place in self.places])
            return known, directories, lock
        near = self.out / self.request.bundle
        if (near / names.CATALOG).is_file():
            known, directories = self._named([near])
            if Digest.of(known.raw) == self.request.catalog:
                return known, directories, lock
        if kept is None:
            raise UsageError(
                "the bundle of the resend request is unknown",
                where=self.request.bundle,
                expected=f"catalog {self.request.catalog} in the state of the machine that exported it",
                hint="name the bundle, its media or its catalog.json, which is on every medium: "
                "airgap export --resend REQUEST BUNDLE --out DIR",
            )
        return KnownBundle.read(kept[0], kept[1]), (), lock

    def _named(self, places: Sequence[Path]) -> tuple[KnownBundle, Sequence[Path]]:
        """The bundle that the user named, and its directories; none for a catalog alone. Of several, the one that is asked for."""
        if len(places) == 1 and places[0].is_file():
            raw = fsio.read_input(places[0], MAX_CATALOG, "catalog")
            beside = Media.find([places[0].parent]) if places[0].name == names.CATALOG else None
            return KnownBundle.read(raw, beside.signatures if beside else {}), ()
        found = several(places, unverified, self.console.say)
        media = Media.find(next((one.directories for one in found if one.digest == self.request.catalog), places))
        return KnownBundle.read(media.catalog_raw, media.signatures), media.directories

    @contextlib.contextmanager
    def _again(self, catalog: Catalog | Sealed, gone: Sequence[str], lock: bytes) -> Iterator[SourceBlocks]:
        """The blocks of files that are not available, from the sources of the images."""
        numbers = {number for number, volume in enumerate(catalog.volumes, 1) if volume.name in gone}
        if len(numbers) < len(gone):
            raise UsageError(
                "parity files can be resent only from the bundle itself",
                where=catalog.name,
                got=listing([name for name in gone if names.is_parity(name)]),
                hint="name the bundle or a copy of it, or recreate them from its volumes with airgap media repair",
            )
        if isinstance(catalog, Sealed):
            raise UsageError(
                "an encrypted bundle can be resent only from itself: its key no longer exists here",
                where=catalog.name,
                got=f"not available: {listing(list(gone))}",
                hint="name the bundle or a copy of it: airgap export --resend REQUEST BUNDLE --out DIR",
            )
        self.console.say(f"{listing(list(gone))}: not available, recreated from the sources")
        entries = [
            Entry(replace(image.reference, digest=image.root.digest)) for image in catalog.images if numbers & set(image.volumes)
        ]
        wanted = Lock.from_bytes(lock, "the lock in the state") if lock else entries
        options = self.asking.places(self.console, self.reach, self.threads)
        with OpenPlaces(options) as places, registries(self.reach, self.threads, self.console) as store:
            source = self.asking.source(places, store, wanted)
            found = wanted if isinstance(wanted, Lock) else resolve(entries, source, self.console, self.threads, source)
            with SourceBlocks(catalog, found, source) as blocks:
                yield blocks


def _at_hand(catalog: Catalog | Sealed, directories: Sequence[Path]) -> dict[str, Path]:
    """The files of the bundle that are present with the right size."""
    found: dict[str, Path] = {}
    for directory in directories:
        tree = fsio.DirectoryTree(directory)
        found |= {name: directory / name for name, file in files_of(catalog).items() if tree.size(name) == file.size}
    return found
