"""Keys and signatures for tests: gpg homes with short socket paths, cosign-like key files."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from nacl.secret import SecretBox

from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys import openpgp
from airgap.trust.keys.evidence import Evidence
from airgap.trust.keys.keystore import ReadKey
from airgap.trust.keys.signers import PrivateKey
from airgap.trust.policy.document import Policy
from tests.support.tools import require


@dataclass(frozen=True)
class GpgHome:
    """A gpg home of a test, with secret keys without passphrase."""

    path: Path

    def run(self, *arguments: str, data: bytes = b"", check: bool = True) -> bytes:
        """Run gpg; what it wrote to standard output."""
        command = ("gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", *arguments)
        environment = {**os.environ, "GNUPGHOME": str(self.path), "LC_ALL": "C"}
        done = subprocess.run(command, input=data, capture_output=True, env=environment, check=False)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout

    def new_key(self, name: str, *options: str, algorithm: str = "ed25519", expires: str = "never") -> str:
        """Make a key; its fingerprint."""
        before = set(self.fingerprints())
        self.run(*options, "--quick-generate-key", f"{name} <{name}@example.com>", algorithm, "sign", expires)
        return (set(self.fingerprints()) - before).pop()

    def fingerprints(self) -> list[str]:
        """The primary fingerprints of all secret keys."""
        lines = self.run("--with-colons", "--list-secret-keys", check=False).decode().splitlines()
        return [b.split(":")[9] for a, b in itertools.pairwise(lines) if a.startswith("sec:")]

    def export(self, *fingerprints: str, armor: bool = True) -> bytes:
        """The public keys."""
        return self.run(*(["--armor"] if armor else []), "--export", *fingerprints)

    def detached(self, fingerprint: str, data: bytes, *options: str) -> bytes:
        """An armored detached signature."""
        return self.run(*options, "--armor", "--digest-algo", "SHA256", "--detach-sign", "-u", fingerprint, data=data)

    def message(self, fingerprint: str, data: bytes, *options: str) -> bytes:
        """A binary signed message."""
        return self.run(*options, "--sign", "--digest-algo", "SHA256", "-u", fingerprint, data=data)

    def private(self, fingerprint: str) -> list[PrivateKey]:
        """The private halves of an OpenPGP key, the primary one first, as keys that other programs sign with."""
        found = openpgp.packets(self.run("--export-secret-keys", fingerprint))
        return [_private(body) for tag, body in found if tag in (5, 7)]

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key with the certificate that gpg made beside it."""
        certificate = (self.path / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text(encoding="utf-8")
        self.run("--import", data=certificate.replace(":-----BEGIN", "-----BEGIN").encode())


def _private(body: bytes) -> PrivateKey:
    """A secret-key packet of version 4 that is not encrypted (RFC 4880, section 5.5.3)."""
    algorithm, rest = body[5], io.BytesIO(body[6:])

    def number() -> int:
        bits = int.from_bytes(rest.read(2), "big")
        return int.from_bytes(rest.read((bits + 7) // 8), "big")

    if algorithm == 1:
        n, e = number(), number()
        assert rest.read(1) == b"\0"
        d, p, q = number(), number(), number()
        rest_of_it = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        return rsa.RSAPrivateNumbers(p, q, d, *rest_of_it, rsa.RSAPublicNumbers(e, n)).private_key()
    rest.read(rest.read(1)[0])  # the curve's object identifier
    number()  # the point
    assert rest.read(1) == b"\0"
    if algorithm == 22:
        return ed25519.Ed25519PrivateKey.from_private_bytes(number().to_bytes(32, "big"))
    return ec.derive_private_key(number(), ec.SECP256R1())


@contextlib.contextmanager
def gpg_home() -> Iterator[GpgHome]:
    """A fresh home directly below /tmp (sockets have short paths); its agent is stopped at the end."""
    require("gpg")
    path = Path(tempfile.mkdtemp(prefix="ag", dir="/tmp"))
    try:
        yield GpgHome(path)
    finally:
        subprocess.run(("gpgconf", "--homedir", str(path), "--kill", "all"), check=False, capture_output=True)
        shutil.rmtree(path, ignore_errors=True)


def cosign_private_key(pkcs8: bytes, passphrase: bytes, *, cost: int = 32768, label: str = "SIGSTORE") -> bytes:
    """A private key file as cosign writes it."""
    salt, nonce = os.urandom(32), os.urandom(24)
    key = hashlib.scrypt(passphrase, salt=salt, n=cost, r=8, p=1, maxmem=2**28, dklen=32)
    sealed = SecretBox(key).encrypt(pkcs8, nonce).ciphertext
    body = {
        "kdf": {"name": "scrypt", "params": {"N": cost, "r": 8, "p": 1}, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    lines = base64.encodebytes(json.dumps(body).encode())
    return b"-----BEGIN ENCRYPTED %s PRIVATE KEY-----\n%s-----END ENCRYPTED %s PRIVATE KEY-----\n" % (
        (label.encode(), lines, label.encode())
    )


def judge_image(
    policy: Policy, reference: Reference, evidence: Evidence | None = None, read_key: ReadKey | None = None
) -> ImageVerdict:
    """Judge a single image; see ``ImageJudge.judge``."""
    with ImageJudge(policy, read_key) as judge:
        return judge.judge(reference, evidence)
