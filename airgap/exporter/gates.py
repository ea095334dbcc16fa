"""The gates that images must pass before their bundle is finished: the operator's commands, each run once for every image.

They see what was written, not what was fetched: they read the unfinished bundle itself, through a loopback registry or, if a
command asks for a directory, through a copy of one image that exists only while the command runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle.store import BundleStore
from airgap.bundle.volumes import Volumes
from airgap.cipher.content import Pieces
from airgap.delta.bases import Base
from airgap.delta.candidates import open_base
from airgap.errors import MediaError, Refused, RegistryError, UsageError
from airgap.exporter.hooks import Ended, Hook, Runner, View
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.stores import Browsable, Reader, Source, Target
from airgap.oci.verify import VerifiedReader, WatchedReader
from airgap.planning.lock import Lock, placed_blobs
from airgap.progress import Progress
from airgap.text import human_size, plural, printable
from airgap.work import Pool

_SHOWN = 1000


@dataclass(frozen=True)
class Gates:
    """The commands and what they need.

    Attributes:
        hooks: the commands.
        seconds: the longest time that a command may take for one image.
        serve: serves a store as a registry on the loopback interface; gives its address.
        layout: gives a new empty layout: its directory and a writer. Both are removed at the end.
        detail: called with every line that the commands write.
    """

    hooks: Sequence[Hook]
    seconds: int
    serve: Callable[[Browsable], AbstractContextManager[str]]
    layout: Callable[[], AbstractContextManager[tuple[Path, Target]]]
    detail: Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one command for one image, or for one platform of it; ``why`` is one line for people."""

    image: str
    digest: Digest
    command: str
    ended: Ended
    why: str
    platform: str = ""

    @property
    def label(self) -> str:
        """What it is about, for people."""
        return f"{self.image} {self.platform}".rstrip()

    def facts(self) -> dict[str, Any]:
        """The outcome as JSON."""
        facts = {"image": self.image, "digest": self.digest, "platform": self.platform, "command": self.command}
        return facts | {"passed": self.ended.passed, "status": self.ended.status}


def unsealed(
    catalog: Catalog, directory: Path, lock: Lock, source: Source, bases: Sequence[Base], pieces: Pieces | None
) -> BundleStore:
    """The content of a bundle whose volumes are filled; what it does not carry is read at its bases, or at its source.

    Args:
        catalog: what is to be sealed.
        directory: where the volumes are.
        lock: what the bundle was made of.
        source: where that comes from.
        bases: what it builds on.
        pieces: how the volumes are decrypted, where they are encrypted.
    """
    files = {number: directory / volume.name for number, volume in enumerate(catalog.volumes, 1)}
    return BundleStore(catalog, Volumes(files, pieces=pieces), _outside(catalog, lock, source, bases))


def run_gates(gates: Gates, store: BundleStore, lock: Lock, progress: Progress, threads: int) -> list[Outcome]:
    """Run every command for every image; all must pass.

    Args:
        gates: the commands.
        store: the filled bundle.
        lock: what it was made of.
        progress: told about every step.
        threads: images at a time; only one if a command asks for a directory, because of the copies.

    Raises:
        Refused: one or more images did not pass; all are named.
        UsageError: a command cannot be run.
        MediaError: there is no space for a copy.
    """
    runner = Runner(gates.seconds)
    with gates.serve(store) as address:
        turn = _Turn(gates, store, lock, runner, address, progress)
        workers = 1 if any(hook.wants_layout or hook.wants_platform_layout for hook in gates.hooks) else threads
        distinct = {(str(image.reference), image.root.digest): image for image in lock.images}
        progress.stage("running gates", 0, len(distinct))
        with Pool(workers, "gate", patient=None) as pool:  # until the commands are ended, too
            try:
                found = list(chain.from_iterable(pool.map(turn.image, distinct.values())))
            finally:
                runner.stop()  # what still runs is no longer wanted: all are done, one failed, or the user wants to leave
    _require_passed(found, names.bundle_name(store.catalog.stream, store.catalog.serial))
    return found


def _require_passed(found: Sequence[Outcome], bundle: str) -> None:
    failed = [outcome for outcome in found if not outcome.ended.passed]
    if not failed:
        return
    images = len({(outcome.image, outcome.digest) for outcome in failed})
    hint = (
        f"{bundle} is not finished: run the same command to continue with what is written and run the gates again, "
        "or shorten the list and add --restart"
    )
    if len(failed) == 1:
        outcome = failed[0]
        raise Refused(
            "a gate refuses an image",
            where=f"{outcome.label} ({outcome.digest})",
            expected=f"exit status 0 of: {printable(outcome.command, 200)}",
            got="\n  ".join([outcome.why, *outcome.ended.last_words()]),
            hint=hint,
        )
    lines = [
        f"\n  {outcome.label}: {printable(outcome.command, 200)}: {outcome.why}"
        + "".join(f"\n    {line}" for line in outcome.ended.last_words())
        for outcome in failed[:_SHOWN]
    ]
    more = f"\n  and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    raise Refused(f"gates refuse {plural(images, 'image')}", got="".join(lines) + more, hint=hint)


