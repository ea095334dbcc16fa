"""The file of ``resolve --lock``: a lock pins images, so an existing one is compared before it is replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import fsio
from airgap.cli.commands.connected.diff import of_lock
from airgap.cli.options.outputs import Output
from airgap.documents.difference import Difference, compare, name_of
from airgap.errors import Refused, UsageError
from airgap.limits import MAX_LOCK
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRERS_TAG, TAG_KINDS
from airgap.planning.lock import Lock, is_lock
from airgap.text import plural, printable

_SIGNATURE = TAG_KINDS[".sig"]


@dataclass(frozen=True)
class LockFile:
    """Where a lock is written, and the lock that is already there.

    Attributes:
        output: where it is written; None without ``--lock``.
        raw, last: the existing lock; None if there is none, as on standard output and devices.
    """

    output: Output | None
    raw: bytes | None = None
    last: Lock | None = None

    @classmethod
    def find(cls, name: str | None) -> LockFile:
        """Read the lock that ``--lock`` names, before anything is resolved.

        Raises:
            UsageError: the file is not a lock, or it is damaged; it must not be replaced.
        """
        output = Output(name, "--lock") if name is not None else None
        if name is None or output is None or not output.exists:
            return cls(output)
        raw = fsio.read_input(Path(name), MAX_LOCK, "lock")
        where = printable(name)
        if not is_lock(raw):
            raise UsageError(
                "the file is not a lock",
                where=where,
                expected="no file yet, or an earlier lock of the same list",
                hint="choose another --lock or remove the file; it was left unchanged",
            )
        try:
            return cls(output, raw, Lock.from_bytes(raw, where))
        except UsageError as error:
            error.hint = "restore the lock from a copy, or remove it to pin everything again; it was left unchanged"
            raise

    def accept(self, found: Lock, *, update: bool, allow_lost: bool) -> Difference | None:
        """What has changed since the last lock; None if there is none. Additions do not change what is pinned.

        Raises:
            Refused: a pin would change or be lost without ``update``; or a signature is gone, whether it was removed or the new
                image is unsigned, without ``allow_lost``.
        """
        if self.last is None or self.output is None:
            return None
        name = self.output.name
        compared = compare(of_lock(f"{name} as it was", self.last), of_lock(f"{name} as it is now", found))
        in_tags = [replace(one, lost_in_tag=_lost_in_tag(one.reference, self.last, found)) for one in compared.changed]
        difference = replace(compared, changed=tuple(in_tags))
        broken = list(_broken_pins(difference))
        where = printable(name)
        if broken and not update:
            raise Refused(
                "the lock no longer matches the sources",
                where=where,
                expected="everything as pinned, and at most additions",
                got="".join(f"\n  {line}" for line in broken),
                hint="export the lock as it is, or find out why and accept the changes with --update; it was left unchanged",
            )
        lost = [change for change in (*difference.moved, *difference.changed) if change.signatures_lost]
        if lost and not allow_lost:
            raise Refused(
                "signatures in the last lock are gone",
                where=where,
                expected="every signature in the last lock",
                got="".join(f"\n  {change.reference}: {plural(change.signatures_lost, 'signature')} lost" for change in lost),
                hint="find out why, or continue without them with --allow-lost-signatures; the lock was left unchanged",
            )
        return difference

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
            raise Refused("the lock changed while the list was being resolved", where=printable(name), hint="run the command again")
        if raw != now:
            self.output.write(raw)


def _broken_pins(difference: Difference) -> Iterator[str]:
    """What would change or vanish from the last lock, one line each."""
    for name in difference.removed:
        yield f"{name}: no longer requested or no longer available"
    for change in difference.moved:
        yield f"{change.reference}: moved, {change.old} -> {change.new}"
    for change in (*difference.moved, *difference.changed):
        name = change.reference
        yield from (f"{name}: platform {platform} lost" for platform in change.platforms_lost)
        if change.left_out:
            yield f"{name}: {plural(change.left_out, 'part')} of the lock left out"
        if change.signatures_lost:
            yield f"{name}: {plural(change.signatures_lost, 'signature')} lost"
        lost = sorted(change.lost.items())
        yield from (f"{name}: lost {count} x {sort.kind}" for sort, count in lost if not sort.is_signature)
        # a list of referrers is another one as soon as a referrer was added; what it listed is looked at one by one
        yield from (f"{name}: {sort.kind} replaced" for sort in sorted(change.replaced) if sort.kind != REFERRERS_TAG)


def _lost_in_tag(name: str, last: Lock, found: Lock) -> int:
    """Signatures that are gone from cosign's tag although the tag still exists: they are layers of its one manifest."""
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
