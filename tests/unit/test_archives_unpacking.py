"""Compressed archives: told by their bytes, read through a stream, bounded, and every damage a clear error."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.archives.unpacking import compression, unpack
from airgap.errors import Damaged, MediaError
from airgap.patch import zstd
from tests.support.images import seeded
from tests.support.tools import require

DATA = seeded("archive", 300_000) + bytes(3_000_000) + b"end"
BOUND = 10_000_000
EFFORT = zstd.EFFORTS["default"]
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, None, EFFORT),
}


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "whatever.tar"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told_by_its_bytes_and_uncompressed(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, KINDS[kind](DATA))
    assert compression(path) == kind
    assert unpack(path, kind, tmp_path / "copy", BOUND) == len(DATA)
    assert (tmp_path / "copy").read_bytes() == DATA
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_programs_files_are_read(tmp_path: Path, kind: str) -> None:
    if kind == "zstd" and shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    path = written(tmp_path, DATA)
    subprocess.run([require(kind), "-9", path], check=True)
    (packed,) = (one for one in tmp_path.iterdir() if one != path or (kind == "zstd" and one.suffix == ".zst"))
    unpack(packed, compression(packed), tmp_path / "copy", BOUND)
    assert (tmp_path / "copy").read_bytes() == DATA


@pytest.mark.parametrize("kind", KINDS)
def test_streams_one_behind_the_other_are_one_archive_and_zeros_behind_them_nothing(tmp_path: Path, kind: str) -> None:
    pack = KINDS[kind]
    path = written(tmp_path, pack(DATA) + pack(b"") + pack(b"more") + bytes(2048))
    unpack(path, kind, tmp_path / "copy", BOUND)
    assert (tmp_path / "copy").read_bytes() == DATA + b"more"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("harm", ["cut", "flip", "behind"])
def test_damage_is_a_clear_error(tmp_path: Path, kind: str, harm: str) -> None:
    raw = bytearray(KINDS[kind](DATA))
    if harm == "cut":
        del raw[-20:]
    elif harm == "flip" and kind == "zstd":  # this one has no checksum of its content: the digests of what is in it tell
        raw[5] ^= 0xFF
    elif harm == "flip":
        raw[len(raw) // 3] ^= 0xFF
    else:
        raw += b"no archive"
    with pytest.raises(Damaged, match="the compressed archive is") as caught:
        unpack(written(tmp_path, bytes(raw)), kind, tmp_path / "copy", BOUND)
    assert caught.value.where == str(tmp_path / "whatever.tar")
    assert "again from the original" in caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_ends_at_the_bound(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, KINDS[kind](bytes(20_000_000)))
    with pytest.raises(MediaError, match="does not fit"):
        unpack(path, kind, tmp_path / "copy", BOUND)
    assert (tmp_path / "copy").stat().st_size <= BOUND


def test_xz_that_wants_all_of_the_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    path = written(tmp_path, lzma.compress(b"small", filters=filters))
    with pytest.raises(Damaged, match="damaged"):
        unpack(path, "xz", tmp_path / "copy", BOUND)


def test_what_is_no_file_or_not_there_is_not_compressed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("pipe", "circle", "missing", "."):
        assert compression(tmp_path / name) == ""
