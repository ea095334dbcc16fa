"""What ``resolve``, ``plan`` and ``export`` are asked for: lists, what of each image, and where else images come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.admission.site import read_revoked
from airgap.admission.terms import Terms
from airgap.archives import PlacedSource
from airgap.bundle.diagnosis import diagnosing
from airgap.cli.options import inputs
from airgap.cli.options.stores import Reach
from airgap.cli.terminal.console import Console
from airgap.errors import Damaged
from airgap.exporter.request import Cargo
from airgap.limits import MAX_SETTINGS
from airgap.lists import RegistrySettings, Wish
from airgap.lists.templatevalues import parse_values
from airgap.lookaside import LookasideConfig, LookasideReader
from airgap.oci.image import kinds_without
from airgap.planning.attach import Attached
from airgap.planning.lock import Lock
from airgap.registry import MirroredSource, WebFiles
from airgap.sources.opened import OpenPlaces
from airgap.sources.places import PlaceOptions
from airgap.text import printable
from airgap.trust.keys.revoked import Revoked

Lists = Annotated[
    list[str],
    typer.Argument(
        metavar="LIST...", help="Image lists (docs/lists.md), places such as oci-archive:FILE, or one lock; - for standard input."
    ),
]
OptionalLists = Annotated[list[str] | None, Lists.__metadata__[0]]


@dataclass(frozen=True)
class Asking:
    """What of the listed images is wanted, and where they may come from besides registries."""

    platform: Annotated[
        list[str] | None, typer.Option("--platform", help="Only this platform, such as linux/arm64; may be repeated.")
    ] = None
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="KIND",
            help="Leave out attachments of this kind: referrers, signatures, all or a single kind; may be repeated. Recorded in "
            "the lock.",
        ),
    ] = None
    values: Annotated[
        Path | None,
        typer.Option(
            "--values", metavar="FILE", help="Values (YAML, NAME: VALUE) for the templates in lists of Zarf and GitLab CI."
        ),
    ] = None
    allow_left_out: Annotated[
        bool,
        typer.Option(
            "--allow-left-out",
            help="Continue without what a list of another tool asks for and airgap does not carry; each is named.",
        ),
    ] = False
    registries_d: Annotated[
        Path | None,
        typer.Option("--registries-d", metavar="DIR", help="registries.d that says where GPG signatures of images are stored."),
    ] = None
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            help="Temporary directory for images from containers-storage: and docker-daemon:, and for compressed archives.",
        ),
    ] = None
    bundle_policy: Annotated[
        Path | None,
        typer.Option("--bundle-policy", metavar="FILE", help="Policy to verify source bundles (bundle:DIR) with."),
    ] = None
    accept_unverified: Annotated[
        bool,
        typer.Option("--accept-unverified-bundles", help="Accept source bundles (bundle:DIR) without verifying their signatures."),
    ] = False
    allow_expired_bundles: Annotated[
        bool, typer.Option("--allow-expired-bundles", help="Accept source bundles (bundle:DIR) that have expired.")
    ] = False
    revoked: inputs.RevokedOption = None
    state: inputs.StateOption = None

    @cached_property
    def directory(self) -> Path:
        """The state directory."""
        return inputs.state_directory(self.state)

    @property
    def no_longer_believed(self) -> Revoked:
        """The keys that count for nothing. Raises ``UsageError``."""
        return read_revoked(self.revoked, self.directory)

    def places(self, console: Console, reach: Reach, threads: int) -> PlaceOptions:
        """What is allowed of places other than registries."""

        def web() -> WebFiles:
            return WebFiles(reach.options(threads, console))

        terms = (
            None if self.bundle_policy is None else partial(Terms.of_site, self.directory, self.bundle_policy, revoked=self.revoked)
        )
        return PlaceOptions(self.scratch, terms, self.accept_unverified, self.allow_expired_bundles, console.say, web)

    @contextlib.contextmanager
    def read(self, lists: Sequence[str], reach: Reach, threads: int, console: Console) -> Iterator[Asked]:
        """Read the lists and open the places that they name; says what of the lists is not supported.

        What fails while it is open because a bundle is damaged is told as that bundle's damage.

        Raises:
            UsageError: a mistake in a list, or a place that is not what its name says.
            Damaged, Refused, MediaError: as ``open_place``.
        """
        with diagnosing(console, threads), _of_sources(), OpenPlaces(self.places(console, reach, threads)) as places:
            without = kinds_without(self.without or ())
            given = None
            if self.values is not None:
                given = parse_values(fsio.read_input(self.values, MAX_SETTINGS, "file of values"), printable(str(self.values)))
            found = inputs.read_lists(
                lists,
                self.platform or (),
                places.images,
                reach.rules.expand,
                without,
                values=given,
                allows_left_out=self.allow_left_out,
                chart_images=places.chart_images,
            )
            wanted, settings = (found, ()) if isinstance(found, Lock) else (found.wanted, found.registries)
            left_out = () if isinstance(found, Lock) else found.left_out
            for notice in () if isinstance(found, Lock) else found.notices:
                console.say(notice)
            yield Asked(self, places, wanted, settings, left_out)

    def source(self, places: OpenPlaces, store: MirroredSource, wanted: Lock | Sequence[Wish]) -> PlacedSource:
        """What is wanted, from its places and the registries; GPG signatures are where registries.d says. Raises ``UsageError``."""
        lookaside = LookasideConfig.load([self.registries_d] if self.registries_d else None)
        return places.source(store, LookasideReader(lookaside, store.fetch_file).signatures, wanted)


@contextlib.contextmanager
def _of_sources() -> Iterator[None]:
    """What is damaged while images are gathered is where they come from, and no bundle."""
    try:
        yield
    except Damaged as error:
        error.hint = error.hint or "copy it again from the original"
        raise


@dataclass(frozen=True)
class Asked:
    """What the lists ask for.

    Attributes:
        options: what the operator said besides.
        places: the places that lists name, open; a lock's are opened for ``cargo``.
        wanted: the lists together, or the lock.
        settings: what the lists say about registries.
        left_out: what the lists ask for and airgap does not carry, a line each.
    """

    options: Asking
    places: OpenPlaces
    wanted: Lock | Sequence[Wish]
    settings: Sequence[RegistrySettings]
    left_out: tuple[str, ...] = ()

    def cargo(self, store: MirroredSource, attached: Sequence[Attached] = ()) -> Cargo:
        """All of it with where it comes from; opens the places that a lock names. Raises as ``open_place``."""
        source = self.options.source(self.places, store, self.wanted)
        return Cargo(self.wanted, source, store, source, attached, self.left_out)


def remark_lines(remarks: Sequence[str]) -> list[str]:
    """Notes on how attachments were found."""
    return [f"note         {printable(remark, 1000)}" for remark in remarks]
