"""The tar frame: where every byte of every volume is, as a pure function of the members and the volume size.

Volumes are GNU-format tars with fixed metadata. A member that does not fit continues in the next volume after a GNU
multi-volume header (type ``M``, tar manual "Using Multiple Tapes"), so ``tar -xM`` restores the layout. The exporter writes this
frame; the importer computes it again and compares, so every byte that is not a blob is checked as well.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

RECORD = 512
_END = bytes(2 * RECORD)
_NAME_FIELD = 100
_ANY = bytes(RECORD)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the layout: its path, its size in bytes, and its content when it is not a blob."""

    name: str
    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """A stretch of one volume (counted from 1), in bytes."""

    volume: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch in the order of the media: frame bytes (``content``) or a part of a blob (``member``)."""

    extent: Extent
    content: bytes | None
    member: Member


_TRAILER = Member("", 0)


def walk(members: Iterable[Member], volume_size: int | None) -> Iterator[Step]:
    """Lay members out over volumes; every stretch in order, without a gap.

    Args:
        members: the files in their order.
        volume_size: the most bytes a volume may have (rounded down to whole tar records), or None for one volume.
    """
    return _walk(members, volume_size, _header, _continuation)


def _walk(
    members: Iterable[Member],
    volume_size: int | None,
    header: Callable[[Member], bytes],
    continuation: Callable[[Member, int], bytes],
) -> Iterator[Step]:
    cursor = _Cursor(volume_size)
    for member in members:
        head = header(member)
        cursor.reserve(len(head) + (RECORD if member.size else 0))
        yield cursor.put(head, member)
        if member.size == 0 and member.content is None:
            yield cursor.skip(0, member)  # an empty blob has a place, too: it keeps its turn in the catalog
        done = 0
        while done < member.size:
            if cursor.room == 0:
                cursor.next_volume()
                yield cursor.put(continuation(member, done), member)
            length = min(member.size - done, cursor.room)
            if member.content is None:
                yield cursor.skip(length, member)
            else:
                yield cursor.put(member.content[done : done + length], member)
            done += length
        if padding := -member.size % RECORD:
            yield cursor.put(bytes(padding), member)
    cursor.reserve(len(_END))
    yield cursor.put(_END, _TRAILER)


@dataclass(frozen=True)
class Frame:
    """The outcome of a walk: extents by member name (blobs only) and the size of every volume in bytes."""

    extents: dict[str, tuple[Extent, ...]]
    sizes: tuple[int, ...]


def measure(members: Iterable[Member], volume_size: int | None, seen: Callable[[Step], object] | None = None) -> Frame:
    """Lay members out and keep only where blobs lie and how large the volumes are.

    Args:
        members, volume_size: as of :func:`walk`.
        seen: told every stretch on the way. Without it no header is made, only its length counts.
    """
    sizes: list[int] = []
    found = {member.name: extents for member, extents in measured(members, volume_size, sizes, seen)}
    return Frame(found, tuple(sizes))


def measured(
    members: Iterable[Member], volume_size: int | None, sizes: list[int], seen: Callable[[Step], object] | None = None
) -> Iterator[tuple[Member, tuple[Extent, ...]]]:
    """As :func:`measure`, one blob after the other: nothing is kept of those that came before.

    Args:
        members, volume_size, seen: as of :func:`measure`.
        sizes: filled with the bytes of every volume, and complete at the end.

    Yields:
        Every member without content, and where it lies.
    """
    last: Member | None = None
    extents: list[Extent] = []
    for step in walk(members, volume_size) if seen else _walk(members, volume_size, _blank, lambda _, __: _ANY):
        if seen:
            seen(step)
        if len(sizes) < step.extent.volume:
            sizes.append(0)
        sizes[-1] = step.extent.offset + step.extent.length
        if step.content is None:
            if last is not None and step.member is not last:
                yield last, tuple(extents)
                extents = []
            last = step.member
            extents.append(step.extent)
    if last is not None:
        yield last, tuple(extents)


class _Cursor:
    def __init__(self, volume_size: int | None) -> None:
        self._capacity = 2**63 - RECORD if volume_size is None else volume_size // RECORD * RECORD
        self._volume = 1
        self._offset = 0

    @property
    def room(self) -> int:
        return self._capacity - self._offset

    def next_volume(self) -> None:
        self._volume += 1
        self._offset = 0

    def reserve(self, length: int) -> None:
        if self.room < length:
            self.next_volume()

    def skip(self, length: int, member: Member) -> Step:
        step = Step(Extent(self._volume, self._offset, length), None, member)
        self._offset += length
        return step

    def put(self, content: bytes, member: Member) -> Step:
        step = Step(Extent(self._volume, self._offset, len(content)), content, member)
        self._offset += len(content)
        return step


def _info(member: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(member.name)
    info.size = member.size
    info.mode = 0o644
    return info


def _header(member: Member) -> bytes:
    return _info(member).tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _blank(member: Member) -> bytes:
    """Something as long as the header of a member."""
    return _ANY if len(member.name) <= _NAME_FIELD and member.name.isascii() else _header(member)


def _continuation(member: Member, done: int) -> bytes:
    """The header of the rest of a member: old GNU layout with ``offset`` at byte 369 and ``realsize`` at 483."""
    info = _info(member)
    info.name = member.name[:_NAME_FIELD]
    info.size = member.size - done
    info.type = b"M"
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    header[369:381] = _number(done)
    header[483:495] = _number(member.size)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _number(value: int) -> bytes:
    """Twelve bytes: octal, or base 256 from 8 GiB on, as GNU tar writes them."""
    return b"%011o\0" % value if value < 8**11 else b"\x80" + value.to_bytes(11, "big")
