"""The members of a tar file, found by walking its headers once; nothing is extracted, no name ever becomes a path.

Read are the formats that container tools write: ustar, GNU (long names, base-256 sizes) and pax. Whatever two readers could
understand differently is refused: sparse members, pieces of multi-volume archives, one name twice, names that lead out.
(POSIX pax; GNU tar manual, "Basic Tar Format".)
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from airgap.errors import Damaged, UsageError, disk_error
from airgap.text import command, printable

#: No archive may have more headers, a longer name, more characters in all its names, or a larger extended header (bytes).
MAX_MEMBERS = 400_000
MAX_NAME = 4096
MAX_NAMES = 32 * 1024 * 1024
MAX_EXTENDED = 64 * 1024

_BLOCK = 512
_FILES = frozenset({b"0", b"\0", b"7"})
_LINKS = frozenset({b"1", b"2"})
#: Directories, devices, FIFOs and labels: nothing that an image is made of.
_IGNORED = frozenset({b"3", b"4", b"5", b"6", b"V"})
_MAX_HOPS = 8
#: The first bytes of compressed files, and the program for them.
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in the archive (offset and size of its content in bytes), or a link to the name ``link``."""

    offset: int
    size: int
    link: str | None = None


@dataclass
class _Extended:
    """What the headers before a member say about it."""

    name: str | None = None
    link: str | None = None
    size: int | None = None


