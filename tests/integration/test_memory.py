"""Whatever lies on a medium, or in a file that is given: no command takes 300 MB of memory for it, and 800 MB for a catalog."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from airgap.documents.request import ResendRequest
from airgap.format import names
from airgap.limits import MAX_CATALOG, MAX_REQUEST
from airgap.oci.digest import Digest
from tests.support import parserseeds as seeds
from tests.support.bundles import Sender

pytestmark = pytest.mark.slow("files of sixty to 256 megabytes for each command")

MOST = 300 * 1000 * 1000
MOST_OF_A_CATALOG = 800 * 1000 * 1000
SIZE = MAX_CATALOG - 200
COMMANDS = ("inspect", "verify", "check", "diff", "report", "import", "watch", "serve", "merge", "unverified merge", "resend")


# A process counts what its parent had in memory when it was started, so the parent is one that has nothing: not the tests.
WATCH = """
import os, subprocess, sys
process = subprocess.Popen([sys.executable, "-m", "airgap", *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(process.returncode, usage.ru_maxrss * 1024)
"""


def peak(*arguments: str, cwd: Path) -> tuple[int, int, str]:
    """Run a command; its exit code, the most memory it had in bytes, and what it said."""
    done = subprocess.run([sys.executable, "-c", WATCH, *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    code, memory = map(int, done.stdout.split())
    return code, memory, done.stderr


def _arguments(command: str, sender: Sender) -> list[str]:
    policy = ["--policy", str(sender.policy)]
    state = ["--state", "state"]
    merge = ["merge", "drop/stick", "drop/stick", "--out", "out", "--stream", "prod", "--key", str(sender.key), *state]
    return {
        "inspect": ["inspect", "drop/stick"],
        "verify": ["verify", "drop/stick", *policy],
        "check": ["media", "check", "drop/stick"],
        "diff": ["diff", "drop/stick", "drop/stick"],
        "report": ["report", "drop/stick", "-o", "report.html"],
        "import": ["import", "drop/stick", "--to", "oci:store", *policy, *state],
        "watch": ["watch", "drop", "--to", "oci:store", *policy, *state, "--once", "--settle", "0"],
        "serve": ["serve", "drop/stick", "--listen", "127.0.0.1:0", *policy],
        "merge": [*merge, *policy],
        "unverified merge": [*merge, "--accept-unverified-bundles"],
        "resend": ["export", "--resend", "request.json", "drop/stick", "--out", "out", *state],
    }[command]


def _listed(parts: Iterable[bytes]) -> bytes:
    text = bytearray()
    for part in parts:
        text += b"," + part if text else part
    return bytes(text)


def _blobs(count: int) -> bytes:
    return _listed(b'"sha256:%064x":{"size":0,"held":true}' % i for i in range(count))


CATALOGS: dict[str, Callable[[], bytes]] = {
    "empty lists": lambda: b'{"a":[' + b"[]," * (SIZE // 3 - 9) + b"0]}",
    "keys": lambda: b"{" + _listed(b'"k%d":1' % i for i in range(SIZE // 14)) + b"}",
    "blobs": lambda: b'{"blobs":{' + _blobs(SIZE // 110) + b'},"schema":"airgap.catalog/1"}',
    "one long text": lambda: b'{"a":"' + b"x" * (SIZE - 99) + "\N{PILE OF POO}".encode() + b'"}',
    "an encrypted catalog": lambda: (
        b'{"schema":"airgap.sealed/1","catalog":"' + b"A" * (SIZE // 2) + b'","tags":"' + b"A" * (SIZE // 3) + b'"}'
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", CATALOGS)
def test_a_catalog_of_a_stranger_takes_no_memory_to_speak_of(kind: str, command: str, tmp_path: Path) -> None:
    sender = Sender.make(tmp_path / "sender")
    (tmp_path / "drop/stick").mkdir(parents=True)
    raw = CATALOGS[kind]()
    (tmp_path / "drop/stick" / names.CATALOG).write_bytes(raw)
    request = ResendRequest("prod", 1, Digest.of(raw), {names.volume_name(1): ((0, 1),)})
    (tmp_path / "request.json").write_bytes(request.to_bytes())
    code, memory, said = peak(*_arguments(command, sender), cwd=tmp_path)
    # for what was read, and not for a mistake in the arguments, which leads to the help
    assert code == 2 if command == "diff" else code in (3, 4), said
    assert "--help" not in said
    assert memory < MOST_OF_A_CATALOG


def test_a_request_of_a_stranger_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_bytes(b'{"a":[' + b"[]," * ((MAX_REQUEST - 20) // 3) + b"0]}")
    code, memory, said = peak("export", "--resend", "request.json", "--out", "out", "--state", "state", cwd=tmp_path)
    assert code == 2, said
    assert "too large" not in said
    assert memory < MOST


@pytest.mark.parametrize("command", ["check", "report"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        (names.SUMS, b"\n"),
        (names.SUMS, b"0"),
        (names.CHECK, b"\n"),
        (names.SUPPLEMENT, b"[],"),
        (names.CUSTODY, b"{}\n"),
        ("DISKS.json", b"[],"),
    ],
)
def test_the_files_beside_a_catalog_take_no_memory_to_speak_of(name: str, part: bytes, command: str, tmp_path: Path) -> None:
    sender = Sender.make(tmp_path / "sender")
    (tmp_path / "drop/stick").mkdir(parents=True)
    (tmp_path / "drop/stick" / names.CATALOG).write_bytes(seeds.small_catalog().to_bytes())
    (tmp_path / "drop/stick" / name).write_bytes(part * (60_000_000 // len(part)))
    _, memory, said = peak(*_arguments(command, sender), cwd=tmp_path)
    assert memory < MOST, said


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_catalog_of_as_many_blobs_as_may_be_is_read(command: str, tmp_path: Path) -> None:
    sender = Sender.make(tmp_path / "sender")
    (tmp_path / "drop/stick").mkdir(parents=True)
    (tmp_path / "drop/stick" / names.CATALOG).write_bytes(seeds.catalog(370_000, 1).to_bytes())
    code, memory, said = peak(*_arguments(command, sender), cwd=tmp_path)
    assert code == (0 if command == "inspect" else 4), said  # its volume is not there
    assert "too much memory" not in said
    assert memory < MOST


def test_many_catalogs_on_one_medium_take_no_more_than_one(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "stick" / f"b{number}").mkdir(parents=True)
        raw = b'{"n":%d,"blobs":{' % number + _blobs(SIZE // 110) + b'},"schema":"airgap.catalog/1"}'
        (tmp_path / "stick" / f"b{number}" / names.CATALOG).write_bytes(raw)
    code, memory, said = peak("media", "check", "stick", cwd=tmp_path)
    assert code == 4, said
    assert memory < MOST_OF_A_CATALOG
