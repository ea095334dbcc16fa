"""A patch read by nothing but docs/format.md ("Held blobs and patches"), RFC 1951 and a zstd library: no code of ours reads it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airgap.patch.kinds import DEFLATE, PLAIN
from tests.support import gzipkinds
from tests.support.gzipkinds import deflated
from tests.support.patchparts import make, small_pieces, versions, zstd

LENGTHS = [*range(3, 11), *range(11, 19, 2), *range(19, 35, 4), *range(35, 67, 8), *range(67, 131, 16), *range(131, 258, 32), 258]
LENGTH_EXTRA = [0] * 8 + [extra for extra in range(1, 6) for _ in range(4)] + [0]
DISTANCES = [1, 2, 3, 4] + [(2 + half) << extra | 1 for extra in range(1, 14) for half in (0, 1)]
DISTANCE_EXTRA = [0, 0, 0, 0] + [extra for extra in range(1, 14) for _ in (0, 1)]
CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8


# ---- gzip bits ----


class Bits:
    """Bits of a byte string, the first one lowest; read from ``at`` on, or put behind the last."""

    def __init__(self, data: bytes = b"") -> None:
        self.all = [byte >> bit & 1 for byte in data for bit in range(8)]
        self.at = 0

    def take(self, count: int) -> int:
        taken = self.all[self.at : self.at + count]
        self.at += count
        return sum(bit << place for place, bit in enumerate(taken))

    def put(self, value: int, count: int) -> None:
        self.all += [value >> place & 1 for place in range(count)]

    def align(self) -> None:
        self.at += -self.at % 8
        self.all += [0] * (-len(self.all) % 8)

    def __bytes__(self) -> bytes:
        return bytes(sum(bit << place for place, bit in enumerate(self.all[at : at + 8])) for at in range(0, len(self.all), 8))


def codes(lengths: list[int]) -> dict[int, str]:
    """Symbol -> its code (RFC 1951 3.2.2), the first bit first."""
    found, code = {}, 0
    for length in range(1, 16):
        for symbol in (symbol for symbol, its in enumerate(lengths) if its == length):
            found[symbol] = f"{code:0{length}b}"
            code += 1
        code <<= 1
    return found


def symbol_of(bits: Bits, table: dict[str, int]) -> int:
    code = ""
    while code not in table:
        code += str(bits.take(1))
    return table[code]


@dataclass
class Codes:
    literals: dict[int, str]
    distances: dict[int, str]


def block_codes(bits: Bits, kind: int) -> Codes:
    if kind == 1:
        return Codes(codes(FIXED), codes([5] * 30))
    literals, distances, count = bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4
    short = [0] * 19
    for symbol in CODE_LENGTH_ORDER[:count]:
        short[symbol] = bits.take(3)
    table = {code: symbol for symbol, code in codes(short).items()}
    lengths: list[int] = []
    while len(lengths) < literals + distances:
        symbol = symbol_of(bits, table)
        if symbol < 16:
            lengths.append(symbol)
        else:
            value = lengths[-1] if symbol == 16 else 0
            extra, least = {16: (2, 3), 17: (3, 3), 18: (7, 11)}[symbol]
            lengths += [value] * (least + bits.take(extra))
    return Codes(codes(lengths[:literals]), codes(lengths[literals:]))


# ---- tokens ----


def number(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def tokens(data: bytes) -> bytes:
    """The token stream of a gzip blob whose members have no optional header fields."""
    made = bytearray()
    while data[:3] == b"\x1f\x8b\x08":
        made += b"\x01" + number(10) + data[:10]
        bits = Bits(data[10:])
        final = 0
        while not final:
            final, kind = bits.take(1), bits.take(2)
            made.append(final + 2 * kind)
            made += stored_tokens(bits) if kind == 0 else symbol_tokens(bits, kind)
        bits.align()
        end = 10 + bits.at // 8
        made += data[end : end + 8]
        data = data[end + 8 :]
    return bytes(made) + (b"\x02" + data if data else b"\x00")


def stored_tokens(bits: Bits) -> bytes:
    bits.align()
    size = bits.take(32) & 0xFFFF
    return struct.pack("<H", size) + bytes(bits.take(8) for _ in range(size))


def symbol_tokens(bits: Bits, kind: int) -> bytes:
    start = bits.at
    its = block_codes(bits, kind)
    head = Bits()
    head.all = bits.all[start : bits.at]
    made = bytearray(number(len(head.all)) + bytes(head) if kind == 2 else b"")
    literals = {code: symbol for symbol, code in its.literals.items()}
    distances = {code: symbol for symbol, code in its.distances.items()}
    run = bytearray()
    while (symbol := symbol_of(bits, literals)) != 256:
        if symbol < 256:
            run.append(symbol)
            if len(run) == 255:
                made += b"\xff" + run
                run.clear()
            continue
        length = LENGTHS[symbol - 257] + bits.take(LENGTH_EXTRA[symbol - 257])
        symbol = symbol_of(bits, distances)
        distance = DISTANCES[symbol] + bits.take(DISTANCE_EXTRA[symbol])
        made += bytes([len(run)]) + run + struct.pack("<HB", distance, length - 3)
        run.clear()
    return bytes(made) + bytes([len(run)]) + run + b"\0\0"


class Stream:
    """A token stream; it notes the column of every byte that is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.column_of: list[int] = []

    def take(self, column: int, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        self.at += count
        self.column_of += [column] * count
        return taken


class Columns:
    """The columns of a token stream; what is read, as the grammar asks for it, is the stream."""

    def __init__(self, columns: list[bytes]) -> None:
        self.columns = [iter(column) for column in columns]

    def take(self, column: int, count: int) -> bytes:
        return bytes(next(self.columns[column]) for _ in range(count))

    def rest(self, column: int) -> bytes:
        return bytes(self.columns[column])


def counted(source: Stream | Columns) -> int:
    value = place = 0
    while True:
        byte = source.take(4, 1)[0]
        value |= (byte & 127) << place
        place += 7
        if byte < 128:
            return value


def walk(source: Stream | Columns) -> Iterator[tuple[str, bytes]]:
    """The elements of a token stream, by name."""
    while source.take(4, 1) == b"\x01":
        yield "header", source.take(4, counted(source))
        final = 0
        while not final:
            head = source.take(4, 1)[0]
            final, kind = head & 1, head >> 1
            yield "block", bytes([head])
            if kind == 0:
                yield "stored", source.take(0, struct.unpack("<H", source.take(4, 2))[0])
            else:
                yield from symbols(source, kind)
        yield "trailer", source.take(4, 8)


def symbols(source: Stream | Columns, kind: int) -> Iterator[tuple[str, bytes]]:
    if kind == 2:
        count = counted(source)
        yield "codes", bytes(Bits(source.take(4, (count + 7) // 8)).all[:count])
    while True:
        run = source.take(1, 1)[0]
        yield "literals", source.take(0, run)
        if run == 255:
            continue
        distance = source.take(2, 2)
        if distance == b"\0\0":
            break
        yield "match", distance + source.take(3, 1)
    yield "end", b""


def taken_apart(data: bytes) -> list[int]:
    """The column of every byte."""
    stream = Stream(data)
    for _ in walk(stream):
        pass
    return stream.column_of + [0] * (len(data) - stream.at)


def gzip_of(columns: list[bytes]) -> bytes:
    """The gzip blob whose token stream has these columns."""
    source = Columns(columns)
    bits = Bits()
    its = Codes({}, {})
    for name, value in walk(source):
        if name in ("header", "trailer"):
            bits.align()
            bits.all += Bits(value).all
        elif name == "block":
            bits.put(value[0], 3)
            its = block_codes(bits, 1) if value[0] >> 1 == 1 else its
        elif name == "stored":
            bits.align()
            bits.put(len(value), 16)
            bits.put(0xFFFF - len(value), 16)
            bits.all += Bits(value).all
        elif name == "codes":
            head = Bits()
            head.all = list(value)
            its = block_codes(head, 2)
            bits.all += head.all
        elif name == "literals":
            bits.all += [int(bit) for literal in value for bit in its.literals[literal]]
        elif name == "match":
            put_match(bits, its, *struct.unpack("<HB", value))
        else:
            bits.all += map(int, its.literals[256])
    bits.align()
    return bytes(bits) + source.rest(0)


def put_match(bits: Bits, its: Codes, distance: int, length: int) -> None:
    length += 3
    place = max(place for place, least in enumerate(LENGTHS) if least <= length)
    bits.all += map(int, its.literals[257 + place])
    bits.put(length - LENGTHS[place], LENGTH_EXTRA[place])
    place = max(place for place, least in enumerate(DISTANCES) if least <= distance)
    bits.all += map(int, its.distances[place])
    bits.put(distance - DISTANCES[place], DISTANCE_EXTRA[place])


# ---- patches ----


def read_patch(patch: bytes, base: bytes, kind: str, piece: int) -> bytes:
    """The blob that the patch makes from the base."""
    width = 5 if kind == DEFLATE else 1
    stream = tokens(base) if kind == DEFLATE else base
    column_of = taken_apart(stream) if kind == DEFLATE else [0] * len(stream)
    assert patch[:8] == b"AGPATCH1"
    at = 8
    made = [b""] * width
    while True:
        first, count, *sizes = struct.unpack_from(f"<{2 + 2 * width}I", patch, at)
        at += 8 + 8 * width
        if not first | count and not any(sizes):
            assert at == len(patch)
            return gzip_of(made) if kind == DEFLATE else made[0]
        window = range(first * piece, min((first + count) * piece, len(stream)))
        for column in range(width):
            size, packed = sizes[2 * column : 2 * column + 2]
            prefix = bytes(stream[place] for place in window if column_of[place] == column)
            raw = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None
            if size:
                part = zstd.decompress(patch[at : at + packed], zstd_dict=raw)
                assert len(part) == size
                made[column] += part
            at += packed


@pytest.mark.parametrize("kind", [PLAIN, DEFLATE])
def test_a_patch_can_be_read_by_the_document_alone(kind):
    old, new = versions(21, 9000)
    if kind == DEFLATE:
        old = deflated(old, 9) + deflated(b"second", 0) + b"tail"
        new = deflated(new[:4000], 6, 0, 15, (3, 5)) + deflated(new[4000:], 9) + deflated(b"fixed", 6, 4) + deflated(b"stored", 0)
        new += b"another tail"
    with small_pieces():
        patch = make(new, old, kind)
    assert len(patch) < len(new)
    assert read_patch(patch, old, kind, 2048) == new


def test_a_patch_with_pieces_as_large_as_documented():
    for old, new, kind in (
        (b"old text " * 99, b"new old text " * 99, PLAIN),
        (deflated(gzipkinds.text()), deflated(b"some"), DEFLATE),
    ):
        assert read_patch(make(new, old, kind), old, kind, 1 << 20) == new
