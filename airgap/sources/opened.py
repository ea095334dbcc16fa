"""Where images come from: registries, and places that an image list names with skopeo's transports.

A :class:`OpenPlaces` serves one command: it opens each place once, tells which images a place means, and combines everything in one
``Source``.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap import fsio
from airgap.archives import MadeArtifact, PlacedImage, PlacedSource
from airgap.archives.placed import Signatures
from airgap.archives.titles import CHART_LAYER
from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_CHART
from airgap.lists import Entry, Selection, Wish
from airgap.oci.digest import Digest
from airgap.oci.places import Place
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Source
from airgap.oci.verify import read_all
from airgap.planning.lock import Lock
from airgap.registry import WebFiles
from airgap.sources.chartaddress import ChartAddress
from airgap.sources.chartimages import chart_images
from airgap.sources.chartrepo import ChartRepositories, RemoteChart
from airgap.sources.gitaddress import GitAddress
from airgap.sources.gitrepo import GitBundle
from airgap.sources.places import MadePlace, OpenPlace, PlaceOptions, open_place
from airgap.sources.webfile import FileAddress, WebFile, find_file
from airgap.text import listing, printable

#: Stores that hold many images and tell the one that is meant in the name itself.
_ENGINES = ("containers-storage", "docker-daemon")

_REPACKED = "of a git repository: another version of git may pack the same refs in other bytes"


class OpenPlaces:
    """The places of one command, each opened once. A context manager that closes them and removes copies.

    Args:
        options: what the operator allows.
    """

    def __init__(self, options: PlaceOptions) -> None:
        self._options = options
        self._stack = contextlib.ExitStack()
        self._opened: dict[str, OpenPlace] = {}
        self._placed: dict[str, PlacedImage] = {}
        self._files: WebFiles | None = None
        self._from_web: dict[str, WebFile] = {}
        self._charts: ChartRepositories | None = None
        self._gits: dict[str, GitBundle] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def images(self, place: Place, reference: Reference | None) -> list[tuple[Reference, Place]]:
        """The images that a place means: the reference that each will have, and its name in the place.

        Args:
            place: with or without the name of an image in it.
            reference: the image's reference in the list; None: its own name, or all images if the place names none.

        Raises:
            UsageError: an image has no full name, or one name is given to several.
            NotFound, RegistryError, Refused: as ``ChartRepositories.find``.
        """
        if reference is not None:
            place = self._found(place)
            self._image(place, reference)
            return [(reference, place)]
        if place.is_remote and place.transport in ("file", "git"):
            raise _nameless(place)
        if place.is_remote:
            chart = self._chart(place)
            return [(chart.reference, _place_of(chart))]
        if place.name:
            return [(self._own_name(place), place)]
        found = self._open(place).names()
        if not found:
            raise _nameless(place)
        return [(Reference.parse(name), place.called(name)) for name in found]

    def chart_images(self, place: Place, values: Sequence[Path]) -> list[Reference]:
        """The images that the chart in a place names, as ``chart_images`` of ``chartimages``. Raises as that."""
        found = self._open(place).pick("")
        config, where = found.root.config, printable(str(place))
        layer = next((one for one in found.root.layers if one.media_type == CHART_LAYER), None)
        if config is None or layer is None:
            raise UsageError("not a chart", where=where)
        read = [read_all(found.source.open(found.repository, one), MAX_CHART, where) for one in (layer, config)]
        with fsio.TemporaryDirectory((self._options.scratch or Path(tempfile.gettempdir())) / "charts") as scratch:
            return chart_images(read[0], read[1], values, where, scratch, self._options.say)

    def image(self, place: Place) -> tuple[Reference, PlacedImage]:
        """The one image that a place means, and its own reference. Raises as :meth:`images`."""
        found = self.images(place, None)
        if len(found) != 1:
            raise UsageError(
                "the place holds several images",
                where=printable(str(place)),
                expected=f"{printable(str(place))}:NAME",
                got=listing([str(reference) for reference, _ in found]),
            )
        reference, named = found[0]
        return reference, self._image(named, reference)

    def source(self, registry: Source, lookaside: Signatures, wanted: Lock | Sequence[Wish]) -> PlacedSource:
        """One ``Source`` over everything, which is also its ``Lookaside``.

        Args:
            registry: the source of all images that are in no place.
            lookaside: the GPG signatures of images from registries.
            wanted: what is requested; a lock names its places, too.

        Raises:
            UsageError: a place does not hold a requested image.
            Damaged: a file or chart is no longer what the lock says.
        """
        if isinstance(wanted, Lock):
            placed = {image.reference: wanted.places.get(str(image.reference), "") for image in wanted.images}
            asked = {reference.repository for reference, place in placed.items() if not place}
        else:
            placed = {wish.reference: wish.source for wish in wanted if isinstance(wish, Entry)}
            asked = {_repository(wish) for wish in wanted if isinstance(wish, Selection) or not wish.source}
        images = {reference: self._image(Place.parse(place), reference) for reference, place in placed.items() if place}
        if isinstance(wanted, Lock):
            for image in wanted.images:
                if image.reference in images:
                    _check_locked(images[image.reference], image.root.digest)
        return PlacedSource(registry, lookaside, images, asked)

    def _found(self, place: Place) -> Place:
        """The place itself, or of what is on a web server the one content that was found."""
        if place.is_remote and place.transport == "file":
            return Place("file", str(self._file(place).address), "")
        if place.transport == "git":
            return Place("git", str(self._git(place).address), "")
        return _place_of(self._chart(place)) if place.is_remote else place

    def _web(self, place: Place) -> WebFiles:
        if self._files is None:
            if self._options.web is None:
                raise UsageError("web servers are not read here", where=printable(str(place)))
            self._files = self._stack.enter_context(contextlib.closing(self._options.web()))
        return self._files

    def _chart(self, place: Place) -> RemoteChart:
        if self._charts is None:
            self._charts = ChartRepositories(self._web(place), self._options.say)
        return self._charts.find(ChartAddress.parse(place.path))

    def _file(self, place: Place) -> WebFile:
        if place.path not in self._from_web:
            found = find_file(FileAddress.parse(place.path), self._web(place), self._options.say)
            self._from_web[place.path] = self._from_web[str(found.address)] = found
        return self._from_web[place.path]

    def _git(self, place: Place) -> GitBundle:
        if place.path not in self._gits:
            address = GitAddress.parse(place.path)
            directory = self._options.scratch or Path(tempfile.gettempdir())
            if self._options.scratch is not None:
                fsio.make_directory(directory, fsio.PRIVATE)
            with fsio.disk_errors("cannot create a directory", directory):
                scratch = self._stack.enter_context(fsio.TemporaryDirectory(directory.resolve() / "git"))
            found = GitBundle(address, scratch, lambda: self._web(place), self._options.say)
            self._gits[place.path] = self._gits[str(found.address)] = found
        return self._gits[place.path]

    def _own_name(self, place: Place) -> Reference:
        """The reference that a name in a place is by itself."""
        name = place.name.rpartition("]")[2] if place.transport == "containers-storage" else place.name
        if place.transport not in _ENGINES:
            opened = self._open(place)
            root = opened.pick(place.name).root.digest
            names = opened.names()
            known = [name] if name in names else [text for text in names if opened.pick(text).root.digest == root]
            if len(known) == 1:
                return Reference.parse(known[0])
        try:
            reference = Reference.parse(name)
        except UsageError as error:
            raise _nameless(place) from error
        if place.transport == "docker-daemon" and not name.startswith("sha256:"):
            return reference
        if str(reference) == name:
            return reference
        raise _nameless(place)

    def _open(self, place: Place) -> OpenPlace:
        key = str(place if place.transport in _ENGINES else place.called(""))
        if place.is_remote:
            return MadePlace(self._remote(place), str(place))
        if key not in self._opened:
            self._opened[key] = open_place(place, self._options, self._stack)
        return self._opened[key]

    def _remote(self, place: Place) -> MadeArtifact:
        if place.transport == "git":
            return self._git(place).artifact
        return self._file(place) if place.transport == "file" else self._chart(place).artifact

    def _image(self, place: Place, reference: Reference) -> PlacedImage:
        key = str(place)
        if key not in self._placed:
            self._placed[key] = self._open(place).pick("" if place.transport in _ENGINES else place.name)
        found = self._placed[key]
        if reference.digest not in (None, found.root.digest):
            raise UsageError(
                "an image does not match the digest in its reference",
                where=printable(key),
                expected=str(reference.digest),
                got=found.root.digest,
            )
        return found


def _place_of(chart: RemoteChart) -> Place:
    return Place("chart", str(chart.address), "")


def _check_locked(found: PlacedImage, locked: Digest) -> None:
    """Artifacts are made of what is there now, so that one of other files is another one."""
    if isinstance(found.source, MadeArtifact) and found.root.digest != locked:
        raise Damaged(
            "a file, chart or git repository is no longer what the lock says",
            where=found.where,
            expected=locked,
            got=found.root.digest,
            hint=f"find out why ({_REPACKED}); airgap resolve --lock FILE --update takes it as it is now",
        )


def _repository(wish: Wish) -> Repository:
    return wish.repository if isinstance(wish, Selection) else wish.reference.repository


def _nameless(place: Place) -> UsageError:
    return UsageError(
        "an image has no full name",
        where=printable(str(place)),
        expected=f"the name to use at the site: {printable(str(place))} as registry.example/app:1.0",
    )
