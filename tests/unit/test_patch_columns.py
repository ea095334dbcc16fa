"""Token streams taken apart into columns and put together again, by the compiled code and by the plain Python: always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.patch import columns, pycolumns, tokens
from airgap.patch.columns import Columns
from tests.support import gzipkinds
from tests.support.gzipkinds import deflated
from tests.support.tools import require
from tests.support.twins import random_cuts

try:
    from airgap.native import _columns
except ImportError:
    _columns = None  # type: ignore[assignment] # the C extension was not built

STREAMS = {kind: gzipkinds.tokens(data) for kind, data in gzipkinds.representable().items()}
#: The token stream of a dynamic block up to its symbols, and of a stored block of 3 bytes.
DYNAMIC = b"\x01\x02hh" + b"\x05\x09bb"
STORED = b"\x01\x02hh" + b"\x01\x03\x00abc" + b"trailers"

Parts = tuple[bytes, ...]
seeds = st.integers(0, 1 << 30)
gzips = st.builds(
    lambda parts, level, strategy: deflated(b"".join(part * times for part, times in parts), level, strategy),
    st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 90)), max_size=12),
    st.integers(0, 9),
    st.integers(0, 4),
)
#: Bytes that begin as a token stream does, and may go on as they like.
fronts = st.sampled_from([b"", b"\x01", b"\x01\x02hh", DYNAMIC, STORED, b"\x01\xff\xff\xff\x7f", b"\x01\xff\xff\xff\xff", b"\x02"])
anything = st.builds(lambda front, rest: front + rest, fronts, st.binary(max_size=700))


@pytest.fixture(autouse=True)
def _compiled() -> None:
    if _columns is None:
        require("cc")
        pytest.fail("there is a compiler, but the extension was not built: scripts/test builds it")


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = [*cuts, len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def same(data: bytes, cuts: Sequence[int] = ()) -> list[Parts]:
    """The columns of every piece, after the twins agreed on them and on the way back."""
    compiled, plain = _columns.Columns(), pycolumns.Columns()
    made: list[Parts] = []
    for piece in pieces(data, cuts):
        parts = compiled.split(piece)
        assert parts == plain.split(piece)
        assert sum(map(len, parts)) == len(piece)
        made.append(parts)
    for back in (_columns.Columns(), pycolumns.Columns()):
        assert [back.join(parts) for parts in made] == pieces(data, cuts)
    return made


def put_together(codec: Columns, parts: Parts) -> bytes | None:
    try:
        return codec.join(parts)
    except ValueError:
        return None


def fit_alike(*rows: Parts) -> None:
    """Both twins put the same together, or refuse the same, one after another; what fits has these columns and no others."""
    compiled, plain, back = _columns.Columns(), pycolumns.Columns(), _columns.Columns()
    fits = True
    for parts in rows:
        made = put_together(compiled, parts)
        assert made == put_together(plain, parts)
        fits = fits and made is not None
        if fits and made is not None:
            assert back.split(made) == parts


@pytest.mark.parametrize("kind", STREAMS)
def test_token_streams_of_every_kind_come_back_at_once_and_in_pieces(kind):
    data = STREAMS[kind]
    whole = same(data)[0]
    for seed in range(3):
        made = same(data, random_cuts(data, 6, random.Random(seed)))
        assert tuple(b"".join(column) for column in zip(*made, strict=True)) == whole


@pytest.mark.parametrize("kind", ["one byte", "stored", "all fields", "lone end of block", "257 but not 258", "trailing 1f 8b"])
def test_one_byte_at_a_time_gives_the_same_columns(kind):
    data = STREAMS[kind][:600]
    made = same(data, range(1, len(data)))
    assert (tuple(b"".join(column) for column in zip(*made, strict=True)),) == tuple(same(data))


@settings(max_examples=60, deadline=None)
@given(st.lists(gzips, min_size=1, max_size=3).map(b"".join), st.binary(max_size=20), seeds)
def test_any_token_stream_and_any_beginning_of_it(data, rest, seed):
    stream = gzipkinds.tokens(data + b"rest" + rest)
    source = random.Random(seed)
    same(stream, random_cuts(stream, 4, source))
    same(stream[: source.randrange(len(stream) + 1)])


@settings(max_examples=200, deadline=None)
@given(anything, seeds)
def test_any_bytes_can_be_taken_apart(data, seed):
    same(data, random_cuts(data, 4, random.Random(seed)))


@settings(max_examples=60, deadline=None)
@given(gzips, seeds, st.integers(1, 4))
def test_damaged_token_streams(data, seed, count):
    source = random.Random(seed)
    damaged = bytearray(gzipkinds.tokens(data))
    for _ in range(count):
        damaged[source.randrange(len(damaged))] = source.randrange(256)
    same(bytes(damaged), random_cuts(bytes(damaged), 2, source))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.binary(max_size=400)] * 5), min_size=1, max_size=3), fronts)
def test_any_columns_fit_or_are_refused_by_both(rows, front):
    first = rows[0]
    fit_alike((*first[:4], front + first[4]), *rows[1:])


@settings(max_examples=120, deadline=None)
@given(gzips, seeds)
def test_columns_with_a_byte_too_many_or_too_few(data, seed):
    source = random.Random(seed)
    parts = list(same(gzipkinds.tokens(data))[0])
    for _ in range(source.randint(1, 2)):
        number = source.randrange(5)
        column = parts[number]
        at = source.randint(0, len(column))
        parts[number] = source.choice([column[:at] + column[at + 1 :], column[:at] + b"\x07" + column[at:], column[:at], b""])
    fit_alike(tuple(parts))


@pytest.mark.parametrize("codec", [pycolumns.Columns, _columns and _columns.Columns])
@pytest.mark.parametrize("number", [pycolumns.LITERALS, pycolumns.RUNS, pycolumns.DISTANCES, pycolumns.LENGTHS])
def test_a_column_that_lacks_a_byte_or_has_one_too_many_is_refused(number, codec):
    parts = list(same(STREAMS["flushes"])[0])
    column = parts[number]
    for wrong in (column[:-1], column[1:], b"", *([column + b"\x01"] if number != pycolumns.LITERALS else [])):
        parts[number] = wrong
        with pytest.raises(ValueError, match="the columns do not fit together"):
            codec().join(tuple(parts))


def test_groups_of_every_literal_run_near_the_end_of_their_columns():
    """The fast way ends where a bound could be reached: runs of all lengths, with few and many bytes behind them."""
    for run in (0, 1, 15, 16, 17, 100, 254, 255):
        for behind in (0, 1, 2, 250, 256, 257, 258, 259, 260, 261, 262, 300, 520):
            group = bytes([run]) + bytes(range(1, 256))[:run] + (b"" if run == 255 else b"\x01\x00\x05")
            same(DYNAMIC + group + b"\x00\x02\x00\x09" * (behind // 4) + b"\x00\x02\x00\x09"[: behind % 4])
            same(DYNAMIC + group * 3 + b"\x02ab\x00\x00" + b"trailers" + b"\x00" * behind)


def test_nothing_is_a_piece_too():
    assert same(b"") == [(b"",) * 5]
    made = same(STORED, [0, 0, 4, 4, 9, 9])
    assert made[0] == (b"",) * 5


def test_every_byte_is_in_the_column_that_is_documented():
    symbols = b"\x02xy" + b"\x34\x12" + b"\x08" + b"\xff" + b"L" * 255 + b"\x01z" + b"\x00\x00"
    stream = DYNAMIC + symbols + b"trailers" + STORED + b"\x02tail"
    literals, runs, distances, lengths, framing = same(stream)[0]
    assert literals == b"xy" + b"L" * 255 + b"z" + b"abc" + b"tail"
    assert (runs, distances, lengths) == (b"\x02\xff\x01", b"\x34\x12\x00\x00", b"\x08")
    assert framing == DYNAMIC + b"trailers" + b"\x01\x02hh\x01\x03\x00trailers" + b"\x02"


def test_bytes_that_are_no_token_stream_are_literals_from_there_on():
    for start in (b"\x03", b"\x01\xff\xff\xff\xff", b"\x01\x02hh\x06", b"\x01\x02hh\x05\xff\xff\xff\xff"):
        literals, *others, framing = same(start + b"\x01\x02hh\x01")[0]
        assert literals == b"\x01\x02hh\x01"
        assert [*others, framing] == [b"", b"", b"", start]


def test_threads_do_not_disturb_each_other():
    def there_and_back(number: int) -> bool:
        data = (STREAMS["far"] + STREAMS["level 9"] * 20)[number:]
        columns_of, back = _columns.Columns(), _columns.Columns()
        return all(back.join(columns_of.split(piece)) == piece for piece in pieces(data, range(1000, len(data), 1000)))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(64)))


def test_one_object_used_by_several_threads_is_of_no_use_but_does_no_harm():
    shared = _columns.Columns()
    data = STREAMS["level 9"] * 50

    def use(number: int) -> int:
        parts = shared.split(data[number:])
        put_together(shared, parts)
        return sum(map(len, parts))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(64))) == [len(data) - number for number in range(64)]


def test_anything_with_a_buffer_is_taken_and_nothing_else():
    kinds: tuple[Callable[[bytes], Any], ...] = (bytes, bytearray, memoryview)
    for kind in kinds:
        for codec in (_columns.Columns, pycolumns.Columns):
            parts = codec().split(kind(STORED))
            assert codec().join(tuple(kind(part) for part in parts)) == STORED
    wrongs: tuple[Any, ...] = ((), (b"",) * 4, (b"",) * 6, ("",) * 5, (b"", b"", b"", b"", 1), 5)
    for wrong in wrongs:
        with pytest.raises(TypeError):
            _columns.Columns().join(wrong)
    with pytest.raises(TypeError):
        _columns.Columns().split("text")  # type: ignore[arg-type]


def test_the_plain_python_twin_is_used_where_it_is_asked_for(monkeypatch):
    assert isinstance(columns.of_tokens(), _columns.Columns)
    monkeypatch.setattr(tokens, "HAS_EXTENSION", False)
    assert isinstance(columns.of_tokens(), pycolumns.Columns)


def test_any_other_stream_is_one_column():
    assert columns.Single().split(b"any") == (b"any",)
    assert columns.Single().join((b"any",)) == b"any"
