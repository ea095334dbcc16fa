"""Keys, certificates, signatures and what they vouch for."""

from __future__ import annotations

import base64
import operator
import zlib
from collections.abc import Iterator
from functools import partial

from airgap.cipher.sites import SiteKey, SiteSecret
from airgap.oci.strictjson import canonical as line_of
from airgap.trust.judge.catalogbundle import read_signature
from airgap.trust.judge.provenance import read_attestation
from airgap.trust.judge.sigstorebundle import read_statement
from airgap.trust.keys.certificates import load_certificates
from airgap.trust.keys.cosignkey import is_cosign_key, open_cosign_key
from airgap.trust.keys.keyfiles import read_key_file
from airgap.trust.keys.openpgp import check_signed_message, detached_signature, holds_secret_key, signed_data
from airgap.trust.keys.payload import read_gpg_payload, read_sigstore_payload
from airgap.trust.keys.pem import read_pem
from airgap.trust.keys.rekor import Logged, check_set
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import decode_signature, load_pem_key, load_public_key
from airgap.trust.keys.signers import KeySigner
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.fields import decode_base64
from airgap.trust.sigstore.bundle import read_bundle, read_envelope
from tests.support import parserseeds as seeds
from tests.support.parserrow import WHERE, Parser, document, text
from tests.support.parserseeds import numbered, repeated


