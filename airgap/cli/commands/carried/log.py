"""The command ``media log``: who had the media, when and where, and the result of a check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.admission import site
from airgap.bundle.carried import read_custody
from airgap.bundle.media import Media
from airgap.bundle.several import OnMedia, several, unverified
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.batch import Batch, Told
from airgap.cli.terminal.console import Said
from airgap.documents.custody import Custody, CustodyEntry, new_entry, read_result
from airgap.documents.custodysignatures import who_signed
from airgap.errors import Damaged, UsageError, exit_code
from airgap.format.times import format_time
from airgap.limits import MAX_RESULT
from airgap.media.custody import LoggedMedium, append
from airgap.oci.digest import Digest
from airgap.text import plural, printable
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signers import Signer, load_signer

_UNSIGNED = "note         unsigned entries prove nothing against anyone who held the media: they can be rewritten"


@grouped
def log_command(
    paths: Annotated[list[Path], typer.Argument(metavar="MEDIA...", help="The media: mount points or directories of bundles.")],
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Who has the media now.")] = "",
    where: Annotated[str, typer.Option("--where", metavar="PLACE", help="Where the media are.")] = "",
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Any further remark.")] = "",
    result: Annotated[
        Path | None, typer.Option("--result", metavar="FILE", help="File written by `airgap media check --result`.")
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Sign the entry: a private key file or gpg:FINGERPRINT.")] = "",
    show: Annotated[bool, typer.Option("--show", help="Print and check the log of all media instead.")] = False,
    custody_key: Annotated[
        list[Path] | None,
        typer.Option("--custody-key", metavar="FILE", help="With --show: public key to verify entries with; may be repeated."),
    ] = None,
    revoked: inputs.RevokedOption = None,
    state: inputs.StateOption = None,
    at: Annotated[str | None, typer.Option("--at", help="Time of the entry, RFC 3339. Default: now.")] = None,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Record who has the media: one more line in custody.jsonl on each of them. Import copies it to the site's history.

    Media that hold several bundles: each of them gets the entry.

    Every entry names the bundle and is chained to the previous one, so that changes show; docs/custody.md says what that proves.

    Example: airgap media log /mnt/usb1 /mnt/usb2 --who "A. Lund" --where "depot 4" --note "seal 0815 unbroken" --key lund.key

    Example: airgap media log /mnt/usb1 /mnt/usb2 --show
    """
    console = said.console()
    if not who and not show:
        raise UsageError("nothing to log", expected="--who NAME, or --show", where="--who")
    known = site.read_revoked(revoked, inputs.state_directory(state)) if show else Revoked()
    given = fsio.read_input(result, MAX_RESULT, "result of the check") if result is not None else None
    moment = inputs.created_time(at) if at else format_time(dt.datetime.now(dt.UTC))
    signer = load_signer(key, lambda: inputs.passphrase(passphrase_file, "passphrase of the key")) if key and not show else None

    def log(directories: Sequence[Path]) -> Told:
        media = Media.find(directories)
        catalog = Digest.of(media.catalog_raw)
        if show:
            return _shown(read_custody(media.directories, catalog), custody_key or (), known)
        checked = read_result(given, catalog, printable(str(result))) if given is not None else None
        entry = new_entry(catalog, moment or "", who, where, note, checked)
        return _logged(catalog, append(media.directories, entry, signer), signer)

    def code(facts: dict[str, Any]) -> int:
        return exit_code(Damaged("")) if show and facts["problems"] else 0

    def log_one(one: OnMedia) -> Told:
        facts, lines = log(one.directories)
        return facts | {"exit_code": code(facts)}, lines

    found, name = several(paths, unverified, console.say), "media-log-show" if show else "media-log"
    if found:
        Batch(console, "shown" if show else "logged", name=name).run(found, log_one)
        return
    facts, lines = log(paths)
    console.result(facts, lines, name)
    if broken := code(facts):
        raise typer.Exit(broken)


def _logged(catalog: Digest, written: Sequence[LoggedMedium], signer: Signer | None) -> Told:
    lines = [f"logged       {one.path}: entry {one.entry.number}" for one in written]
    lines += [f"BROKEN       {one.path}: {problem}" for one in written for problem in one.problems]
    lines += [f"note         {one.path}: removed an incomplete entry of {one.entry.cut} bytes" for one in written if one.entry.cut]
    facts = {
        "catalog": str(catalog),
        "key_id": signer.key_id if signer else None,
        "logs": [
            {"log": str(one.path), "number": one.entry.number, "digest": one.entry.digest, "problems": list(one.problems)}
            for one in written
        ],
    }
    return facts, lines if signer else [*lines, _UNSIGNED]


def _shown(custody: Custody, keys: Sequence[Path], revoked: Revoked) -> Told:
    """The entries of a log, and what is wrong with their chain."""
    if keys:
        public = [site.read_key(str(one)) for one in keys]
        custody = custody.checked(lambda content, form, seal: who_signed(content, form, seal, public, revoked))
    several = len({medium for medium, _ in custody.entries}) > 1
    lines = [line for medium, entry in custody.entries for line in _lines(custody, entry, medium if several else "")]
    lines += [f"BROKEN       {problem}" for problem in custody.problems]
    whole = f"{plural(len(custody.entries), 'entry')}, the chain is intact" if custody.entries else "no entries yet"
    lines.append("result       broken: the log was changed or is damaged" if custody.problems else f"result       {whole}")
    if any(entry.digest not in custody.seals for _, entry in custody.entries):
        lines.append(
            _UNSIGNED if not any(entry.seal for _, entry in custody.entries) else f"{_UNSIGNED}; verify them with --custody-key"
        )
    facts = {"entries": [_facts(custody, *one) for one in custody.entries], "problems": list(custody.problems)}
    return facts, lines


def _lines(custody: Custody, entry: CustodyEntry, medium: str) -> list[str]:
    return [f"{entry.number:>4}  {entry.describe()}", f"      {custody.vouched(entry)}" + (f"; on {medium}" if medium else "")]


def _facts(custody: Custody, medium: str, entry: CustodyEntry) -> dict[str, Any]:
    checked = entry.checked
    return {
        "medium": medium,
        "number": entry.number,
        "digest": entry.digest,
        "at": entry.at,
        "who": entry.who,
        "where": entry.where,
        "note": entry.note,
        "check": {"result": checked.result, "exit_code": checked.exit_code, "digest": checked.file} if checked else None,
        "key_id": entry.seal.key if entry.seal else None,
        "verified": entry.digest in custody.seals,
        "vouched": custody.vouched(entry),
    }
