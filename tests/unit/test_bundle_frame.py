"""The tar frame: every byte of every volume has one place, and stock tar puts the members together again."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.format import frame
from airgap.format.frame import RECORD, Extent, Member
from airgap.format.names import MIN_VOLUME, blob_path
from airgap.oci.digest import Digest
from tests.support.images import seeded
from tests.support.tools import require

#: A number field of a tar header, as the standard library reads it.
nti: Callable[[bytes], int] = tarfile.nti  # type: ignore[attr-defined] # it is not documented


def blob_member(number: int, size: int) -> Member:
    return Member(blob_path(Digest.of(f"{number} {size}".encode(), "sha512" if number % 5 == 4 else "sha256")), size)


def content(member: Member) -> bytes:
    return member.content if member.content is not None else seeded(member.name, member.size)


def render(members: list[Member], volume_size: int | None) -> list[bytes]:
    """The volumes, with blobs filled in as the exporter does it."""
    volumes: dict[int, bytearray] = {}
    done: dict[str, int] = {}
    for step in frame.walk(members, volume_size):
        volume = volumes.setdefault(step.extent.volume, bytearray())
        assert len(volume) == step.extent.offset, "no gap, no overlap"
        data = step.content
        if data is None:
            at = done.get(step.member.name, 0)
            data = content(step.member)[at : at + step.extent.length]
            done[step.member.name] = at + step.extent.length
        assert len(data) == step.extent.length
        volume += data
    return [bytes(volumes[number]) for number in sorted(volumes)]


sizes = st.sampled_from([0, 1, 511, 512, 513, 5000, MIN_VOLUME - 512, MIN_VOLUME, 3 * MIN_VOLUME + 7]) | st.integers(0, 40_000)
layouts = st.lists(sizes, max_size=6).map(
    lambda found: [
        Member("oci-layout", 30, bytes(30)),
        Member("index.json", 700, b"x" * 700),
        *(blob_member(i, size) for i, size in enumerate(found)),
    ]
)
limits = st.none() | st.integers(MIN_VOLUME, 4 * MIN_VOLUME)


@settings(max_examples=60, deadline=None)
@given(layouts, limits)
def test_extents_cover_every_volume_once_and_blobs_rejoin(members: list[Member], limit: int | None) -> None:
    volumes = render(members, limit)
    measured = frame.measure(members, limit)
    assert measured.sizes == tuple(map(len, volumes))
    assert limit is not None or len(volumes) == 1
    assert all(len(volume) <= (limit or 2**62) and len(volume) % RECORD == 0 for volume in volumes)
    blobs = [member for member in members if member.content is None]
    assert set(measured.extents) == {member.name for member in blobs}
    for member in blobs:
        parts = measured.extents[member.name]
        assert list(parts) == sorted(parts)
        assert b"".join(volumes[e.volume - 1][e.offset : e.offset + e.length] for e in parts) == content(member)
    assert sorted(blobs, key=lambda member: measured.extents[member.name][0]) == blobs, (
        "the order can be found again from the extents"
    )


@settings(max_examples=12, deadline=None)
@given(layouts, limits)
def test_stock_tar_restores_every_member(
    tmp_path_factory: pytest.TempPathFactory, members: list[Member], limit: int | None
) -> None:
    require("tar")
    work = tmp_path_factory.mktemp("tar")
    paths = []
    for number, volume in enumerate(render(members, limit), 1):
        paths.append(work / f"volume-{number:04d}.tar")
        paths[-1].write_bytes(volume)
    (work / "out").mkdir()
    command = ["tar", "-x", *(["-M"] if len(paths) > 1 else []), *(f"--file={path}" for path in paths), "-C", str(work / "out")]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    for member in members:
        assert (work / "out" / member.name).read_bytes() == content(member)


@pytest.mark.parametrize("number", [0, 4], ids=["sha256", "sha512, a long name"])
@pytest.mark.parametrize("before", [0, MIN_VOLUME - 8 * RECORD, MIN_VOLUME - 9 * RECORD])
def test_stock_tar_joins_a_member_over_many_volumes(tmp_path: Path, number: int, before: int) -> None:
    require("tar")
    members = [Member("index.json", before, bytes(before)), blob_member(number, 7 * MIN_VOLUME + 13), blob_member(1, 5)]
    for i, volume in enumerate(render(members, MIN_VOLUME)):
        (tmp_path / f"{i}.tar").write_bytes(volume)
    files = [f"--file={tmp_path}/{i}.tar" for i in range(len(list(tmp_path.glob("*.tar"))))]
    done = subprocess.run(["tar", "-xM", *files, "-C", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / member.name).read_bytes() == content(member) for member in members)


def test_one_volume_is_an_ordinary_tar_with_fixed_metadata() -> None:
    members = [Member("oci-layout", 3, b"abc"), blob_member(0, 5), blob_member(4, 0)]
    (raw,) = render(members, None)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = tar.getmembers()
    assert [(m.name, m.size) for m in found] == [(m.name, m.size) for m in members]
    assert {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname, m.type) for m in found} == {(0o644, 0, 0, 0, "", "", b"0")}
    assert raw.endswith(bytes(2 * RECORD))


def test_an_empty_blob_has_a_place() -> None:
    first, empty, last = blob_member(0, 10), blob_member(1, 0), blob_member(2, 10)
    extents = frame.measure([first, empty, last], None).extents
    assert extents[empty.name] == (Extent(1, 2 * RECORD + RECORD, 0),)


def test_a_continuation_header_states_offset_and_whole_size_even_beyond_eight_gigabytes() -> None:
    huge = Member("blobs/sha256/" + "0" * 64, 20 * 10**9)
    steps = [step for step in frame.walk([huge], 9 * 10**9) if step.content is not None and step.extent.offset == 0]
    done = sum(step.extent.length for step in frame.walk([huge], 9 * 10**9) if step.content is None and step.extent.volume == 1)
    header = steps[1].content
    assert header is not None
    assert header[156:157] == b"M"
    assert nti(header[369:381]) == done
    assert nti(header[483:495]) == huge.size
    assert nti(header[124:136]) == huge.size - done
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").chksum  # the checksum is right, else this raises


def test_the_frame_is_lazy_enough_for_a_terabyte() -> None:
    measured = frame.measure([Member("blobs/sha256/" + "1" * 64, 10**12)], 25 * 10**9)
    assert sum(extent.length for extent in measured.extents["blobs/sha256/" + "1" * 64]) == 10**12
    assert len(measured.sizes) == 41


def test_rendering_is_a_pure_function(tmp_path: Path) -> None:
    members = [blob_member(i, 9000) for i in range(4)]
    assert render(members, MIN_VOLUME) == render(members, MIN_VOLUME)