class TarIndex:
    """Where the regular files of a tar lie.

    Args:
        fd: the open archive; it is only read here.
        where: the archive, for messages.

    Attributes:
        length: bytes of the whole archive.
        members: the files and links, by name.

    Raises:
        Damaged: truncated, contradictory, or of a kind that is refused.
        UsageError: not a tar, or a compressed one.
    """

    def __init__(self, fd: int, where: str) -> None:
        self._fd = fd
        self._where = where
        self.length = os.fstat(fd).st_size
        self.members: dict[str, TarMember] = {}
        self._check_start()
        names = 0
        for name, member in self._walk():
            if name in self.members:
                raise self._error("an archive has two members with the same name", name, "unique names")
            names += sum(len(text) if text.isascii() else 4 * len(text) for text in (name, member.link or ""))
            if names > MAX_NAMES:
                raise self._error("an archive has too many names", "more", f"at most {MAX_NAMES} characters")
            self.members[name] = member

    def find(self, name: str) -> TarMember | None:
        """The file of a name, through links inside the archive; None when there is none.

        Raises:
            Damaged: a link that leads out of the archive or in circles.
        """
        at = name
        for _ in range(_MAX_HOPS):
            member = self.members.get(at)
            if member is None or member.link is None:
                return member
            at = self._inside(member.link)
        raise self._error("a link in an archive is circular", name)

    def _check_start(self) -> None:
        start = self._read(0, min(self.length, _BLOCK))
        for magic, program in COMPRESSED.items():
            if start.startswith(magic):
                hint = f"add --scratch DIR, with room for it uncompressed; or first: {program} -dk {command(self._where)}"
                raise UsageError("the archive is compressed", where=self._where, expected="an uncompressed tar archive", hint=hint)
        if len(start) < _BLOCK or (any(start) and not _sum_is_right(start)):
            raise UsageError("not a tar archive", where=self._where, expected="an archive written by skopeo copy or docker save")

    def _walk(self) -> Iterator[tuple[str, TarMember]]:
        at, headers, extended = 0, 0, _Extended()
        while any(header := self._read(at, _BLOCK)):
            headers += 1
            if headers > MAX_MEMBERS:
                raise self._error("an archive has too many members", "more", f"at most {MAX_MEMBERS}")
            if not _sum_is_right(header):
                raise self._error("a member's header is damaged", f"byte {at}")
            kind, at = header[156:157], at + _BLOCK
            size = self._number(header[124:136], at) if kind in b"xgLK" or extended.size is None else extended.size
            if size > self.length - at:
                raise self._error("an archive is truncated", f"{self.length} bytes", f"at least {at + size} bytes")
            if kind in (b"x", b"L", b"K"):
                self._extend(extended, kind, self._content(at, size))
            elif kind == b"g":
                self._extend(_Extended(), kind, self._content(at, size))
            else:
                found = self._member(header, kind, extended, TarMember(at, size))
                extended = _Extended()
                if found is not None:
                    yield found
            at += 0 if kind in _IGNORED | _LINKS else -(-size // _BLOCK) * _BLOCK

    def _member(self, header: bytes, kind: bytes, extended: _Extended, content: TarMember) -> tuple[str, TarMember] | None:
        if kind in _IGNORED:
            return None
        name = self._inside(_text(header[0:100]) if extended.name is None else extended.name, self._prefix(header, extended))
        if kind in _FILES:
            return name, content
        if kind not in _LINKS:
            raise self._error("a member has an unsupported type", f"{name}: type {kind!r}", "regular files and links")
        link = _text(header[157:257]) if extended.link is None else extended.link
        if kind == b"2":  # a symbolic link is relative to where it stands, a hard link to the archive
            if link.startswith("/"):
                raise self._error("a link in an archive leads out of it", f"{name} -> {link}")
            link = posixpath.join(posixpath.dirname(name), link)
        return name, TarMember(0, 0, link)

    def _prefix(self, header: bytes, extended: _Extended) -> str:
        return _text(header[345:500]) if extended.name is None and header[257:263] == b"ustar\0" else ""

    def _inside(self, name: str, prefix: str = "") -> str:
        full = posixpath.normpath(f"{prefix}/{name}" if prefix else name)
        if full.startswith(("/", "../")) or full in (".", "..") or not name:
            raise self._error("a name in an archive leads out of it", name, "names below the root of the archive")
        return full

    def _extend(self, extended: _Extended, kind: bytes, content: bytes) -> None:
        if kind in b"LK":
            text = _text(content)
            if len(text) > MAX_NAME:
                raise self._error("a name in an archive is too long", text[:40], f"at most {MAX_NAME} characters")
            extended.name, extended.link = (text, extended.link) if kind == b"L" else (extended.name, text)
            return
        for key, value in self._records(content):
            if key.startswith("GNU.sparse"):
                raise self._error("an unsupported sparse member", key, "plain members")
            if key == "size":
                extended.size = self._decimal(value)
            elif key in ("path", "linkpath"):
                if len(value) > MAX_NAME or "\0" in value:
                    raise self._error("a name in an archive is too long or invalid", value[:40])
                extended.name, extended.link = (value, extended.link) if key == "path" else (extended.name, value)

    def _records(self, content: bytes) -> Iterator[tuple[str, str]]:
        at, end = 0, len(content.rstrip(b"\0"))
        while at < end:
            length = self._decimal(content[at : at + 6].partition(b" ")[0].decode("latin-1"))
            record = content[at : at + length]
            at += length
            key, equals, value = record.partition(b" ")[2].partition(b"=")
            if len(record) != length or not equals or not value.endswith(b"\n"):
                raise self._error("an extended header is damaged", repr(record[:40]))
            yield key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "surrogateescape")

    def _decimal(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < len(text) <= 16 and int(text)) and text != "0":
            raise self._error("an extended header is damaged", text[:40], "a number")
        return int(text)

    def _number(self, field: bytes, at: int) -> int:
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        text = field.strip(b"\0 ")
        if text and (len(text) > 12 or any(digit not in b"01234567" for digit in text)):
            raise self._error("a member's header is damaged", f"byte {at - _BLOCK}", "an octal size")
        return int(text or b"0", 8)

    def _content(self, at: int, size: int) -> bytes:
        if size > MAX_EXTENDED:
            raise self._error("an extended header is too large", f"{size} bytes", f"at most {MAX_EXTENDED} bytes")
        return self._read(at, size)

    def _read(self, at: int, length: int) -> bytes:
        try:
            found = os.pread(self._fd, length, at)
        except OSError as error:
            raise disk_error(error, "cannot read", self._where) from error
        if len(found) != length:
            raise self._error("an archive is truncated", f"{self.length} bytes", "two zero blocks at the end")
        return found

    def _error(self, what: str, got: str, expected: str = "") -> Damaged:
        hint = "copy the archive again from the original, or create it again"
        return Damaged(what, where=self._where, got=printable(got, 200), expected=expected, hint=hint)


def _sum_is_right(header: bytes) -> bool:
    stated = header[148:156].strip(b"\0 ")
    if not stated or any(digit not in b"01234567" for digit in stated):
        return False
    return int(stated, 8) == sum(header) - sum(header[148:156]) + 8 * 32


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
