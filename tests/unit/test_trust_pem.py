"""Keys that podman and skopeo cannot read accept nothing here either, and policy check and mirror-config say so."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airgap.documents.custodysignatures import who_signed
from airgap.documents.receiptsignatures import check_receipt_signatures
from airgap.errors import Refused, UsageError
from airgap.oci.reference import Reference
from airgap.trust.keys import evidence as ev
from airgap.trust.keys.pem import read_pem
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import load_pem_key
from airgap.trust.keys.signers import KeySigner
from airgap.trust.policy.document import parse_policy
from tests.support import signing
from tests.support.cli import USAGE, failed, here
from tests.support.trustkit import judge_image

MANIFEST = b'{"schemaVersion":2}'
NAME = "example.com/ns/repo:tag"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
_EC, _RSA = signing.Key(), rsa.generate_private_key(65537, 2048)


def der(pem: bytes) -> bytes:
    return read_pem(pem).blocks[0].der


#: What skopeo 1.22 cannot read, measured with scripts/differential.
UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "DER": der,
    "an indented marker": lambda pem: b"  " + pem,
    "text before the marker on its line": lambda pem: b"x" + pem,
    "text after the end on its line": lambda pem: pem.rstrip(b"\n") + b"x\n",
    "a byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "another label": lambda pem: pem.replace(b"PUBLIC KEY", b"EC PUBLIC KEY"),
    "four dashes": lambda pem: pem.replace(b"-----BEGIN", b"----BEGIN"),
    "a damaged body": lambda pem: pem.replace(b"A", b"*", 1),
    "no end": lambda pem: pem[:-20],
}
READABLE: dict[str, Callable[[bytes], bytes]] = {
    "as openssl writes it": lambda pem: pem,
    "with text before": lambda pem: b"the vendor's key\n\n" + pem,
    "with text after": lambda pem: pem + b"of 2026\n",
    "with CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "without the last line end": lambda pem: pem.rstrip(b"\n"),
    "with blanks at line ends": lambda pem: pem.replace(b"\n", b" \n"),
}


def accepts(key: signing.Key | KeySigner, file: bytes) -> bool:
    wanted = {"type": "sigstoreSigned", "keyData": base64.b64encode(file).decode()}
    document = {"default": [{"type": "reject"}], "transports": {"docker": {"": [wanted]}}}
    data = signing.cosign_payload(MANIFEST, NAME)
    raw = key.sign(data) if isinstance(key, signing.Key) else key.sign_raw(data)
    signature = ev.SigstoreSignature(data, {ev.SIGNATURE: base64.b64encode(raw).decode()}, "s")
    policy = parse_policy(json.dumps(document).encode())
    return judge_image(policy, Reference.parse(NAME), ev.Evidence.of(MANIFEST, (), [signature])).accepted


@pytest.mark.parametrize("form", UNREADABLE)
def test_a_key_file_that_no_host_can_read_accepts_no_image(form: str) -> None:
    assert not accepts(_EC, UNREADABLE[form](_EC.pem))


@pytest.mark.parametrize("form", READABLE)
def test_a_key_file_that_every_host_can_read_is_read(form: str) -> None:
    assert accepts(_EC, READABLE[form](_EC.pem))


def test_rsa_keys_are_read_under_their_own_labels_only() -> None:
    signer, public = KeySigner(_RSA, "rsa"), _RSA.public_key()
    assert accepts(signer, public.public_bytes(PEM, SPKI))
    assert accepts(signer, public.public_bytes(PEM, PKCS1))
    assert not accepts(signer, public.public_bytes(DER, PKCS1))
    assert not accepts(signer, public.public_bytes(PEM, SPKI).replace(b"PUBLIC", b"RSA PUBLIC"))
    assert not accepts(signer, public.public_bytes(PEM, PKCS1).replace(b"RSA PUBLIC", b"PUBLIC"))


def test_der_is_told_with_the_command_that_converts_it() -> None:
    with pytest.raises(UsageError, match="not PEM") as refused:
        load_pem_key(der(_EC.pem))
    assert "openssl pkey" in refused.value.hint


def test_text_outside_of_blocks_is_passed_over_but_no_marker() -> None:
    assert [block.label for block in read_pem(b"a\n" + _EC.pem + b"b\n" + _EC.pem + b"c").blocks] == ["PUBLIC KEY"] * 2
    assert read_pem(b"").blocks == ()
    for text in (b"-----BEGIN X-----\n", _EC.pem + b"-----BEGIN X-----\n", b"-----END X-----\n" + _EC.pem, _EC.pem + b"x-----"):
        with pytest.raises(Refused):
            read_pem(text)


def policy_file(directory: Path, key: Path, transport: str = "docker") -> Path:
    scopes: dict[str, Any] = {"docker": {"vendor.example": [{"type": "sigstoreSigned", "keyPath": str(key)}]}}
    scopes["airgap"] = {"": [{"type": "sigstoreSigned", "keyPath": str(key)}]}
    file = directory / "policy.json"
    file.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {transport: scopes[transport]}}))
    return file


def test_policy_check_warns_of_a_der_key_for_images_and_not_for_bundles(tmp_path: Path) -> None:
    key = tmp_path / "vendor.der"
    key.write_bytes(der(_EC.pem))
    said = here("policy", "check", policy_file(tmp_path, key), "--json").stdout
    assert any("not PEM" in found["what"] for found in json.loads(said)["advice"]), said
    assert "not PEM" not in here("policy", "check", policy_file(tmp_path, key, "airgap"), "--json").stdout


def test_mirror_config_writes_no_policy_that_makes_every_host_refuse_every_image(tmp_path: Path) -> None:
    key = tmp_path / "vendor.der"
    key.write_bytes(der(_EC.pem))
    out = ["mirror-config", "--format", "policy", "--to", "docker://registry.site:5000/mirror", "--out", tmp_path / "out"]
    failed(here(*out, "--policy", policy_file(tmp_path, key)), USAGE, "podman and skopeo cannot read", "openssl pkey")
    failed(here(*out, "--site-key", key, "--policy", policy_file(tmp_path, key)), USAGE, "not PEM", "openssl pkey")
    assert not (tmp_path / "out").exists()


def test_a_der_key_is_not_taken_for_an_openpgp_key(tmp_path: Path) -> None:
    key = tmp_path / "site.der"
    key.write_bytes(der(_EC.pem))
    written = json.loads(here("policy", "init", "--key", key).stdout)
    held = base64.b64encode(_EC.pem).decode()  # as PEM, so that podman and skopeo could read it, too
    assert written["transports"]["airgap"][""] == [{"type": "sigstoreSigned", "keyData": held}]
    signer = _EC.signer
    signed = {f"plant.receipt.{signer.key_id}.sig": signer.sign(b"x")}
    assert check_receipt_signatures(b"x", signed, [key.read_bytes()], "plant.receipt")
    assert who_signed(b"x", "sig", signer.sign(b"x"), [key.read_bytes()], Revoked())[0]
