"""A blob read again comes from its copy, checked; where there is no copy, from its source."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from airgap.delta.again import Again
from airgap.errors import AirgapError, Damaged
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader
from airgap.oci.verify import BytesReader, read_all

LARGE = random.Random(1).randbytes(5 << 20)


class Blob:
    """A blob whose source counts how often it is read."""

    def __init__(self, content: bytes, directory: Path) -> None:
        self.opened = 0
        self.content = content
        digest = Digest("sha256:" + hashlib.sha256(content).hexdigest())
        self.again = Again(self._open, Descriptor("", digest, len(content)), directory, "the blob")

    def _open(self) -> Reader:
        self.opened += 1
        return BytesReader(self.content)

    def read(self) -> bytes:
        return read_all(self.again.open(), 1 << 24, "the blob")


def test_a_large_blob_is_read_from_its_source_once_and_leaves_nothing(tmp_path):
    blob = Blob(LARGE, tmp_path)
    assert [blob.read() == LARGE for _ in range(3)] == [True] * 3
    assert blob.opened == 1
    blob.again.close()
    assert not list(tmp_path.iterdir())


def test_a_small_blob_is_not_copied(tmp_path):
    blob = Blob(b"small", tmp_path)
    assert [blob.read(), blob.read()] == [b"small"] * 2
    assert blob.opened == 2


def test_a_reading_that_was_given_up_is_no_copy(tmp_path):
    blob = Blob(LARGE, tmp_path)
    reader = blob.again.open()
    reader.readinto(memoryview(bytearray(1000)))
    reader.close()
    assert blob.read() == LARGE
    assert blob.opened == 2
    blob.again.close()


def test_without_room_for_a_copy_the_source_is_read_again(tmp_path):
    blob = Blob(LARGE, tmp_path / "missing")
    assert [blob.read() == LARGE for _ in range(2)] == [True] * 2
    assert blob.opened == 2


def test_a_disk_that_fails_in_the_middle_costs_the_copy_only(tmp_path):
    blob = Blob(LARGE, tmp_path)
    reader = blob.again.open()
    assert blob.again._copy
    os.dup2(os.open("/dev/full", os.O_RDWR), blob.again._copy.fd)
    assert read_all(reader, 1 << 24, "the blob") == LARGE
    assert blob.read() == LARGE
    assert blob.opened == 2
    blob.again.close()


def test_a_copy_that_changed_is_refused(tmp_path):
    blob = Blob(LARGE, tmp_path)
    blob.read()
    assert blob.again._copy
    os.pwrite(blob.again._copy.fd, b"changed", 1 << 20)
    with pytest.raises(Damaged):
        blob.read()
    blob.again.close()


def test_a_wrong_source_is_no_copy(tmp_path):
    blob = Blob(LARGE, tmp_path)
    blob.content = LARGE[:-1] + b"x"
    for _ in range(2):
        with pytest.raises(AirgapError):
            blob.read()
    assert blob.opened == 2
    blob.again.close()
