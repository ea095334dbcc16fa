"""The resend request: which blocks of a bundle's files a site needs again. Pure data, strict both ways.

It is small and carries no secret. What comes back is proved by the signed catalog, so nobody has to trust whoever brings either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.format import names
from airgap.format.catalog import Volume
from airgap.format.outline import Outline
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.stream import is_stream
from airgap.text import printable

SCHEMA = "airgap.request/1"
_FIELDS = frozenset({"schema", "stream", "serial", "catalog", "block_size", "files"})

#: The first and the last of some blocks that follow on each other.
Range = tuple[int, int]


@dataclass(frozen=True)
class ResendRequest:
    """What is needed once more of one bundle.

    Attributes:
        stream, serial: the bundle.
        catalog: the digest of its catalog's exact bytes.
        files: for every file (a volume, or a parity file) the blocks from 0, in rising ranges that do not touch.
    """

    stream: str
    serial: int
    catalog: Digest
    files: Mapping[str, tuple[Range, ...]]

    @classmethod
    def of(cls, catalog: Outline, digest: Digest, blocks: Mapping[str, Iterable[int]]) -> ResendRequest:
        """Ask for blocks of files of a bundle.

        Args:
            catalog: its catalog.
            digest: of the catalog's exact bytes.
            blocks: the numbers of the damaged or missing blocks, by the name of the file; all of them for one that is lost.

        Raises:
            UsageError: nothing is asked for, or what the bundle does not have.
        """
        files = {name: tuple(ranges(numbers)) for name, numbers in sorted(blocks.items())}
        request = cls(catalog.stream, catalog.serial, digest, {name: found for name, found in files.items() if found})
        request.check(catalog)
        return request

    @property
    def bundle(self) -> str:
        """The name of the bundle."""
        return names.bundle_name(self.stream, self.serial)

    @property
    def id(self) -> str:
        """A short name for the request: the front of its digest."""
        return Digest.of(self.to_bytes()).hex[:8]

    def blocks(self) -> Iterator[tuple[str, int]]:
        """Every block asked for, by file and number, in order."""
        return ((name, number) for name, found in self.files.items() for first, last in found for number in range(first, last + 1))

    def size(self, catalog: Outline) -> int:
        """Bytes of all the blocks."""
        known = files_of(catalog)
        return sum(block_length(known[name], number) for name, number in self.blocks())

    def check(self, catalog: Outline) -> None:
        """Make sure that the bundle has what is asked for.

        Raises:
            UsageError: it does not.
        """
        known = files_of(catalog)
        if not self.files:
            raise UsageError("the resend request is empty", where=self.bundle)
        for name, found in self.files.items():
            if name not in known:
                raise UsageError(
                    "the resend request names a file that the bundle does not have",
                    where=catalog.name,
                    expected=f"one of {len(known)} files, up to {next(reversed(known))}",
                    got=printable(name, 60),
                )
            if found[-1][1] >= len(known[name].blocks):
                raise UsageError(
                    "the resend request names blocks beyond the end of a file",
                    where=f"{catalog.name}: {name}",
                    expected=f"{len(known[name].blocks)} blocks, counted from 0",
                    got=f"block {found[-1][1]}",
                )

    def to_bytes(self) -> bytes:
        """The file's content; the same request is always the same bytes."""
        top = {
            "schema": SCHEMA,
            "stream": self.stream,
            "serial": self.serial,
            "catalog": self.catalog,
            "block_size": names.BLOCK_SIZE,
            "files": {name: [list(one) for one in found] for name, found in self.files.items()},
        }
        return strictjson.canonical(top) + b"\n"

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> ResendRequest:
        """Read a request from anywhere.

        Raises:
            UsageError: it is not a resend request, or has a mistake in it.
        """
        try:
            return cls._parse(strictjson.parse_object(raw, where), where)
        except Damaged as error:
            hint = "give a file written by `airgap media repair`"
            raise UsageError(error.what, where=error.where, expected=error.expected, got=error.got, hint=hint) from error

    @classmethod
    def _parse(cls, top: dict[str, Any], where: str) -> ResendRequest:
        if top.get("schema") != SCHEMA:
            raise Damaged("not a resend request", where=where, expected=SCHEMA, got=printable(str(top.get("schema")), 60))
        if set(top) != _FIELDS:
            wrong = printable(", ".join(sorted(set(top) ^ _FIELDS)), 200)
            raise Damaged("the resend request has the wrong fields", where=where, expected=", ".join(sorted(_FIELDS)), got=wrong)
        stream = strictjson.string(top["stream"], f"{where}: stream")
        serial = strictjson.integer(top["serial"], f"{where}: serial")
        if not is_stream(stream) or not serial:
            raise Damaged("not a valid stream and serial", where=where, got=printable(f"{stream} {serial}", 80))
        if top["block_size"] != names.BLOCK_SIZE:
            raise Damaged("an unknown block size", where=where, expected=str(names.BLOCK_SIZE))
        files = {name: read_ranges(value, f"{where}: {printable(name, 60)}") for name, value in _files(top, where).items()}
        return cls(stream, serial, Digest.parse(top["catalog"], f"{where}: catalog"), files)


def files_of(catalog: Outline) -> dict[str, Volume]:
    """The files of a bundle that have blocks, by name."""
    return {file.name: file for file in catalog.files}


def block_length(file: Volume, number: int) -> int:
    """Bytes of one block: the last one of a file may be shorter."""
    return min(names.BLOCK_SIZE, file.size - number * names.BLOCK_SIZE)


def ranges(numbers: Iterable[int]) -> Iterator[Range]:
    """Numbers in any order as rising ranges that do not touch."""
    first = last = -2
    for number in sorted(set(numbers)):
        if number != last + 1:
            if last >= 0:
                yield first, last
            first = number
        last = number
    if last >= 0:
        yield first, last


def read_ranges(value: object, where: str) -> tuple[Range, ...]:
    """Ranges from outside: at least one, rising, not touching. Raises ``Damaged``."""
    found = []
    for item in strictjson.array(value, where):
        pair = [strictjson.integer(number, where) for number in strictjson.array(item, where)]
        if len(pair) != 2 or pair[0] > pair[1]:
            raise Damaged("not a valid block range", where=where, expected="[FIRST, LAST]", got=printable(str(pair), 60))
        found.append((pair[0], pair[1]))
    if not found or any(before[1] + 1 >= after[0] for before, after in pairwise(found)):
        raise Damaged("block ranges must be non-empty, ascending and not adjacent", where=where, got=printable(str(found), 80))
    return tuple(found)


def _files(top: dict[str, Any], where: str) -> dict[str, Any]:
    files = strictjson.mapping(top["files"], f"{where}: files")
    return dict(sorted(files.items()))
