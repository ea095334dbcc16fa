"""The commands that CHECK.txt and docs/receipts.md give for signatures, run as they are written there, with the real tools."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from airgap.trust.keys.signers import KeySigner
from tests.support import images
from tests.support.bundles import Sender, flip
from tests.support.origin import Origin
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home

RECEIPTS = Path(__file__).resolve().parents[2] / "docs/receipts.md"
KEYS: dict[str, Callable[[], KeySigner]] = {
    "ECDSA": lambda: signer(ec.generate_private_key(ec.SECP256R1())),
    "ECDSA P-384": lambda: signer(ec.generate_private_key(ec.SECP384R1())),
    "RSA": lambda: signer(rsa.generate_private_key(65537, 2048)),
    "Ed25519": lambda: signer(ed25519.Ed25519PrivateKey.generate()),
}
#: What `openssl pkey -text` says of a key of each kind.
SHOWN = {"ECDSA": "ASN1 OID: prime256v1", "ECDSA P-384": "ASN1 OID: secp384r1", "RSA": "Modulus:", "Ed25519": "ED25519"}


def signer(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> KeySigner:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return KeySigner.load(private.private_bytes(serialization.Encoding.PEM, form, plain), lambda: None, "a key")


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as opened:
        yield opened


@pytest.fixture(scope="module")
def openpgp_key(home: GpgHome) -> str:
    return home.new_key("sender")


@pytest.fixture(scope="module")
def check_txt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """CHECK.txt of a bundle as an export writes it."""
    work = tmp_path_factory.mktemp("bundle")
    origin = Origin()
    references = [origin.push("docker.io/x/y:1", images.image([images.layer("y")]))]
    made = Sender.make(work / "sender").bundle(origin, references, work / "stick")
    return (made / "CHECK.txt").read_bytes().decode().replace("\r\n", "\n")


@pytest.fixture(params=["CHECK.txt", "receipts.md"])
def lines(request: pytest.FixtureRequest, check_txt: str) -> dict[str, str]:
    """The commands of one of the texts by their second word; the names in the text become ``DOCUMENT``, ``ID``, ``KEY``."""
    if request.param == "CHECK.txt":
        return commands(check_txt.replace("catalog.json", "DOCUMENT").replace("KEY.pub", "KEY"))
    text = RECEIPTS.read_text().replace("plant-7.receipt", "DOCUMENT").replace("0123456789abcdef", "ID").replace("site.pub", "KEY")
    return commands(text)


def commands(text: str) -> dict[str, str]:
    found = re.findall(r"((?:openssl|gpg) (base64|dgst|pkeyutl|pkey|--verify) [^\n`]*?)(?:`| {3}|$)", text, re.MULTILINE)
    return {word: line for line, word in found}


def run(line: str, where: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command as it is written, in the directory of the files that it names."""
    require(line.split()[0])
    return subprocess.run(["sh", "-c", line], cwd=where, capture_output=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("kind", KEYS)
def test_a_good_signature_is_told_from_a_changed_document_by_the_command_for_the_kind_of_key(
    lines: dict[str, str], tmp_path: Path, kind: str
) -> None:
    made, document = KEYS[kind](), tmp_path / "DOCUMENT"
    document.write_bytes(b'{"schema":"airgap.catalog/1"}\n')
    (tmp_path / "DOCUMENT.ID.sig").write_bytes(made.sign(document.read_bytes()))
    (tmp_path / "KEY").write_bytes(made.public.pem)
    assert SHOWN[kind] in run(lines["pkey"], tmp_path).stdout.decode()
    assert run(lines["base64"], tmp_path).returncode == 0
    check = lines["pkeyutl" if kind == "Ed25519" else "dgst"]
    good = run(check, tmp_path)
    assert good.returncode == 0, good.stderr
    assert b"Verified" in good.stdout
    flip(document, 12)
    assert run(check, tmp_path).returncode != 0


def test_a_good_openpgp_signature_is_told_from_a_changed_document(
    lines: dict[str, str], tmp_path: Path, home: GpgHome, openpgp_key: str
) -> None:
    document = tmp_path / "DOCUMENT"
    document.write_bytes(b'{"schema":"airgap.catalog/1"}\n')
    (tmp_path / "DOCUMENT.ID.asc").write_bytes(home.detached(openpgp_key, document.read_bytes()))
    good = run(lines["--verify"], tmp_path, GNUPGHOME=str(home.path))
    assert good.returncode == 0, good.stderr
    flip(document, 12)
    assert run(lines["--verify"], tmp_path, GNUPGHOME=str(home.path)).returncode != 0


def test_what_dgst_says_of_an_ed25519_key_is_the_message_that_the_texts_warn_of(
    check_txt: str, lines: dict[str, str], tmp_path: Path
) -> None:
    made = KEYS["Ed25519"]()
    (tmp_path / "DOCUMENT").write_bytes(b"{}")
    (tmp_path / "DOCUMENT.ID.sig").write_bytes(made.sign(b"{}"))
    (tmp_path / "KEY").write_bytes(made.public.pem)
    run(lines["base64"], tmp_path)
    told = run(lines["dgst"], tmp_path)
    assert told.returncode != 0
    assert b"Key type not supported" in told.stdout + told.stderr
    assert "Key type not supported" in RECEIPTS.read_text()
    assert "Key type not supported" in check_txt
