"""``airgap keys``: generate keys."""

from __future__ import annotations

import contextlib
import enum
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cipher import sites
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.limits import MAX_KEY
from airgap.text import printable
from airgap.trust.keys import signers as trust_keys
from airgap.trust.keys.cosignkey import is_cosign_key
from airgap.trust.keys.signatures import load_public_key

keys = typer.Typer(no_args_is_help=True, help="Generate keys to sign bundles, or to encrypt them to a site.")


class KeyType(enum.StrEnum):
    """The values of ``--type``."""

    ecdsa = "ecdsa"
    ed25519 = "ed25519"
    x25519 = "x25519"


class KeyReader(enum.StrEnum):
    """The values of ``--for``: programs that read private keys in a form of their own."""

    cosign = "cosign"


@keys.command("generate")
@grouped
def generate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for airgap.key and airgap.pub.")],
    kind: Annotated[KeyType, typer.Option("--type", help="Kind of key.")] = KeyType.ecdsa,
    passphrase_file: inputs.PassphraseOption = None,
    reader: Annotated[
        KeyReader | None, typer.Option("--for", help="Write the private key as cosign does, so that cosign can sign with it, too.")
    ] = None,
    no_passphrase: Annotated[bool, typer.Option("--no-passphrase", help="Leave the private key unencrypted.")] = False,
    said: Said = Said(),
) -> None:
    """Generate a key pair: OUT/airgap.key (keep it secret) and OUT/airgap.pub (give it to the sites).

    The passphrase comes from --passphrase-file, AIRGAP_KEY_PASSPHRASE or a prompt, where an empty one leaves the key unencrypted.
    Without a terminal one of them is needed, or --no-passphrase.

    A key of type x25519 does not sign. Bundles are encrypted to it (export --encrypt-to), and only its site can read them.

    Example: airgap keys generate --out keys

    airgap signs with a key of either form. cosign reads only its own (--for cosign).

    Example: airgap keys generate --out site-keys --type x25519

    Example: airgap keys generate --out keys --for cosign
    """
    console = said.console()
    if reader is not None and kind is not KeyType.ecdsa:
        expected = "ecdsa: cosign makes Ed25519 signatures that count for no bundle, and does not encrypt"
        raise UsageError("keys for cosign are of one type", where="--type", expected=expected, got=kind.value)
    if no_passphrase and passphrase_file is not None:
        raise UsageError("--no-passphrase and --passphrase-file contradict each other", hint="give one of them")
    private, public = out / "airgap.key", out / "airgap.pub"
    unfinished = fsio.is_there(private) and not fsio.is_there(public)
    if not unfinished:
        _refuse_existing(private, public)
    secret = None if no_passphrase else inputs.new_passphrase(passphrase_file, "passphrase for the new key (empty: not encrypted)")
    fsio.make_directory(out, fsio.PRIVATE)
    busy = UsageError("another command is generating keys here", where=printable(str(out)), hint="choose another --out")
    with fsio.exclusive_directory(out, busy):  # or one pair's private key could lie beside the other's public one
        if unfinished:
            _refuse_existing(public)
            key_id = _finish(private, public, kind, secret, reader)
        else:
            _refuse_existing(private, public)
            key_id = _make(private, public, kind, secret, reader)
    facts = {"private": str(private), "public": str(public), "key_id": key_id, "type": kind.value, "encrypted": secret is not None}
    console.result(
        facts,
        [
            f"private key  {private}  ({'encrypted' if secret else 'NOT encrypted'}, keep it secret)",
            f"public key   {public}  (id {key_id}; give it to the {'sender' if kind is KeyType.x25519 else 'sites'})",
        ],
    )


def _make(private: Path, public: Path, kind: KeyType, secret: bytes | None, reader: KeyReader | None) -> str:
    """Write a new pair; the key's id."""
    if kind is KeyType.x25519:
        private_pem, public_pem, key_id = sites.generate(secret)
    else:
        pair = trust_keys.generate("ecdsa" if kind is KeyType.ecdsa else "ed25519", secret, for_cosign=reader is not None)
        private_pem, public_pem, key_id = pair.private_pem, pair.public_pem, load_public_key(pair.public_pem).id
    try:
        fsio.write_durable(private, private_pem, 0o600)
        fsio.write_durable(public, public_pem)
    except BaseException:  # half a pair would be in the way of the next run
        for path in (private, public):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    return key_id


def _finish(private: Path, public: Path, kind: KeyType, secret: bytes | None, reader: KeyReader | None) -> str:
    """Write the public key of a run that was killed after the private one; its id. Raises ``UsageError``: it was another run."""
    made = f"{kind} for cosign" if reader else kind
    taken = UsageError(
        "a private key already exists",
        where=printable(str(private)),
        expected=f"no key, or one of type {made} with this passphrase, whose public key is missing",
        hint="choose another --out; keys are never overwritten",
    )
    try:
        content = fsio.read_capped(private, MAX_KEY)
        if is_cosign_key(content) != (reader is not None):
            raise taken
        pem = trust_keys.public_half(content, secret)
        key_id = sites.SiteKey.load(pem, str(public)).key_id if kind is KeyType.x25519 else _signing_id(pem, kind)
    except UsageError as error:
        raise taken from error
    fsio.write_durable(public, pem)
    return key_id


def _signing_id(pem: bytes, kind: KeyType) -> str:
    key = load_public_key(pem)
    if not key.kind.lower().startswith(kind.value):
        raise UsageError("a key of another type", expected=kind.value, got=key.kind)
    return key.id


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if fsio.is_there(path):
            raise UsageError(
                "a key already exists", where=printable(str(path)), hint="choose another --out; keys are never overwritten"
            )
