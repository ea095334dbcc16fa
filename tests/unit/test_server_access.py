"""Who gets past the gate of ``airgap serve``."""

from __future__ import annotations

import base64
import subprocess
import threading
import time
from pathlib import Path

import bcrypt
import pytest

from airgap.errors import UsageError
from airgap.server import access
from airgap.server.access import Gate, Users
from airgap.server.wire import Response
from tests.support.serving import htpasswd
from tests.support.tools import require


def basic(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return f"Basic {base64.b64encode(raw).decode()}"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(Users.parse(htpasswd(tmp_path / "users", site="secret", other="geheim: mit Doppelpunkt").read_bytes(), "users"))


def status(gate: Gate, authorization: str | None) -> int:
    found = gate.admit(authorization)
    assert isinstance(found, Response)
    return found.status


def test_the_right_password_gives_the_user_every_time(gate):
    for _ in range(3):
        assert gate.admit(basic("site:secret")) == "site"
        assert gate.admit(basic("other:geheim: mit Doppelpunkt")) == "other"
        assert gate.admit(basic("site:secret").replace("Basic", "bAsIc")) == "site"


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Basic",
        "Basic !!!", basic("site"), basic("site:"), basic("site:Secret"), basic("nobody:secret"), basic(":secret"),
        basic("site:geheim: mit Doppelpunkt"), basic(b"\xff\xfe:secret"), basic("site:secret\0"), basic("site:" + "s" * 100),
        "Bearer " + basic("site:secret")[6:], basic("site:secret") + "x" * 5000,
    ],
)  # fmt: skip
def test_anything_else_is_asked_for_a_password_every_time(gate, authorization):
    for _ in range(2):
        refusal = gate.admit(authorization)
        assert isinstance(refusal, Response)
        assert refusal.status == 401
        assert refusal.headers["WWW-Authenticate"].startswith('Basic realm="airgap"')
        assert b"UNAUTHORIZED" in refusal.body


def test_a_password_beyond_what_bcrypt_looks_at_is_not_cut_to_fit(tmp_path):
    users = Users.parse(htpasswd(tmp_path / "users", site="x" * 72).read_bytes(), "users")
    assert Gate(users).admit(basic("site:" + "x" * 72)) == "site"
    assert status(Gate(users), basic("site:" + "x" * 73)) == 401


def test_passwords_are_checked_once_and_not_kept(gate, monkeypatch):
    asked: list[tuple[bytes, bytes]] = []
    check = bcrypt.checkpw

    def counting(word: bytes, entry: bytes) -> bool:
        asked.append((word, entry))
        return check(word, entry)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    for _ in range(5):
        gate.admit(basic("site:secret"))
        gate.admit(basic("site:wrong"))
    assert len(asked) == 2
    assert "secret" not in repr(vars(gate))
    assert basic("site:secret") not in repr(vars(gate))


def test_a_stranger_costs_as_much_as_a_user_with_a_wrong_password(gate, monkeypatch):
    asked: list[bytes] = []

    def never(word: bytes, entry: bytes) -> bool:
        asked.append(bytes(entry)[:7])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", never)
    gate.admit(basic("nobody:wrong"))
    gate.admit(basic("site:wrong"))
    assert [entry[4:] for entry in asked] == [b"04$", b"04$"]


def test_what_was_remembered_is_forgotten_and_bounded(gate, monkeypatch):
    monkeypatch.setattr(access, "_REMEMBERED", 10)
    for number in range(30):
        gate.admit(basic(f"site:wrong {number}"))
    assert len(gate._known) == 10
    assert gate.admit(basic("site:secret")) == "site"
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert gate._remembered(next(reversed(gate._known))) is None


def test_a_flood_of_wrong_passwords_is_turned_away_and_known_users_are_not(gate, monkeypatch):
    assert gate.admit(basic("site:secret")) == "site"
    go, check = threading.Event(), bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *words: go.wait(30) and check(*words))
    found: list[int] = []
    flood = [threading.Thread(target=lambda n=n: found.append(status(gate, basic(f"site:{n}")))) for n in range(40)]
    for one in flood:
        one.start()
    while len(found) < 24:  # 2 are checked, 14 wait, the others are turned away at once
        time.sleep(0.01)
    assert gate.admit(basic("site:secret")) == "site"
    go.set()
    for one in flood:
        one.join()
    assert sorted(found) == [401] * 16 + [503] * 24


@pytest.mark.parametrize(
    "line",
    [
        "site", "site:", "site:secret",
        "site:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "site:$apr1$abc$def",
        ":$2y$05$" + "a" * 53, "site:$2y$05$" + "a" * 52, "site:$2y$05$" + "a" * 54,
        "site:$2y$31$" + "a" * 53, "site:$2y$03$" + "a" * 53,
        "a:$2y$05$" + "a" * 53 + "\na:$2y$05$" + "a" * 53,
    ],
)  # fmt: skip
def test_a_file_with_a_line_that_does_not_count_is_refused_without_showing_it(line):
    with pytest.raises(UsageError) as caught:
        Users.parse(f"# comment\n\n{line}\n".encode(), "users")
    assert "line 3" in caught.value.where or "line 4" in caught.value.where
    assert "htpasswd -B" in caught.value.hint
    assert line.partition(":")[2][:20] not in str(caught.value) or not line.partition(":")[2]


@pytest.mark.parametrize("raw", [b"", b"# nobody\n", b"\xff\xfe"])
def test_a_file_that_lists_nobody_is_refused(raw):
    with pytest.raises(UsageError):
        Users.parse(raw, "users")


def test_what_the_real_htpasswd_writes_is_read(tmp_path):
    subprocess.run([require("htpasswd"), "-cbB", tmp_path / "users", "site", "geheim"], check=True, capture_output=True)
    assert Gate(Users.parse((tmp_path / "users").read_bytes(), "users")).admit(basic("site:geheim")) == "site"
