"""Files behind URLs: pinned by a digest, then streamed once, when they are carried.

https://get.example.com/tool.tar.gz                              pinned by what is there now: read once to its end
https://get.example.com/tool.tar.gz#sha256=HEX                   by the list
https://get.example.com/tool.tar.gz#sha256=HEX&size=N&title=T    as a lock has it: no request is needed before it is carried
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from airgap.archives import MadeArtifact
from airgap.archives.made import file_manifest
from airgap.archives.titles import named_files
from airgap.errors import AirgapError, Damaged, NotFound, Refused, RegistryError, UsageError
from airgap.limits import MAX_WEB_FILE
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader
from airgap.registry.web import WebFiles, web_url
from airgap.text import printable

_SIZE = re.compile(r"[0-9]{1,15}", re.ASCII)
_EXPECTED = "file:https://HOST[:PORT]/PATH[#sha256=HEX][&size=BYTES][&title=NAME]"


@dataclass(frozen=True)
class FileAddress:
    """A file on a web server.

    Attributes:
        url: without a fragment.
        title: its name.
        digest: of the file; None as long as it may be any.
        size: in bytes; None as long as it is not known.
    """

    url: str
    title: str
    digest: Digest | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> FileAddress:
        """Read one.

        Raises:
            UsageError: it does not have this form, or its name cannot be that of a file.
        """
        url, _, fragment = text.partition("#")
        parts = web_url(url)
        wrong = UsageError("not a valid address of a file", expected=_EXPECTED, got=printable(text, 300))
        try:
            asked = parse_qs(fragment, keep_blank_values=True, strict_parsing=True, max_num_fields=3) if fragment else {}
            digest = Digest.parse(f"sha256:{asked['sha256'][0]}") if "sha256" in asked else None
        except (ValueError, Damaged) as error:
            raise wrong from error
        size = asked.get("size", [""])[0]
        once = all(len(values) == 1 for values in asked.values()) and not asked.keys() - {"sha256", "size", "title"}
        if not once or (size and not _SIZE.fullmatch(size)):
            raise wrong
        title = asked.get("title", [unquote(parts.path.rpartition("/")[2])])[0]
        found = cls(url, title, digest, int(size) if size else None)
        if not title:
            raise UsageError(
                "the URL names no file", got=printable(text, 300), expected="a path that ends in a name, or &title=NAME"
            )
        try:
            named_files(file_manifest(title, Digest.of(b""), 0, url), _ANY)
        except Refused as error:
            raise UsageError("the name of the file cannot be carried", where=printable(url, 300), got=error.got) from error
        return found

    def __str__(self) -> str:
        facts: Mapping[str, object | None] = {
            "sha256": self.digest.hex if self.digest else None,
            "size": self.size,
            "title": quote(self.title, safe="") if self.title != unquote(urlsplit(self.url).path.rpartition("/")[2]) else None,
        }
        fragment = "&".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        return f"{self.url}#{fragment}" if fragment else self.url


_ANY = Reference.parse("airgap.local/files/any:1")


class WebFile(MadeArtifact):
    """A file behind a URL as a ``Source`` of one artifact. Thread-safe.

    Args:
        address: the file, with digest and size.
        digest, size: those in it.
        files: reads web servers.
        proven: whether the operator said the digest.
    """

    def __init__(self, address: FileAddress, digest: Digest, size: int, files: WebFiles, *, proven: bool) -> None:
        where = printable(address.url.partition("?")[0], 300)
        root = file_manifest(address.title, digest, size, where)
        super().__init__(root, {}, {Digest.of(media.EMPTY): media.EMPTY}, Path(), where)
        self.address = address
        self._layer = root.layers[0]
        self._web = files
        self._proven = proven

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """As ``Source.has``; the server is not asked."""
        if descriptor.digest == self._layer.digest:
            return descriptor.size == self._layer.size
        return super().has(repository, descriptor)

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``.

        Raises:
            Damaged: the server has another file under the URL now.
            RegistryError: it delivers none.
        """
        if descriptor.digest != self._layer.digest:
            return super().open(repository, descriptor, offset)
        layer = self._layer
        try:
            reader = self._web.read(self.address.url, layer.digest, layer.size, offset, proven=self._proven)
        except NotFound:
            raise
        except RegistryError:
            self._check()
            raise
        return _Unchanged(reader, layer, offset, self._where)

    def _check(self) -> None:
        """Tell what is there instead, if the server gives that."""
        try:
            found, _ = self._web.pinned(self.address.url, MAX_WEB_FILE, proven=self._proven)
        except AirgapError:
            return
        if found != self._layer.digest:
            raise _changed(self._where, self._layer.digest, found)


class _Unchanged:
    """Hashes what comes from its first byte on, to tell at the end what came instead."""

    failure = RegistryError

    def __init__(self, reader: Reader, layer: Descriptor, offset: int, where: str) -> None:
        self._reader = reader
        self._layer = layer
        self._where = where
        self._left = layer.size - offset
        self._hasher = layer.digest.hasher() if offset == 0 else None

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``. Raises ``Damaged`` instead of giving the last bytes of another file."""
        count = self._reader.readinto(buffer)
        self._left -= count
        if self._hasher is not None and count:
            self._hasher.update(buffer[:count])
            if self._left == 0:
                found = Digest.sealed(self._hasher)
                if found != self._layer.digest:
                    raise _changed(self._where, self._layer.digest, found)
        return count

    def close(self) -> None:
        """Close the stream."""
        self._reader.close()


def find_file(address: FileAddress, files: WebFiles, say: Callable[[str], None]) -> WebFile:
    """A file, pinned: what the address does not say is asked of the server.

    Raises:
        Damaged: what is there is not what the digest says; known at once only where the server does not say its size.
        NotFound, RegistryError: the server does not have it, or fails.
        UsageError: not such an address, too large, or without TLS and digest.
    """
    proven = address.digest is not None
    where = printable(address.url.partition("?")[0], 300)
    digest, size = address.digest, address.size
    if digest is not None and size is None:
        size = files.size(address.url, proven=proven)
    if digest is None or size is None:
        digest, size = files.pinned(address.url, MAX_WEB_FILE, proven=proven)
        if address.digest not in (None, digest):
            raise _changed(where, address.digest, digest)
        if address.digest is None:
            say(f"{where}: the list gives no sha256; pinned by what is there: {digest}")
    if size > MAX_WEB_FILE:
        where = printable(address.url.partition("?")[0], 300)
        raise UsageError(
            "a file on a web server is too large", where=where, expected=f"at most {MAX_WEB_FILE} bytes", got=str(size)
        )
    return WebFile(FileAddress(address.url, address.title, digest, size), digest, size, files, proven=proven)


def _changed(where: str, expected: Digest | None, found: Digest) -> Damaged:
    return Damaged(
        "the file at a URL is not the one that was asked for",
        where=where,
        expected=str(expected),
        got=str(found),
        hint="ask its publisher why; then correct the sha256 in the list, or airgap resolve --lock FILE --update",
    )
