"""The commands ``export`` and ``sign``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.cli.commands.connected.away import Out
from airgap.cli.commands.connected.making import Making, parity_lines
from airgap.cli.commands.connected.resend import Resending, ResendOption, require
from airgap.cli.commands.connected.volumework import Machines
from airgap.cli.options import gates, inputs
from airgap.cli.options.asking import Asking, OptionalLists, remark_lines
from airgap.cli.options.bases import PatchLevelOption, PatchOption, Since, SinceKeyOption, SinceOption, open_bases
from airgap.cli.options.decrypting import EncryptOption
from airgap.cli.options.groups import grouped
from airgap.cli.options.rooted import CarryOption, Rooted, carried_from
from airgap.cli.options.scoped import AttestationsOption, Unnamed
from airgap.cli.options.stores import Reach, ThreadsOption, registries
from airgap.cli.options.turns import WAIT, StreamWaitOption
from airgap.cli.terminal.console import Console, Said
from airgap.exporter.export import Exported, export
from airgap.exporter.request import Demands, ExportRequest, FarSide
from airgap.format import names
from airgap.format.catalog import Catalog, savings
from airgap.format.outline import Outline
from airgap.format.times import parse_time
from airgap.state import State
from airgap.text import command, human_size, plural
from airgap.trust.keys.signers import Signer


@grouped
def export_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory to create the bundle's directory in, or s3://BUCKET/PREFIX.")],
    lists: OptionalLists = None,
    stream: Annotated[str | None, typer.Option("--stream", help="The named series that the bundle belongs to.")] = None,
    key: inputs.OptionalKeys = None,
    making: Making = Making(),
    asking: Asking = Asking(),
    reach: Reach = Reach(),
    since: SinceOption = None,
    since_key: SinceKeyOption = None,
    patch: PatchOption = "auto",
    patch_level: PatchLevelOption = "default",
    verify_images: gates.VerifyOption = None,
    require_signed: gates.RequireSignedOption = False,
    unnamed: Unnamed = Unnamed(),
    attestations: AttestationsOption = None,
    rooted: Rooted = Rooted(),
    gate: gates.GateOption = None,
    gate_timeout: gates.GateTimeoutOption = 3600,
    attach: gates.AttachOption = None,
    carry_root: CarryOption = "",
    threads: ThreadsOption = 4,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an unfinished bundle with different content.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make a new bundle even if the stream's latest one lies in OUT and would not differ.")
    ] = False,
    encrypt_to: EncryptOption = None,
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of this Dask scheduler fill the volumes, such as tcp://HOST:8786.",
        ),
    ] = "",
    resend: ResendOption = None,
    wait: StreamWaitOption = WAIT,
    init_state: inputs.InitStateOption = False,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Fetch everything on an image list into a signed bundle: OUT/STREAM-SERIAL/.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --volume-size fat32

    Interrupted? Run the same command again: it continues where it stopped. If nothing has changed since the stream's latest bundle,
    and that one lies in OUT, no second one is made.

    With --parity N any N volumes may be lost or damaged in transit: airgap media repair rebuilds them.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --volume-size bd25 --parity 1

    With --since the bundle leaves out what the site already has, and carries new versions of layers as patches of the old ones.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --since site.receipt

    With --verify-images and --gate every image must pass before the bundle is finished; --attach adds SBOMs and scan results.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --verify-images policy.json
    --gate "trivy image --exit-code 1 --severity CRITICAL {registry}" --attach docker.io/library/nginx:1.27::sbom-spdx=nginx.json

    With --encrypt-to only the named sites can read the bundle; anyone can still check, copy and repair it.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --encrypt-to site.pub

    With --scheduler the volumes are filled by several machines, each with its own credentials.

    Example: airgap export images.txt --out s3://outgoing/site-a --stream prod-site --key keys/airgap.key --volume-size 20GB
    --scheduler tcp://10.0.0.5:8786

    With --resend, export answers a request from `airgap media repair` with a supplement: only the damaged or lost blocks, read from
    the bundle if it still exists, else from the sources.

    Example: airgap export --resend prod-site-0007.request.json --out /mnt/usb
    """
    console = said.console()
    if resend is not None:
        Resending(resend, lists or (), out, reach, asking, threads, console).run()
        return
    lists, stream, key = require(lists, stream, key)
    known = Since(since or (), since_key or (), threads, asking.directory, asking.no_longer_believed)
    with asking.read(lists, reach, threads, console) as asked:
        label, packing = making.label(stream), making.packing(patch, patch_level, encrypt_to)
        to = Out.of(out, stream, label.serial, asking.scratch or asking.directory, console)
        machines = Machines.of(scheduler, to.place, stream, packing, (bool(since), bool(gate)), reach, asked.settings, threads)
        attached = gates.attached_by(attach or ())
        terms = gates.terms_of(verify_images, require_signed, unnamed, attestations, rooted, asking.directory, console.say)
        demands = Demands(terms, gates.gates_of(gate or (), gate_timeout, asking.scratch, console))
        signers = inputs.signers(key, passphrase_file)
        with (
            registries(reach, threads, console, asked.settings) as store,
            State(asking.directory, begin=init_state) as memory,
            open_bases(known, reach, console) as bases,
        ):
            cargo = asked.cargo(store, attached)  # last: opening the places of a lock may take long
            far_side = FarSide(bases)
            carried = carried_from(carry_root, store.fetch_file)
            request = ExportRequest(
                label,
                cargo,
                to.directory,
                signers,
                packing,
                far_side,
                demands,
                threads,
                restart,
                wait,
                again,
                carried,
                to.taken,
                machines,
            )
            with store.recalling(memory.unfinished / f"{stream}.manifests"):
                done = export(request, memory, console)
            with to.shipped(done, console) as path:
                tell(console, memory, done, *export_result(done, signers, path))


