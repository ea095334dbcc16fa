"""The file of ``resolve --lock``: a lock is a pin, so one that is there already is compared before it is written over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.cli.commands.connected.diff import of_lock
from airgap.cli.options.outputs import Output
from airgap.documents.difference import compare, name_of
from airgap.errors import Refused, UsageError
from airgap.limits import MAX_LOCK
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRERS_TAG, TAG_KINDS
from airgap.planning.lock import Lock, is_lock
from airgap.text import plural, printable

_SIGNATURE = TAG_KINDS[".sig"]


@dataclass(frozen=True)
class LockFile:
    """Where a lock goes, and the lock that is there.

    Attributes:
        output: where it is written; None when nobody asked for a file.
        raw, last: what was there before; None when there was nothing, as on standard output and in devices, which remember nothing.
    """

    output: Output | None
    raw: bytes | None = None
    last: Lock | None = None

    @classmethod
    def find(cls, name: str | None) -> LockFile:
        """Look at what ``--lock`` names, before anything is resolved.

        Raises:
            UsageError: there is a file that is no lock, or a damaged one. It must not be written over.
        """
        output = Output(name, "--lock") if name is not None else None
        if name is None or output is None or not output.exists:
            return cls(output)
        raw = fsio.read_input(Path(name), MAX_LOCK, "lock")
        where = printable(name)
        if not is_lock(raw):
            raise UsageError(
                "a file that is no lock is in the way",
                where=where,
                expected="no file yet, or an earlier lock of the same list",
                hint="choose another --lock, or remove the file; it was left as it was",
            )
        try:
            return cls(output, raw, Lock.from_bytes(raw, where))
        except UsageError as error:
            error.hint = "put back a copy of the lock, or remove it to pin everything again; it was left as it was"
            raise

    def accept(self, found: Lock, *, update: bool, allow_lost: bool) -> dict[str, Any] | None:
        """What has changed since the last lock; None when there is none. Growth is no change of what is pinned.

        Raises:
            Refused: a pin would change or be lost, and ``update`` was not said; or a signature is gone, be it that it was taken
                away or that what replaced an image has none, and ``allow_lost`` was not said.
        """
        if self.last is None or self.output is None:
            return None
        name = self.output.name
        facts = compare(of_lock(f"{name} as it was", self.last), of_lock(f"{name} as it is now", found))
        for change in facts["changed"]:
            change["signatures_lost"] += _lost_in_tag(change["reference"], self.last, found)
        broken = list(_broken_pins(facts))
        where = printable(name)
        if broken and not update:
            raise Refused(
                "the lock pins something else than what there is now",
                where=where,
                expected="everything as it was pinned, and at most more of it",
                got="".join(f"\n  {line}" for line in broken),
                hint="the lock was left as it was: export it as it is, or find out why and accept the changes: --update",
            )
        lost = [change for change in (*facts["moved"], *facts["changed"]) if change["signatures_lost"]]
        if lost and not allow_lost:
            raise Refused(
                "signatures are gone that the last lock has",
                where=where,
                expected="what was signed stays signed",
                got="".join(f"\n  {change['reference']}: {plural(change['signatures_lost'], 'signature')} lost" for change in lost),
                hint="find out why; the lock was left as it was. To go on without them: --allow-lost-signatures",
            )
        return facts

    def write(self, found: Lock) -> None:
        """Put the new lock in place.

        Raises:
            Refused: the file has changed since it was compared.
        """
        if self.output is None:
            return
        raw, name = found.to_bytes(), self.output.name
        now = fsio.read_input(Path(name), MAX_LOCK, "lock") if self.output.exists else None
        if now != self.raw:
            raise Refused("the lock was changed while the list was resolved", where=printable(name), hint="run the command again")
        if raw != now:
            self.output.write(raw)


def _broken_pins(facts: Mapping[str, Any]) -> Iterator[str]:
    """What of the last lock would change or vanish, a line each."""
    for entry in facts["removed"]:
        yield f"{entry['reference']}: no longer asked for, or no longer there"
    for change in facts["moved"]:
        yield f"{change['reference']}: moved, {change['from']} -> {change['to']}"
    for change in (*facts["moved"], *facts["changed"]):
        name = change["reference"]
        yield from (f"{name}: platform {platform} lost" for platform in change["platforms_lost"])
        if change["left_out"]:
            yield f"{name}: {plural(change['left_out'], 'part')} left out that the lock has"
        if change["signatures_lost"]:
            yield f"{name}: {plural(change['signatures_lost'], 'signature')} lost"
        yield from (f"{name}: lost {sort['count']} x {sort['kind']}" for sort in change["lost"] if not sort["signature"])
        # a list of referrers is another one as soon as a referrer was added; what it listed is looked at one by one
        others = [sort for sort in change["replaced"] if sort["kind"] != REFERRERS_TAG]
        yield from (f"{name}: {sort['kind']} replaced" for sort in others)


def _lost_in_tag(name: str, last: Lock, found: Lock) -> int:
    """Signatures that are gone from cosign's tag although the tag is there: it has them as layers of one manifest."""
    before, after = (_signed(name, lock) for lock in (last, found))
    return sum(sum((layers - after[tag]).values()) for tag, layers in before.items() if tag in after)


def _signed(name: str, lock: Lock) -> dict[str, Counter[Digest]]:
    """The layers of every cosign signature tag of an image."""
    return {
        attachment.tag: Counter(blob.digest for blob in lock.manifests[attachment.descriptor.digest].blobs[1:])
        for image in lock.images
        if name_of(image.reference) == name
        for attachment in image.attachments
        if attachment.kind == _SIGNATURE and attachment.tag
    }
