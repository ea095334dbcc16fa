"""What a log entry is about: it must be this very signature, by this signer, over this content (CVE-2022-36056).

Sources: Rekor's types ``hashedrekord`` and ``dsse`` 0.0.1, ``intoto`` 0.0.2; Rekor 2's ``hashedrekord`` and ``dsse`` 0.0.2
(``rekor-tiles``, ``protobuf-specs``: ``PublicKeyDetails``). An entry of ``dsse`` 0.0.1 and ``intoto`` also holds a hash of the
envelope as it was sent, which nobody can compute from a bundle; its payload and its signature are compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.keys.rekor import HASHES, Logged, check_entry, check_hash, check_signer, check_value, data, exact
from airgap.trust.keys.signatures import PublicKey
from airgap.trust.sigstore.bundle import PAYLOAD_TYPE

_HASH_NAMES = {f"SHA2_{name[3:]}": name for name in HASHES}
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
#: How Rekor 2 calls the algorithm of a key, and how RSA keys begin.
_DETAILS = {
    "ECDSA P-256": ("PKIX_ECDSA_P256_SHA_256",),
    "ECDSA P-384": ("PKIX_ECDSA_P384_SHA_384", "PKIX_ECDSA_P384_SHA_256"),
    "ECDSA P-521": ("PKIX_ECDSA_P521_SHA_512", "PKIX_ECDSA_P521_SHA_256"),
    "Ed25519": ("PKIX_ED25519",),
}
_RSA_DETAILS = "PKIX_RSA_PKCS1V15_{}_SHA256"


@dataclass(frozen=True)
class LoggedSignature:
    """A signature that must have been logged.

    Args:
        key: the signer's key.
        pem: their certificate, or their key where they have none.
        der: the same.
        certified: which of the two.
        signature: the raw signature.
        data: the bytes that it is over.
        payload: what an envelope holds; None where there is none.
    """

    key: PublicKey
    pem: bytes
    der: bytes
    certified: bool
    signature: bytes
    data: bytes
    payload: bytes | None = None


def check_body(kind: str, version: str, body: bytes, signed: LoggedSignature) -> None:
    """Check that an entry's body is about a signature.

    Raises:
        Refused: it is about another one, or of a kind that says nothing about such content.
        Damaged: it cannot be read.
    """
    if (kind, version) not in (_OF_MESSAGES if signed.payload is None else _OF_STATEMENTS):
        got = printable(f"{kind} {version}", 80)
        raise Refused("the log entry is of a kind that cannot be about this content", got=got)
    if (kind, version) not in _CHECKS:
        check_entry(body, Logged(signed.pem, signed.signature, signed.data, verbatim=True), HASHES)
        return
    entry = exact(strictjson.parse_object(body, "entry"), "kind", "apiVersion", "spec")
    if (entry["kind"], entry["apiVersion"]) != (kind, version):
        raise Refused("the log entry has another kind", expected=printable(f"{kind} {version}", 80))
    if (kind, version) in _FIRST:
        _FIRST[kind, version](entry["spec"], Logged(signed.pem, signed.signature, signed.payload or b"", verbatim=True))
    else:
        _SECOND[kind, version](entry["spec"], signed)


def check_envelope(body: bytes, logged: Logged) -> None:
    """Check that the body of an entry of Rekor 1 is about an envelope that is here whole, as cosign keeps it under ``.att`` tags.

    Args:
        body: the entry's body: ``dsse`` 0.0.1, ``intoto`` 0.0.1 or 0.0.2.
        logged: what it must be about; ``envelope`` is the envelope's own bytes.

    Raises:
        Refused: it is about another one.
        Damaged: it cannot be read.
    """
    entry = exact(strictjson.parse_object(body, "entry"), "kind", "apiVersion", "spec")
    checks = {**_FIRST, ("intoto", "0.0.1"): _first_intoto}
    check = checks.get((str(entry["kind"]), str(entry["apiVersion"])))
    if check is None:
        raise Refused("the log entry has another kind", expected=" or ".join(map(" ".join, checks)))
    check(entry["spec"], logged)


def _first_envelope(spec: object, logged: Logged) -> None:
    """``dsse`` 0.0.1."""
    fields = exact(spec, "envelopeHash", "payloadHash", "signatures")
    _check_form(fields["envelopeHash"])
    _check_payload(fields["payloadHash"], logged)
    signature = exact(_only(fields["signatures"]), "signature", "verifier")
    check_value(data(signature["signature"]), logged.signature, "signature")
    if logged.verbatim:
        check_value(data(signature["verifier"]), logged.signer_pem, "key")
    check_signer(data(signature["verifier"]), logged.signer_pem)


def _first_intoto(spec: object, logged: Logged) -> None:
    """``intoto`` 0.0.1, which has no signature, but the hash of the envelope that has it."""
    fields = exact(spec, "content", "publicKey")
    content = exact(fields["content"], "hash", "payloadHash")
    _check_payload(content["payloadHash"], logged)
    digest = exact(content["hash"], "algorithm", "value")
    if (digest["algorithm"], digest["value"]) != ("sha256", hashlib.sha256(logged.envelope).hexdigest()):
        raise Refused("the log entry is for another signature")
    check_signer(data(fields["publicKey"]), logged.signer_pem)


def _second_intoto(spec: object, logged: Logged) -> None:
    """``intoto`` 0.0.2, which writes signatures in base64 twice, and sometimes holds the payload, likewise."""
    content = exact(exact(spec, "content")["content"], "envelope", "hash", "payloadHash")
    _check_form(content["hash"])
    _check_payload(content["payloadHash"], logged)
    envelope = strictjson.mapping(content["envelope"], "envelope")
    if "payload" in envelope:
        check_value(_twice(envelope["payload"]), logged.payload, "payload")
    fields = exact({name: value for name, value in envelope.items() if name != "payload"}, "payloadType", "signatures")
    check_value(strictjson.string(fields["payloadType"], "payloadType").encode(), PAYLOAD_TYPE.encode(), "payload")
    signature = strictjson.mapping(_only(fields["signatures"]), "signature")
    signature = exact({name: value for name, value in signature.items() if name != "keyid"}, "publicKey", "sig")
    check_value(_twice(signature["sig"]), logged.signature, "signature")
    check_signer(data(signature["publicKey"]), logged.signer_pem)


def _second_record(spec: object, signed: LoggedSignature) -> None:
    """``hashedrekord`` 0.0.2; for a statement, of its encoding."""
    fields = exact(exact(spec, "hashedRekordV002")["hashedRekordV002"], "data", "signature")
    _check_digest(fields["data"], signed.data)
    _check_second(fields["signature"], signed)


def _second_envelope(spec: object, signed: LoggedSignature) -> None:
    """``dsse`` 0.0.2."""
    fields = exact(exact(spec, "dsseV002")["dsseV002"], "payloadHash", "signatures")
    _check_digest(fields["payloadHash"], signed.payload or b"")
    _check_second(_only(fields["signatures"]), signed)


#: Entries of Rekor 1 about statements. What is not here is ``hashedrekord`` 0.0.1, which is read where annotations of tags are.
_FIRST: dict[tuple[str, str], Callable[[object, Logged], None]] = {
    ("dsse", "0.0.1"): _first_envelope,
    ("intoto", "0.0.2"): _second_intoto,
}
#: Entries of Rekor 2.
_SECOND: dict[tuple[str, str], Callable[[object, LoggedSignature], None]] = {
    ("hashedrekord", "0.0.2"): _second_record,
    ("dsse", "0.0.2"): _second_envelope,
}
_CHECKS = (*_FIRST, *_SECOND)
_OF_MESSAGES = (("hashedrekord", "0.0.1"), ("hashedrekord", "0.0.2"))
_OF_STATEMENTS = _CHECKS


def _check_payload(value: object, logged: Logged) -> None:
    check_hash(exact(value, "algorithm", "value"), logged.payload, ("sha256",))


def _check_form(value: object) -> None:
    """A hash that nobody can compute here must at least be one."""
    fields = exact(value, "algorithm", "value")
    if fields["algorithm"] != "sha256" or not _HEX.fullmatch(strictjson.string(fields["value"], "hash")):
        raise Damaged("the hash of the envelope in the log entry is none", expected="SHA-256, in hex")


def _check_digest(value: object, content: bytes) -> None:
    """A hash as Rekor 2 writes it."""
    fields = exact(value, "algorithm", "digest")
    name = _HASH_NAMES.get(strictjson.string(fields["algorithm"], "algorithm"))
    if name is None:
        raise Damaged("the log entry has an unknown hash", expected=", ".join(_HASH_NAMES))
    check_value(data(fields["digest"]), hashlib.new(name, content).digest(), "payload")


def _check_second(value: object, signed: LoggedSignature) -> None:
    """A signature as Rekor 2 writes it."""
    fields = exact(value, "content", "verifier")
    check_value(data(fields["content"]), signed.signature, "signature")
    form = "x509Certificate" if signed.certified else "publicKey"
    verifier = exact(fields["verifier"], "keyDetails", form)
    check_value(data(exact(verifier[form], "rawBytes")["rawBytes"]), signed.der, "key")
    details = strictjson.string(verifier["keyDetails"], "keyDetails")
    if details not in _details(signed.key):
        raise Refused("the log entry is for another kind of key", got=printable(details, 80))


def _details(key: PublicKey) -> tuple[str, ...]:
    return _DETAILS.get(key.kind) or (_RSA_DETAILS.format(key.kind.removeprefix("RSA ")),)


def _only(value: object) -> Any:
    values = strictjson.array(value, "signatures")
    if len(values) != 1:
        raise Damaged("not exactly one signature in the log entry", expected="1", got=str(len(values)))
    return values[0]


def _twice(value: object) -> bytes:
    try:
        return data(data(value).decode("ascii"))
    except UnicodeDecodeError as error:
        raise Damaged("not base64") from error