def tell(console: Console, memory: State, done: Exported, facts: dict[str, Any], lines: list[str]) -> None:
    """Print the result of an export. Only then is it settled: a run that dies before prints the same when it is repeated."""
    with done.held:
        try:
            console.result(facts, lines)
        except BrokenPipeError:  # whoever listened had heard enough
            memory.intents.settle(done.catalog.stream, done.catalog.serial)
            raise
        memory.intents.settle(done.catalog.stream, done.catalog.serial)


def export_result(done: Exported, signers: Sequence[Signer], path: str = "") -> tuple[dict[str, Any], list[str]]:
    """The result of an export, as facts and as lines for people; ``path``: where the bundle is, if not where it was made."""
    catalog, path = done.catalog, path or str(done.path)
    readable = catalog if isinstance(catalog, Catalog) else None
    facts = {
        "bundle": catalog.name,
        "path": path,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "image_count": len(readable.images) if readable else 0,
        "blob_count": len(readable.blobs) if readable else 0,
        "volume_count": len(catalog.volumes),
        "bytes": catalog.total_size,
        "parity_count": len(catalog.parity),
        "parity_bytes": sum(file.size for file in catalog.parity),
        **savings(readable.blobs if readable else {}),
        "key_ids": [signer.key_id for signer in signers],
        "encrypted_to": list(done.encrypted_to),
        "already_there": not done.fresh,
        "unchanged": done.unchanged,
        "created": catalog.created,
        "remarks": list(done.remarks),
        "carries_root": readable is not None and readable.trusted_root is not None,
        **gates.outcome_facts(done),
    }
    inside = plural(len(readable.images), "image") if readable else "encrypted"
    size = f"{inside}, {plural(len(catalog.volumes), 'volume')}, {human_size(catalog.total_size)}"
    lines = [
        f"{'finished' if done.fresh else 'exists':<12} {path}",
        *([_unchanged_line(catalog)] if done.unchanged else []),
        f"content      {size}",
        *parity_lines(len(catalog.volumes), [file.size for file in catalog.parity]),
        *_savings_lines(facts),
        *gates.outcome_lines(done),
        *([f"carries      {names.TRUSTED_ROOT}: airgap trust update at the site"] if facts["carries_root"] else []),
        *remark_lines(done.remarks),
        *(f"encrypted    to key {key_id}: only its site can read this bundle" for key_id in done.encrypted_to),
        f"signed by    {', '.join(signer.describe() for signer in signers)}",
        f"check        {_check_command(path)}",
    ]
    return facts, lines


def _check_command(path: str) -> str:
    return command("airgap media check", path) if path.startswith("s3:") else f"{command('cd', path)} && sha256sum -c {names.SUMS}"


def _unchanged_line(catalog: Outline) -> str:
    age = dt.datetime.now(dt.UTC) - parse_time(catalog.created)
    old = plural(age.days, "day") if age.days else plural(int(age.total_seconds() // 3600), "hour")
    return f"unchanged    serial {catalog.serial}, {old} old, is what a new bundle would be; --again makes one all the same"


def _savings_lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    if facts["held_blobs"]:
        lines.append(f"held         {plural(facts['held_blobs'], 'blob')}, {human_size(facts['held_bytes'])}: the site has them")
    if facts["patched_blobs"]:
        before, after = human_size(facts["patched_bytes"]), human_size(facts["patch_bytes"])
        lines.append(f"patched      {plural(facts['patched_blobs'], 'layer')}: {after} instead of {before}")
    return lines
