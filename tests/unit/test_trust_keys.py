"""Keys: what we make and sign is what openssl and gpg verify."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airgap.errors import UsageError
from airgap.trust.keys import cosignkey, signatures
from airgap.trust.keys import signers as keys
from tests.support import cosignkeys
from tests.support.tools import require
from tests.support.trustkit import GpgHome, cosign_private_key, gpg_home

DATA = b'{"schema":"airgap.catalog/1"}\n' * 50


def no_passphrase() -> bytes | None:
    raise AssertionError("asked for a passphrase although the key is not encrypted")


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run((require("openssl"), *arguments), input=data, capture_output=True, check=True).stdout


def openssl_verifies(tmp_path: Path, public_pem: bytes, data: bytes, content: bytes, *, ed25519: bool) -> bool:
    (tmp_path / "pub").write_bytes(public_pem)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "sig").write_bytes(base64.b64decode(content, validate=True))
    how: tuple[str, ...]
    if ed25519:
        how = ("pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "data", "-sigfile", "sig")
    else:
        how = ("dgst", "-sha256", "-verify", "pub", "-signature", "sig", "data")
    return subprocess.run((require("openssl"), *how), cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.fixture
def home() -> Iterator[GpgHome]:
    with gpg_home() as opened:
        yield opened


@pytest.mark.parametrize("passphrase", [None, b"correct horse"], ids=["plain", "encrypted"])
@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_generated_key_signs_what_openssl_verifies(tmp_path: Path, kind, passphrase) -> None:
    pair = keys.generate(kind, passphrase)
    (tmp_path / "key").write_bytes(pair.private_pem)
    assert (b"ENCRYPTED" in pair.private_pem) == bool(passphrase)
    signer = keys.load_signer(str(tmp_path / "key"), (lambda: passphrase) if passphrase else no_passphrase)
    content = signer.sign(DATA)
    assert openssl_verifies(tmp_path, pair.public_pem, DATA, content, ed25519=kind == "ed25519")
    assert not openssl_verifies(tmp_path, pair.public_pem, DATA + b" ", content, ed25519=kind == "ed25519")
    assert signer.sign(DATA) == content, "the same key and data must give the same bytes"
    assert signer.file_suffix == "sig"
    der = openssl("pkey", "-pubin", "-outform", "DER", data=pair.public_pem)
    assert signer.key_id == openssl("dgst", "-sha256", "-r", data=der)[:16].decode()


@pytest.mark.parametrize(
    "make",
    [
        ("ecparam", "-name", "prime256v1", "-genkey"),
        ("ecparam", "-name", "secp384r1", "-genkey", "-noout"),
        ("ecparam", "-name", "secp521r1", "-genkey"),
        ("genrsa", "-traditional", "2048"),
        ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
    ],
    ids=["sec1-p256-with-parameters", "sec1-p384", "sec1-p521", "pkcs1-rsa2048", "pkcs8-rsa3072"],
)
def test_key_files_of_openssl_are_accepted_and_verify_there(tmp_path: Path, make) -> None:
    pem = openssl(*make)
    signer = keys.KeySigner.load(pem, no_passphrase, "key")
    public = openssl("pkey", "-pubout", data=pem)
    content = signer.sign(DATA)
    assert openssl_verifies(tmp_path, public, DATA, content, ed25519=False)
    assert signer.sign(DATA) == content
    key = signatures.load_public_key(public)
    assert key.id == signer.key_id
    assert signatures.verify(key, DATA, base64.b64decode(content))
    assert not signatures.verify(key, DATA[1:], base64.b64decode(content))


def test_traditional_encrypted_pem_asks_for_the_passphrase() -> None:
    pem = openssl("genrsa", "-traditional", "-aes128", "-passout", "pass:hello", "2048")
    assert keys.KeySigner.load(pem, lambda: b"hello", "key").public.kind == "RSA 2048"


@pytest.mark.parametrize(
    "make",
    [("ecparam", "-name", "secp256k1", "-genkey"), ("genrsa", "1024"), ("genpkey", "-algorithm", "X25519")],
    ids=["secp256k1", "rsa1024", "x25519"],
)
def test_weak_or_foreign_keys_are_refused(make) -> None:
    with pytest.raises(UsageError) as caught:
        keys.KeySigner.load(openssl(*make), no_passphrase, "bad.key")
    assert caught.value.where == "bad.key"


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_private_key_is_a_usage_error(tmp_path: Path, content) -> None:
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(UsageError):
        keys.load_signer(str(tmp_path / "k"), no_passphrase)


def test_wrong_and_missing_passphrases_are_usage_errors() -> None:
    pem = keys.generate("ecdsa", b"right").private_pem
    for passphrase in (b"wrong", b"", None):
        with pytest.raises(UsageError):
            keys.KeySigner.load(pem, partial(lambda given: given, passphrase), "key")


def test_secretbox_opens_the_published_nacl_vector() -> None:
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    sealed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
        "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
        "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    opened = cosignkey._open_box(key, nonce, sealed)
    assert opened.hex().startswith("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc")
    assert len(opened) == len(sealed) - 16
    with pytest.raises(UsageError):
        cosignkey._open_box(key, nonce, sealed[:-1] + bytes([sealed[-1] ^ 1]))


@pytest.mark.parametrize(("label", "cost"), [("SIGSTORE", 65536), ("COSIGN", 32768)])
def test_cosign_private_keys_open_with_their_passphrase(label, cost) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = cosign_private_key(pkcs8, b"hello", cost=cost, label=label)
    signer = keys.KeySigner.load(pem, lambda: b"hello", "cosign.key")
    assert signer.key_id == signatures.public_key(key.public_key()).id
    with pytest.raises(UsageError):
        keys.KeySigner.load(pem, lambda: b"hellO", "cosign.key")


def test_cosign_key_with_other_scrypt_cost_is_refused_without_computing_it() -> None:
    pem = cosign_private_key(b"x" * 138, b"p", cost=1024)
    with pytest.raises(UsageError) as caught:
        keys.KeySigner.load(pem, lambda: b"p", "cosign.key")
    assert "damaged" in caught.value.what


def test_a_key_written_by_cosigns_own_library_opens() -> None:
    secret = cosignkeys.MADE_BY_GO_PASSPHRASE
    signer = keys.KeySigner.load(cosignkeys.MADE_BY_GO, lambda: secret, "cosign.key")
    assert signer.public.fingerprint == cosignkeys.MADE_BY_GO_FINGERPRINT
    assert cosignkeys.read(cosignkeys.MADE_BY_GO, secret), "the tests' own reader agrees"
    with pytest.raises(UsageError):
        keys.KeySigner.load(cosignkeys.MADE_BY_GO, lambda: secret.upper(), "cosign.key")


@pytest.mark.parametrize("passphrase", [b"", b"correct horse", "pássphrase".encode()], ids=["empty", "ascii", "utf8"])
def test_a_key_made_for_cosign_is_what_cosign_reads(passphrase: bytes) -> None:
    pair = keys.generate("ecdsa", passphrase, for_cosign=True)
    der = cosignkeys.read(pair.private_pem, passphrase)
    key = serialization.load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert signatures.public_key(key.public_key()).pem == pair.public_pem
    with pytest.raises(ValueError, match="decryption failed"):
        cosignkeys.read(pair.private_pem, passphrase + b"x")
    assert cosignkeys.shape(pair.private_pem) == cosignkeys.shape(cosignkeys.MADE_BY_GO), "as cosign writes it, to the letter"
    signer = keys.KeySigner.load(pair.private_pem, lambda: passphrase, "key")
    content = signer.sign(DATA)
    assert signatures.verify(signatures.load_public_key(pair.public_pem), DATA, base64.b64decode(content))


def test_two_keys_made_for_cosign_share_neither_salt_nor_nonce() -> None:
    der = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER")
    assert cosignkey.write_cosign_key(der, b"x") != cosignkey.write_cosign_key(der, b"x")


def test_gpg_key_signs_what_gpg_verifies(tmp_path: Path, home: GpgHome, monkeypatch) -> None:
    fingerprint = home.new_key("exporter")
    monkeypatch.setenv("GNUPGHOME", str(home.path))
    signer = keys.load_signer(f"gpg:{fingerprint}", no_passphrase)
    assert (signer.key_id, signer.file_suffix) == (fingerprint[-16:].lower(), "asc")
    (tmp_path / "sig").write_bytes(signer.sign(DATA))
    home.run("--verify", str(tmp_path / "sig"), "-", data=DATA)


@pytest.mark.parametrize("spec", ["gpg:", "gpg:12345678", "gpg:" + "A" * 39, "gpg:" + "Z" * 40, "gpg:--homedir"])
def test_gpg_needs_a_full_fingerprint(spec) -> None:
    with pytest.raises(UsageError):
        keys.load_signer(spec, no_passphrase)


def test_unknown_gpg_key_is_a_usage_error_before_any_work(home: GpgHome, monkeypatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(home.path))
    with pytest.raises(UsageError):
        keys.load_signer("gpg:" + "AB" * 20, no_passphrase)


def test_missing_gpg_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        keys.load_signer("gpg:" + "AB" * 20, no_passphrase)
    assert "install" in caught.value.hint


def test_one_public_key_has_one_id_in_every_file_form() -> None:
    pem = openssl("genrsa", "2048")
    forms = [
        openssl("rsa", "-pubout", data=pem),
        openssl("rsa", "-RSAPublicKey_out", data=pem),
        openssl("rsa", "-pubout", "-outform", "DER", data=pem),
    ]
    assert len({signatures.load_public_key(form).fingerprint for form in forms}) == 1


def test_public_key_files_with_two_keys_or_a_private_key_are_refused() -> None:
    pair = keys.generate("ecdsa", None)
    other = keys.generate("ed25519", None)
    for content in (pair.public_pem + other.public_pem, pair.private_pem, b"", b"junk", b"\x30\x00"):
        with pytest.raises(UsageError):
            signatures.load_public_key(content)


@pytest.mark.parametrize(
    ("content", "decoded"),
    [
        (b"AAECAw==", b"\0\1\2\3"),
        (b"AAECAw==\n", b"\0\1\2\3"),
        (b"AAECAw==\r\n", b"\0\1\2\3"),
        (b"", None),
        (b"\n", None),
        (b"AAEC\nAw==", None),
        (b"AAECAw", None),
        (b"AAECAw===", None),
        (b"AAECA-_=", None),
        (b" AAECAw==", None),
        (b"AAECAw==AAEC", None),
        (b"\xff\xfe", None),
    ],
)
def test_signature_files_are_strict_base64(content, decoded) -> None:
    assert signatures.decode_signature(content) == decoded
