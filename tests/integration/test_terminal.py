"""The real program at real terminals, and under locales that cannot show everything."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from airgap.cli.terminal.cells import cells
from tests.support.site import Site

ROOT = Path(__file__).parents[2]
LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "stdio ISO-8859-1": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "iso-8859-1"},
    "stdio GB18030": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "gb18030"},
    "stdio ASCII, strict": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
    "ISO-8859-1": {"LC_ALL": "en_US.ISO-8859-1"},
    "GB18030": {"LC_ALL": "zh_CN.GB18030"},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled locales that a minimal system lacks."""
    place = tmp_path_factory.mktemp("locales")
    for source, charmap in (("en_US", "ISO-8859-1"), ("zh_CN", "GB18030")):
        with contextlib.suppress(OSError):  # no localedef: Python takes C then
            made = place / f"{source}.{charmap}"
            subprocess.run(["localedef", "-i", source, "-f", charmap, str(made)], capture_output=True, check=False)
    return place


@pytest.mark.parametrize("locale", LOCALES)
def test_a_complete_way_is_printed_in_every_locale(tmp_path: Path, locales: Path, locale: str) -> None:
    """Text and JSON of every step, with file names that the locale may not know. What documents name must be UTF-8."""
    home = tmp_path / "Übergröße/密钥 目录"
    work = home / os.fsdecode(b"not-\xff\xfe-utf-8")
    work.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "LOCPATH": str(locales)}
    environment |= LOCALES[locale] | {"AIRGAP_KEY_PASSPHRASE": ""}

    def run(*arguments: object) -> bytes:
        command = [sys.executable, "-m", "airgap", *map(str, arguments)]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        return done.stdout

    def says(said: bytes, english: str, chinese: str) -> bool:
        if "zh_CN" not in environment["LC_ALL"]:
            return english.encode() in said
        return any(chinese.encode(encoding) in said for encoding in ("gb18030", "utf-8"))  # UTF-8 where there is no localedef

    run("keys", "generate", "--no-passphrase", "--out", home / "keys")
    run("policy", "init", "--key", home / "keys/airgap.pub", "-o", home / "policy.json")
    made = ("--out", work / "out", "--stream", "s", "--key", home / "keys/airgap.key", "--state", work / "state")
    assert says(run("export", f"oci:{ROOT / 'samples/layout'}", *made), "finished     ", "完成         ")
    options = ("--to", f"oci:{home / 'store'}", "--policy", home / "policy.json", "--state", work / "state")
    assert says(run("import", work / "out", *options), "loaded       ", "已载入       ")
    facts = json.loads(run("import", work / "out", *options, "--json").decode("ascii"))
    assert Path(facts["target"]).name == "store"


@pytest.fixture
def registry():
    """An address that takes connections and keeps silent until it is told to end them."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in held:
        one.close()


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_a_slow_registry_is_seen_to_be_waited_for_at_every_width(tmp_path: Path, registry: str, columns: int) -> None:
    names = "".join(f"{registry}/team/app-{n}:1.27\n" for n in range(25))
    (tmp_path / "list.txt").write_text(names)
    pid, master = pty.fork()
    if pid == 0:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        command = [sys.executable, "-m", "airgap", "resolve", str(tmp_path / "list.txt")]
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(sys.executable, command, environment)
    shown = b""
    while shown.count(b"\x1b[K") < 3:
        shown += os.read(master, 65536)
    os.write(master, b"\x03")
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    live = [line for line in shown.decode().split("\r") if line.endswith("\x1b[K") and line.startswith("resolving")]
    assert len(live) >= 2
    assert all(cells(line.removesuffix("\x1b[K")) < columns for line in live)
    assert re.fullmatch(r"resolving 0%( \[-+\])? 0/25( images)?( \d:\d\d)? (\S+/)?app-\d+:1.27", live[1].removesuffix("\x1b[K"))
    assert b"\x1b[1;31merror:\x1b[0m" in shown


def test_quiet_prints_a_summary(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    options = ("--out", tmp_path / "out", "--stream", "s", "--key", site.key)
    made = site.run("export", f"oci:{ROOT / 'samples/layout'}", *options, "-q")
    bundle, target = tmp_path / "out/s-0001", f"oci:{tmp_path / 'store'}"
    quiet = {
        "inspect": site.run("inspect", bundle, "-q"),
        "verify": site.run("verify", bundle, "--policy", site.policy, "-q"),
        "dry run": site.run("import", bundle, "--to", target, "--policy", site.policy, "--dry-run", "-q"),
        "import": site.run("import", bundle, "--to", target, "--policy", site.policy, "-q"),
    }
    for done in (made, *quiet.values()):
        assert done.stderr == ""
        assert not re.search(r"^(loaded|accepted|new) .*shop/web", done.stdout, re.MULTILINE)
        assert len(done.stdout.splitlines()) <= 7
    assert "loaded       4 images" in quiet["import"].stdout
    assert "accepted     on the bundle's signature; no image signatures required" in quiet["verify"].stdout
    assert "verified     complete, undamaged, trusted" in quiet["verify"].stdout


@pytest.mark.parametrize("empty", [None, "", "file"])
def test_no_key_is_left_unencrypted_because_nobody_could_be_asked(tmp_path: Path, empty: str | None) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment |= {"AIRGAP_KEY_PASSPHRASE": ""} if empty == "" else {}
    (tmp_path / "file").touch()
    asked = ["--passphrase-file", "file"] if empty == "file" else []

    def generate(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airgap", "keys", "generate", "--out", "keys", *options]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    refused = generate(*asked)
    assert refused.returncode == 2
    assert all(way in refused.stderr for way in ("--passphrase-file", "AIRGAP_KEY_PASSPHRASE", "--no-passphrase"))
    assert not (tmp_path / "keys").exists()
    if asked:
        assert generate("--no-passphrase", *asked).returncode == 2
    assert "NOT encrypted" in generate("--no-passphrase").stdout


def test_init_asks_a_question_again_whose_answer_cannot_be(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    line = [sys.executable, "-m", "airgap", "init"]
    answers = (
        (b"such as prod-site", "no stream"),
        (b"airgap: ", "prod"),
        (b"image list", "my.txt"),
        (b"signs it", ""),
        (b"its bundles", ""),
        (b"mirror (", "nowhere"),
        (b"airgap: not a target", "oci:store"),
        (b"policy", ""),
    )
    with subprocess.Popen(
        line, env=environment, cwd=tmp_path, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    ) as process:
        os.close(follower)
        shown, seen = b"", 0
        for question, answer in answers:
            while question not in shown[seen:] or not shown.endswith(b": "):
                shown += os.read(leader, 1000)
            seen = len(shown)
            os.write(leader, f"{answer}\n".encode())
        with contextlib.suppress(OSError):  # a terminal whose other side is closed
            while more := os.read(leader, 1000):
                shown += more
    os.close(leader)
    assert process.returncode == 0, shown
    text = (tmp_path / "airgap.toml").read_text()
    assert [line.partition("  #")[0].rstrip() for line in text.splitlines() if line and not line.startswith("#")] == [
        "[stream.prod]",
        'lists = "my.txt"',
        'key = "keys/airgap.key"',
        'out = "out"',
        "[site]",
        'to = "oci:store"',
        'policy = "policy.json"',
    ]