def rows() -> Iterator[Parser]:
    """The rows."""

    def armored(raw: bytes) -> None:
        detached_signature(raw)

    yield Parser(
        "OpenPGP armor",
        armored,
        (seeds.armor(),),
        {
            "lines": seeds.armor,
            "short lines": repeated("A\n", b"-----BEGIN PGP SIGNATURE-----\n\n", b"-----END PGP SIGNATURE-----"),
            "blanks": repeated(" ", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA", b"-----END PGP SIGNATURE-----"),
            "headers": repeated("A: b\n", b"-----BEGIN PGP SIGNATURE-----\n", b"\nAAAA\n-----END PGP SIGNATURE-----"),
            "never ends": repeated("A\n", b"-----BEGIN PGP SIGNATURE-----\n\n", b"="),
        },
        ("airgap.trust.keys.openpgp:detached_signature",),
        most=64 << 10,
    )

    def message(raw: bytes) -> None:
        check_signed_message(raw)
        signed_data(raw)

    packets = b"\x90\x01x" + b"\xcb\x09b\x00\x00\x00\x00\x00abc" + b"\x88\x01x"
    yield Parser(
        "OpenPGP message",
        message,
        (packets,),
        {
            "parts of a packet": repeated(b"\xe0a", b"\xcb", b"\x00"),
            "packets": repeated(b"\x88\x00"),
            "new packets": repeated(b"\xc2\x00"),
            "compressed": lambda n: b"\xa3\x02" + zlib.compress(b"\x88\x00" * n),
        },
        ("airgap.trust.keys.openpgp:packets",),
        most=64 << 10,
    )

    def keys(raw: bytes) -> None:
        holds_secret_key(raw)

    yield Parser(
        "OpenPGP keys",
        keys,
        (
            seeds.armor(),
            packets,
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nA: b\n\nmAA=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n",
        ),
        {
            "lines": seeds.armor,
            "begins": repeated("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
            "headers": repeated("A: b\n", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", b"\nAAAA\n"),
            "packets": repeated(b"\x88\x00"),
        },
        ("airgap.trust.keys.openpgp:holds_secret_key",),
        most=4 << 20,
    )
    for kind in ("PUBLIC KEY", "RSA PUBLIC KEY"):
        for name, read, home in (
            ("public key", load_public_key, ("airgap.trust.keys.signatures:load_public_key", "airgap.cipher.sites:SiteKey.load")),
            ("key as hosts read it", load_pem_key, ("airgap.trust.keys.signatures:load_pem_key",)),
            ("key file", read_key_file, ("airgap.trust.keys.keyfiles:read_key_file",)),
            ("PEM", read_pem, ("airgap.trust.keys.pem:read_pem",)),
        ):
            yield Parser(
                f"{name}, {kind}",
                read,
                (seeds.pem(kind), (seeds.SAMPLES / "vendor.pub").read_bytes()),
                {
                    "lines": partial(seeds.pem, kind),
                    "blocks": partial(operator.mul, seeds.pem(kind)),
                    "begins": repeated(f"-----BEGIN {kind}-----\n"),
                    "dashes": repeated("-", b"-----BEGIN "),
                    "DER": repeated(b"\x30\x80"),
                },
                home,
                most=4 << 20,
            )
    yield Parser(
        "certificates",
        load_certificates,
        (seeds.pem("CERTIFICATE"),),
        {
            "lines": lambda n: seeds.pem("CERTIFICATE", n),
            "blocks": lambda n: seeds.pem("CERTIFICATE") * n,
            "begins": repeated("-----BEGIN CERTIFICATE-----\n"),
        },
        ("airgap.trust.keys.certificates:load_certificates",),
        most=4 << 20,
    )
    yield Parser(
        "key for encryption",
        lambda raw: SiteKey.load(raw, WHERE),
        (seeds.pem("PUBLIC KEY"),),
        {"lines": lambda n: seeds.pem("PUBLIC KEY", n)},
        ("airgap.cipher.sites:SiteKey.load",),
        most=64 << 10,
    )
    yield Parser(
        "key for decryption",
        lambda raw: SiteSecret.load(raw, lambda: None, WHERE),
        (seeds.pem("PRIVATE KEY"),),
        {"lines": lambda n: seeds.pem("PRIVATE KEY", n)},
        ("airgap.cipher.sites:SiteSecret.load",),
        most=64 << 10,
    )

    def private(raw: bytes) -> None:
        KeySigner.load(raw, lambda: b"x", "key")

    yield Parser(
        "private key",
        private,
        (seeds.pem("PRIVATE KEY"), seeds.pem("EC PRIVATE KEY"), seeds.pem("ENCRYPTED PRIVATE KEY")),
        {
            "lines": lambda n: seeds.pem("PRIVATE KEY", n),
            "cosign": lambda n: seeds.pem("ENCRYPTED COSIGN PRIVATE KEY", n),
            "cosign without an end": repeated("A ", b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n"),
            "blanks": repeated(" "),
        },
        ("airgap.trust.keys.signers:KeySigner.load",),
        most=64 << 10,
    )

    def cosign(raw: bytes) -> None:
        if is_cosign_key(raw):
            open_cosign_key(raw, b"")

    sealed = line_of(
        {
            "kdf": {"name": "scrypt", "params": {"N": 2, "r": 8, "p": 1}, "salt": ""},
            "cipher": {"name": "", "nonce": ""},
            "ciphertext": "",
        }
    )
    block = base64.b64encode(sealed)
    wrapped = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n" + block + b"\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
    yield Parser(
        "private key of cosign",
        cosign,
        (wrapped,),
        {"lines": lambda n: seeds.pem("ENCRYPTED SIGSTORE PRIVATE KEY", n)},
        ("airgap.trust.keys.cosignkey:open_cosign_key",),
        most=64 << 10,
    )
    yield Parser(
        "signature in base64",
        decode_signature,
        (b"MEQCIA==\n",),
        {"text": repeated("AAAA")},
        ("airgap.trust.keys.signatures:decode_signature",),
        most=64 << 10,
    )
    yield Parser(
        "base64",
        text(decode_base64),
        (b"AAAA", b"AA=="),
        {"text": repeated("AAAA"), "lines": repeated("\n"), "a wrong end": repeated("AAAA", b"", b"!")},
        ("airgap.trust.policy.fields:decode_base64",),
        most=4 << 20,
    )
    yield document(
        "payload of GPG",
        read_gpg_payload,
        seeds.payload(creator="x", timestamp=1),
        "airgap.trust.keys.payload:read_gpg_payload",
        most=64 << 10,
    )
    yield document(
        "payload of cosign",
        read_sigstore_payload,
        seeds.payload(),
        "airgap.trust.keys.payload:read_sigstore_payload",
        most=64 << 10,
        grow={"optional": seeds.of_value(lambda n: {"critical": {}, "optional": {f"k{i}": i for i in range(n)}})},
    )
    yield document(
        "sigstore bundle",
        read_bundle,
        seeds.sigstore_bundle(),
        "airgap.trust.sigstore.bundle:read_bundle",
        most=4 << 20,
        grow={
            "signatures": seeds.sigstore_bundle,
            "payload": lambda n: seeds.sigstore_bundle(1, n),
        },
    )
    yield document(
        "sigstore bundle of a catalog",
        lambda raw: read_signature(raw, b""),
        seeds.blob_bundle(),
        "airgap.trust.judge.catalogbundle:read_signature",
        "airgap.trust.judge.catalogbundle:read_message",
        most=64 << 10,
        grow={"signature": seeds.blob_bundle},
    )
    yield document(
        "statement",
        read_statement,
        line_of(seeds.STATEMENT),
        "airgap.trust.judge.sigstorebundle:read_statement",
        most=4 << 20,
        grow={"subjects": seeds.of_value(lambda n: {**seeds.STATEMENT, "subject": [{"digest": {"sha256": "0"}}] * n})},
    )
    yield document(
        "envelope",
        read_envelope,
        seeds.sigstore_envelope(),
        "airgap.trust.sigstore.bundle:read_envelope",
        most=12 << 20,
        grow={"signatures": seeds.sigstore_envelope, "payload": lambda n: seeds.sigstore_envelope(1, n)},
    )
    yield document(
        "attestation",
        read_attestation,
        seeds.provenance(),
        "airgap.trust.judge.provenance:read_attestation",
        most=9 << 20,
        grow={"subjects": seeds.provenance, "sources": lambda n: seeds.provenance(1, n)},
    )
    rekor = (load_public_key((seeds.SAMPLES / "vendor.pub").read_bytes()),)
    logged = Logged(seeds.pem("PUBLIC KEY"), b"x", b"y")
    yield document(
        "Rekor's promise",
        text(lambda text: check_set(text, rekor, logged)),
        seeds.log_promise(),
        "airgap.trust.keys.rekor:check_set",
        grow={"body": lambda n: seeds.log_promise(b"[" * n)},
        most=4 << 20,
    )
    yield Parser(
        "revoked keys",
        lambda raw: Revoked.parse(raw, WHERE),
        (b"0123456789abcdef # lost\n\n# x\n",),
        {
            "keys": numbered("0123456789abcdef # %d\n"),
            "blanks": repeated(" : ", b"0123456789abcde", b"f"),
            "line feeds": repeated("\n"),
        },
        ("airgap.trust.keys.revoked:Revoked.parse",),
        most=1 << 20,
    )
    yield document(
        "policy",
        parse_policy,
        seeds.policy(),
        "airgap.trust.policy.document:parse_policy",
        grow={
            "scopes": seeds.policy,
            "requirements": seeds.of_value(lambda n: {"default": [{"type": "reject"}] * n}),
            "a long scope": seeds.of_value(lambda n: {"default": [{"type": "reject"}], "transports": {"docker": {"a." * n: []}}}),
            "a long path": seeds.of_value(
                lambda n: {"default": [{"type": "reject"}], "transports": {"dir": {"/a" * n: [{"type": "reject"}]}}}
            ),
            "a long reference": seeds.of_value(
                lambda n: {
                    "default": [
                        {
                            "type": "signedBy",
                            "keyType": "GPGKeys",
                            "keyPath": "/k",
                            "signedIdentity": {"type": "exactReference", "dockerReference": "a/" * n + "b:1"},
                        }
                    ]
                }
            ),
        },
        most=4 << 20,
    )
