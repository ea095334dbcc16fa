"""The receipt: the signed statement of what a site holds. Pure data, strict both ways, compact (docs/receipts.md).

JSON outside, so that a person can read its head; inside, the digests and sizes of what is held are packed: 32 raw bytes a digest
and the differences of the sizes, one row for all blobs that are in the same repositories. A content has one form only.
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airgap.documents.holdings import Held, HeldTable, Holdings
from airgap.errors import Damaged, UsageError
from airgap.format.times import check_time
from airgap.limits import MAX_RECEIPT, MAX_RECEIPT_MEMORY, MAX_STREAM
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stream import is_stream
from airgap.text import printable

SCHEMA = "airgap.receipt/1"

_FIELDS = ("schema", "site", "created", "tool", "target", "streams", "repositories", "images", "manifests", "blobs")
_ROWS = ("manifests", "blobs")
_MAX_TEXT = 4096
_RAW_SIZES = {"sha256": 32, "sha512": 64}
_SIZE = 8  # bytes of a size that is sorted by
_WHERE = "receipt"
_SPLIT = "make a receipt of one part: give a prefix in the target, or --repository"


@dataclass(frozen=True, slots=True)
class Taken:
    """The newest bundle of a stream that a site has taken: its serial and its catalog's digest."""

    serial: int
    catalog: Digest


@dataclass(frozen=True)
class Receipt:
    """What a site holds.

    Attributes:
        site: its name, in the grammar of stream names.
        created: RFC 3339.
        tool: what made the receipt.
        target: the registry or store as the operator named it, without credentials.
        streams: the newest bundle taken into the target, of each stream that the site remembers.
        holdings: what was found there.
    """

    site: str
    created: str
    tool: str
    target: str
    streams: Mapping[str, Taken]
    holdings: Holdings

    def to_bytes(self) -> bytes:
        """The exact bytes that are signed: one entry a line, the packed rows last.

        Raises:
            UsageError: the site holds more than fits into a receipt.
        """
        raw = self._encoded()
        if len(raw) > MAX_RECEIPT:
            raise UsageError("the receipt is too large", expected=f"at most {MAX_RECEIPT} bytes", got=str(len(raw)), hint=_SPLIT)
        return raw

    def _encoded(self) -> bytes:
        held = self.holdings
        named = {repository for places in _distinct(held) for repository in places}
        numbers = {repository: number for number, repository in enumerate(sorted(named))}
        top: dict[str, Any] = {
            "schema": SCHEMA,
            "site": self.site,
            "created": self.created,
            "tool": self.tool,
            "target": self.target,
            "streams": {stream: {"serial": one.serial, "catalog": one.catalog} for stream, one in self.streams.items()},
            "repositories": sorted(named),
            "images": _grouped(held.images),
        }
        out = io.BytesIO()  # part by part: all parts together would take several times the memory of their text
        for number, (key, value) in enumerate(top.items()):
            out.write((b",\n" if number else b"{\n") + f'"{key}":'.encode() + strictjson.canonical(value))
        manifests = ((digest, one) for digest, one in held.blobs.items() if digest in held.manifests)
        others = ((digest, one) for digest, one in held.blobs.items() if digest not in held.manifests)
        for key, entries in zip(_ROWS, (manifests, others), strict=True):
            out.write(f',\n"{key}":['.encode())
            count = 0
            for count, row in enumerate(_pack(entries, numbers), 1):
                out.write((b",\n" if count > 1 else b"\n") + strictjson.canonical(row))
            out.write(b"\n]" if count else b"]")
        out.write(b"\n}\n")
        return out.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, where: str = _WHERE) -> Receipt:
        """Read a receipt; whoever relies on it has checked its signature before.

        Args:
            raw: its exact bytes.
            where: the file, for messages.

        Raises:
            Damaged: too large, of an unknown schema, or not exactly what :meth:`to_bytes` would write.
        """
        if len(raw) > MAX_RECEIPT:
            raise Damaged("the receipt is too large", where=where, expected=f"at most {MAX_RECEIPT} bytes", got=str(len(raw)))
        top = strictjson.parse_object(raw, where, MAX_RECEIPT_MEMORY)
        _check_schema(top, where)
        repositories = [_repository(item, where) for item in strictjson.array(top["repositories"], f"{where}: repositories")]
        blobs = HeldTable()
        ends = []
        for key in _ROWS:
            for number, row in enumerate(strictjson.array(top.pop(key), f"{where}: {key}"), 1):
                _unpack(row, repositories, blobs, f"{where}: {key}, row {number}")
            ends.append(len(blobs))
        manifests = frozenset(itertools.islice(blobs, ends[0]))
        receipt = cls(
            site=_site(top["site"], where),
            created=check_time(top["created"], f"{where}: created"),
            tool=_text(top["tool"], f"{where}: tool"),
            target=_target(top["target"], where),
            streams=_streams(top["streams"], where),
            holdings=Holdings(blobs, dict(_images(top["images"], manifests, where)), manifests),
        )
        if receipt._encoded() != raw:
            raise Damaged("the receipt is not in canonical form", where=where, expected="sorted, no duplicates, no extra spaces")
        return receipt


