"""A chart's provenance file: a clear-signed text with the archive's digest (helm.sh, "Helm Provenance and Integrity")."""

from __future__ import annotations

from pathlib import Path

from airgap import fsio
from airgap.errors import Refused
from airgap.limits import MAX_KEYRING, MAX_SIGNATURE_BLOB
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.keys.gpg import open_keyring
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Bounds, Fields

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
#: What to do about a chart that is not proven.
_ASK = "ask the chart's publisher for its keys; without keyring: in the list it is carried unproven"
_BOUNDS = Bounds(depth=32, nodes=200_000)


def is_provenance(content: bytes) -> bool:
    """Whether a file is of the form at all: servers answer with a page where there is none."""
    return content.lstrip()[: len(_BEGIN)] == _BEGIN


def check_provenance(content: bytes, file: str, digest: Digest, keyring: Path, where: str) -> str:
    """Check that a key of a keyring signed for an archive, as ``helm verify`` does.

    Args:
        content: the provenance file.
        file: the archive's name.
        digest: the archive's.
        keyring: a file of public keys, binary or armored.
        where: the chart, for messages.

    Returns:
        The fingerprint of the primary key.

    Raises:
        Refused: it is not signed by exactly one of these keys, or not for this archive.
        UsageError: the keyring cannot be read, or gpg is not installed.
    """
    try:
        with open_keyring([fsio.read_input(keyring, MAX_KEYRING, "keyring")]) as ring:
            good, text = ring.open_clear_signed(content, MAX_SIGNATURE_BLOB)
    except Refused as error:
        error.where = error.where or where
        error.hint = error.hint or _ASK
        raise
    signed = signed_digest(text.decode("utf-8", "replace"), file)
    if signed != digest:
        raise Refused(
            "the provenance file is not for this archive",
            where=where,
            expected=f"{file}: {digest}",
            got=printable(signed, 100),
            hint=_ASK,
        )
    return good.primary


def signed_digest(text: str, file: str) -> str:
    """What a signed text says of a file: after the metadata and a line ``...`` come the digests, by name, as Helm reads it."""
    parts = text.replace("\r\n", "\n").split("\n...\n")
    documents, problems = nodes.compose(parts[1] if len(parts) > 1 else "", bounds=_BOUNDS)
    sums = documents[0] if len(documents) == 1 and not problems else None
    files = sums.get("files") if isinstance(sums, Fields) else None
    return (files.text(file) if isinstance(files, Fields) else "") or "nothing"
