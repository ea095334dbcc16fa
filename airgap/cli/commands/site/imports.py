"""The commands ``inspect``, ``verify`` and ``import``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission import site
from airgap.admission.terms import Terms
from airgap.bundle.media import Media
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import grouped
from airgap.cli.options.loading import Loading, Trusting
from airgap.cli.options.maps import read_map
from airgap.cli.options.stores import Reach, ThreadsOption, target_builder
from airgap.cli.options.targets import takes_signatures, with_signatures
from airgap.cli.options.turns import BreakLeaseOption, Leasing, writing
from airgap.cli.terminal.console import Console, Said
from airgap.cli.terminal.outcome import bundle_facts, import_result, judgement_lines, preview_result, trust_lines
from airgap.format import sealed
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.importer import run
from airgap.importer.preview import preview
from airgap.importer.run import Destination
from airgap.naming.mapping import parse_store, parse_target
from airgap.state import State
from airgap.text import human_size, plural

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Bundle directories or mount points of the media, in any order.")
]
AllowExpired = Annotated[bool, typer.Option("--allow-expired", help="Accept a bundle that has expired.")]
RequireCustody = Annotated[
    bool, typer.Option("--require-custody", help="Refuse media whose custody log is missing or broken (airgap media log).")
]
CustodyKey = Annotated[
    list[Path] | None,
    typer.Option(
        "--custody-key",
        metavar="FILE",
        help="Public key to verify custody logs with; may be repeated. With --require-custody each entry must be signed with one.",
    ),
]


@grouped
def inspect_command(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="The bundle's directory or media.")],
    decrypt_key: DecryptOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Show what a bundle says about itself. Verifies nothing: see `airgap verify`.

    The content of an encrypted bundle is shown only with --decrypt-key.

    Example: airgap inspect /mnt/usb/prod-site-0007
    """
    media = Media.find(bundle)
    outer = Unverified.read(media.catalog_raw).claims
    catalog = sealed.unseal(outer, site_secrets(decrypt_key, passphrase_file)) if decrypt_key else outer
    readable = catalog if isinstance(catalog, Catalog) else None
    recipients = [wrapped.key_id for wrapped in outer.recipients] if isinstance(outer, Sealed) else []
    facts = {
        "stream": catalog.stream,
        "serial": catalog.serial,
        "created": catalog.created,
        "expires": catalog.expires,
        "tool": readable.tool if readable else "",
        "previous": readable.previous if readable else None,
        "images": [image.to_json() for image in readable.images] if readable else [],
        "blobs": len(readable.blobs) if readable else 0,
        "volumes": [{"name": volume.name, "size": volume.size, "sha256": volume.sha256} for volume in catalog.volumes],
        "parity": [{"name": parity.name, "size": parity.size, "sha256": parity.sha256} for parity in catalog.parity],
        "bytes": catalog.total_size,
        "signatures": sorted(media.signatures),
        "encrypted_to": recipients,
        "verified": False,
    }
    said.console().result(facts, [*_inspect_lines(catalog, media), *(f"encrypted    to key {key_id}" for key_id in recipients)])


@grouped
def verify_command(
    paths: Paths,
    trusting: Trusting = Trusting(),
    deep: Annotated[bool, typer.Option("--deep", help="Also rebuild every layer that is carried as a patch.")] = False,
    held_at: Annotated[
        str,
        typer.Option(
            "--held-at", metavar="TARGET", help="Target that holds the blobs an incremental bundle builds on; implies --deep."
        ),
    ] = "",
    allow_expired: AllowExpired = False,
    allow_clock_behind: inputs.ClockOption = False,
    reach: Reach = Reach(),
    threads: ThreadsOption = 2,
    said: Said = Said(),
) -> None:
    """Check signatures against the policy, and every byte of every volume against the signed catalog. Loads nothing.

    Example: airgap verify /mnt/usb1 /mnt/usb2 --policy policy.json
    """
    console = said.console()
    terms = trusting.terms(allow_expired=allow_expired, allow_clock_behind=allow_clock_behind, threads=threads)
    spec = parse_store(held_at) if held_at else None
    destination = Destination(spec, target_builder(spec, reach, threads, console)) if spec else None
    done = run.verify(paths, terms, console, deep or destination is not None, destination)
    facts = bundle_facts(done.opened) | {
        "verified": True,
        "judgements": [judgement.facts() for judgement in done.opened.judgements],
    }
    lines = [*trust_lines(done.opened), *judgement_lines(done.opened.judgements, said.verbose)]
    if done.rebuilt is not None:
        facts |= {"rebuilt_blobs": done.rebuilt.count, "not_rebuilt": [str(digest) for digest in done.rebuilt.skipped]}
        lines.append(f"rebuilt      {plural(done.rebuilt.count, 'blob')} from patches")
        if done.rebuilt.skipped:
            skipped = plural(len(done.rebuilt.skipped), "blob")
            lines.append(f"not rebuilt  {skipped}: built on blobs that the site holds; name their target with --held-at TARGET")
    console.result(facts, [*lines, "verified     complete, undamaged, trusted"])


