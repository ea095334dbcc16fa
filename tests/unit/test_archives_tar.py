"""Tars are read in place as tar reads them, and hostile ones are refused before anything of them is believed."""

from __future__ import annotations

import contextlib
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.archives import TarTree, tarindex
from airgap.errors import AirgapError, Damaged, UsageError
from airgap.oci.verify import read_all
from tests.support.archives import member, tar

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
LONG = "d/" * 60 + "name"


def refused(path: Path, kind: type[AirgapError] = Damaged) -> str:
    with pytest.raises(kind) as caught:
        TarTree(path).close()
    assert path.name in caught.value.where
    return caught.value.what


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", ["a", "./b/c", LONG, pytest.param("ü" * 40, id="umlauts")])
def test_every_format_and_length_of_name_is_read(tmp_path: Path, form: int, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
        for number, data in enumerate((b"first", b"x" * 5000)):
            file = tmp_path / str(number)
            file.write_bytes(data)
            archive.add(file, f"{name}{number}")
    with contextlib.closing(TarTree(tmp_path / "x.tar")) as tree:
        for number, data in enumerate((b"first", b"x" * 5000)):
            found = f"{name}{number}".removeprefix("./")
            assert tree.size(found) == len(data)
            assert tree.read(found, 10_000) == data
            assert read_all(tree.open(found, len(data), 3), 10_000, "") == data[3:]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024])
def test_members_of_every_size_lie_where_they_are(tmp_path: Path, size: int) -> None:
    path = tar(tmp_path / "x.tar", [member("a", data=b"a" * size), member("b", data=b"b" * 7)])
    with contextlib.closing(TarTree(path)) as tree:
        assert tree.read("a", size) == b"a" * size
        assert tree.read("b", 7) == b"b" * 7


def test_links_inside_the_archive_are_followed(tmp_path: Path) -> None:
    members = [
        member("one/layer.tar", data=b"content"),
        member("two/layer.tar", kind=tarfile.SYMTYPE, link="../one/layer.tar"),
        member("three", kind=tarfile.LNKTYPE, link="two/layer.tar"),
    ]
    with contextlib.closing(TarTree(tar(tmp_path / "x.tar", members))) as tree:
        assert tree.read("three", 100) == b"content"


def test_open_readers_outlive_the_archive_and_its_replacement(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [member("a", data=b"content")])
    tree = TarTree(path)
    reader = tree.open("a", 7, 0)
    tree.close()
    path.unlink()
    assert read_all(reader, 100, "") == b"content"


def test_a_missing_member_and_a_wrong_size_are_damage(tmp_path: Path) -> None:
    with contextlib.closing(TarTree(tar(tmp_path / "x.tar", [member("a", data=b"content")]))) as tree:
        for attempt in (lambda: tree.read("b", 9), lambda: tree.read("a", 6), lambda: tree.open("a", 8, 0)):
            with pytest.raises(Damaged):
                attempt()
        assert tree.size("b") is None


@pytest.mark.parametrize("keep", [0, 511, 512, 1000, 1024, 1536, 2047])
def test_a_truncated_archive_is_refused(tmp_path: Path, keep: int) -> None:
    path = tar(tmp_path / "x.tar", [member("a", data=b"a" * 600)], end=b"")
    os.truncate(path, min(keep, 1536))
    refused(path, UsageError if keep < 512 else Damaged)


