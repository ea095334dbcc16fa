"""``airgap receipt``: record what a registry or store holds, as the base of the next bundle."""

from __future__ import annotations

import datetime as dt
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import __version__
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, check_replaceable, taken, write_signed
from airgap.cli.options.stores import Reach, ThreadsOption, registry
from airgap.cli.options.turns import WAIT, WaitOption, reading
from airgap.cli.terminal.console import Said
from airgap.documents.holdings import Holdings
from airgap.documents.receipt import Receipt, check_site
from airgap.errors import UsageError
from airgap.format.names import bundle_name
from airgap.format.times import format_time
from airgap.layout import LayoutStore
from airgap.lifecycle.scan import ScanPart, scan, scan_store, what_is_remembered
from airgap.limits import MAX_RECEIPT, MAX_STREAM
from airgap.naming.mapping import LayoutTarget, parse_store
from airgap.oci.stream import is_stream
from airgap.text import human_size, plural, printable
from airgap.trust.keys.signers import Signer


@grouped
def receipt_command(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="docker://HOST[:PORT][/PREFIX] or oci:DIR.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help=f"File to write the receipt to; {HELP}")],
    key: Annotated[list[str] | None, typer.Option("--key", help="Private key file or gpg:FINGERPRINT; may be repeated.")] = None,
    site: Annotated[str, typer.Option("--site", metavar="NAME", help="The site's name.", show_default="this host's name")] = "",
    repository: Annotated[
        list[str] | None,
        typer.Option(
            "--repository", metavar="PATH", help="Only this repository below TARGET; may be repeated. The catalog is not read."
        ),
    ] = None,
    trust_manifests: Annotated[
        bool, typer.Option("--trust-manifests", help="Assume that the registry has every blob that its manifests name.")
    ] = False,
    wait: WaitOption = WAIT,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Record and sign what a registry or store holds: `airgap export --since FILE` then carries only what is new.

    Also works for registries that airgap never wrote to. The signature is written beside the receipt: FILE.<key id>.sig or .asc.

    Example: airgap receipt docker://registry.site:5000/mirror -o plant-7.receipt --site plant-7 --key site.key
    """
    output = Output(out, "--out")
    console = said.console(taken(output))
    spec = parse_store(target)
    name = check_site(site or _host_name())
    if key and not output.is_file:
        raise UsageError(
            f"a receipt on {'standard output' if output.is_stdout else 'a device'} cannot be signed",
            where="--out",
            got=printable(out),
            expected="a regular file",
            hint="write it to a file, or leave out --key",
        )
    if output.exists:
        check_replaceable(
            Path(out), MAX_RECEIPT, f"a receipt of site {name}", lambda raw: Receipt.from_bytes(raw, out).site == name
        )
    signers = inputs.signers(key or (), passphrase_file)
    where = inputs.state_directory(state)
    with reading(where, spec, "airgap receipt", wait, console.say):
        known, streams = what_is_remembered(where, spec)
        if isinstance(spec, LayoutTarget):
            if repository or trust_manifests:
                raise UsageError("--repository and --trust-manifests are for registries", got=str(spec))
            held = scan_store(LayoutStore(spec.directory), console, [digest for _, digest in known])
        else:
            part = ScanPart(spec.host, spec.prefix, tuple(path.strip("/") for path in repository or ()))
            with registry(reach, threads, console) as store:
                held = scan(store, part, console, threads, trust_manifests=trust_manifests, known=known)
    made = Receipt(
        site=name,
        created=inputs.created_time(None) or format_time(dt.datetime.now(dt.UTC)),
        tool=f"airgap {__version__}",
        target=str(spec),
        streams=streams,
        holdings=held,
    )
    raw = made.to_bytes()
    written = write_signed(output, raw, signers)
    if taken(output) and not said.as_json:
        return
    lines = _lines(made, raw, Path(out), written, signers)
    console.result(_facts(made, raw, [Path(out), *written]), lines, "receipt-result")


def _host_name() -> str:
    """This machine's host name, as a valid site name."""
    name = socket.gethostname().lower()
    return name if is_stream(name) else re.sub(r"[^a-z0-9]+", "-", name)[:MAX_STREAM].strip("-")


def _counts(held: Holdings) -> dict[str, int]:
    return {
        "repository_count": len({name.rpartition(":")[0] for name in held.images}),
        "tag_count": len(held.images),
        "manifest_count": len(held.manifests),
        "blob_count": len(held.blobs) - len(held.manifests),
        "bytes": held.size,
    }


def _facts(made: Receipt, raw: bytes, written: Sequence[Path]) -> dict[str, Any]:
    return {
        "receipt": str(written[0]),
        "site": made.site,
        "target": made.target,
        "created": made.created,
        "streams": {stream: {"serial": one.serial, "catalog": one.catalog} for stream, one in sorted(made.streams.items())},
        **_counts(made.holdings),
        "receipt_bytes": len(raw),
        "signature_files": [str(path) for path in written[1:]],
    }


def _lines(made: Receipt, raw: bytes, path: Path, written: Sequence[Path], signers: Sequence[Signer]) -> list[str]:
    counts = _counts(made.holdings)
    content = [plural(counts[f"{word}_count"], word) for word in ("repository", "tag", "manifest")]
    bundles = [bundle_name(stream, one.serial) for stream, one in sorted(made.streams.items())]
    lines = [
        f"receipt      {path}: {human_size(len(raw))}",
        f"site         {made.site}, {made.target}",
        f"holds        {', '.join(content)}, {plural(counts['blob_count'], 'blob')}, {human_size(counts['bytes'])}",
        f"bundles      {', '.join(bundles) or 'none recorded on this machine'}",
    ]
    lines += [f"signed by    {who.describe()}: {file.name}" for who, file in zip(signers, written, strict=True)]
    return lines if signers else [*lines, "NOT signed: the exporter cannot verify it (sign with --key)"]
