"""Who signed the entries of a custody log: detached signatures as over a catalog, kept inside the entry."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.trust.judge.findings import find_openpgp, find_raw
from airgap.trust.keys.gpg import is_openpgp, listed_keys
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.requirements import KeySource

_SOURCE = KeySource(paths=("the given keys",))


def who_signed(content: bytes, form: str, signature: bytes, keys: Sequence[bytes], revoked: Revoked) -> tuple[str, str]:
    """Which of these keys made a signature.

    Args:
        content: what was signed.
        form: ``sig`` (base64 of a raw signature) or ``asc`` (armored OpenPGP).
        signature: as a signature file would hold it.
        keys: public keys: PEM, or OpenPGP keyrings.
        revoked: keys whose signatures count as none.

    Returns:
        The key for people and an empty text, or an empty text and why it is not a valid signature by one of them.

    Raises:
        UsageError: a key is invalid.
    """
    name = f"signature.{form}"
    rings = [key for key in keys if is_openpgp(key)]
    if revoked.keys and rings:
        revoked = revoked.in_every_form(listed_keys(rings))
    if form == "asc":
        found = find_openpgp("an OpenPGP signature", rings, content, {name: signature}, revoked) if rings else None
    else:
        pems = [key for key in keys if key not in rings]
        found = find_raw(pems, _SOURCE, content, {name: signature}, revoked) if pems else None
    if found is None:
        return "", "no key of its kind was given to check it"
    who = next(iter(found.signers.values()), "").removesuffix(f" ({name})")
    return who, "" if who else found.failures.get(name, found.obstacle or "not a valid signature")
