"""Files that options name: whatever is there already keeps being what it is, for every such option of every command."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.application import application
from airgap.cli.options.outputs import HELP
from tests.support.bundles import flip
from tests.support.cli import MEDIA, USAGE, failed, here
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("runs whole commands for every kind of output")

NULL, FULL = os.makedev(1, 3), os.makedev(1, 7)
needs_devices = pytest.mark.skipif(os.geteuid() != 0, reason="makes devices")
EPOCH = "1767225600"


class Desk:
    """A bundle, a store that has it, and the commands that write a document, each with the option that says where to."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._documents: dict[str, bytes] = {}
        self.yard = Yard.make(work)
        bundle = self.yard.bundle(1)
        self.yard.takes(bundle)
        hurt = self.yard.sender.bundle(self.yard.origin, self.yard.references, work / "hurt", serial=1)
        flip(hurt / "volume-0001.tar", 2000)
        (work / "compose.yaml").write_text("services:\n  web:\n    image: docker.io/shop/web:1\n")
        store, state = f"oci:{self.yard.store}", ("--state", self.yard.state)
        self.commands: dict[str, tuple[object, ...]] = {
            "report --out": ("report", bundle, *state),
            "media check --result": ("media", "check", bundle, "--by", "me"),
            "media repair --request": ("media", "repair", hurt, "--out", work / "repaired"),
            "discover --out": ("discover", work / "compose.yaml"),
            "resolve --lock": ("resolve", store),
            "init --out": ("init", "--stream", "prod", "--to", store),
            "policy init --out": ("policy", "init", "--key", self.yard.sender.root / "sender.pub"),
            "receipt --out": ("receipt", store, "--site", "plant", *state),
            "prune --plan": ("prune", store, "--keep", 1, *state),
        }

    def command(self, name: str, out: object) -> list[str]:
        return [*map(str, self.commands[name]), name.rpartition(" ")[2], str(out)]

    def run(self, name: str, out: object, *more: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """A process of its own."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work / "home"), "SOURCE_DATE_EPOCH": EPOCH}
        command = [sys.executable, "-m", "airgap", *self.command(name, out), *more]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        done: subprocess.CompletedProcess[bytes] = subprocess.run(command, env=environment, check=False, **streams)
        assert done.returncode == self.good(name), done.stderr
        assert b"Traceback" not in done.stderr
        return done

    def here(self, name: str, out: object, *more: str) -> subprocess.CompletedProcess[str]:
        """In this process."""
        done = here(*self.command(name, out), *more)
        assert done.returncode == self.good(name), done.stderr
        return done

    @staticmethod
    def good(name: str) -> int:
        """The exit code of success; what asks for blocks again has found damage."""
        return 4 if "repair" in name else 0

    def document(self, name: str) -> bytes:
        """What the command writes into a plain file."""
        if name not in self._documents:
            path = self.work / f"{name} document"
            self.here(name, path)
            self._documents[name] = path.read_bytes()
        return self._documents[name]

    def is_document(self, name: str, data: bytes) -> bool:
        """Whether it is just that; a plan of a prune says when it was made, and has a sum over that."""
        if not name.startswith("prune"):
            return data == self.document(name)
        mine, other = json.loads(data), json.loads(self.document(name))
        for changing in ("made", "digest"):
            del mine[changing], other[changing]
        return bool(mine) and mine == other


@pytest.fixture(autouse=True)
def _same_times(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setenv("HOME", str(desk.work / "home"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        return Desk(tmp_path_factory.mktemp("desk"))


COMMANDS = (
    "report --out",
    "media check --result",
    "media repair --request",
    "discover --out",
    "resolve --lock",
    "init --out",
    "policy init --out",
    "receipt --out",
    "prune --plan",
)
every_command = pytest.mark.parametrize("name", COMMANDS)


@needs_devices
@every_command
def test_a_device_named_as_output_stays_a_device(desk: Desk, tmp_path: Path, name: str) -> None:
    """As root, with a /dev/null of our own; also through a link, and a second time."""
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, NULL)
    (tmp_path / "link").symlink_to("null")
    for out in (device, tmp_path / "link", device):
        desk.here(name, out)
        assert stat.S_ISCHR(device.lstat().st_mode)
        assert device.lstat().st_rdev == NULL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "null"]


@needs_devices
@every_command
def test_a_device_that_takes_nothing_is_an_error_and_stays_one(desk: Desk, tmp_path: Path, name: str) -> None:
    device = tmp_path / "full"
    os.mknod(device, 0o666 | stat.S_IFCHR, FULL)
    failed(here(*desk.command(name, device), "--json"), MEDIA, "cannot write", "No space left")
    assert stat.S_ISCHR(device.lstat().st_mode)


def _taken(path: Path | int, work: Callable[[], object]) -> bytes:
    """What comes out of a pipe or FIFO while something is written into it."""
    got: list[bytes] = []

    def take() -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - a descriptor, too
            got.append(file.read())

    reader = threading.Thread(target=take)
    reader.start()
    work()
    reader.join()
    return got[0]


@every_command
def test_a_fifo_gets_the_document_and_stays_a_fifo(desk: Desk, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert desk.is_document(name, _taken(tmp_path / "fifo", lambda: desk.here(name, tmp_path / "fifo")))
    assert stat.S_ISFIFO((tmp_path / "fifo").lstat().st_mode)


@every_command
def test_a_descriptor_of_the_shell_gets_the_document(desk: Desk, name: str) -> None:
    """``>(...)`` is /dev/fd/63."""
    read, write = os.pipe()

    def work() -> None:
        try:
            desk.here(name, f"/dev/fd/{write}")
        finally:
            os.close(write)

    assert desk.is_document(name, _taken(read, work))


@every_command
def test_the_file_behind_standard_output_is_written_on_and_not_replaced(desk: Desk, tmp_path: Path, name: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    with log.open("ab") as stdout:
        desk.run(name, "/dev/stdout", stdout=stdout)
        stdout.write(b"after\n")
    written = log.read_bytes()
    assert written.startswith(b"before\n")
    assert written.endswith(b"after\n")
    assert desk.is_document(name, written[7:-6])


@every_command
def test_standard_output_gets_the_document_and_nothing_else(desk: Desk, name: str) -> None:
    done = desk.run(name, "-", "--verbose")
    assert desk.is_document(name, done.stdout)
    assert not Path("-").exists()


@every_command
@pytest.mark.parametrize("out", ["-", "/dev/stdout", "/proc/self/fd/1", "/dev/../dev//fd/1", "link"])
def test_the_result_for_machines_gives_way_to_a_document_on_standard_output(
    desk: Desk, tmp_path: Path, name: str, out: str
) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    done = desk.here(name, tmp_path / out if out == "link" else out, "--json", "--quiet")
    assert desk.is_document(name, done.stdout.encode())
    assert isinstance(json.loads(done.stderr), dict)
    assert (tmp_path / "link").is_symlink()


@every_command
def test_a_link_stays_a_link_and_its_file_is_replaced(desk: Desk, tmp_path: Path, name: str) -> None:
    """Relative, over two links, into another directory; whether or not the file is there already."""
    file = tmp_path / "there/file"
    file.parent.mkdir()
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("there/file")
    desk.here(name, tmp_path / "first")
    file.chmod(0o604)
    if "init" not in name:  # which writes over neither policy nor configuration
        desk.here(name, tmp_path / "first")
    assert (tmp_path / "first").readlink() == Path("second")
    assert (tmp_path / "second").readlink() == Path("there/file")
    assert list(file.parent.iterdir()) == [file]
    assert desk.is_document(name, file.read_bytes())
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


@pytest.mark.parametrize("mode", [0o600, 0o604, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode_and_owner(desk: Desk, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    if os.geteuid() == 0:
        os.chown(file, 12345, 12346)
    before = file.stat()
    desk.here("report --out", file)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@every_command
@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_a_new_file_gets_the_mode_that_the_umask_says(desk: Desk, tmp_path: Path, name: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        desk.here(name, tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"report --out"}))  # which writes one page per bundle into it
def test_a_directory_is_no_file_to_write(desk: Desk, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, f"{tmp_path}/", tmp_path / "link"):
        failed(here(*desk.command(name, out), "--json"), USAGE, "not a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@needs_devices
@pytest.mark.parametrize("name", ["media check --result", "receipt --out"])
@pytest.mark.parametrize("out", ["null", "-", "/dev/stdout"])
def test_no_signature_is_made_where_there_is_no_file_to_lie_beside(desk: Desk, tmp_path: Path, name: str, out: str) -> None:
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, NULL)
    arguments = desk.command(name, tmp_path / out if out == "null" else out)
    failed(here(*arguments, "--key", desk.yard.sender.key, "--json"), USAGE, "regular file")
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


@needs_devices
@pytest.mark.parametrize("make", [lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, NULL), os.mkfifo], ids=["device", "fifo"])
@pytest.mark.parametrize("command", ["login", "logout"])
def test_an_auth_file_is_no_device(tmp_path: Path, command: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / "auth")
    before = (tmp_path / "auth").lstat()
    more = ("--user", "me", "--password-stdin") if command == "login" else ()
    done = subprocess.run(
        [sys.executable, "-m", "airgap", command, "127.0.0.1:1", *more, "--authfile", str(tmp_path / "auth")],
        input="secret",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (2, 5), done.stderr  # 5: the registry is asked before the file
    assert (tmp_path / "auth").lstat() == before


def _options() -> dict[str, str]:
    """The help of every option of every command, by its name."""

    def walk(command: Any, name: str) -> dict[str, str]:
        found = {f"{name} {max(one.opts, key=len)}".strip(): getattr(one, "help", None) or "" for one in command.params}
        for below, inner in getattr(command, "commands", {}).items():
            found |= walk(inner, f"{name} {below}".strip())
        return found

    return walk(application(), "")


def test_every_option_that_names_an_output_file_is_tested_here_and_says_so_in_its_help() -> None:
    assert {name for name, text in _options().items() if text.endswith(HELP)} == set(COMMANDS)
    suspicious = {name for name, text in _options().items() if "write" in text.lower() and "FILE" in text}
    assert suspicious <= set(COMMANDS), suspicious


def test_no_command_writes_a_file_that_the_user_named_in_another_way() -> None:
    root = Path(__file__).resolve().parents[2] / "airgap/cli"
    writers = {
        path.name
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("write_durable", "new_file", "write_bytes", "write_text")
    }
    # keys and mirror write files of their own names into a directory, volumework its notes into an unfinished bundle
    assert writers == {"outputs.py", "keys.py", "mirror.py", "volumework.py"}
