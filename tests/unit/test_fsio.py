"""What is written is on the disk or not there at all; what a killed run left is told from what is in use, and removed."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap import fsio
from airgap.errors import MediaError
from airgap.fsio import leftovers
from airgap.fsio.leftovers import TemporaryDirectory, create, temporary_name
from tests.support.disks import Disk

CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)
FAILS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is told about leftovers."""
    found: list[str] = []
    leftovers.begin(found.append)
    yield found
    leftovers.begin(lambda _: None)


def failing(monkeypatch: pytest.MonkeyPatch, number: int, *, directories: bool) -> None:
    """Let every fsync of directories, or of files, fail."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").is_dir() == directories:
            raise OSError(number, os.strerror(number))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)


WRITES: dict[str, Callable[[Path], object]] = {
    "write": lambda place: fsio.write_durable(place / "new", b"x"),
    "append": lambda place: fsio.append_durable(place / "new", b"x", 0),
    "rename": lambda place: fsio.rename_durable(place / "old", place / "new"),
    "make directory": lambda place: fsio.make_directory(place / "new"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("number", FAILS, ids=errno.errorcode.get)
def test_a_directory_that_cannot_be_flushed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, number: int
) -> None:
    (tmp_path / "old").write_bytes(b"old")
    failing(monkeypatch, number, directories=True)
    with pytest.raises(MediaError) as caught:
        WRITES[write](tmp_path)
    assert os.strerror(number) in caught.value.what
    if write != "append":  # what may be gone after a power cut is not there now, so that nobody believes it
        assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("number", CANNOT, ids=errno.errorcode.get)
def test_a_file_system_that_cannot_flush_directories_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, number: int
) -> None:
    (tmp_path / "old").write_bytes(b"old")
    failing(monkeypatch, number, directories=True)
    WRITES[write](tmp_path)
    assert (tmp_path / "new").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_cannot_be_flushed_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if there:
        (tmp_path / "new").write_bytes(b"old")
    failing(monkeypatch, errno.EIO, directories=False)
    with pytest.raises(MediaError):
        fsio.write_durable(tmp_path / "new", b"x")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"new": b"old"} if there else {})


def test_a_failed_flush_before_reading_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    failing(monkeypatch, errno.EIO, directories=False)
    with pytest.raises(OSError, match="Input/output"):
        fsio.settle(tmp_path / "file")
    failing(monkeypatch, errno.EINVAL, directories=False)  # as of a file on a disc
    fsio.settle(tmp_path / "file")
    fsio.settle(tmp_path / "none")


_KILLED = """
import os, signal, sys
from pathlib import Path
from airgap import fsio
path = Path(sys.argv[1])
with fsio.new_file(path) as fd:
    fsio.write_at(fd, b"half", 0)
    print("there", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(path: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_a_killed_writer_leaves_nothing_where_files_need_no_name(tmp_path: Path) -> None:
    writer(tmp_path / "all.tar", "die").communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_what_the_next_one_removes_where_files_need_a_name(tmp_path: Path, said: list[str]) -> None:
    """exFAT knows no files without a name."""
    with Disk(tmp_path, "exfat").mounted() as point:
        with writer(point / "other.tar", "wait") as living:
            (used,) = point.iterdir()
            writer(point / "all.tar", "die").communicate()
            (left,) = set(point.iterdir()) - {used}
            assert fsio.is_temporary(left.name)
            fsio.write_durable(point / "next", b"x")
            assert not left.exists()
            assert len(said) == 1
            assert left.name in said[0]
            living.communicate("")
            assert living.returncode == 0
        assert {path.name: path.read_bytes() for path in point.iterdir()} == {"other.tar": b"half", "next": b"x"}


def test_only_what_is_ours_and_what_nobody_uses_is_removed(tmp_path: Path, said: list[str]) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_bytes(b"x")
    place = tmp_path / "place"
    place.mkdir()
    gone = [temporary_name(place / name) for name in ("file", "directory", "name\nwith a line")]
    gone[0].write_bytes(b"x")
    (gone[1] / "below").mkdir(parents=True)
    (gone[1] / "below" / "link").symlink_to(victim)
    gone[2].write_bytes(b"x")
    link, fifo, foreign = (temporary_name(place / name) for name in ("link", "fifo", "foreign"))
    link.symlink_to(victim)
    os.mkfifo(fifo)
    foreign.write_bytes(b"x")
    if os.geteuid() == 0:
        os.chown(foreign, 12345, -1)
    else:
        foreign.unlink()
    fd, locked = create(place / "locked", 0o600)
    scratch = TemporaryDirectory(place / "scratch")
    others = [place / name for name in ("notes.tmp", ".notes.0123abcd.tmp", ".x.airgap-0123.tmp", "x.airgap-0123456789abcdef.tmp")]
    for path in others:
        path.write_bytes(b"x")
    kept = {link, fifo, locked, scratch.path, *others, *([foreign] if os.geteuid() == 0 else [])}
    fsio.sweep(place)
    assert set(place.iterdir()) == kept
    assert (victim / "precious").read_bytes() == b"x"
    assert len(said) == 1
    assert said[0].isprintable()
    scratch.remove()
    os.close(fd)
    fsio.sweep(place)
    assert set(place.iterdir()) == kept - {locked, scratch.path}


def test_a_place_is_looked_at_once_in_a_run(tmp_path: Path, said: list[str]) -> None:
    fsio.write_durable(tmp_path / "one", b"1")
    left = temporary_name(tmp_path / "two")
    left.write_bytes(b"x")
    fsio.write_durable(tmp_path / "two", b"2")
    assert left.exists()
    leftovers.begin(said.append)  # the next command
    fsio.write_durable(tmp_path / "two", b"3")
    assert not left.exists()


def test_what_a_name_is_given_to_late_is_not_written_over(tmp_path: Path) -> None:
    file = fsio.NewFile(tmp_path / "archive")
    (tmp_path / "archive").write_bytes(b"somebody else was quicker")
    with pytest.raises(FileExistsError):
        file.keep(replace=False)
    file.drop()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"archive": b"somebody else was quicker"}


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path: Path) -> None:
    name = "ö" * 127
    for content in (b"old", b"new"):
        fsio.write_durable(tmp_path / name, content)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"new"}


