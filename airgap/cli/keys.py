"""``airgap keys`` and ``airgap policy``: make keys, write the policy that trusts them."""

from __future__ import annotations

import enum
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.bundle.names import check_stream
from airgap.cli import inputs
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.errors import UsageError
from airgap.text import printable
from airgap.trust import keys as trust_keys
from airgap.trust.gpg import MAX_KEYRING
from airgap.trust.signatures import load_public_key
from airgap.trust.templates import site_policy

keys = typer.Typer(no_args_is_help=True, help="Make signing keys.")
policy = typer.Typer(no_args_is_help=True, help="Write the policy that says whom to trust.")

_GPG_ARMOR = b"-----BEGIN PGP PUBLIC KEY"


class KeyType(enum.StrEnum):
    """What ``--type`` takes."""

    ecdsa = "ecdsa"
    ed25519 = "ed25519"


@keys.command("generate")
def generate(
    out: Annotated[Path, typer.Option("--out", help="Directory for airgap.key and airgap.pub.")],
    kind: Annotated[KeyType, typer.Option("--type", help="Kind of key.")] = KeyType.ecdsa,
    passphrase_file: inputs.PassphraseOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a key pair: DIR/airgap.key (keep it secret) and DIR/airgap.pub (give it to the sites).

    The passphrase comes from AIRGAP_KEY_PASSPHRASE, --passphrase-file or a prompt; an empty one leaves the key unencrypted.

    Example: airgap keys generate --out keys
    """
    console = Console(as_json, quiet, verbose)
    private, public = out / "airgap.key", out / "airgap.pub"
    for path in (private, public):
        if path.exists():
            raise UsageError(
                "a key is there already", where=printable(str(path)), hint="choose another --out; keys are never overwritten"
            )
    secret = inputs.passphrase(passphrase_file, "passphrase for the new key (empty: not encrypted)", confirm=True)
    pair = trust_keys.generate(kind.value, secret)
    fsio.make_directory(out)
    fsio.write_durable(private, pair.private_pem, 0o600)
    fsio.write_durable(public, pair.public_pem)
    key_id = load_public_key(pair.public_pem).id
    facts = {"private": str(private), "public": str(public), "id": key_id, "type": kind.value, "encrypted": secret is not None}
    console.result(
        facts,
        [
            f"private key  {private}  ({'encrypted' if secret else 'NOT encrypted'}, keep it secret)",
            f"public key   {public}  (id {key_id}; the sites need this one)",
        ],
    )


@policy.command("init")
def init(
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Public key (PEM or OpenPGP) that signs bundles; may be repeated.")
    ] = None,
    stream: Annotated[str, typer.Option("--stream", help="Trust the keys for this stream only.")] = "",
    any_key: Annotated[bool, typer.Option("--any", help="Any one of several keys is enough; without it all must sign.")] = False,
    out: Annotated[str, typer.Option("--out", "-o", help="File to write; - is standard output.")] = "-",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a policy.json that refuses everything except bundles signed with the given keys.

    Images inside a trusted bundle are accepted on the bundle's word; add scopes under transport `docker` to ask for more.

    Example: airgap policy init --key keys/airgap.pub -o policy.json
    """
    if stream:
        check_stream(stream)
    pems: list[Path] = []
    gpgs: list[Path] = []
    for path in key or []:
        content = fsio.read_input(path, MAX_KEYRING, "public key")
        is_gpg = content.lstrip().startswith(_GPG_ARMOR) or b"-----BEGIN" not in content
        if not is_gpg:
            load_public_key(content)
        (gpgs if is_gpg else pems).append(path.absolute())
    text = json.dumps(site_policy(pems, gpgs, stream, any_of=any_key), indent=2) + "\n"
    if out == "-":
        sys.stdout.write(text)
        return
    destination = Path(os.fspath(out))
    if destination.exists():
        raise UsageError("a policy is there already", where=printable(out), hint="choose another -o; a policy is never overwritten")
    fsio.write_durable(destination, text.encode())
    facts = {"policy": out, "keys": [str(path) for path in [*pems, *gpgs]], "stream": stream or None}
    lines = [f"policy       {out}", "" if key else "It refuses every bundle: add keys with --key."]
    Console(as_json, quiet, verbose).result(facts, [line for line in lines if line])
