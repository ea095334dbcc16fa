"""``airgap media log`` on media, and what an import makes of the logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airgap.format import names
from tests.support.bundles import Sender
from tests.support.cli import DAMAGED, MEDIA, REFUSED, USAGE, failed, here
from tests.support.desks import Made, SiteDesk
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture
def desk(tmp_path: Path, made: Made) -> Site:
    return Site(tmp_path / "desk")


def log(*arguments: object, check: bool = True) -> dict[str, Any]:
    done = here("media", "log", *arguments, "--json")
    assert not check or done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def imported(desk: Site, made: Made, media: list[Path], *options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    target = f"oci:{desk.root / 'store'}"
    return desk.run("import", *media, "--to", target, "--policy", made.sender.policy, *options, check=check)


@pytest.mark.smoke("media log")
def test_every_medium_has_its_own_log_and_they_are_shown_together(media):
    log(*media, "--who", "Anna", "--where", "depot 4", "--at", "2026-02-01T08:00:00Z")
    log(media[1], "--who", "Bert", "--note", "seal 0815 unbroken", "--at", "2026-02-02T08:00:00Z")
    shown = log(*media, "--show")
    assert [(one["who"], one["number"]) for one in shown["entries"]] == [("Anna", 1), ("Bert", 2)]
    assert shown["problems"] == []
    text = here("media", "log", *media, "--show").stdout
    assert "Anna at depot 4" in text
    assert "unsigned entries prove nothing" in text
    assert len((media[0] / names.CUSTODY).read_bytes().splitlines()) == 1
    assert len((media[1] / names.CUSTODY).read_bytes().splitlines()) == 2


def test_the_result_of_a_check_goes_into_the_log(media, tmp_path):
    result = tmp_path / "check.json"
    assert here("media", "check", *media, "--result", result).returncode == 0
    log(*media, "--who", "Anna", "--result", result)
    assert log(media[0], "--show")["entries"][0]["check"]["result"] == "good"
    failed(here("media", "log", *media, "--who", "Anna", "--result", media[0] / names.CATALOG), USAGE, "not the result of a check")


def test_signed_entries_are_verified_by_the_key_and_only_by_it(media, tmp_path):
    anna, eve = Sender.make(tmp_path / "anna"), Sender.make(tmp_path / "eve")
    log(media[0], "--who", "Anna", "--key", anna.key)
    shown = log(media[0], "--show", "--custody-key", anna.root / "sender.pub")
    assert shown["entries"][0]["verified"] is True
    assert shown["entries"][0]["vouched"].startswith("signed by ECDSA P-256 key")
    done = here("media", "log", media[0], "--show", "--custody-key", eve.root / "sender.pub")
    assert done.returncode == DAMAGED
    assert "its signature is invalid" in done.stdout


def test_a_gpg_key_signs_entries_too(media, tmp_path, monkeypatch):
    require("gpg")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    gpg = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "anna@example.org", "ed25519", "sign"], check=True, capture_output=True)
    listed = subprocess.run(["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    exported = tmp_path / "anna.asc"
    exported.write_bytes(subprocess.run(["gpg", "--armor", "--export", fingerprint], check=True, capture_output=True).stdout)
    try:
        log(media[0], "--who", "Anna", "--key", f"gpg:{fingerprint}")
        shown = log(media[0], "--show", "--custody-key", exported)
        assert "OpenPGP key" in shown["entries"][0]["vouched"]
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False, capture_output=True)


def test_a_changed_log_ends_with_the_exit_code_for_damage_and_names_the_entry(media):
    for who in ("Anna", "Bert", "Cleo"):
        log(media[0], "--who", who)
    path = media[0] / names.CUSTODY
    path.write_bytes(path.read_bytes().replace(b"Anna", b"Alma"))
    done = here("media", "log", media[0], "--show")
    assert done.returncode == DAMAGED
    assert "entry 2 does not continue the line before it" in done.stdout
    assert log(media[0], "--who", "Dora")["logs"][0]["problems"]  # and it can be written on


def test_an_entry_that_was_torn_is_cut_off_and_nothing_before_it_is_lost(media):
    log(media[0], "--who", "Anna")
    path = media[0] / names.CUSTODY
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"2026-02-0')
    assert log(media[0], "--show")["problems"] == []
    log(media[0], "--who", "Bert")
    assert path.read_bytes().startswith(whole)
    assert [one["who"] for one in log(media[0], "--show")["entries"]] == ["Anna", "Bert"]


def test_a_killed_writer_never_loses_an_entry(media):
    """Kill it at many moments: what was there stays, and the chain holds."""
    log(media[0], "--who", "Anna")
    path = media[0] / names.CUSTODY
    whole = path.read_bytes()
    script = (
        "import sys; from pathlib import Path; from airgap.documents.custody import new_entry\n"
        "from airgap.oci.digest import Digest; from airgap.media.custody import append\n"
        "d = Path(sys.argv[1]); c = Digest.of((d / 'catalog.json').read_bytes()); print('ready', flush=True)\n"
        "while True: append([d], new_entry(c, '2026-02-01T08:00:00Z', 'Loop', '', 'x' * 1500, None), None)\n"
    )
    for wait in (0.0, 0.01, 0.05, 0.1):
        with subprocess.Popen([sys.executable, "-c", script, str(media[0])], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
        now = path.read_bytes()
        assert now.startswith(whole)
        whole = now[: now.rfind(b"\n") + 1]
    assert log(media[0], "--show")["problems"] == []


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("/etc/passwd")]
)
def test_what_is_no_file_is_not_followed_and_does_not_hang(media, make):
    make(media[0] / names.CUSTODY)
    failed(here("media", "log", media[0], "--who", "Anna"), DAMAGED, "not a regular file")
    assert here("media", "log", media[0], "--show").returncode == DAMAGED


def test_mistakes_have_messages(media, tmp_path):
    failed(here("media", "log", media[0]), USAGE, "--who")
    failed(here("media", "log", media[0], "--who", "x" * 300), USAGE, "too long")
    failed(here("media", "log", tmp_path / "nothing", "--who", "Anna"), USAGE, "no such directory")
    (media[0] / names.CUSTODY).write_bytes(b"x" * (5 << 20))
    failed(here("media", "log", media[0], "--who", "Anna"), DAMAGED, "too large")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_two_writers_at_once_do_not_tear_each_other(media):
    import fcntl

    fd = os.open(media[0], os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        failed(here("media", "log", media[0], "--who", "Anna"), MEDIA, "another command is writing this log")
    finally:
        os.close(fd)


def test_import_keeps_who_carried_it_in_the_history(media, desk, made):
    log(*media, "--who", "Anna", "--where", "depot 4", "--at", "2026-02-01T08:00:00Z")
    log(*media, "--who", "Bert", "--at", "2026-02-02T08:00:00Z")
    done = imported(desk, made, media)
    assert "custody: carried by Anna, Bert (2 entries, 0 with a verified signature)" in done.stdout
    assert "carried by Anna, Bert" in desk.run("history").stdout
    kept = desk.json("history", "--custody")["custody"]
    assert [(one["who"], one["where"]) for one in kept] == [("Anna", "depot 4"), ("Bert", "")]
    imported(desk, made, media)
    assert len(desk.json("history", "--custody")["custody"]) == 2


def test_import_reports_a_broken_log_loudly_and_goes_on(media, desk, made):
    log(media[0], "--who", "Anna")
    log(media[0], "--who", "Bert")
    path = media[0] / names.CUSTODY
    path.write_bytes(path.read_bytes().replace(b"Anna", b"Alma"))
    done = imported(desk, made, media)
    assert "CUSTODY LOG BROKEN" in done.stderr
    assert "CUSTODY LOG BROKEN" in done.stdout
    assert "does not continue the line before it" in desk.run("history").stdout


def test_import_refuses_what_the_site_requires(media, desk, made, tmp_path):
    anna = Sender.make(tmp_path / "anna")
    public = ("--custody-key", anna.root / "sender.pub")
    failed(imported(desk, made, media, "--require-custody", check=False), REFUSED, "no custody log", str(media[0]), str(media[1]))
    log(media[0], "--who", "Anna", "--key", anna.key)
    failed(imported(desk, made, media, "--require-custody", check=False), REFUSED, "no custody log", str(media[1]))
    log(media[1], "--who", "Anna")
    failed(imported(desk, made, media, "--require-custody", *public, check=False), REFUSED, "not signed by a key")
    assert imported(desk, made, media, "--require-custody").returncode == 0
    (media[1] / names.CUSTODY).unlink()
    log(media[1], "--who", "Anna", "--key", anna.key)
    assert "2 with a verified signature" in imported(desk, made, media, "--require-custody", *public).stdout
    (media[0] / names.CUSTODY).write_bytes(b"{}\n" + (media[0] / names.CUSTODY).read_bytes())
    failed(imported(desk, made, media, "--require-custody", check=False), REFUSED, "the custody log is broken")


def test_a_rehearsal_says_the_same(media, desk, made):
    log(media[0], "--who", "Anna")
    assert "carried by Anna" in imported(desk, made, media, "--dry-run").stdout
    failed(imported(desk, made, media, "--dry-run", "--require-custody", check=False), REFUSED, "no custody log")


def test_a_site_desk_takes_a_bundle_without_any_log_as_before(site: SiteDesk, desk, made):
    done = imported(desk, made, [site.bundle])
    assert "custody" not in done.stdout.lower()
