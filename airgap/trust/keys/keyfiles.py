"""Files with public keys that somebody means to trust: what is in them is read and checked before a policy names them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from airgap.errors import AirgapError, MediaError, Refused, UsageError
from airgap.text import listing
from airgap.trust.keys import gpg
from airgap.trust.keys.openpgp import holds_secret_key
from airgap.trust.keys.signatures import load_pem_key, load_public_key

_ID_LENGTH = 16
_PRIVATE_HINT = "give the public key; keep the private key secret"


@dataclass(frozen=True)
class KeyFile:
    """The public keys in one file.

    Attributes:
        openpgp: whether they are OpenPGP keys, else it is one key of another kind.
        fingerprints: of every key: the SHA-256 of its SPKI encoding, or the OpenPGP fingerprint; lower-case hex.
        data: the same keys in the form that podman and skopeo read in ``keyData``: PEM, or a binary keyring.
        remarks: about keys in it that do not count.
    """

    openpgp: bool
    fingerprints: tuple[str, ...]
    data: bytes
    remarks: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The short names of the keys, as messages and signature files have them."""
        return tuple(gpg.key_id(one) if self.openpgp else one[:_ID_LENGTH] for one in self.fingerprints)

    @property
    def names(self) -> frozenset[str]:
        """Everything that the keys can be called."""
        return frozenset((*self.fingerprints, *self.ids))

    def besides(self, names: Collection[str]) -> tuple[str, ...]:
        """The fingerprints of the keys that have none of these names."""
        return tuple(one for one, short in zip(self.fingerprints, self.ids, strict=True) if one not in names and short not in names)


def check_key_file(content: bytes, *, openpgp: bool | None = None, as_it_is: bool = False) -> KeyFile:
    """Read a file with a public key for signatures that are still to be made.

    Args:
        content: of the file.
        openpgp: what it must be; None: whatever it is.
        as_it_is: podman and skopeo will read the file itself, and so it must have the one form of PEM that they read.

    Raises:
        UsageError: it holds no public key or a private one, or no key in it can sign any more.
    """
    if openpgp is None:
        openpgp = gpg.is_openpgp(content)
    try:
        return _openpgp(content) if openpgp else _other(content, as_it_is)
    except Refused as error:
        raise UsageError(error.what, expected=error.expected, got=error.got, hint=error.hint) from error


def read_key_file(content: bytes) -> KeyFile:
    """The keys in a file or a ``keyData``, whether or not they still count; to name them, not to trust them.

    Raises:
        AirgapError: there is no key in it.
    """
    if not gpg.is_openpgp(content):
        return _other(content, as_it_is=False)
    with gpg.open_keyring([content]) as ring:
        return KeyFile(True, tuple(sorted(primary.lower() for primary in ring.primaries)), ring.export())


def keyring_without(content: bytes, names: Collection[str]) -> bytes:
    """A binary keyring without the keys that have one of these names. Raises as :func:`read_key_file`."""
    with gpg.open_keyring([content]) as ring:
        found = KeyFile(True, tuple(sorted(primary.lower() for primary in ring.primaries)), b"")
        kept = found.besides(names)
        return ring.export(*kept) if kept else b""


def called(content: bytes) -> str:
    """Keys that are in the policy itself, for people: by their ids, if they can be read."""
    try:
        ids = read_key_file(content).ids
    except MediaError:
        raise
    except AirgapError:
        return "the key in the policy itself"
    return (
        f"key {ids[0]} in the policy itself" if len(ids) == 1 else f"one of the keys {listing(list(ids), 8)} in the policy itself"
    )


def _openpgp(content: bytes) -> KeyFile:
    if holds_secret_key(content):
        raise UsageError("a private key instead of a public key", expected="gpg --armor --export KEY", hint=_PRIVATE_HINT)
    with gpg.open_keyring([content]) as ring:
        unusable = {primary: why for primary, why in ring.unusable().items() if why}
        remarks = tuple(f"key {gpg.key_id(primary)} does not count: {why}" for primary, why in sorted(unusable.items()))
        if unusable.keys() >= ring.primaries:
            why = listing([f"key {gpg.key_id(primary)}: {reason}" for primary, reason in sorted(unusable.items())], 4)
            hint = "ask the signer for the current public key: gpg --armor --export KEY"
            raise UsageError("no key in this file can sign", expected="an OpenPGP key that is valid now", got=why, hint=hint)
        return KeyFile(True, tuple(sorted(primary.lower() for primary in ring.primaries)), ring.export(), remarks)


def _other(content: bytes, as_it_is: bool) -> KeyFile:
    if b"-----BEGIN" not in content and _is_private_der(content):
        raise UsageError("a private key instead of a public key", hint=_PRIVATE_HINT)
    key = (load_pem_key if as_it_is else load_public_key)(content)
    return KeyFile(False, (key.fingerprint,), key.pem)


def _is_private_der(content: bytes) -> bool:
    try:
        serialization.load_der_private_key(content, None)
    except TypeError:  # it is encrypted
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
