"""The columns of a token stream in plain Python: slow and complete, the twin of ``airgap/native/_columns.c``.

Bytes of one kind compress better among themselves. Every byte of a token stream (``pydeflate``) belongs to one column, and which
one follows from the bytes before it, so the columns can be taken apart and put together without a word about how.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

LITERALS, RUNS, DISTANCES, LENGTHS, FRAMING = range(5)
COLUMNS = 5

#: A request for the next bytes: of which column, and how many. What is sent back is at most that many bytes, at least one.
_Ask = Generator[tuple[int, int], bytes, None]
_MAX_BITS = 28


class Columns:
    """One token stream on its way into columns, or out of them; the pieces must come in order."""

    def __init__(self) -> None:
        self._grammar = _stream()
        self._wanted = next(self._grammar)

    def split(self, data: bytes, /) -> tuple[bytes, ...]:
        """Take the next bytes of the stream apart."""
        columns = [bytearray() for _ in range(COLUMNS)]
        at = 0

        def take(column: int, count: int) -> bytes:
            nonlocal at
            part = bytes(data[at : at + count])
            at += len(part)
            columns[column] += part
            return part

        self._run(take, len(data))
        return tuple(map(bytes, columns))

    def join(self, columns: tuple[bytes, ...], /) -> bytes:
        """Put the columns of the next bytes together again. Raises ``ValueError`` when they do not fit."""
        stream = bytearray()
        used = [0] * COLUMNS

        def take(column: int, count: int) -> bytes:
            part = bytes(columns[column][used[column] : used[column] + count])
            if len(part) < count:
                raise ValueError("the columns do not fit together")
            used[column] += count
            stream.extend(part)
            return part

        self._run(take, sum(map(len, columns)))
        return bytes(stream)

    def _run(self, take: Callable[[int, int], bytes], size: int) -> None:
        while size:
            column, count = self._wanted
            part = take(column, min(count, size))
            size -= len(part)
            self._wanted = self._grammar.send(part)


def _stream() -> _Ask:
    """The grammar of a token stream. Any bytes are taken: where they are no token stream, the rest are literals."""
    while (yield from _byte(FRAMING)) == 1:
        header = yield from _number()
        if header is None:
            break
        yield from _counted(FRAMING, header)
        if not (yield from _blocks()):
            break
        yield from _counted(FRAMING, 8)
    while True:
        yield LITERALS, 2**31


def _blocks() -> Generator[tuple[int, int], bytes, bool]:
    """The blocks of one member; False when one is invalid."""
    while True:
        head = yield from _byte(FRAMING)
        if head >> 1 == 0:
            low, high = (yield from _byte(FRAMING)), (yield from _byte(FRAMING))
            yield from _counted(LITERALS, low | high << 8)
        elif head >> 1 == 1:
            yield from _symbols()
        elif head >> 1 == 2:
            bits = yield from _number()
            if bits is None:
                return False
            yield from _counted(FRAMING, (bits + 7) // 8)
            yield from _symbols()
        else:
            return False
        if head & 1:
            return True


def _symbols() -> _Ask:
    while True:
        run = yield from _byte(RUNS)
        yield from _counted(LITERALS, run)
        if run == 255:
            continue
        low, high = (yield from _byte(DISTANCES)), (yield from _byte(DISTANCES))
        if low == high == 0:
            return
        yield from _byte(LENGTHS)


def _byte(column: int) -> Generator[tuple[int, int], bytes, int]:
    return (yield column, 1)[0]


def _counted(column: int, count: int) -> _Ask:
    while count:
        count -= len((yield column, count))


def _number() -> Generator[tuple[int, int], bytes, int | None]:
    """A number in seven bits a byte, the lowest first; None when it is too long."""
    value = bits = 0
    while bits < _MAX_BITS:
        byte = yield from _byte(FRAMING)
        value |= (byte & 127) << bits
        bits += 7
        if not byte & 128:
            return value
    return None