class _Turn:
    """Runs all commands for one image, one after the other."""

    def __init__(self, gates: Gates, store: BundleStore, lock: Lock, runner: Runner, address: str, progress: Progress) -> None:
        self._gates = gates
        self._store = store
        self._lock = lock
        self._runner = runner
        self._address = address
        self._progress = progress
        self._say = progress.say

    def image(self, image: Image) -> list[Outcome]:
        repository = image.reference.repository
        served = f"{self._address}/{repository.flat_host}/{repository.path}@{image.root.digest}"
        view = View(str(image.reference), image.root.digest, served)
        self._progress.at(view.image)
        outcomes = [
            self._run(hook, one, seen)
            for hook in self._gates.hooks
            for one, seen in (self._platforms(image, view) if hook.is_for_platforms else [(image, view)])
        ]
        self._progress.advance(0, 1)
        return outcomes

    def _platforms(self, image: Image, view: View) -> Iterator[tuple[Image, View]]:
        """Every platform of an image, as an image of its own; without any, all of it: a gate that never ran passes nothing."""
        for found, platform in platforms_of(self._lock, image).items():
            root = self._lock.manifests[found].descriptor
            yield replace(image, root=root, attachments=()), replace(view, platform=platform, platform_digest=found)

    def _run(self, hook: Hook, image: Image, view: View) -> Outcome:
        with contextlib.ExitStack() as copies:
            if hook.wants_layout:
                whole = replace(image, root=self._lock.manifests[Digest.parse(view.digest)].descriptor)
                view = replace(view, layout=copies.enter_context(self._layout(whole)))
            if hook.wants_platform_layout:
                view = replace(view, platform_layout=copies.enter_context(self._layout(image)))
            ended = self._runner.run(hook, view)
        why = ended.say(self._gates.seconds)
        tell = self._gates.detail if ended.passed else self._say  # a refusal is worth knowing before the last image is done
        found = Outcome(view.image, Digest.parse(view.digest), hook.text, ended, why, view.platform)
        tell(f"gate {printable(hook.text, 200)}: {found.label}: {why}")
        for line in ended.lines():
            self._gates.detail(f"  {line}")
        return found

    @contextlib.contextmanager
    def _layout(self, image: Image) -> Iterator[str]:
        """A copy of one image for one command, which no other command reads."""
        with self._gates.layout() as (directory, target):
            copy_image(self._store, self._lock, image, directory, target, self._runner.check)
            yield str(directory)


def platforms_of(lock: Lock, image: Image) -> dict[Digest, str]:
    """The manifests of an image that can run, each with its platform (empty if it states none); its root if there are none.

    What an index calls ``unknown/unknown`` is an attestation.

    Raises:
        Refused: a platform is no word that a command could be given.
    """
    found: dict[Digest, Platform | None] = {}
    for node in lock.walk(replace(image, attachments=())):
        carried = (child for child in node.children if child.digest not in image.omitted)
        found |= {child.digest: found.get(child.digest) or child.platform for child in carried if child.media_type in media.IMAGES}
    real = {digest: str(stated or "") for digest, stated in found.items() if stated is None or stated.os != "unknown"}
    real = real or {image.root.digest: image.platforms[0] if len(image.platforms) == 1 else ""}
    for text in filter(None, real.values()):
        try:
            Platform.parse(text)
        except UsageError as error:
            raise Refused(
                "an image states a platform that is none",
                where=str(image.reference),
                expected=error.expected,
                got=error.got,
                hint="use gates without {platform...}, or leave the image out",
            ) from error
    return real


def copy_image(store: BundleStore, lock: Lock, image: Image, directory: Path, target: Target, check: Callable[[], None]) -> None:
    """Copy one image into an empty layout, without its attachments, so that the layout has only one name.

    Args:
        store: the filled bundle.
        lock: what it was made of.
        image: which image.
        directory: where the layout is.
        target: writes to it.
        check: called often; raises to stop the copy.

    Raises:
        MediaError: there is no space for it.
        Damaged: a blob does not match its digest.
    """
    repository = image.reference.repository
    nodes = list(lock.walk(replace(image, attachments=())))
    blobs = {blob.digest: blob for node in nodes for blob in node.blobs if blob.digest not in image.foreign}
    needed, free = sum(blob.size for blob in blobs.values()), fsio.free_bytes(directory)
    if needed > free:
        raise MediaError(
            "there is no space for the copy of an image that a gate asks for",
            where=printable(str(directory.parent)),
            expected=f"{human_size(needed)} free",
            got=human_size(free),
            hint="choose another --scratch DIR, or use {registry}, which copies nothing",
        )
    for blob in blobs.values():
        check()
        target.write(repository, blob, lambda blob=blob: _open(store, blob, check))  # type: ignore[misc]
    for node in reversed(nodes):
        target.put_manifest(repository, store.find_manifest(node.descriptor.digest))
    target.tag(image.reference, store.find_manifest(image.root.digest))
    target.commit()


def _open(store: BundleStore, blob: Descriptor, check: Callable[[], None]) -> Reader:
    """A blob of the bundle, verified while it is read. That may take long: it may have to be rebuilt or fetched."""
    reader = VerifiedReader(store.open_blob(blob.digest), blob, store.place(blob.digest))
    return WatchedReader(reader, lambda _: check())


def _outside(catalog: Catalog, lock: Lock, source: Source, bases: Sequence[Base]) -> Callable[[Digest], Reader]:
    """Opens blobs that a bundle leaves out: from a base at hand, else from the source of the export."""
    places = {blob.digest: repository for repository, _, blob, _ in placed_blobs(lock)}
    repositories = list(dict.fromkeys(image.reference.repository for image in lock.images))

    def open_one(digest: Digest) -> Reader:
        descriptor = Descriptor(media.OCTETS, digest, catalog.blobs[digest].size)
        known = places.get(digest)
        why = ""
        for repository in [known] if known is not None else repositories:
            try:
                return open_base(bases, source, repository, descriptor)
            except RegistryError as error:
                why = str(error)
        raise RegistryError(
            "a gate reads a blob that the bundle does not carry and that is not available",
            where=f"{known or catalog.name}: {digest}",
            got=why,
            hint="give the earlier bundle, with its volumes, as --since",
        )

    return open_one
