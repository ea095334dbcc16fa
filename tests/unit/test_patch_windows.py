"""Windows by content: what the base has is found wherever it lies, as far as windows that only move forward can reach it."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.oci.stores import Reader
from airgap.oci.verify import BytesReader
from airgap.patch import codec, windows
from airgap.patch.kinds import DEFLATE, PLAIN
from airgap.patch.zstd import Effort
from tests.support.gzipkinds import deflated
from tests.support.patchparts import make, rebuild, segments

PIECE = 16 * 1024
EFFORT = Effort(level=3, match=16, rate=4, table=14, window=6, segment=3)
SOURCE = random.Random(37)
A, B, C = (SOURCE.randbytes(20 * PIECE) for _ in range(3))
NEW = SOURCE.randbytes(20 * PIECE)

#: Name: base, new, and how much of the new one must be carried, in its own sizes.
CASES = {
    "unchanged": (A + B, A + B, 0.01),
    "insertion at the front": (A + B, NEW + A + B, 0.36),
    "insertion in the middle": (A + B, A + NEW + B, 0.36),
    "removal at the front": (C + A + B, A + B, 0.03),
    "removal in the middle": (A + C + B, A + B, 0.08),
    "removal at the end": (A + B + C, A + B, 0.03),
    "the last third moved to the front": (A + B + C, C + A + B, 0.40),
    "the first third moved to the end": (A + B + C, B + C + A, 0.40),
    "two thirds new": (A + B + C, NEW + B + NEW[::-1], 0.71),
}


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "PIECE", PIECE)


@pytest.mark.parametrize("kind", [PLAIN, DEFLATE])
@pytest.mark.parametrize("case", CASES)
def test_what_the_base_has_is_not_carried_again(case, kind):
    base, new, most = CASES[case]
    pair = (base, new) if kind == PLAIN else (deflated(base, 1), deflated(new, 1))
    patch = make(pair[1], pair[0], kind, EFFORT)
    assert rebuild(patch, pair[0], kind) == pair[1]
    assert len(patch) / len(pair[1]) < most
    assert patch == make(pair[1], pair[0], kind, EFFORT)
    places = [part.window for part in segments(patch, kind)]
    assert places == sorted(places)


@pytest.mark.parametrize("size", [0, 1, PIECE, 6 * PIECE - 1, 6 * PIECE, 6 * PIECE + 1, 7 * PIECE])
def test_a_base_that_fits_a_window_is_the_window_and_each_blob_is_opened_once(size):
    opened: Counter[str] = Counter()

    def counted(name: str, content: bytes) -> codec.Opener:
        def opens() -> Reader:
            opened[name] += 1
            return BytesReader(content)

        return opens

    base, new = A[:size], A + NEW
    patch = b"".join(codec.make(counted("new", new), counted("base", base), PLAIN, EFFORT))
    assert rebuild(patch, base, PLAIN) == new
    if size <= 6 * PIECE:
        assert {part.window for part in segments(patch, PLAIN)} == {(0, -(-size // PIECE))}
        assert opened == {"new": 1, "base": 1}
    else:
        assert opened == {"new": 2, "base": 3}


@given(st.lists(st.dictionaries(st.integers(0, 39), st.integers(1, 500)), max_size=30), st.integers(1, 40), st.integers(1, 10))
def test_windows_exist_and_only_move_forward_whatever_the_votes(votes, pieces, count):
    places = windows.chosen([Counter({at: n for at, n in one.items() if at < pieces}) for one in votes], pieces, count)
    assert len(places) == len(votes)
    assert all(first >= 0 and first + size <= pieces and size == min(count, pieces) for first, size in places)
    assert places == sorted(places)


def test_the_row_of_windows_with_the_most_votes_wins_over_the_best_first_step():
    tempted = [Counter({19: 50}), *(Counter({at: 40}) for at in range(10))]
    assert windows.chosen(tempted, 20, 2)[-1][0] < 12
    assert windows.chosen([Counter({19: 50}), Counter({19: 50, 0: 60})], 20, 2) == [(18, 2), (18, 2)]


def test_without_votes_windows_follow_the_straight_line():
    places = windows.chosen([Counter()] * 5, 14, 6)
    assert [first for first, _ in places] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("content", [b"\x05\x04\x01" * 400_000, bytes(1 << 20), b"\x01" * (1 << 20)])
def test_samples_of_content_made_to_cost_much_are_few(content):
    samples = windows.Samples()
    for _ in range(3):
        samples.add(content)
    assert sum(samples.votes(content).values()) == 0
    assert len(samples._piece_of) < 100


def test_memory_of_samples_is_bounded_and_what_is_left_still_votes(monkeypatch):
    monkeypatch.setattr(windows, "_MOST", 200)
    samples = windows.Samples()
    pieces = [SOURCE.randbytes(1 << 19) for _ in range(12)]
    for piece in pieces:
        samples.add(piece)
    assert len(samples._piece_of) <= 200
    assert all(samples.votes(piece).most_common(1)[0][0] == at for at, piece in enumerate(pieces))
