"""Who signed a receipt: detached signatures beside it, made and checked like those of a catalog (``FILE.<id>.sig``, ``.asc``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged, Refused
from airgap.limits import MAX_SIGNATURE, MAX_SIGNATURES
from airgap.text import listing, printable
from airgap.trust.judge.findings import Finding, find_openpgp, find_raw
from airgap.trust.keys.gpg import is_openpgp, listed_keys
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.requirements import KeySource

_SUFFIX = re.compile(r"\.[0-9a-f]{16}\.(?:sig|asc)", re.ASCII)
_NONE = Revoked()
_SITE = KeySource(paths=("the site's key",))


def signature_paths(path: Path) -> list[Path]:
    """Where there are signatures of a receipt: the files beside it that are named after it and a key.

    Raises:
        Damaged: there are more than 128.
        MediaError: the disk refuses.
    """
    with fsio.disk_errors("cannot read the directory", path.parent):
        beside = [entry for entry in path.parent.iterdir() if entry.name.startswith(path.name)]
    found = sorted(entry for entry in beside if _SUFFIX.fullmatch(entry.name[len(path.name) :]))
    if len(found) > MAX_SIGNATURES:
        raise Damaged("too many signature files", where=printable(str(path.parent)), expected=f"at most {MAX_SIGNATURES}")
    return found


def signature_files(path: Path) -> dict[str, bytes]:
    """The signature files beside a receipt, by name.

    Raises:
        Damaged: one is not a regular file or too large, or there are too many.
        MediaError: the disk refuses.
    """
    return {one.name: fsio.read_capped(one, MAX_SIGNATURE) for one in signature_paths(path)}


def check_receipt_signatures(
    raw: bytes, signatures: Mapping[str, bytes], keys: Sequence[bytes], where: str, revoked: Revoked = _NONE
) -> tuple[str, ...]:
    """Refuse a receipt that none of these keys has signed; else who has, for people.

    Args:
        raw: the receipt's exact bytes, not parsed yet.
        signatures: as :func:`signature_files` gives them.
        keys: public keys of the site: PEM, or OpenPGP keyrings.
        where: the receipt, for messages.
        revoked: keys whose signatures count as none.

    Raises:
        Refused: there is no valid signature by one of the keys.
        UsageError: a key is invalid.
    """
    findings = _findings(raw, signatures, keys, revoked)
    signers = {key: who for finding in findings for key, who in finding.signers.items()}
    if signers:
        return tuple(signers.values())
    failures = [f"{name}: {why}" for finding in findings for name, why in finding.failures.items()]
    raise Refused(
        "the receipt is not signed by a key of the site",
        where=where,
        expected=" or ".join(finding.wanted for finding in findings) or "a key to check it with",
        got=listing(failures) if signatures else "no signature next to it",
        hint="add the receipt's .sig or .asc file, or name the key that the site signs with",
    )


def _findings(raw: bytes, signatures: Mapping[str, bytes], keys: Sequence[bytes], revoked: Revoked) -> list[Finding]:
    rings = [key for key in keys if is_openpgp(key)]
    pems = [key for key in keys if not is_openpgp(key)]
    found = []
    if revoked.keys and rings:
        revoked = revoked.in_every_form(listed_keys(rings))
    if pems:
        found.append(find_raw(pems, _SITE, raw, signatures, revoked))
    if rings:
        found.append(find_openpgp("an OpenPGP signature", rings, raw, signatures, revoked))
    return found
