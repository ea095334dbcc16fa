"""Runs gpg: signs with the user's own keys, and verifies with a keyring that holds only the policy's keys.

gpg's exit status proves nothing (0 for a revoked key, 0 for data without any signature), so the status lines decide: exactly one
good signature, and none of the keywords in ``_NEVER``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio, programs
from airgap.errors import Refused, UsageError
from airgap.limits import MAX_KEYRING, MAX_SIGNATURE
from airgap.text import printable
from airgap.trust.keys import openpgp
from airgap.trust.keys.numbers import OpenPgpKey, openpgp_keys, unusable_keys

#: How long one run of gpg may take, in seconds; signing waits for a person with a smartcard.
VERIFY_SECONDS = 60.0
SIGN_SECONDS = 600.0

_INSTALL = "install GnuPG (on Debian: apt install gnupg)"
_VERIFY_OPTIONS = (
    "--batch", "--no-tty", "--no-options", "--no-autostart", "--disable-dirmngr", "--no-auto-key-retrieve", "--no-auto-key-locate",
    "--no-auto-check-trustdb", "--trust-model", "always", "--status-fd", "1",
)  # fmt: skip
_ONCE = ("NEWSIG", "GOODSIG", "VALIDSIG")
_NEVER = {
    "BADSIG": "the signature does not match the data",
    "ERRSIG": "the signature cannot be checked",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key is revoked",
    "NO_PUBKEY": "made by a key that the policy does not name",
    "NODATA": "no valid OpenPGP data",
    "ENC_TO": "the data is encrypted",
    "BEGIN_DECRYPTION": "the data is encrypted",
    "DECRYPTION_FAILED": "the data is encrypted",
    "DECRYPTION_OKAY": "the data is encrypted",
    "DECRYPTION_INFO": "the data is encrypted",
    "FAILURE": "gpg reports a failure",
    "UNEXPECTED": "gpg found unexpected data",
    "ERROR": "gpg reports an error",
}
# Which of several bad words explains best what happened.
_REASONS = ("REVKEYSIG", "EXPKEYSIG", "EXPSIG", "BADSIG", "NO_PUBKEY", *_NEVER)
_STRONG_HASHES = ("8", "9", "10", "11", "12", "14")  # SHA-2 and SHA-3 (RFC 4880 section 9.4, RFC 9580)
_BINARY, _TEXT = "00", "01"
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class GoodSignature:
    """A signature that gpg found good: fingerprints of the primary key and of the key that signed, and when (epoch seconds)."""

    primary: str
    signer: str
    created: int

    @property
    def id(self) -> str:
        """The last 16 hex digits of the primary fingerprint, lower case."""
        return key_id(self.primary)


def key_id(fingerprint: str) -> str:
    """The short name of an OpenPGP key: the last 16 hex digits of its fingerprint, lower case."""
    return fingerprint[-16:].lower()


class Keyring:
    """A private keyring; see :func:`open_keyring`. ``primaries`` are the fingerprints of its primary keys."""

    def __init__(self, home: Path, seconds: float) -> None:
        self._home = home
        self._seconds = seconds
        self.primaries: frozenset[str] = frozenset()

    def add(self, keys: bytes) -> None:
        """Import public keys, binary or armored.

        Raises:
            Refused: there is no key in it.
        """
        if not 0 < len(keys) <= MAX_KEYRING:
            raise Refused("not an OpenPGP public key", expected=f"a key, at most {MAX_KEYRING} bytes", got=f"{len(keys)} bytes")
        status = self._run(("--import",), keys)
        found = {words[1] for name, words in status if name == "IMPORT_OK" and len(words) > 1}
        if not found:
            raise Refused("not an OpenPGP public key", expected="a public key, binary or armored (gpg --export)")
        self.primaries |= found

    def listed(self) -> tuple[OpenPgpKey, ...]:
        """All keys of the keyring with the numbers of their primary keys and subkeys."""
        return openpgp_keys(self._listing())

    def unusable(self) -> dict[str, str]:
        """Why no signature by a key counts any more, or never did: by primary fingerprint; empty for a key that can sign."""
        return unusable_keys(self._listing())

    def export(self, *primaries: str) -> bytes:
        """These keys, or all, as a binary keyring."""
        output = self._home / "exported"
        output.unlink(missing_ok=True)
        self._run(("--output", str(output), "--export", *primaries), b"")
        return fsio.read_capped(output, MAX_KEYRING)

    def _listing(self) -> str:
        return self._output(("--with-colons", "--with-key-data", "--list-keys"), b"").decode("utf-8", "replace")

    def verify_detached(self, data: bytes, armored: bytes) -> GoodSignature:
        """Check an ASCII-armored detached signature over ``data``.

        Raises:
            Refused: anything but one good signature by a key of this keyring.
        """
        if len(armored) > MAX_SIGNATURE:
            raise Refused("a signature file is too large", expected=f"at most {MAX_SIGNATURE} bytes")
        path = self._home / "signature"
        path.write_bytes(openpgp.detached_signature(armored))
        return self._judge(self._run(("--verify", "--", str(path), "-"), data), _ONCE)

    def open_signed(self, blob: bytes) -> tuple[GoodSignature, bytes]:
        """Check a signed message (GPG simple signing) and give its payload.

        Raises:
            Refused: anything but one message with one good signature by a key of this keyring.
        """
        openpgp.check_signed_message(blob)
        output = self._home / "payload"
        output.unlink(missing_ok=True)
        options = ("--max-output", str(openpgp.MAX_PAYLOAD), "--output", str(output), "--decrypt")
        status = self._run(options, blob)
        good = self._judge(status, (*_ONCE, "PLAINTEXT"))
        return good, fsio.read_capped(output, openpgp.MAX_PAYLOAD)

    def open_clear_signed(self, message: bytes, limit: int) -> tuple[GoodSignature, bytes]:
        """Check a clear-signed text (RFC 4880, section 7) and give what was signed, as gpg read it.

        Args:
            message: it, and nothing around it that counts: only what gpg gives back is signed.
            limit: the most bytes of the text.

        Raises:
            Refused: anything but one text with one good signature by a key of this keyring.
        """
        if len(message) > limit:
            raise Refused("a signed text is too large", expected=f"at most {limit} bytes")
        output = self._home / "text"
        output.unlink(missing_ok=True)
        status = self._run(("--max-output", str(limit), "--output", str(output), "--decrypt"), message)
        good = self._judge(status, (*_ONCE, "PLAINTEXT"), kind=_TEXT)
        return good, fsio.read_capped(output, limit)

    def _run(self, arguments: Sequence[str], data: bytes) -> list[tuple[str, list[str]]]:
        return _status(self._output(arguments, data))

    def _output(self, arguments: Sequence[str], data: bytes) -> bytes:
        home = str(self._home)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": home, "TZ": "UTC"}
        command = ("gpg", "--homedir", home, *_VERIFY_OPTIONS, *arguments)
        return _run_gpg(command, data, environment, self._seconds).stdout

    def _judge(self, status: list[tuple[str, list[str]]], once: Sequence[str], kind: str = _BINARY) -> GoodSignature:
        names = [name for name, _ in status]
        for name in _REASONS:
            if name in names:
                raise Refused(_NEVER[name], got=self._signer(status))
        for name in once:
            if names.count(name) != 1:
                raise Refused("not exactly one good signature", expected=f"one {name}", got=str(names.count(name)))
        words = next(words for name, words in status if name == "VALIDSIG")
        return self._valid(words, kind)

    def _valid(self, words: list[str], kind: str) -> GoodSignature:
        # fingerprint, date, timestamp, expiry, version, reserved, key algorithm, hash algorithm, class, primary fingerprint
        if len(words) != 10 or not words[2].isdecimal():
            raise Refused("gpg returned unexpected output", got=printable(" ".join(words)))
        if words[8] != kind:
            what = "binary data" if kind == _BINARY else "text"
            raise Refused(f"the signature is not over {what}", expected=f"class {kind}", got=f"class {printable(words[8], 8)}")
        if words[7] not in _STRONG_HASHES:
            raise Refused(
                "the signature uses a weak hash", expected="SHA-256 or better", got=f"hash algorithm {printable(words[7], 8)}"
            )
        if words[9] not in self.primaries:
            raise Refused(_NEVER["NO_PUBKEY"], got=f"key {key_id(words[9])}")
        return GoodSignature(primary=words[9], signer=words[0], created=int(words[2]))

    @staticmethod
    def _signer(status: list[tuple[str, list[str]]]) -> str:
        for name, words in status:
            if name in ("ERRSIG", "NO_PUBKEY", "BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "GOODSIG") and words:
                return f"key {printable(key_id(words[0]), 40)}"
        return ""


@contextlib.contextmanager
def open_keyring(keys: Sequence[bytes], seconds: float = VERIFY_SECONDS) -> Iterator[Keyring]:
    """A keyring in a private directory that holds exactly these public keys, gone when the block ends.

    Args:
        keys: the content of key files.
        seconds: how long one run of gpg may take.

    Raises:
        Refused: one of them is not a key.
        UsageError: gpg is not installed.
    """
    with fsio.disk_errors("cannot create a directory", Path(tempfile.gettempdir())):
        directory = fsio.TemporaryDirectory(Path(tempfile.gettempdir(), "gpg"))
    with directory as home:
        ring = Keyring(home, seconds)
        for data in keys:
            ring.add(data)
        yield ring


def is_openpgp(key: bytes) -> bool:
    """Whether a key file holds OpenPGP keys: armored, or binary, where packets begin with a byte above 127 and DER with 0x30."""
    return b"-----BEGIN PGP" in key or key[:1] >= b"\x80"


def listed_keys(keys: Sequence[bytes]) -> tuple[OpenPgpKey, ...]:
    """The OpenPGP keys in key files, with their public numbers; raises as :func:`open_keyring`."""
    with open_keyring(keys) as ring:
        return ring.listed()


class GpgSigner:
    """Signs with a key of the user's own gpg, which may be on a smartcard; passphrases are gpg-agent's business."""

    file_suffix = "asc"

    def __init__(self, fingerprint: str, seconds: float = SIGN_SECONDS) -> None:
        self.fingerprint = fingerprint
        self._seconds = seconds

    @classmethod
    def find(cls, text: str) -> GpgSigner:
        """The signer for a full fingerprint, after asking gpg whether it has the secret key.

        Raises:
            UsageError: not a full fingerprint, or no such secret key.
        """
        fingerprint = "".join(text.split()).upper()
        if not _FINGERPRINT.fullmatch(fingerprint):
            hint = "gpg --list-secret-keys shows it"
            raise UsageError(
                "not a full OpenPGP fingerprint", expected="gpg: and 40 hex digits", got=printable(text, 80), hint=hint
            )
        result = _run_gpg(("gpg", "--batch", "--list-secret-keys", fingerprint), b"", None, VERIFY_SECONDS)
        if result.returncode != 0:
            raise UsageError("gpg has no such secret key", got=fingerprint, hint="gpg --list-secret-keys shows the available keys")
        return cls(fingerprint)

    @property
    def key_id(self) -> str:
        """The last 16 hex digits of the fingerprint."""
        return key_id(self.fingerprint)

    def describe(self) -> str:
        """The key for a person."""
        return f"OpenPGP key {self.fingerprint}"

    def sign(self, data: bytes) -> bytes:
        """An armored detached signature. It holds the time, so no two are alike."""
        return self._sign(data, "--detach-sign", "--armor")

    def sign_message(self, payload: bytes) -> bytes:
        """A binary signed message around ``payload``: the form of GPG simple signing."""
        return self._sign(payload, "--sign", "--no-armor")

    def has_signed(self, message: bytes, payload: bytes) -> bool:
        """Whether ``message`` is a good signed message of this key around just this payload."""
        try:
            if openpgp.signed_data(message) != payload:  # saves a run of gpg for nearly all messages of others
                return False
            with open_keyring([self._public], VERIFY_SECONDS) as ring:
                return ring.open_signed(message)[1] == payload
        except Refused:
            return False

    @functools.cached_property
    def _public(self) -> bytes:
        command = ("gpg", "--batch", "--export", self.fingerprint)
        return _run_gpg(command, b"", None, VERIFY_SECONDS).stdout

    def _sign(self, data: bytes, *how: str) -> bytes:
        command = ("gpg", "--batch", "--no-textmode", *how, "--digest-algo", "SHA256", "-u", self.fingerprint, "--output", "-")
        result = _run_gpg(command, data, None, self._seconds)
        if result.returncode != 0 or not result.stdout:
            said = printable(result.stderr.decode("utf-8", errors="replace").strip(), 300)
            raise UsageError("gpg could not sign", where=self.describe(), got=said, hint="try gpg --sign with this key by hand")
        return result.stdout


def _run_gpg(
    command: Sequence[str], data: bytes, environment: Mapping[str, str] | None, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run gpg in an environment of its own, or (None) as the user does, who may be asked for a passphrase or a smartcard."""
    users = environment is None
    try:
        return programs.run(
            command,
            data,
            complaints=users,
            environment={**os.environ, "LC_ALL": "C"} if environment is None else environment,
            seconds=seconds,
            at_terminal=users,
        )
    except FileNotFoundError as error:
        raise UsageError("gpg is needed for OpenPGP keys and is not installed", hint=_INSTALL) from error
    except subprocess.TimeoutExpired as error:
        raise Refused(
            "gpg did not finish in time", expected=f"at most {seconds:g} seconds", hint="run the same gpg command by hand"
        ) from error


def _status(output: bytes) -> list[tuple[str, list[str]]]:
    """The status lines: keyword and arguments. Other output cannot be mistaken for them: nothing else writes to that pipe."""
    result = []
    for line in output.decode("utf-8", errors="replace").split("\n"):
        words = line.rstrip("\r").split(" ")
        if len(words) > 1 and words[0] == "[GNUPG:]":
            result.append((words[1], words[2:]))
    return result