@grouped
def import_command(
    paths: Paths,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="docker://HOST[:PORT][/PREFIX] or oci:DIR; or a new oci-archive:FILE, docker-archive:FILE, dir:DIR, k3s:DIR; or "
            "containers-storage:.",
        ),
    ],
    trusting: Trusting = Trusting(),
    loading: Loading = Loading(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Verify everything and show what would be done; write nothing.")
    ] = False,
    replace_names: Annotated[
        bool, typer.Option("--replace-names", help="Take over repositories that earlier imports created for another source.")
    ] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Load the complete images even if volumes are missing.")] = False,
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Accept a serial older than the newest imported.")] = False,
    allow_expired: AllowExpired = False,
    allow_jump: Annotated[bool, typer.Option("--allow-jump", help="Accept a serial far ahead of the last one.")] = False,
    allow_fork: Annotated[
        bool, typer.Option("--allow-fork", help="Accept a bundle whose predecessor is not the one imported here.")
    ] = False,
    allow_clock_behind: inputs.ClockOption = False,
    require_custody: RequireCustody = False,
    custody_key: CustodyKey = None,
    break_lease: BreakLeaseOption = False,
    reach: Reach = Reach(),
    init_state: inputs.InitStateOption = False,
    said: Said = Said(),
) -> None:
    """Verify a bundle and load it: all or nothing, with names set last.

    Interrupted? Run the same command again. Importing the same bundle again does nothing.

    Example: airgap import /mnt/usb --to docker://registry.site:5000/mirror --policy policy.json --map prefix=docker.io/library=base
    --dry-run
    """
    console = said.console()
    spec = parse_target(to, read_map(loading.rules))
    where, threads = trusting.directory, loading.threads
    custody_keys = tuple(site.read_key(str(key)) for key in custody_key or ())

    def terms() -> Terms:
        return trusting.terms(
            allow_expired=allow_expired,
            allow_older=allow_older,
            allow_jump=allow_jump,
            allow_fork=allow_fork,
            allow_clock_behind=allow_clock_behind,
            partial=partial,
            replace_names=replace_names,
            require_custody=require_custody,
            custody_keys=custody_keys,
            **loading.asked,
        )

    Media.find(paths), terms()  # a mistake is said now, not after others are done
    if dry_run:
        _preview(paths, Destination(spec, target_builder(spec, reach, threads, console)), terms(), where, console)
        return
    given = loading.signing(trusting.passphrase_file, needs_place=not takes_signatures(spec))
    leasing = Leasing(reach.options(threads, console), not loading.no_lease, break_lease)
    with (
        with_signatures(spec, given) as signing,
        State(where, begin=init_state) as memory,
        writing(memory, spec, "airgap import", loading.wait, console.say, leasing, signing) as turn,
    ):
        destination = Destination(spec, target_builder(spec, reach, threads, console, loading.files(signing)))
        done = run.import_bundle(paths, destination, terms(), memory, console, turn, signing)
    console.result(*import_result(done, str(spec), said.verbose))


def _preview(paths: Sequence[Path], destination: Destination, terms: Terms, directory: Path, console: Console) -> None:
    with State(directory) if State.exists(directory) else contextlib.nullcontext() as memory:
        found = preview(paths, destination, terms, memory, console)
    console.result(*preview_result(found, str(destination.spec)))


def _inspect_lines(catalog: Catalog | Sealed, media: Media) -> list[str]:
    images = catalog.images if isinstance(catalog, Catalog) else ()
    size = f"encrypted, {human_size(catalog.total_size)}; --decrypt-key shows the content"
    if isinstance(catalog, Catalog):
        size = f"{plural(len(images), 'image')}, {plural(len(catalog.blobs), 'blob')}, {human_size(catalog.total_size)}"
    lines = [
        f"bundle       {catalog.name}, created {catalog.created}, expires {catalog.expires or 'never'}",
        f"content      {size}",
    ]
    for image in images:
        lines.append(f"  {image.reference}  {image.root.digest}")
        lines.append(f"      {', '.join(image.platforms) or 'no platform stated'}; {plural(len(image.attachments), 'attachment')}")
    lines += [f"volume       {v.name}  {v.size} bytes  {v.sha256}" for v in catalog.volumes]
    lines += [f"parity       {p.name}  {p.size} bytes  {p.sha256}" for p in catalog.parity]
    lines += [f"signature    {name} (not checked here)" for name in sorted(media.signatures)]
    return lines
