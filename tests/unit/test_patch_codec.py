"""Patches made and applied: every blob comes back, whatever the pair, the kind of gzip, the effort and the codec's twin."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import Damaged
from airgap.oci.stores import Reader
from airgap.oci.verify import BytesReader
from airgap.patch import codec, tokens
from airgap.patch.kinds import DEFLATE, PLAIN
from airgap.patch.tokens import Unrepresentable
from airgap.patch.zstd import EFFORTS, Effort
from tests.support import gzipkinds
from tests.support.gzipkinds import deflated
from tests.support.patchparts import PIECE, SMALL, make, rebuild, segments, small_pieces, verified, versions

GOOD = gzipkinds.representable()
#: All efforts with tables that take no time to clear; windows and segments as they are.
TABLES = {name: Effort(e.level, e.match, e.rate, 14, e.window, e.segment) for name, e in EFFORTS.items()}

seeds = st.integers(0, 1 << 30)
gzips = st.builds(deflated, st.binary(max_size=2000), st.integers(0, 9), st.integers(0, 4))


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with small_pieces():
        yield


def layer(data: bytes, source: random.Random) -> bytes:
    """A gzip of this text, of a random kind."""
    cut = source.randrange(len(data) + 1)
    level, strategy = source.randint(0, 9), source.choice([0, 0, 0, 1, 2, 3, 4])
    flushes = tuple(source.choices([1, 2, 3, 5], k=source.choice([0, 0, 3])))
    kinds = [
        lambda: deflated(data, level, strategy, 15, flushes),
        lambda: deflated(data[:cut], level) + deflated(data[cut:], source.randint(0, 9)),
        lambda: deflated(data, level, strategy) + source.choice([b"garbage", bytes(512), b"\x1f"]),
        lambda: deflated(data, 0),
    ]
    return source.choice(kinds)()


def comes_back(new: bytes, base: bytes | None, kind: str, effort: Effort = SMALL) -> bytes:
    """The patch, which makes the new blob and nothing else."""
    patch = make(new, base, kind, effort)
    assert rebuild(patch, base, kind) == new
    assert verified(patch, base, kind, new) == new
    return patch


class Counted:
    """A ``Reader`` that knows how many of its kind are open."""

    opened = 0

    def __init__(self, content: bytes) -> None:
        self._reader = BytesReader(content)
        self._closed = False
        Counted.opened += 1

    def readinto(self, buffer: memoryview, /) -> int:
        return self._reader.readinto(buffer[:700])

    def close(self) -> None:
        Counted.opened -= not self._closed
        self._closed = True


@pytest.mark.parametrize("kind", GOOD)
def test_gzip_of_every_kind_comes_back_from_every_base(kind):
    for base in (None, GOOD["level 6"], GOOD["empty"], GOOD[kind]):
        comes_back(GOOD[kind], base, DEFLATE)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(0, 30_000))
def test_any_pair_of_layers(seed, size):
    source = random.Random(seed)
    old, new = versions(seed, size)
    base = source.choice([None, layer(old, source), layer(old, source), layer(old * 3, source), layer(old[: size // 4], source)])
    comes_back(layer(new, source), base, DEFLATE)
    comes_back(new, source.choice([None, old, old * 2, old[: size // 3], b""]), PLAIN)


@settings(max_examples=40, deadline=None)
@given(st.lists(gzips, min_size=1, max_size=3).map(b"".join), st.none() | gzips, st.binary(max_size=30))
def test_any_small_layers(new, base, rest):
    comes_back(new + b"rest" + rest, base, DEFLATE)
    comes_back(rest, base, PLAIN)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_columns_of_a_base_too_short_for_a_prefix(size):
    """zstd takes no prefix of less than 8 bytes."""
    comes_back(b"some bytes " * 50, (b"some bytes " * 50)[:size], PLAIN)
    comes_back(deflated(b"abcdefgh" * 100), deflated(b"abcdefgh"[:size]), DEFLATE)


@pytest.mark.parametrize("kind", [PLAIN, DEFLATE])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 4 * PIECE, 4 * PIECE + 1])
def test_sizes_around_those_of_pieces_and_segments(kind, size):
    """Stored blocks, so that the token stream has a size that is known: 24 bytes for the frame of one, and the bytes."""
    text = random.Random(1).randbytes(size)
    packed = [text, text[100:]] if kind == PLAIN else [deflated(text[: max(0, size - 24)], 0), deflated(text, 0)]
    parts = segments(comes_back(packed[0], packed[1], kind), kind)
    assert len(parts) == max(-(-size // (2 * PIECE)), kind == DEFLATE)


def test_windows_move_along_with_the_segments_and_stay_within_the_base():
    old, new = versions(3, 60_000)
    parts = segments(comes_back(new, old, PLAIN), PLAIN)
    assert len(parts) > 10
    pieces = -(-len(old) // PIECE)
    places = [part.window for part in parts]
    assert places == sorted(places)
    assert len(set(places)) > 5
    assert all(first + count <= pieces and 0 < count <= SMALL.window for first, count in places)


def test_what_the_base_has_costs_next_to_nothing_where_ever_the_windows_are():
    text = random.Random(2).randbytes(100_000)
    for base, new, kind in (
        (text, text, PLAIN),
        (text, text[:50_000] + b"inserted" + text[50_000:], PLAIN),
        (deflated(text[:3000] * 30, 1), deflated(b"inserted" + text[:3000] * 30, 1), DEFLATE),
    ):
        with_base, alone = comes_back(new, base, kind), make(new, None, kind)
        assert len(with_base) < len(alone) / 4


@pytest.mark.parametrize("effort", TABLES)
@pytest.mark.parametrize("kind", [PLAIN, DEFLATE])
def test_every_effort(effort, kind):
    old, new = versions(5, 150_000)
    pair = (old, new) if kind == PLAIN else (deflated(old, 6), deflated(new, 6))
    comes_back(pair[1], pair[0], kind, TABLES[effort])


def test_pieces_of_their_true_size(monkeypatch):
    monkeypatch.setattr(codec, "PIECE", 1 << 20)
    source = random.Random(6)
    text = b"".join(source.randbytes(64) * source.randint(1, 4) for _ in range(18_000))
    new = text[:1_000_000] + b"changed" + text[1_200_000:]
    effort = Effort(1, 24, 5, 16, window=1, segment=1)
    for base, made, kind in ((text, new, PLAIN), (deflated(text, 1), deflated(new, 1), DEFLATE)):
        parts = segments(comes_back(made, base, kind, effort), kind)
        assert len(parts) > 1
        assert parts[-1].window[0] > 0


def test_memory_for_a_window_is_twice_its_size_at_most(monkeypatch):
    monkeypatch.setattr(codec, "PIECE", 1 << 16)
    base = random.Random(8).randbytes(64 << 16)
    new = base[: 60 << 16]
    patch = make(new, base, PLAIN, Effort(1, 24, 5, 16, window=64, segment=4))
    tracemalloc.start()
    try:
        reader = codec.rebuild(BytesReader(patch), lambda: BytesReader(base), PLAIN, "patch")
        buffer = memoryview(bytearray(1 << 16))
        while reader.readinto(buffer):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.4 * len(base)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_plain_python_twin_makes_the_same_patches_and_applies_them(seed):
    source = random.Random(seed)
    old, new = versions(seed, 6000)
    base, made = layer(old, source), layer(new, source)
    patch = comes_back(made, base, DEFLATE)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tokens, "HAS_EXTENSION", False)
        assert make(made, base, DEFLATE) == patch
        assert rebuild(patch, base, DEFLATE) == made


def test_sizes_of_reads_change_nothing():
    old, new = versions(8, 20_000)
    new = deflated(new)
    base = deflated(old)

    def dripping(content: bytes) -> codec.Opener:
        return lambda: Counted(content)

    patch = b"".join(codec.make(dripping(new), dripping(base), DEFLATE, SMALL))
    assert patch == b"".join(codec.make(lambda: BytesReader(new), lambda: BytesReader(base), DEFLATE, SMALL))
    reader = codec.rebuild(dripping(patch)(), dripping(base), DEFLATE, "")
    made = bytearray()
    buffer = memoryview(bytearray(333))
    while count := reader.readinto(buffer):
        made += buffer[:count]
    assert made == new
    assert reader.readinto(buffer) == 0
    reader.close()
    assert Counted.opened == 0


def test_what_tokens_cannot_say_is_named_be_it_the_new_blob_or_the_base():
    good, bad = GOOD["level 6"], gzipkinds.refused()["258 the long way"][0]
    with pytest.raises(Unrepresentable) as caught:
        make(bad, good, DEFLATE)
    assert "258" in caught.value.got
    with pytest.raises(Unrepresentable):
        make(good, bad, DEFLATE)
    with pytest.raises(Unrepresentable) as caught:
        rebuild(make(good, good, DEFLATE), bad, DEFLATE)
    assert caught.value.where == "the patch"


@pytest.mark.parametrize("rebuilding", [False, True])
def test_a_base_that_cannot_be_opened_or_read_leaves_nothing_open(rebuilding):
    class Gone(Damaged):
        pass

    def cannot_open() -> Reader:
        raise Gone("gone")

    class CannotRead(Counted):
        def readinto(self, buffer: memoryview, /) -> int:
            raise Gone("gone", got=str(len(buffer)))

    new = deflated(b"new " * 99)
    for base in (cannot_open, lambda: CannotRead(b"")):
        with pytest.raises(Gone):
            if rebuilding:
                reader = codec.rebuild(Counted(make(new, new, DEFLATE)), base, DEFLATE, "")
                try:
                    reader.readinto(memoryview(bytearray(10)))
                finally:
                    reader.close()
            else:
                list(codec.make(lambda: Counted(new), base, DEFLATE, SMALL))
        assert Counted.opened == 0


def test_a_patch_that_is_not_made_to_its_end_leaves_nothing_open():
    new = deflated(b"new " * 99)
    pieces = codec.make(lambda: Counted(new), lambda: Counted(new), DEFLATE, SMALL)
    assert next(pieces) == b"AGPATCH1"
    next(pieces)
    pieces.close()
    assert Counted.opened == 0
