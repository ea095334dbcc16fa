"""Keys identified by their public numbers, so that one key counts once in any encoding: PEM, DER, SPKI, PKCS #1 or OpenPGP.

A number is a text: for every kind of key that :mod:`airgap.trust.keys.signatures` takes it is that key's fingerprint, the SHA-256
of its SPKI encoding; for others, which only OpenPGP has, a digest of what gpg says (``doc/DETAILS`` of GnuPG, ``pkd`` records).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from airgap.errors import UsageError
from airgap.trust.keys.signatures import PublicKey, RawKey, public_key

_RSA = ("1", "2", "3")
#: Object identifiers of curves as OpenPGP writes them: a length, then DER's content (RFC 4880bis, section 9.2; RFC 6637).
_CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "082A8648CE3D030107": ec.SECP256R1,
    "052B81040022": ec.SECP384R1,
    "052B81040023": ec.SECP521R1,
}
_ED25519 = "092B06010401DA470F01"
_NATIVE = "40"  # before a point that is written as the algorithm has it


@dataclass(frozen=True, slots=True)
class OpenPgpKey:
    """A primary key with its subkeys: fingerprint (upper-case hex) -> number, the primary key first."""

    numbers: Mapping[str, str]

    @property
    def primary(self) -> str:
        """The primary fingerprint."""
        return next(iter(self.numbers))


def number_of(key: PublicKey) -> str:
    """The number of a key from a file or a certificate."""
    return key.fingerprint


def openpgp_keys(listing: str) -> tuple[OpenPgpKey, ...]:
    """The keys in a listing of gpg (``--with-colons --with-key-data``)."""
    found: list[dict[str, str]] = []
    algorithm, fingerprint = "", ""
    values: list[str] = []

    def end() -> None:
        if found and fingerprint:
            found[-1][fingerprint] = _number(algorithm, values)

    for line in listing.split("\n"):
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            end()
            algorithm, fingerprint, values = fields[3], "", []
            if fields[0] == "pub":
                found.append({})
        elif fields[0] == "fpr" and not fingerprint:
            fingerprint = fields[9]
        elif fields[0] == "pkd":
            values.append(fields[3])
    end()
    return tuple(OpenPgpKey(numbers) for numbers in found if numbers)


def unusable_keys(listing: str) -> dict[str, str]:
    """Why no signature by a key in a listing of gpg counts, by primary fingerprint; empty for a key that can sign.

    gpg writes the letter of what a key with all its subkeys can still do in upper case (``doc/DETAILS``, field 12).
    """
    found: dict[str, str] = {}
    reason: str | None = None
    for line in listing.split("\n"):
        fields = line.split(":")
        if fields[0] == "pub":
            expiry = datetime.fromtimestamp(int(fields[6]), UTC).date().isoformat() if fields[6].isdecimal() else ""
            spoiled = {"e": f"expired on {expiry}", "r": "revoked", "d": "disabled", "i": "invalid"}
            reason = spoiled.get(fields[1], "" if "S" in fields[11] else "cannot sign")
        elif fields[0] == "fpr" and reason is not None:
            found[fields[9]], reason = reason, None
    return found


def people(signers: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Group signers: signer -> a name shared by all signers that have a number in common, directly or through others.

    Args:
        signers: the numbers of every signer's key, subkeys included.
    """
    names: dict[str, str] = {}
    for signer, numbers in signers.items():
        mine = {names[f"#{number}"] for number in numbers if f"#{number}" in names}
        name = min(mine, default=signer)
        names = {key: name if value in mine else value for key, value in names.items()}
        names |= {signer: name, **{f"#{number}": name for number in numbers}}
    return {signer: names[signer] for signer in signers}


def names_of(key: OpenPgpKey, fingerprint: str) -> Iterator[str]:
    """What one of its keys is called in a list of revoked keys: by fingerprint, id, number, and the number's first digits."""
    number = key.numbers.get(fingerprint, "")
    yield from (fingerprint, fingerprint[-16:], *((number, number[:16]) if number else ()))


def _number(algorithm: str, values: Sequence[str]) -> str:
    try:
        return number_of(public_key(_raw_key(algorithm, values)))
    except (ValueError, IndexError, UsageError, UnsupportedAlgorithm):  # of a kind that no other file holds
        return hashlib.sha256(":".join(("openpgp", _family(algorithm), *values)).encode()).hexdigest()


def _raw_key(algorithm: str, values: Sequence[str]) -> RawKey:
    if algorithm in _RSA:
        return rsa.RSAPublicNumbers(int(values[1], 16), int(values[0], 16)).public_key()
    if values[0] == _ED25519 and values[1].startswith(_NATIVE):
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(values[1][len(_NATIVE) :]))
    if values[0] not in _CURVES:
        raise ValueError(values[0])
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[values[0]](), bytes.fromhex(values[1]))


def _family(algorithm: str) -> str:
    return "1" if algorithm in _RSA else algorithm


def all_numbers(keys: Iterable[OpenPgpKey]) -> dict[str, frozenset[str]]:
    """Primary fingerprint -> the numbers of the key and its subkeys."""
    return {key.primary: frozenset(key.numbers.values()) for key in keys}
