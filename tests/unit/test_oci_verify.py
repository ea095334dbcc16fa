"""The reader through which every blob passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import AirgapError, Damaged, Lacking, NotFound, RegistryError, exit_code
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.verify import VerifiedReader, read_all
from tests.support.images import BytesReader

RAW = bytes(range(256)) * 4


class Dribble:
    """A reader that gives a few bytes at a time."""

    def __init__(self, raw: bytes, step: int, failure: type[AirgapError] = Damaged) -> None:
        self._inner, self._step, self.closed, self.failure = BytesReader(raw), step, 0, failure

    def readinto(self, buffer: memoryview, /) -> int:
        return self._inner.readinto(buffer[: self._step])

    def close(self) -> None:
        self.closed += 1


def wrapped(
    delivered: bytes, stated: bytes = RAW, step: int = 100, failure: type[AirgapError] = Damaged, **options: Any
) -> VerifiedReader:
    descriptor = Descriptor("x", Digest.of(stated), len(stated))
    return VerifiedReader(Dribble(delivered, step, failure), descriptor, "here", **options)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 400), st.integers(1, 400))
def test_what_is_right_comes_through(raw: bytes, step: int, buffer: int) -> None:
    reader, got = wrapped(raw, raw, step), bytearray()
    view = memoryview(bytearray(buffer))
    while count := reader.readinto(view):
        got += view[:count]
    assert got == raw


@pytest.mark.parametrize(
    ("delivered", "says"),
    [
        (RAW[:-1], "too early"),
        (b"", "too early"),
        (RAW + b"x", "longer"),
        (RAW[:-1] + b"x", "wrong digest"),
        (b"x" + RAW[1:], "wrong digest"),
        (RAW[::-1], "wrong digest"),
    ],
)
def test_what_is_wrong_never_ends_well(delivered: bytes, says: str) -> None:
    for failure in (Damaged, RegistryError):
        with pytest.raises(failure) as caught:
            read_all(wrapped(delivered, failure=failure), 10_000, "here")
        error = caught.value
        assert isinstance(error, AirgapError)
        assert says in error.what
        assert Digest.of(RAW) in error.what
        assert (error.where, bool(error.expected), bool(error.got), bool(error.hint)) == ("here", True, True, True)


def test_no_byte_beyond_the_size_is_delivered() -> None:
    reader, got = wrapped(RAW + b"surplus", step=1000), bytearray()
    view = memoryview(bytearray(4000))
    with pytest.raises(Damaged):
        while count := reader.readinto(view):
            got += view[:count]
    assert len(got) <= len(RAW)


def test_an_empty_blob_is_checked_too() -> None:
    assert read_all(wrapped(b"", b""), 10, "here") == b""
    with pytest.raises(Damaged):
        read_all(wrapped(b"x", b""), 10, "here")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, len(RAW)))
def test_a_resumed_reader_goes_on_with_the_hash(offset: int) -> None:
    hasher = Digest.of(RAW).hasher()
    hasher.update(RAW[:offset])
    assert read_all(wrapped(RAW[offset:], hasher=hasher, offset=offset), 10_000, "here") == RAW[offset:]


def test_read_all_is_capped_and_closes() -> None:
    reader = Dribble(RAW, 50)
    with pytest.raises(Damaged):
        read_all(reader, len(RAW) - 1, "here")
    assert reader.closed
    assert read_all(Dribble(RAW, 50), len(RAW), "here") == RAW


def test_who_reads_decides_what_wrong_bytes_are_through_any_number_of_readers() -> None:
    descriptor = Descriptor("x", Digest.of(RAW), len(RAW))
    twice = VerifiedReader(wrapped(RAW[:-1] + b"x", failure=RegistryError), descriptor, "here")
    with pytest.raises(RegistryError):
        read_all(twice, 10_000, "here")
    with pytest.raises(RegistryError, match="too large"):
        read_all(wrapped(RAW, failure=RegistryError), 10, "here")
    with pytest.raises(Damaged):
        read_all(VerifiedReader(BytesReader(b"y"), descriptor, "here"), 10_000, "here")


def test_what_a_store_on_this_machine_lacks_is_damage_that_is_also_a_clear_no() -> None:
    error = Lacking("no such manifest")
    assert isinstance(error, NotFound)
    assert exit_code(error) == 4