def test_a_scratch_directory_of_a_killed_command_goes_with_the_next_one(tmp_path: Path, said: list[str]) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from airgap import fsio\n"
        "with fsio.TemporaryDirectory(Path(sys.argv[1], 'scratch')) as place:\n"
        "    (place / 'blob').write_bytes(b'x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with TemporaryDirectory(tmp_path / "scratch") as place:
        assert list(tmp_path.iterdir()) == [place]
        assert said == [f"removed leftovers of a killed command from {tmp_path}: {left.name}"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_not_held_by_programs_that_were_started(tmp_path: Path) -> None:
    """One that outlives us must not keep what we left."""
    fd, path = create(tmp_path / "file", 0o600)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    os.close(fd)
    try:
        again = os.open(path, os.O_RDONLY)
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(again)
    finally:
        child.kill()
        child.wait()


def test_a_place_that_cannot_be_looked_through_for_leftovers_is_told(said: list[str], tmp_path: Path) -> None:
    """Root may list everything, so it is the system that refuses: a process cannot open one file more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open(tmp_path, os.O_RDONLY)
    os.close(taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, limits[1]))  # ``taken`` is the lowest number that is free
    try:
        fsio.sweep(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert said == [f"cannot look for leftovers of a killed command in {tmp_path}: Too many open files"]


def test_a_place_that_is_not_there_has_no_leftovers(said: list[str], tmp_path: Path) -> None:
    fsio.sweep(tmp_path / "nothing")
    assert said == []
