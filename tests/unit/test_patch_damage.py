"""Patches that are damaged or forged: a clear error, or other bytes that the digest gives away; never anything else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import Damaged
from airgap.patch.codec import MAX_SEGMENT, MAX_WINDOW
from airgap.patch.kinds import DEFLATE, PLAIN
from airgap.patch.zstd import EFFORTS
from tests.support.gzipkinds import deflated, text
from tests.support.patchparts import (
    PIECE,
    SMALL,
    Segment,
    make,
    put_together,
    rebuild,
    segments,
    small_pieces,
    verified,
    versions,
    zstd,
)

OLD, NEW = versions(11, 24_000)
PAIRS = {PLAIN: (OLD, NEW), DEFLATE: (deflated(OLD, 4), deflated(NEW, 4))}
KINDS = pytest.mark.parametrize("kind", PAIRS)
seeds = st.integers(0, 1 << 30)

with small_pieces():
    PATCHES = {kind: make(new, base, kind) for kind, (base, new) in PAIRS.items()}
WORDS = text(1500)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with small_pieces():
        yield


def judged(patch: bytes, kind: str, base: bytes | None = None) -> bool:
    """Whether a changed patch still makes what it should; else it is ``Damaged``, and nothing but ``Damaged`` is raised."""
    old, new = PAIRS[kind]
    try:
        return verified(patch, old if base is None else base, kind, new) == new
    except Damaged:
        return False


def refused(patch: bytes, base: bytes | None, kind: str, reason: str) -> None:
    """Rebuilding fails by itself, before any digest is asked."""
    with pytest.raises(Damaged) as caught:
        rebuild(patch, base, kind)
    assert reason in caught.value.what
    assert caught.value.where == "the patch"


def changed(kind: str, number: int, **changes: Any) -> bytes:
    """The patch with one segment changed."""
    parts = segments(PATCHES[kind], kind)
    parts[number] = replace(parts[number], **changes)
    return put_together(parts, kind)


def alone(size: int, frame: bytes) -> bytes:
    """A patch for no base, of one column."""
    return put_together([Segment((0, 0), [(size, frame)])], PLAIN)


@KINDS
def test_there_are_several_segments_to_damage_and_they_are_read_and_put_together_right(kind):
    parts = segments(PATCHES[kind], kind)
    assert len(parts) > 2
    assert put_together(parts, kind) == PATCHES[kind]
    assert judged(PATCHES[kind], kind)


@KINDS
def test_every_byte_of_every_header(kind):
    patch = PATCHES[kind]
    places, at = list(range(8)), 8
    for segment in segments(patch, kind):
        head = len(bytes(segment)) - sum(len(frame) for _, frame in segment.columns)
        places += range(at, at + head)
        at += len(bytes(segment))
    for place in [*places, *range(at, len(patch))]:
        for flip in (1, 2, 0x80, 0xFF):
            damaged = bytearray(patch)
            damaged[place] ^= flip
            right = judged(bytes(damaged), kind)
            assert not right or at > place >= 8, "some other windows will do"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PLAIN, DEFLATE]), seeds)
def test_random_damage_anywhere(kind, seed):
    source = random.Random(seed)
    damaged = bytearray(PATCHES[kind])
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(damaged))
        damaged[at : at + source.randint(0, 4)] = source.randbytes(source.randint(0, 4))
    judged(bytes(damaged), kind)


@KINDS
def test_every_truncation_and_every_extension(kind):
    patch = PATCHES[kind]
    cuts = [*range(300), *range(300, len(patch), 17), *range(len(patch) - 100, len(patch))]
    for cut in cuts:
        refused(patch[:cut], PAIRS[kind][0], kind, "ends too early" if cut >= 8 else "a patch")
    for extra in (b"\0", patch, bytes(8 + 8 * 5)):
        refused(patch + extra, PAIRS[kind][0], kind, "has data after its end")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.sampled_from([PLAIN, DEFLATE]))
def test_anything_is_no_patch(data, begun, kind):
    patch = b"AGPATCH1" * begun + data
    assert not judged(patch, kind)


@KINDS
def test_segments_in_another_order_or_missing_or_twice(kind):
    parts = segments(PATCHES[kind], kind)
    for number in range(len(parts) - 1):
        swapped = [*parts[:number], parts[number + 1], parts[number], *parts[number + 2 :]]
        assert not judged(put_together(swapped, kind), kind)
        assert not judged(put_together(parts[:number] + parts[number + 1 :], kind), kind)
        assert not judged(put_together([*parts[: number + 1], *parts[number:]], kind), kind)


@KINDS
def test_another_base(kind):
    base, new = PAIRS[kind]
    patch = PATCHES[kind]
    others = [new, b"", b"not gzip", base[:500], base[: len(base) // 2], base[:-1], base[::-1]]
    others += [deflated(b""), deflated(OLD, 9), deflated(bytes(20_000)), deflated(OLD[1:], 4)]
    for other in others:
        judged(patch, kind, other)
    refused(patch, None, kind, "refers to data that its base does not have")
    assert not judged(patch, kind, b"")


@KINDS
def test_a_base_with_one_changed_byte(kind):
    base = PAIRS[kind][0]
    for at in range(0, len(base), 37):
        judged(PATCHES[kind], kind, base[:at] + bytes([base[at] ^ 1]) + base[at + 1 :])


def test_plain_bytes_after_a_changed_place_in_the_base_are_never_passed_off_as_right():
    base, new = OLD * 2, OLD * 2 + b"new"
    patch = make(new, base, PLAIN)
    for at in (0, 5000, len(OLD) + 5000):
        with pytest.raises(Damaged):
            verified(patch, base[:at] + bytes([base[at] ^ 1]) + base[at + 1 :], PLAIN, new)


@KINDS
@pytest.mark.parametrize("size", [(64 << 20) + 1, 1 << 31, (1 << 32) - 1])
def test_sizes_that_lie(kind, size):
    """Said before a byte of it is read or room for it is made."""
    parts = segments(PATCHES[kind], kind)
    columns = parts[0].columns
    number = max(range(len(columns)), key=lambda number: columns[number][0])
    for lying in ([*columns[:number], (size, columns[number][1]), *columns[number + 1 :]], [(size, frame) for _, frame in columns]):
        refused(changed(kind, 0, columns=lying), PAIRS[kind][0], kind, "beyond the limits")
    refused(changed(kind, 0, lie={number: size}), PAIRS[kind][0], kind, "beyond the limits")
    refused(changed(kind, 0, lie={number: columns[number][0] + (1 << 20) + 1}), PAIRS[kind][0], kind, "beyond the limits")


@KINDS
def test_sizes_within_the_limits_that_are_wrong(kind):
    columns = segments(PATCHES[kind], kind)[0].columns
    size, frame = columns[0]
    for wrong in (size - 1, size + 1, size + PIECE, 60 << 20, 1):
        assert not judged(changed(kind, 0, columns=[(wrong, frame), *columns[1:]]), kind)
    for wrong in (len(frame) - 1, len(frame) + 1, 0, size + (1 << 20)):
        assert not judged(changed(kind, 0, lie={0: wrong}), kind)


@KINDS
@pytest.mark.parametrize(
    "window", [(0, 129), (0, 1 << 31), (0, (1 << 32) - 1), ((1 << 32) - 1, 1), (1 << 20, 3), (1000, 128), (5, 100)]
)
def test_windows_that_the_base_does_not_have(kind, window):
    refused(changed(kind, 0, window=window), PAIRS[kind][0], kind, "base" if window[1] <= 128 else "limits")


@KINDS
def test_windows_that_go_back_or_shrink(kind):
    parts = segments(PATCHES[kind], kind)
    number = max(number for number, part in enumerate(parts[:-1]) if part.window[0] > 0) + 1
    first, count = parts[number - 1].window
    for back in ((0, count), (first - 1, count), (first, count - 1)):
        refused(changed(kind, number, window=back), PAIRS[kind][0], kind, "refers to data")


@KINDS
def test_segments_without_bytes_and_columns_without_bytes_that_have_frames(kind):
    width = len(segments(PATCHES[kind], kind)[0].columns)
    nothing = [(0, b"")] * width
    frame = zstd.compress(b"")
    for columns, window, reason in (
        (nothing, (0, 1), "limits"),
        (nothing, (1, 0), "limits"),
        ([(0, frame)] * width, (0, 1), "limits"),
        ([(0, frame)] * width, (0, 0), "limits"),
    ):
        refused(changed(kind, 0, columns=columns, window=window), PAIRS[kind][0], kind, reason)
    for extra in (frame, b"x"):
        parts = Segment((0, 0), [(5, zstd.compress(b"words")), *[(0, extra)] * 4])
        refused(put_together([parts], DEFLATE), None, DEFLATE, "does not apply")


def test_only_the_last_segment_may_be_less_than_whole_pieces():
    frame = zstd.compress(bytes(PIECE))
    whole, less, more = (Segment((0, 0), [(size, zstd.compress(bytes(size)))]) for size in (PIECE, PIECE - 1, 1))
    assert rebuild(put_together([whole, whole, more], PLAIN), None, PLAIN) == bytes(2 * PIECE + 1)
    assert rebuild(alone(PIECE, frame), None, PLAIN) == bytes(PIECE)
    refused(put_together([less, more], PLAIN), None, PLAIN, "has another segment after its last one")


def test_columns_that_do_not_fit_together():
    columns = [(len(part), zstd.compress(part)) for part in (b"literals", b"\x02", b"\x01\x00", b"\x05", b"\x01\x00\x03")]
    refused(put_together([Segment((0, 0), columns)], DEFLATE), None, DEFLATE, "is malformed")


def test_columns_of_something_that_is_no_token_stream():
    columns = [(len(part), zstd.compress(part)) for part in (b"literals", b"", b"", b"", b"\x09")]
    columns = [(size, frame if size else b"") for size, frame in columns]
    with pytest.raises(Damaged) as caught:
        rebuild(put_together([Segment((0, 0), columns)], DEFLATE), None, DEFLATE)
    assert "tokens of a gzip blob" in caught.value.what


def _with_window(log: int) -> bytes:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    packed: bytes = packer.compress(WORDS) + packer.flush()
    return packed


SKIPPABLE = bytes.fromhex("502a4d18 04000000") + b"skip"
TRAINED = zstd.train_dict([text(400, seed) for seed in range(200)], 2000)
FRAMES = {
    "nothing": b"",
    "no frame": b"no frame at all",
    "another prefix": zstd.compress(WORDS, zstd_dict=zstd.ZstdDict(WORDS, is_raw=True).as_prefix),
    "a dictionary": zstd.compress(WORDS, zstd_dict=TRAINED.as_digested_dict),
    "a skippable frame alone": SKIPPABLE,
    "a skippable frame before": SKIPPABLE + zstd.compress(WORDS),
    "a skippable frame behind": zstd.compress(WORDS) + SKIPPABLE,
    "two frames": zstd.compress(WORDS) + zstd.compress(b""),
    "two frames that make it": zstd.compress(WORDS[:99]) + zstd.compress(WORDS[99:]),
    "an empty frame before": zstd.compress(b"") + zstd.compress(WORDS),
    "a frame cut short": zstd.compress(WORDS)[:-1],
    "more than it should be": zstd.compress(WORDS + b"more"),
    "very much more than it should be": zstd.compress(bytes(1 << 24)),
    "less than it should be": zstd.compress(WORDS[1:]),
    "a window of 256 MiB": _with_window(28),
    "a window of 2 GiB": _with_window(31),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_frames_that_are_not_one_frame_of_exactly_that_column(frame):
    refused(alone(len(WORDS), FRAMES[frame]), None, PLAIN, "does not apply")


@pytest.mark.parametrize("log", [10, 27])
def test_frames_of_other_makers_will_do(log):
    checksummed = zstd.compress(WORDS, options={zstd.CompressionParameter.checksum_flag: 1})
    for frame in (_with_window(log), checksummed):
        assert rebuild(alone(len(WORDS), frame), None, PLAIN) == WORDS


def test_a_patch_by_one_codec_read_as_the_other():
    for kind, other in ((PLAIN, DEFLATE), (DEFLATE, PLAIN)):
        assert not judged(PATCHES[kind], other)
        with pytest.raises(Damaged):
            verified(make(b"", b"", kind) if kind == PLAIN else PATCHES[kind], None, other, b"something")


def test_efforts_stay_within_the_limits_of_the_format():
    for effort in (*EFFORTS.values(), SMALL):
        assert effort.window <= MAX_WINDOW
        assert effort.segment << 20 <= MAX_SEGMENT
