"""The compiled codec and the plain Python one do the same, step by step, whatever the input."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.patch import pydecode, pyencode
from tests.support import gzipkinds
from tests.support.gzipkinds import deflated
from tests.support.tools import require
from tests.support.twins import course, differences, output, random_cuts

GOOD = gzipkinds.representable()
SMALL = {
    "fixed": deflated(b"small small", 9, 4),
    "dynamic": gzipkinds.representable()["long codes"],
    "stored": deflated(b"small", 0) + deflated(b""),
    "flushed": deflated(b"aaaaabbbbbbb", flushes=(zlib.Z_SYNC_FLUSH,)) + b"rest",
    "fields": GOOD["all fields"],
}

try:
    from airgap.native import _deflate
except ImportError:
    _deflate = None  # type: ignore[assignment] # the C extension was not built


@pytest.fixture(autouse=True)
def _compiled() -> None:
    if _deflate is None:
        require("cc")
        pytest.fail("there is a compiler, but the extension was not built: scripts/test builds it")


texts = st.builds(
    lambda parts: b"".join(part * times for part, times in parts),
    st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 90)), max_size=12),
)
gzips = st.builds(
    deflated,
    texts,
    st.integers(0, 9),
    st.integers(0, 4),
    st.integers(9, 15),
    st.lists(st.sampled_from([1, 2, 3, 5]), max_size=4).map(tuple),
)
seeds = st.integers(0, 1 << 30)


def same(data: bytes, cuts: list[int]) -> None:
    assert differences(data, cuts) == []


def back_or_refused(data: bytes) -> None:
    """What the decoder takes, the encoder gives back."""
    run = course(_deflate.TokenDecoder(), data)
    if not run[1]:
        assert course(_deflate.TokenEncoder(), output(run)) == ([(len(output(run)), data)], "")


def token_string_back_or_refused(made: bytes) -> None:
    """What the encoder takes, the decoder gives back."""
    run = course(_deflate.TokenEncoder(), made)
    if not run[1]:
        assert output(course(_deflate.TokenDecoder(), output(run))) == made


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_of_gzip_in_pieces(kind):
    data = GOOD[kind]
    made = gzipkinds.tokens(data)
    for seed in range(3):
        source = random.Random(seed)
        same(data, random_cuts(data, 5, source))
        same(made, random_cuts(made, 5, source))


@pytest.mark.parametrize("kind", gzipkinds.refused())
def test_refusals_in_pieces(kind):
    data, _ = gzipkinds.refused()[kind]
    for seed in range(3):
        same(data, random_cuts(data, 3, random.Random(seed)))


@settings(max_examples=60, deadline=None)
@given(st.lists(gzips, min_size=1, max_size=3).map(b"".join), st.binary(max_size=20), seeds)
def test_any_gzip_comes_back_and_in_pieces_like_whole(data, rest, seed):
    data += rest
    source = random.Random(seed)
    cuts = random_cuts(data, 4, source)
    same(data, cuts)
    pieces = course(_deflate.TokenDecoder(), data, cuts)
    whole = course(_deflate.TokenDecoder(), data)
    assert (output(pieces), pieces[1]) == (output(whole), whole[1]) or whole[1]
    made = output(whole)
    if not whole[1]:
        same(made, random_cuts(made, 4, source))
        assert output(course(_deflate.TokenEncoder(), made, random_cuts(made, 4, source))) == data


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x1f\x8b\x08", GOOD["one byte"][:10], gzipkinds.tokens(GOOD["one byte"])[:12]]),
    seeds,
)
def test_any_bytes(data, front, seed):
    data = front + data
    same(data, random_cuts(data, 2, random.Random(seed)))
    back_or_refused(data)
    token_string_back_or_refused(data)


@settings(max_examples=60, deadline=None)
@given(gzips, seeds, st.integers(1, 4))
def test_damaged_gzip_and_damaged_tokens(data, seed, count):
    source = random.Random(seed)
    for damaged in (bytearray(data), bytearray(gzipkinds.tokens(data))):
        for _ in range(count):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        same(bytes(damaged), random_cuts(bytes(damaged), 2, source))
        back_or_refused(bytes(damaged))
        token_string_back_or_refused(bytes(damaged))


@pytest.mark.parametrize("kind", SMALL)
def test_every_truncation_and_every_flipped_bit_of_small_gzip(kind):
    data = SMALL[kind]
    cases = [data[:length] for length in range(len(data))]
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        cases.append(bytes(changed))
    for case in cases:
        same(case, [])
        back_or_refused(case)


@pytest.mark.parametrize("kind", SMALL)
def test_every_truncation_and_every_flipped_bit_of_small_token_strings(kind):
    made = gzipkinds.tokens(SMALL[kind])
    for length in range(len(made)):
        same(made[:length], [])
        token_string_back_or_refused(made[:length])
    for bit in range(8 * len(made)):
        changed = bytearray(made)
        changed[bit // 8] ^= 1 << bit % 8
        same(bytes(changed), [])
        token_string_back_or_refused(bytes(changed))


@pytest.mark.parametrize("codec", [pydecode.TokenDecoder, pyencode.TokenEncoder, _deflate and _deflate.TokenDecoder])
def test_anything_with_a_buffer_is_taken(codec):
    for kind in (bytes, bytearray, memoryview):
        assert codec().step(kind(b"\x01" if codec is pyencode.TokenEncoder else b"\x1f"), False) == (0, b"")
    with pytest.raises(TypeError):
        codec().step("text", False)
