"""The connected side's commands: resolve, plan, export, sign."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.bundle import names
from airgap.bundle.catalog import MAX_CATALOG, Catalog
from airgap.cli import inputs
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.cli.stores import InsecureOption, ThreadsOption, registries
from airgap.errors import UsageError
from airgap.exporter import preflight
from airgap.exporter.export import Exported, Request, export
from airgap.exporter.lock import Lock
from airgap.exporter.plan import Plan, lay_out, summary
from airgap.exporter.resolve import resolve
from airgap.exporter.seal import write_signatures
from airgap.lookaside import LookasideConfig, LookasideReader
from airgap.registry import RegistryStore
from airgap.state import State
from airgap.text import human_size, plural, printable
from airgap.trust.keys import Signer, load_signer

Lists = Annotated[list[str], typer.Argument(metavar="LIST...", help="Image lists (text or YAML) or one lock; - is standard input.")]
PlatformOption = Annotated[
    list[str] | None, typer.Option("--platform", help="Only this platform, such as linux/arm64; may be repeated.")
]
VolumeOption = Annotated[
    str | None, typer.Option("--volume-size", help="Most bytes a volume may have: 4GiB, 25GB, or fat32, dvd, dvd-dl, bd25, bd50.")
]
RegistriesDOption = Annotated[
    Path | None,
    typer.Option("--registries-d", metavar="DIR", help="registries.d that says where GPG signatures of images are kept."),
]
KeyOption = Annotated[list[str], typer.Option("--key", help="Private key file or gpg:FINGERPRINT; may be repeated.")]


def resolve_command(
    lists: Lists,
    lock: Annotated[str | None, typer.Option("--lock", help="Write the lock to this file; - is standard output.")] = None,
    platform: PlatformOption = None,
    insecure: InsecureOption = None,
    registries_d: RegistriesDOption = None,
    threads: ThreadsOption = 4,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Pin every reference of an image list to a digest, with all platforms, signatures and referrers.

    Example: airgap resolve images.txt --lock images.lock
    """
    console = Console(as_json, quiet, verbose)
    with registries(insecure, threads, console) as source:
        found = _resolved(lists, platform, source, registries_d, console, threads)
    if lock == "-":
        sys.stdout.write(found.to_bytes().decode())
        return
    if lock is not None:
        fsio.write_durable(Path(lock), found.to_bytes())
    images = [image.to_json() for image in found.images]
    lines = [f"{image.reference}  {image.root.digest}  {_extent(image.to_json())}" for image in found.images]
    console.result({"images": images, "manifests": len(found.manifests), "lock": lock}, lines)


