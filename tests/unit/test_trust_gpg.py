"""gpg is believed only about exactly one good, current, binary signature by a key of the policy."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import Refused, UsageError
from airgap.limits import MAX_SIGNATURE
from airgap.trust.keys import gpg, openpgp
from tests.support.trustkit import GpgHome, gpg_home

DATA = b'{"schema":"airgap.catalog/1"}\n'
PAYLOAD = json.dumps({"critical": {"type": "atomic container signature"}}).encode()


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as opened:
        yield opened


@pytest.fixture(scope="module")
def alice(home: GpgHome) -> str:
    return home.new_key("alice")


@pytest.fixture(scope="module")
def bob(home: GpgHome) -> str:
    return home.new_key("bob", algorithm="rsa3072")


@pytest.fixture(scope="module")
def revoked(home: GpgHome) -> tuple[str, bytes, bytes]:
    """A key that signed and was then revoked: fingerprint, detached signature, message."""
    with gpg_home() as other:
        key = other.new_key("mallory")
        detached, message = other.detached(key, DATA), other.message(key, PAYLOAD)
        other.revoke(key)
        return key, other.export(key), detached + b"\0" + message


def detached_by(home: GpgHome, keys: bytes, data: bytes, signature: bytes) -> gpg.GoodSignature:
    with gpg.open_keyring([keys]) as ring:
        return ring.verify_detached(data, signature)


def opened_by(keys: bytes, blob: bytes) -> tuple[gpg.GoodSignature, bytes]:
    with gpg.open_keyring([keys]) as ring:
        return ring.open_signed(blob)


@pytest.mark.parametrize("armor", [True, False], ids=["armored-key", "binary-key"])
def test_good_detached_signatures_name_their_primary_key(home, alice, bob, armor) -> None:
    for key in (alice, bob):
        good = detached_by(home, home.export(alice, bob, armor=armor), DATA, home.detached(key, DATA))
        assert (good.primary, good.id) == (key, key[-16:].lower())


def test_signature_over_other_data_is_refused(home, alice) -> None:
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(alice), DATA + b"\n", home.detached(alice, DATA))
    assert "does not match" in caught.value.what


def test_signature_by_a_key_outside_the_policy_is_refused(home, alice, bob) -> None:
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(bob), DATA, home.detached(alice, DATA))
    assert caught.value.got == f"key {alice[-16:].lower()}"


def test_signature_of_a_revoked_key_is_refused(home, revoked) -> None:
    _, public, signatures = revoked
    detached, _, message = signatures.partition(b"\0")
    with pytest.raises(Refused) as caught:
        detached_by(home, public, DATA, detached)
    assert caught.value.what == "the key is revoked"
    with pytest.raises(Refused):
        opened_by(public, message)


def test_expired_key_and_expired_signature_are_refused(home) -> None:
    past = ("--faked-system-time", "20200101T000000!")
    key = home.new_key("expired", *past, expires="1d")
    lasting = home.new_key("lasting", *past)
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(key), DATA, home.detached(key, DATA, *past))
    assert caught.value.what == "the key has expired"
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(lasting), DATA, home.detached(lasting, DATA, *past, "--default-sig-expire", "1d"))
    assert caught.value.what == "the signature has expired"
    assert detached_by(home, home.export(lasting), DATA, home.detached(lasting, DATA, *past)).primary == lasting


def test_a_signing_subkey_counts_as_its_primary_and_not_when_revoked(home) -> None:
    with gpg_home() as other:
        key = other.new_key("team")
        other.run("--quick-add-key", key, "ed25519", "sign")
        signature, message = other.detached(key, DATA), other.message(key, PAYLOAD)
        good = detached_by(other, other.export(key), DATA, signature)
        assert good.primary == key
        assert good.signer != key
        assert opened_by(other.export(key), message)[0].primary == key
        commands = b"key 1\nrevkey\ny\n0\n\ny\nsave\n"
        other.run("--command-fd", "0", "--edit-key", key, data=commands)
        for check in (
            lambda: detached_by(other, other.export(key), DATA, signature),
            lambda: opened_by(other.export(key), message),
        ):
            with pytest.raises(Refused) as caught:
                check()
            assert caught.value.what == "the key is revoked"


def test_weak_hashes_and_text_mode_are_refused(home, bob) -> None:
    sha1 = home.run("--armor", "--allow-weak-digest-algos", "--digest-algo", "SHA1", "--detach-sign", "-u", bob, data=DATA)
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(bob), DATA, sha1)
    assert "weak" in caught.value.what
    with pytest.raises(Refused) as caught:
        detached_by(home, home.export(bob), DATA, home.detached(bob, DATA, "--textmode"))
    assert "binary" in caught.value.what


def test_two_signatures_in_one_file_are_refused(home, alice, bob) -> None:
    both = home.run("--armor", "--detach-sign", "-u", alice, "-u", bob, data=DATA)
    keys = home.export(alice, bob)
    for content in (both, home.detached(alice, DATA) + home.detached(bob, DATA)):
        with pytest.raises(Refused):
            detached_by(home, keys, DATA, content)


@pytest.mark.parametrize("kind", ["binary", "cleartext", "message", "text-before", "bad-checksum", "key", "empty", "huge"])
def test_only_one_armored_detached_signature_is_accepted(home, alice, kind) -> None:
    good = home.detached(alice, DATA)
    content = {
        "binary": home.run("--dearmor", data=good),
        "cleartext": home.run("--clearsign", "-u", alice, data=DATA),
        "message": home.run("--armor", "--sign", "-u", alice, data=DATA),
        "text-before": b"hello\n" + good,
        "bad-checksum": b"\n".join(line if not line.startswith(b"=") else b"=AAAA" for line in good.split(b"\n")),
        "key": home.export(alice),
        "empty": b"",
        "huge": good + b"\n" * MAX_SIGNATURE,
    }[kind]
    with pytest.raises(Refused):
        detached_by(home, home.export(alice), DATA, content)


@pytest.mark.parametrize(
    "options", [(), ("--compress-algo", "none"), ("--compress-algo", "zlib"), ("--digest-algo", "SHA512")], ids=str
)
def test_signed_messages_give_their_payload(home, alice, options) -> None:
    good, payload = opened_by(home.export(alice), home.message(alice, PAYLOAD, *options))
    assert (good.primary, payload) == (alice, PAYLOAD)


def bad_messages(home: GpgHome, alice: str, bob: str) -> dict[str, bytes]:
    plain = home.message(alice, PAYLOAD, "--compress-algo", "none")
    packets = openpgp.packets(plain)
    encrypting = home.new_key("reader", algorithm="rsa2048")
    home.run("--quick-add-key", encrypting, "rsa2048", "encr")
    return {
        "87-unsigned-literal": home.run("--store", data=PAYLOAD),
        "87-unsigned-encrypted": home.run("--trust-model", "always", "--encrypt", "-r", encrypting, data=PAYLOAD),
        "87-corrupt": plain[:-3] + bytes([plain[-3] ^ 1]) + plain[-2:],
        "payload-changed": plain.replace(b"atomic", b"atomiC"),
        "cut": plain[:-1],
        "appended-packet": plain + plain,
        "appended-byte": plain + b"\0",
        "appended-after-compressed": home.message(alice, PAYLOAD) + b"\0",
        "two-signers": home.run("--sign", "-u", alice, "-u", bob, data=PAYLOAD),
        "cleartext": home.run("--clearsign", "-u", alice, data=PAYLOAD),
        "armored": home.run("--armor", "--sign", "-u", alice, data=PAYLOAD),
        "detached": home.run("--detach-sign", "-u", alice, data=PAYLOAD),
        "bzip2": home.message(alice, PAYLOAD, "--compress-algo", "bzip2"),
        "bomb": home.message(alice, b"\0" * (3 * openpgp.MAX_PAYLOAD)),
        "too-large": home.message(alice, os.urandom(openpgp.MAX_PAYLOAD + 1), "--compress-algo", "none"),
        "empty": b"",
        "text": b"hello",
        "only-signature": bytes([0xC2, len(packets[2][1])]) + packets[2][1],
    }


def test_87_everything_but_one_signed_message_is_refused(home, alice, bob) -> None:
    keys = home.export(alice, bob)
    with gpg.open_keyring([keys]) as ring:
        for name, blob in bad_messages(home, alice, bob).items():
            with pytest.raises(Refused):
                pytest.fail(f"{name} was accepted: {ring.open_signed(blob)}")


def test_87_message_by_an_unknown_key_is_refused(home, alice, bob) -> None:
    with pytest.raises(Refused):
        opened_by(home.export(bob), home.message(alice, PAYLOAD))


@pytest.mark.parametrize(
    "keys", [b"", b"junk", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"]
)
def test_a_key_file_without_a_key_is_refused(keys) -> None:
    with pytest.raises(Refused), gpg.open_keyring([keys]):
        pass


def test_nothing_is_left_behind_and_no_agent_runs(home, alice, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    detached_by(home, home.export(alice), DATA, home.detached(alice, DATA))
    assert list(tmp_path.iterdir()) == []
    running = subprocess.run(("ps", "-eo", "args"), capture_output=True, check=True).stdout
    assert str(tmp_path).encode() not in running


def test_missing_gpg_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as caught, gpg.open_keyring([b"x"]):
        pass
    assert "install" in caught.value.hint


def test_gpg_that_hangs_is_stopped(tmp_path: Path, monkeypatch) -> None:
    fake = tmp_path / "gpg"
    fake.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Refused), gpg.open_keyring([b"x"], seconds=0.2):
        pass


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "NEWSIG\nGOODSIG 1 x\nVALIDSIG {good}\nNEWSIG\nGOODSIG 1 x\nVALIDSIG {good}",
        "NEWSIG\nGOODSIG 1 x\nVALIDSIG {good}\nFAILURE x 1",
        "NEWSIG\nGOODSIG 1 x\nVALIDSIG {good} extra",
        "NEWSIG\nGOODSIG 1 x",
        "GOODSIG 1 x\nVALIDSIG {good}",
        "NEWSIG\nVALIDSIG {good}",
        "NEWSIG\nGOODSIG 1 x\nVALIDSIG {other}",
    ],
    ids=["nothing", "twice", "failure", "extra-word", "no-validsig", "no-newsig", "no-goodsig", "other-primary"],
)
def test_status_lines_that_are_not_exactly_one_good_signature_are_refused(tmp_path: Path, lines: str) -> None:
    primary = "A" * 40
    words = f"{primary} 2026-01-01 1767225600 0 4 0 22 8 00"
    filled = lines.format(good=f"{words} {primary}", other=f"{words} {'B' * 40}")
    ring = gpg.Keyring(tmp_path, 1)
    ring.primaries = frozenset({primary})
    status = gpg._status("".join(f"[GNUPG:] {line}\n" for line in filled.split("\n")).encode())
    with pytest.raises(Refused):
        ring._judge(status, gpg._ONCE)
    whole = gpg._status(f"[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 x\n[GNUPG:] VALIDSIG {words} {primary}\n".encode())
    assert ring._judge(whole, gpg._ONCE).primary == primary
