"""One key in two forms is one key: for the two-person rule, the list of revoked keys, receipts and custody logs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airgap import fsio
from airgap.documents.custodysignatures import who_signed
from airgap.documents.receiptsignatures import check_receipt_signatures
from airgap.errors import Refused
from airgap.limits import MAX_KEYRING
from airgap.trust.judge.bundles import Verdict, check_catalog_signatures, judge_stream
from airgap.trust.keys import gpg
from airgap.trust.keys.numbers import people
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import load_public_key, public_key
from airgap.trust.keys.signers import KeySigner, PrivateKey
from airgap.trust.policy.document import parse_policy
from tests.support.trustkit import GpgHome, gpg_home

RAW = b'{"schema":"airgap.catalog/1","stream":"prod"}\n'
SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
#: Primary keys and signing subkeys by gpg's names.
KINDS = ["rsa2048", "nistp256", "ed25519"]


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as made:
        yield made


@pytest.fixture(scope="module", params=KINDS)
def owner(request: pytest.FixtureRequest, home: GpgHome) -> str:
    """Somebody with an OpenPGP key whose numbers also exist in other files; its subkeys are of every kind."""
    fingerprint = home.new_key(f"owner {request.param}", algorithm=request.param)
    for kind in KINDS:
        home.run("--quick-add-key", fingerprint, kind.replace("nistp256", "nistp256/ecdsa"), "sign", "never")
    return fingerprint


def signer(key: PrivateKey) -> KeySigner:
    return KeySigner(key, "the same key")


def openpgp(path: Path) -> dict[str, Any]:
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(path)}


def raw_key(path: Path) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyPath": str(path)}


def judge(wanted: Sequence[dict[str, Any]], signatures: dict[str, bytes], revoked: Revoked | None = None) -> Verdict:
    document = {"default": [{"type": "reject"}], "transports": {"airgap": {"": list(wanted)}}}
    policy = parse_policy(json.dumps(document).encode())
    found = check_catalog_signatures(
        RAW, signatures, policy, lambda path: fsio.read_input(Path(path), MAX_KEYRING, "key file"), revoked or Revoked()
    )
    return judge_stream(found, policy, "prod")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(PEM, SPKI)


def test_one_key_as_pem_and_within_openpgp_does_not_count_as_two_people(home: GpgHome, owner: str, tmp_path: Path) -> None:
    ring = write(tmp_path / "owner.asc", home.export(owner))
    by_openpgp = {"catalog.json.0123456789abcdef.asc": home.detached(owner, RAW)}
    for number, key in enumerate(home.private(owner)):  # the primary key and every subkey
        same = signer(key)
        pem = write(tmp_path / f"{number}.pub", spki(key))
        both = {**by_openpgp, f"catalog.json.{same.key_id}.sig": same.sign(RAW)}
        for wanted in ([openpgp(ring), raw_key(pem)], [raw_key(pem), openpgp(ring)]):
            with pytest.raises(Refused, match="too few different keys") as refused:
                judge(wanted, both)
            assert "another file format" in refused.value.got
        assert judge([openpgp(ring)], both).signers
        assert judge([raw_key(pem)], both).signers


def test_one_key_in_two_openpgp_keys_of_another_time_does_not_count_as_two_people(home: GpgHome, tmp_path: Path) -> None:
    """The fingerprint of an OpenPGP key has its time in it, so the same numbers can have any number of fingerprints."""
    first = home.new_key("first", algorithm="rsa2048")
    packet = home.run("--export-secret-keys", first)
    grip = next(
        line.split(":")[9] for line in home.run("--with-colons", "-K", first).decode().splitlines() if line.startswith("grp:")
    )
    batch = f"Key-Type: RSA\nKey-Grip: {grip}\nKey-Usage: sign\nName-Real: second\n%no-protection\n%commit\n"
    before = set(home.fingerprints())
    home.run("--faked-system-time", "20200101T000000!", "--full-generate-key", data=batch.encode())
    second = (set(home.fingerprints()) - before).pop()
    assert packet
    wanted = [openpgp(write(tmp_path / f"{one}.asc", home.export(one))) for one in (first, second)]
    signatures = {f"catalog.json.{gpg.key_id(one)}.asc": home.detached(f"{one}!", RAW) for one in (first, second)}
    with pytest.raises(Refused, match="too few different keys"):
        judge(wanted, signatures)


def test_two_keys_are_two_people_in_whatever_form(home: GpgHome, owner: str, tmp_path: Path) -> None:
    ring = write(tmp_path / "owner.asc", home.export(owner))
    other = signer(ec.generate_private_key(ec.SECP256R1()))
    pem = write(tmp_path / "other.pub", other.public.pem)
    signatures = {
        "catalog.json.0123456789abcdef.asc": home.detached(owner, RAW),
        f"catalog.json.{other.key_id}.sig": other.sign(RAW),
    }
    assert len(judge([openpgp(ring), raw_key(pem)], signatures).signers) == 2


@pytest.mark.parametrize("make", [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP256R1())])
def test_one_key_in_two_files_does_not_count_as_two_people(make: Any, tmp_path: Path) -> None:
    key = make()
    same = signer(key)
    public = key.public_key()
    forms = [public.public_bytes(PEM, SPKI), public.public_bytes(DER, SPKI), b"a remark\n" + public.public_bytes(PEM, SPKI)]
    if isinstance(public, rsa.RSAPublicKey):
        forms += [public.public_bytes(PEM, PKCS1), public.public_bytes(DER, PKCS1)]
    else:
        forms.append(_compressed(public))
    files = [write(tmp_path / f"{number}.pub", data) for number, data in enumerate(forms)]
    signatures = {f"catalog.json.{same.key_id}.sig": same.sign(RAW), "catalog.json.0123456789abcdef.sig": same.sign(RAW)}
    for file in files[1:]:
        with pytest.raises(Refused, match="too few different keys"):
            judge([raw_key(files[0]), raw_key(file)], signatures)


def _compressed(public: ec.EllipticCurvePublicKey) -> bytes:
    """The same key with the point written compressed; there, too, P-256 in a SubjectPublicKeyInfo (RFC 5480)."""
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    head = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    body = head + bytes([3, len(point) + 1, 0]) + point
    return bytes([0x30, len(body)]) + body


def test_a_key_revoked_by_its_openpgp_fingerprint_is_revoked_as_pem_too(home: GpgHome, owner: str, tmp_path: Path) -> None:
    ring = write(tmp_path / "owner.asc", home.export(owner))
    helper = write(tmp_path / "helper.pub", signer(ec.generate_private_key(ec.SECP256R1())).public.pem)
    for name in (owner, owner[-16:]):
        revoked = Revoked.parse(f"{name} # stolen\n".encode(), "revoked.txt")
        for key in home.private(owner):  # who revokes the primary key revokes its subkeys
            same = signer(key)
            pem = write(tmp_path / "owner.pub", spki(key))
            signed = {f"catalog.json.{same.key_id}.sig": same.sign(RAW)}
            anywhere = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(ring)}
            document = {
                "default": [{"type": "reject"}],
                "transports": {"airgap": {"": [raw_key(pem)], "other": [raw_key(helper), anywhere]}},
            }
            policy = parse_policy(json.dumps(document).encode())
            with pytest.raises(Refused, match=r"stolen|not signed as the policy"):
                check_catalog_signatures(RAW, signed, policy, lambda path: Path(path).read_bytes(), revoked)
            assert check_catalog_signatures(RAW, signed, policy, lambda path: Path(path).read_bytes())


def test_a_key_revoked_by_the_digest_of_its_pem_is_revoked_within_openpgp_too(home: GpgHome, owner: str, tmp_path: Path) -> None:
    ring = write(tmp_path / "owner.asc", home.export(owner))
    signature = {"catalog.json.0123456789abcdef.asc": home.detached(f"{owner}!", RAW)}
    fingerprint = public_key(home.private(owner)[0].public_key()).fingerprint
    assert judge([openpgp(ring)], signature).signers
    for name in (fingerprint, fingerprint[:16]):
        with pytest.raises(Refused, match="signature that the policy requires is missing") as refused:
            judge([openpgp(ring)], signature, Revoked.parse(f"{name} # stolen".encode(), "revoked.txt"))
        assert "stolen" in refused.value.got


def test_a_subkey_revoked_by_the_digest_of_its_pem_no_longer_signs_and_its_primary_key_does(
    home: GpgHome, owner: str, tmp_path: Path
) -> None:
    ring = write(tmp_path / "owner.asc", home.export(owner))
    listed = {key.primary: key for key in gpg.listed_keys([home.export(owner)])}[owner]
    (_, *subkeys) = listed.numbers.items()
    assert len(subkeys) == len(KINDS)
    for fingerprint, number in subkeys:
        revoked = Revoked.parse(number.encode(), "revoked.txt")
        name = f"catalog.json.{gpg.key_id(owner)}.asc"
        with pytest.raises(Refused, match="missing"):
            judge([openpgp(ring)], {name: home.detached(f"{fingerprint}!", RAW)}, revoked)
        assert judge([openpgp(ring)], {name: home.detached(f"{owner}!", RAW)}, revoked).signers


def test_receipts_and_custody_logs_know_a_revoked_key_in_another_form(home: GpgHome, owner: str) -> None:
    key = home.private(owner)[0]
    same, keys = signer(key), [spki(key), home.export(owner)]
    revoked = Revoked.parse(owner.encode(), "revoked.txt")
    signed = {f"plant.receipt.{same.key_id}.sig": same.sign(RAW)}
    assert check_receipt_signatures(RAW, signed, keys, "plant.receipt")
    with pytest.raises(Refused, match="not signed by a key of the site"):
        check_receipt_signatures(RAW, signed, keys, "plant.receipt", revoked)
    assert who_signed(RAW, "sig", same.sign(RAW), keys, Revoked())[0]
    who, why = who_signed(RAW, "sig", same.sign(RAW), keys, revoked)
    assert (who, "revoked" in why) == ("", True)


def test_numbers_of_openpgp_keys_are_the_fingerprints_of_the_same_keys_in_pem(home: GpgHome, owner: str) -> None:
    listed = {key.primary: key for key in gpg.listed_keys([home.export(owner)])}[owner]
    assert list(listed.numbers.values()) == [load_public_key(spki(key)).fingerprint for key in home.private(owner)]


def test_keys_that_no_pem_file_holds_have_numbers_of_their_own(home: GpgHome) -> None:
    made = [home.new_key(kind, algorithm=kind) for kind in ("dsa2048", "brainpoolP256r1", "secp256k1")]
    numbers = [number for key in gpg.listed_keys([home.export(*made)]) for number in key.numbers.values()]
    assert len(set(numbers)) == len(made) == len(numbers)


def test_people_are_joined_by_any_number_that_they_share() -> None:
    found = people({"a": {"1"}, "b": {"2"}, "c": {"3", "4"}, "d": {"2", "1"}, "e": {"5"}, "f": {"4"}})
    assert found["a"] == found["b"] == found["d"]
    assert found["c"] == found["f"]
    assert len(set(found.values())) == 3