def plan_command(
    lists: Lists,
    volume_size: VolumeOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the bundle will go: also check the free space there.")] = None,
    platform: PlatformOption = None,
    insecure: InsecureOption = None,
    registries_d: RegistriesDOption = None,
    threads: ThreadsOption = 4,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what an export would fetch and write, before a byte moves.

    Example: airgap plan images.txt --volume-size fat32 --out /mnt/usb
    """
    console = Console(as_json, quiet, verbose)
    with registries(insecure, threads, console) as source:
        found = _resolved(lists, platform, source, registries_d, console, threads)
    plan = lay_out(found, names.volume_size(volume_size) if volume_size else None)
    facts = summary(plan)
    if out is not None:
        preflight.check(plan, out, out / "none")
        facts["free"] = fsio.free_bytes(out)
    console.result(facts, _plan_lines(plan, facts))


def export_command(
    lists: Lists,
    out: Annotated[Path, typer.Option("--out", help="Directory in which the bundle's directory is made.")],
    stream: Annotated[str, typer.Option("--stream", help="The named series this bundle belongs to.")],
    key: KeyOption,
    volume_size: VolumeOption = None,
    serial: Annotated[int | None, typer.Option("--serial", min=1, max=names.MAX_SERIAL, help="Default: the stream's next.")] = None,
    created: Annotated[str | None, typer.Option("--created", help="RFC 3339. Default: SOURCE_DATE_EPOCH, else now.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="RFC 3339, or days such as 90d.")] = None,
    platform: PlatformOption = None,
    insecure: InsecureOption = None,
    registries_d: RegistriesDOption = None,
    threads: ThreadsOption = 4,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an unfinished bundle of other content.")] = False,
    state: inputs.StateOption = None,
    init_state: inputs.InitStateOption = False,
    passphrase_file: inputs.PassphraseOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Fetch everything on an image list into a signed bundle: OUT/STREAM-SERIAL/.

    Interrupted? Run the same command again: it goes on where it stopped.

    Example: airgap export images.txt --out /mnt/usb --stream prod-site --key keys/airgap.key --volume-size fat32
    """
    console = Console(as_json, quiet, verbose)
    request = Request(
        wanted=inputs.read_lists(lists, platform or ()),
        out=out,
        stream=names.check_stream(stream),
        serial=serial,
        created=inputs.created_time(created),
        expires=inputs.expiry(expires),
        volume_size=names.volume_size(volume_size) if volume_size else None,
        threads=threads,
        restart=restart,
    )
    inputs.check_period(request.created, request.expires)
    signers = _signers(key, passphrase_file)
    with registries(insecure, threads, console) as source, State(inputs.state_directory(state), begin=init_state) as memory:
        done = export(replace(request, lookaside=_lookaside(source, registries_d)), source, signers, memory, console)
    console.result(*_export_result(done, signers))


def sign_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")],
    key: KeyOption,
    passphrase_file: inputs.PassphraseOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Sign a sealed bundle with one more key.

    Example: airgap sign /mnt/usb/prod-site-0007 --key second.key
    """
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG) if bundle.is_dir() else b""
    if not raw or bundle.name.endswith(names.PARTIAL):
        raise UsageError("not a sealed bundle", where=printable(str(bundle)), expected=f"a directory with {names.CATALOG}")
    catalog = Catalog.from_bytes(raw)
    written = write_signatures(bundle, raw, _signers(key, passphrase_file))
    facts = {"bundle": catalog.name, "signatures": [path.name for path in written]}
    Console(as_json, quiet, verbose).result(facts, [f"signed       {catalog.name}: {path.name}" for path in written])


def _resolved(
    lists: list[str], platform: list[str] | None, store: RegistryStore, directory: Path | None, console: Console, threads: int
) -> Lock:
    wanted = inputs.read_lists(lists, platform or ())
    return wanted if isinstance(wanted, Lock) else resolve(wanted, store, console, threads, _lookaside(store, directory))


def _lookaside(store: RegistryStore, directory: Path | None) -> LookasideReader:
    return LookasideReader(LookasideConfig.load([directory] if directory else None), store.fetch_file)


def _signers(keys: list[str], passphrase_file: Path | None) -> list[Signer]:
    def ask() -> bytes | None:
        return inputs.passphrase(passphrase_file, "passphrase of the key")

    signers = {signer.key_id: signer for signer in (load_signer(key, ask) for key in keys)}
    return list(signers.values())


def _extent(image: dict[str, Any]) -> str:
    platforms, attachments = image.get("platforms", []), image.get("attachments", [])
    return f"{plural(len(platforms), 'platform')}, {plural(len(attachments), 'attachment')}"


def _plan_lines(plan: Plan, facts: dict[str, Any]) -> list[str]:
    width = max(len(row["reference"]) for row in facts["images"])
    lines = [f"{'image':<{width}}  {'new':>10}  {'shared':>10}  platforms"]
    for row in facts["images"]:
        new, shared = human_size(row["new_bytes"]), human_size(row["shared_bytes"])
        notes = f", {plural(row['attachments'], 'attachment')}" if row["attachments"] else ""
        lines.append(f"{row['reference']:<{width}}  {new:>10}  {shared:>10}  {', '.join(row['platforms']) or '-'}{notes}")
        lines += [
            f"{'':<{width}}  not carried (its licence forbids it, the registry lacks it): {digest}" for digest in row["foreign"]
        ]
    lines.append("")
    lines += [f"{volume['name']}  {human_size(volume['size']):>10}" for volume in facts["volumes"][:20]]
    if len(plan.sizes) > 20:
        lines.append(f"... {plural(len(plan.sizes), 'volume')} in all")
    lines.append(f"fetch {human_size(plan.download)} in {plural(facts['blobs'], 'blob')}, write {human_size(plan.written)}")
    if "free" in facts:
        lines.append(f"free there: {human_size(facts['free'])}")
    return lines


def _export_result(done: Exported, signers: list[Signer]) -> tuple[dict[str, Any], list[str]]:
    catalog = done.catalog
    facts = {
        "bundle": str(done.path),
        "stream": catalog.stream,
        "serial": catalog.serial,
        "images": len(catalog.images),
        "blobs": len(catalog.blobs),
        "volumes": len(catalog.volumes),
        "bytes": catalog.total_size,
        "signers": [signer.key_id for signer in signers],
        "already_there": not done.fresh,
    }
    size = f"{plural(len(catalog.images), 'image')}, {plural(len(catalog.volumes), 'volume')}, {human_size(catalog.total_size)}"
    lines = [
        f"{'sealed' if done.fresh else 'there'}       {done.path}".replace("there       ", "there        "),
        f"content      {size}",
        f"signed by    {', '.join(signer.describe() for signer in signers)}",
        f"check        cd {done.path} && sha256sum -c {names.SUMS}",
    ]
    return facts, lines