HOSTILE = {
    "a size beyond the file": [member("a", size=10**9)],
    "a base-256 size beyond the file": [member("a", size=2**60)],
    "a name that leads up": [member("../a", data=b"x")],
    "a name that leads up from inside": [member("a/../../b", data=b"x")],
    "an absolute name": [member("/etc/passwd", data=b"x")],
    "no name": [member("", data=b"x")],
    "a name twice": [member("a", data=b"x"), member("b"), member("./a", data=b"y")],
    "an absolute link": [member("a", kind=tarfile.SYMTYPE, link="/etc/passwd")],
    "a sparse member": [member("a", kind=tarfile.GNUTYPE_SPARSE, data=b"x")],
    "a piece of a multi-volume archive": [member("a", kind=b"M", data=b"x")],
    "an unknown kind": [member("a", kind=b"!", data=b"x")],
    "a sparse member in pax": [member("h", kind=b"x", data=b"22 GNU.sparse.major=1\n"), member("a", data=b"x")],
    "a pax bomb": [member("h", kind=b"x", data=bytes(70_000)), member("a")],
    "a global pax bomb": [member("h", kind=b"g", data=bytes(70_000)), member("a")],
    "a long name bomb": [member("h", kind=b"L", data=b"a" * 5000), member("a")],
    "a pax path bomb": [member("h", kind=b"x", data=b"5011 path=" + b"a" * 5000 + b"\n"), member("a")],
    "a pax record with a wrong length": [member("h", kind=b"x", data=b"99 path=a\n"), member("a")],
    "a pax record of length zero": [member("h", kind=b"x", data=b"0 path=a\n"), member("a")],
    "a pax record without a value": [member("h", kind=b"x", data=b"7 path\n"), member("a")],
    "a pax size that is none": [member("h", kind=b"x", data=b"11 size=-1\n"), member("a")],
    "a pax size beyond the file": [member("h", kind=b"x", data=b"18 size=999999999\n"), member("a")],
    "a NUL in a pax path": [member("h", kind=b"x", data=b"12 path=a\0b\n"), member("a")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, members: list[object]) -> None:
    assert refused(tar(tmp_path / "x.tar", members))


@pytest.mark.parametrize("link", ["../outside", "a/../../b", "a", "b"])
def test_links_that_lead_out_or_in_circles_are_refused(tmp_path: Path, link: str) -> None:
    members = [member("a", kind=tarfile.SYMTYPE, link=link), member("b", kind=tarfile.LNKTYPE, link="a")]
    with contextlib.closing(TarTree(tar(tmp_path / "x.tar", members))) as tree, pytest.raises(Damaged):
        tree.size("a")


def test_bombs_of_many_members_and_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(tmp_path / "x.tar", [member(f"name-{number}") for number in range(30)])
    monkeypatch.setattr(tarindex, "MAX_MEMBERS", 20)
    assert "too many members" in refused(path)
    monkeypatch.setattr(tarindex, "MAX_MEMBERS", 100)
    monkeypatch.setattr(tarindex, "MAX_NAMES", 100)
    assert "too many names" in refused(path)


def test_directories_devices_and_labels_are_passed_over(tmp_path: Path) -> None:
    kinds = (tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V")
    path = tar(
        tmp_path / "x.tar", [*(member(f"m{number}", kind=kind) for number, kind in enumerate(kinds)), member("a", data=b"x")]
    )
    with contextlib.closing(TarTree(path)) as tree:
        assert tree.read("a", 1) == b"x"
        assert [tree.size(f"m{number}") for number in range(5)] == [None] * 5


NO_TARS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("registry.example/app:1\n" * 100),
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a circle of links": lambda path: path.symlink_to(path),
    "gzip": lambda path: tarfile.open(path, "w:gz").close(),
    "bzip2": lambda path: tarfile.open(path, "w:bz2").close(),
    "xz": lambda path: tarfile.open(path, "w:xz").close(),
}


@pytest.mark.parametrize("make", NO_TARS.values(), ids=NO_TARS)
def test_what_is_no_tar_is_a_mistake_of_the_list(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x.tar")
    refused(tmp_path / "x.tar", UsageError)


def test_a_compressed_archive_says_how_to_uncompress_it(tmp_path: Path) -> None:
    tarfile.open(tmp_path / "x.tar.gz", "w:gz").close()
    with pytest.raises(UsageError) as caught:
        TarTree(tmp_path / "x.tar.gz")
    assert caught.value.hint == f"add --scratch DIR, with room for it uncompressed; or first: gzip -dk {tmp_path}/x.tar.gz"


def test_a_link_that_the_user_named_is_followed(tmp_path: Path) -> None:
    tar(tmp_path / "real.tar", [member("a", data=b"x")])
    (tmp_path / "link.tar").symlink_to("real.tar")
    with contextlib.closing(TarTree(tmp_path / "link.tar")) as tree:
        assert tree.size("a") == 1


def test_no_damage_to_an_archive_is_anything_but_a_clear_error(tmp_path: Path) -> None:
    dice = random.Random(7)
    sound = tar(tmp_path / "sound.tar", [member(LONG, data=b"x" * 700), member("b", kind=tarfile.SYMTYPE, link="a")]).read_bytes()
    path = tmp_path / "x.tar"
    for _ in range(400):
        raw = bytearray(sound)
        for _ in range(dice.randint(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        path.write_bytes(raw[: dice.choice([len(raw), dice.randrange(len(raw))])])
        with contextlib.suppress(AirgapError):
            TarTree(path).close()