def check_site(name: str) -> str:
    """The site's name, if it is one.

    Raises:
        UsageError: it does not follow the grammar of stream names.
    """
    if not is_stream(name):
        raise UsageError(
            "not a valid site name",
            got=printable(name),
            expected=f"lower-case letters and digits, joined by single . _ or -, at most {MAX_STREAM}, like plant-7",
            hint="name the site with --site",
        )
    return name


def _grouped(images: Mapping[str, Digest]) -> dict[str, dict[str, Digest]]:
    """``repository:tag`` -> digest as repository -> tag -> digest."""
    result: dict[str, dict[str, Digest]] = {}
    for name, digest in images.items():
        repository, _, tag = name.rpartition(":")
        result.setdefault(repository, {})[tag] = digest
    return result


def _distinct(held: Holdings) -> Iterable[tuple[str, ...]]:
    """The tuples of repositories that there are: many blobs share one, and a long one is not gone through for each of them."""
    return {id(one.repositories): one.repositories for _, one in held.blobs.items()}.values()


def _pack(entries: Iterable[tuple[Digest, Held]], numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """One row for each set of repositories (and algorithm): by size, then digest; of the sizes only the steps."""
    rows: dict[tuple[str, tuple[int, ...]], list[bytes]] = {}  # a size and a digest in one: so they take a third of the memory
    known: dict[tuple[str, int], list[bytes]] = {}  # the row of the very same tuple of repositories
    for digest, held in entries:
        found = known.get((digest.algorithm, id(held.repositories)))
        if found is None:
            key = digest.algorithm, tuple(sorted(numbers[repository] for repository in held.repositories))
            found = known[digest.algorithm, id(held.repositories)] = rows.setdefault(key, [])
        found.append(held.size.to_bytes(_SIZE, "big") + bytes.fromhex(digest.hex))
    for algorithm, places in sorted(rows):
        row = rows.pop((algorithm, places))
        row.sort()
        sizes = bytearray()
        before = 0
        for one in row:
            size = int.from_bytes(one[:_SIZE], "big")
            _put_number(sizes, size - before)
            before = size
        digests = b"".join(one[_SIZE:] for one in row)
        yield {
            "repositories": list(places),
            algorithm: base64.b64encode(digests).decode("ascii"),
            "sizes": base64.b64encode(sizes).decode("ascii"),
        }


def _unpack(value: object, repositories: list[str], blobs: HeldTable, where: str) -> None:
    """Add the blobs of one row to ``blobs``."""
    row = strictjson.mapping(value, where)
    algorithms = [name for name in _RAW_SIZES if name in row]
    if len(algorithms) != 1 or set(row) != {"repositories", "sizes", *algorithms}:
        raise Damaged("a row has the wrong parts", where=where, expected="repositories, sizes and one of sha256, sha512")
    algorithm, width = algorithms[0], _RAW_SIZES[algorithms[0]]
    numbers = [strictjson.integer(item, where) for item in strictjson.array(row["repositories"], where)]
    if any(number >= len(repositories) for number in numbers):
        raise Damaged("a row names a repository that is not listed", where=where, got=printable(str(numbers), 80))
    places = tuple(repositories[number] for number in numbers)
    digests, sizes = _base64(row[algorithm], where), list(_steps(_base64(row["sizes"], where), where))
    if len(digests) != width * len(sizes):
        raise Damaged(
            "a row has different numbers of digests and sizes",
            where=where,
            expected=f"{width} bytes for each of {len(sizes)} sizes",
            got=f"{len(digests)} bytes",
        )
    for i, size in enumerate(sizes):
        if not blobs.add(Digest(f"{algorithm}:{digests[i * width : (i + 1) * width].hex()}"), size, places):
            raise Damaged("a blob is listed twice", where=where)


def _put_number(out: bytearray, number: int) -> None:
    """Seven bits a byte, the lowest first; all bytes but the last have the high bit set (LEB128)."""
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _steps(raw: bytes, where: str) -> Iterator[int]:
    """The running sum of packed numbers."""
    total = number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            total += number
            number = shift = 0
            yield total
        if shift > 56 or total >= strictjson.MAX_INTEGER:
            raise Damaged("a size is too large", where=where, expected="less than 2^53 bytes")
    if shift:
        raise Damaged("the sizes of a row end in the middle of a number", where=where)


def _check_schema(top: dict[str, Any], where: str) -> None:
    if top.get("schema") != SCHEMA:
        raise Damaged(
            "not a receipt, or one of an unknown schema",
            where=where,
            expected=SCHEMA,
            got=printable(str(top.get("schema")), 60),
            hint="give a file made by `airgap receipt`; one made by a newer airgap needs that version here",
        )
    if set(top) != set(_FIELDS):
        wrong = sorted(set(top) ^ set(_FIELDS))
        raise Damaged(
            "the receipt has the wrong fields", where=where, expected=", ".join(_FIELDS), got=printable(", ".join(wrong), 200)
        )


def _streams(value: object, where: str) -> dict[str, Taken]:
    result = {}
    for stream, item in strictjson.mapping(value, f"{where}: streams").items():
        at = f"{where}: stream {printable(stream, 60)}"
        fields = strictjson.mapping(item, at)
        if not is_stream(stream):
            raise Damaged("not a valid stream name", where=at)
        result[stream] = Taken(strictjson.integer(fields.get("serial"), at), Digest.parse(fields.get("catalog"), at))
    return result


def _images(value: object, manifests: frozenset[Digest], where: str) -> Iterator[tuple[str, Digest]]:
    for name, tags in strictjson.mapping(value, f"{where}: images").items():
        repository = _repository(name, where)
        for tag, item in strictjson.mapping(tags, f"{where}: images").items():
            at = f"{where}: image {printable(f'{repository}:{tag}', 400)}"
            digest = Digest.parse(item, at)
            try:
                Repository("localhost", "check").tagged(tag)
            except UsageError as error:
                raise Damaged(error.what, where=at, expected=error.expected, got=error.got) from error
            if digest not in manifests:
                raise Damaged("an image whose manifest is not listed", where=at, got=digest)
            yield f"{repository}:{tag}", digest


def _repository(value: object, where: str) -> str:
    """A repository as the target names it: a path in a registry, in a store a name in full."""
    text = strictjson.string(value, f"{where}: repositories")
    try:
        Repository("a:1", text)  # the shortest host: how long the name of a real one is does not matter here
    except UsageError:
        try:
            host, _, path = text.partition("/")
            Repository(host, path)
        except UsageError as error:
            raise Damaged(error.what, where=where, got=printable(text, 100)) from error
    return text


def _site(value: object, where: str) -> str:
    try:
        return check_site(strictjson.string(value, f"{where}: site"))
    except UsageError as error:
        raise Damaged(error.what, where=where, expected=error.expected, got=error.got) from error


def _target(value: object, where: str) -> str:
    text = _text(value, f"{where}: target")
    if text.startswith("docker://") and "@" in text:
        raise Damaged("the target contains credentials", where=where)
    return text


def _text(value: object, where: str) -> str:
    text = strictjson.string(value, where)
    if not text or len(text) > _MAX_TEXT or not text.isprintable():
        raise Damaged("a text is empty, too long or not printable", where=where, got=printable(text, 60))
    return text


def _base64(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(strictjson.string(value, where).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Damaged("not base64", where=where) from error
