"""The disconnected side's commands: inspect, verify, import, serve."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.bundle.catalog import Catalog
from airgap.bundle.media import Media
from airgap.bundle.store import BundleStore
from airgap.cli import inputs
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.cli.stores import Reach, ThreadsOption, is_layout, reaching, target_builder
from airgap.errors import Interrupted, MediaError, UsageError
from airgap.importer import run
from airgap.importer.mapping import parse_target
from airgap.importer.opening import Opened, open_content, read_catalog
from airgap.importer.run import Destination, Imported
from airgap.importer.signing import SiteSigning
from airgap.importer.terms import Terms
from airgap.layout import LayoutReader
from airgap.oci.descriptor import Platform
from airgap.oci.stores import Browsable
from airgap.server import Catalogue, RegistryServer
from airgap.state import State
from airgap.text import human_size, plural, printable
from airgap.trust.gpg import GpgSigner
from airgap.trust.judging import Judgement
from airgap.trust.keys import load_signer

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Bundle directories or mount points of its media, in any order.")
]
SignBy = Annotated[
    list[str] | None,
    typer.Option("--sign-by", metavar="KEY", help="Site key (file or gpg:FINGERPRINT) that signs what was accepted."),
]
LookasideOption = Annotated[
    Path | None,
    typer.Option("--lookaside", metavar="DIR", help="Write GPG signatures into this lookaside tree of the destination."),
]
RequireSigned = Annotated[bool, typer.Option("--require-signed", help="Refuse images for which the policy asks no signature.")]
UnnamedBundles = Annotated[
    bool, typer.Option("--accept-unnamed-bundles", help="Let a cosign 3 bundle that names no image vouch by key and digest.")
]
AllowExpired = Annotated[bool, typer.Option("--allow-expired", help="Take a bundle although it has expired.")]


def inspect_command(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="The bundle's directory or media.")],
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what a bundle says about itself. This checks nothing: see `airgap verify`.

    Example: airgap inspect /mnt/usb/prod-site-0007
    """
    media = Media.find(bundle)
    catalog = Catalog.from_bytes(media.catalog_raw)
    facts = {
        "stream": catalog.stream,
        "serial": catalog.serial,
        "created": catalog.created,
        "expires": catalog.expires,
        "tool": catalog.tool,
        "previous": catalog.previous,
        "images": [image.to_json() for image in catalog.images],
        "blobs": len(catalog.blobs),
        "volumes": [{"name": volume.name, "size": volume.size, "sha256": volume.sha256} for volume in catalog.volumes],
        "bytes": catalog.total_size,
        "signatures": sorted(media.signatures),
        "verified": False,
    }
    Console(as_json, quiet, verbose).result(facts, _inspect_lines(catalog, media))


@reaching
def verify_command(
    paths: Paths,
    policy: inputs.PolicyOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also rebuild every layer that is carried as a patch.")] = False,
    held_at: Annotated[
        str,
        typer.Option(
            "--held-at", metavar="TARGET", help="Where the blobs are that an incremental bundle builds on; implies --deep."
        ),
    ] = "",
    require_signed: RequireSigned = False,
    accept_unnamed_bundles: UnnamedBundles = False,
    allow_expired: AllowExpired = False,
    allow_clock_behind: inputs.ClockOption = False,
    max_age: inputs.MaxAgeOption = None,
    revoked: inputs.RevokedOption = None,
    state: inputs.StateOption = None,
    reach: Reach = Reach(),
    threads: ThreadsOption = 2,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check signatures against the policy, and every byte of every volume against the signed catalog. Loads nothing.

    Example: airgap verify /mnt/usb1 /mnt/usb2 --policy policy.json
    """
    console = Console(as_json, quiet, verbose)
    terms = Terms(
        policy=inputs.read_policy(policy)[0],
        read_key=inputs.read_key,
        now=dt.datetime.now(dt.UTC),
        revoked=inputs.read_revoked(revoked, inputs.state_directory(state)),
        max_age=inputs.max_age(max_age),
        require_signed=require_signed,
        accept_unnamed_bundles=accept_unnamed_bundles,
        allow_expired=allow_expired,
        allow_clock_behind=allow_clock_behind,
        threads=threads,
    )
    spec = parse_target(held_at) if held_at else None
    destination = Destination(spec, target_builder(spec, reach, threads, console)) if spec else None
    done = run.verify(paths, terms, console, deep or destination is not None, destination)
    facts = _bundle_facts(done.opened) | {"verified": True, "judgements": [judgement.facts() for judgement in done.judgements]}
    lines = [*_trust_lines(done.opened), *_judgement_lines(done.judgements, verbose)]
    if done.rebuilt is not None:
        facts |= {"rebuilt_blobs": done.rebuilt.count, "not_rebuilt": [str(digest) for digest in done.rebuilt.skipped]}
        lines.append(f"rebuilt      {plural(done.rebuilt.count, 'blob')} from patches")
        if done.rebuilt.skipped:
            skipped = plural(len(done.rebuilt.skipped), "blob")
            lines.append(f"not rebuilt  {skipped}: made from what the site holds; say where that is with --held-at TARGET")
    console.result(facts, [*lines, "verified     complete, undamaged, trusted"])


@reaching
def import_command(
    paths: Paths,
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="docker://HOST[:PORT][/PREFIX] or oci:DIR.")],
    policy: inputs.PolicyOption = None,
    rule: Annotated[
        str, typer.Option("--map", help="keep-host (default) or strip-host: the source host in destination names.")
    ] = "",
    platform: Annotated[list[str] | None, typer.Option("--platform", help="Load only this platform; indexes are rebuilt.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Load the complete images although volumes are missing.")] = False,
    require_signed: RequireSigned = False,
    accept_unnamed_bundles: UnnamedBundles = False,
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Take an older serial than the newest taken.")] = False,
    allow_expired: AllowExpired = False,
    allow_jump: Annotated[bool, typer.Option("--allow-jump", help="Take a serial far ahead of the last one.")] = False,
    allow_fork: Annotated[bool, typer.Option("--allow-fork", help="Take a bundle that follows on another history.")] = False,
    allow_clock_behind: inputs.ClockOption = False,
    max_age: inputs.MaxAgeOption = None,
    revoked: inputs.RevokedOption = None,
    sign_by: SignBy = None,
    lookaside: LookasideOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    init_state: inputs.InitStateOption = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Verify a bundle and load it: all or nothing, names last.

    Interrupted? Run the same command again. Importing the same bundle twice does nothing the second time.

    Example: airgap import /mnt/usb --to docker://registry.site:5000/mirror --policy policy.json
    """
    console = Console(as_json, quiet, verbose)
    spec = parse_target(to, rule)
    terms = Terms(
        policy=inputs.read_policy(policy)[0],
        read_key=inputs.read_key,
        now=dt.datetime.now(dt.UTC),
        revoked=inputs.read_revoked(revoked, inputs.state_directory(state)),
        max_age=inputs.max_age(max_age),
        require_signed=require_signed,
        accept_unnamed_bundles=accept_unnamed_bundles,
        allow_expired=allow_expired,
        allow_older=allow_older,
        allow_jump=allow_jump,
        allow_fork=allow_fork,
        allow_clock_behind=allow_clock_behind,
        partial=partial,
        platforms=tuple(Platform.parse(text) for text in platform or ()),
        threads=threads,
    )
    signing = _signing(sign_by or [], lookaside, passphrase_file)
    with State(inputs.state_directory(state), begin=init_state) as memory:
        destination = Destination(spec, target_builder(spec, reach, threads, console))
        done = run.import_bundle(paths, destination, terms, memory, console, signing)
    console.result(*_import_result(done, str(spec), verbose))


def serve_command(
    store: Annotated[Path, typer.Argument(metavar="STORE|BUNDLE", help="An OCI layout directory, or a bundle's directory.")],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Address; port 0 picks a free one.")
    ] = "127.0.0.1:5000",
    policy: inputs.PolicyOption = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Serve a store or a bundle as a read-only registry. A bundle is verified by --policy; without it nobody vouches for it.

    Example: airgap serve /srv/store --listen 0.0.0.0:5000
    """
    console = Console(False, quiet, verbose)
    host, port = _address(listen)
    content = _browsable(store, policy, console)
    try:
        server = RegistryServer(Catalogue(content), host, port, console.detail)
    except OSError as error:
        raise MediaError(f"cannot listen: {error.strerror}", where=printable(listen), hint="choose another --listen") from error
    console.say(f"serving {store} on http://{server.address}/v2/ - stop with Ctrl-C")
    try:
        server.serve_forever()
    except Interrupted:
        console.say("stopped")
    finally:
        server.shutdown()


def _signing(keys: Sequence[str], lookaside: Path | None, passphrase_file: Path | None) -> SiteSigning:
    signers = [load_signer(key, lambda: inputs.passphrase(passphrase_file, "passphrase of the site's key")) for key in keys]
    gpg = tuple(signer for signer in signers if isinstance(signer, GpgSigner))
    if gpg and lookaside is None:
        raise UsageError("GPG signatures of images need a place", where="--sign-by", expected="--lookaside DIR")
    label = f"signed by {', '.join(signer.key_id for signer in signers)}" if signers else ""
    return SiteSigning(tuple(s for s in signers if not isinstance(s, GpgSigner)), gpg, lookaside, label)


def _browsable(store: Path, policy: Path | None, console: Console) -> Browsable:
    path = Path(str(store).removeprefix("oci:"))
    if is_layout(path):
        return LayoutReader(path)
    media = Media.find([path])
    if policy is not None:
        revoked = inputs.read_revoked(None, inputs.state_directory(None))
        catalog, verdict = read_catalog(media, inputs.read_policy(policy)[0], inputs.read_key, revoked)
        return open_content(media, catalog, verdict).store
    console.say("no --policy: the signature of this bundle is not checked")
    catalog = Catalog.from_bytes(media.catalog_raw)
    return BundleStore(catalog, media.locate(catalog))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("not an address to listen on", got=printable(text), expected="HOST:PORT, such as 127.0.0.1:5000")
    return host.strip("[]"), int(port)


def _inspect_lines(catalog: Catalog, media: Media) -> list[str]:
    size = f"{plural(len(catalog.images), 'image')}, {plural(len(catalog.blobs), 'blob')}, {human_size(catalog.total_size)}"
    lines = [
        f"bundle       {catalog.name}, created {catalog.created}, expires {catalog.expires or 'never'}",
        f"content      {size}",
    ]
    for image in catalog.images:
        lines.append(f"  {image.reference}  {image.root.digest}")
        lines.append(f"      {', '.join(image.platforms) or 'no platform stated'}; {plural(len(image.attachments), 'attachment')}")
    lines += [f"volume       {v.name}  {v.size} bytes  {v.sha256}" for v in catalog.volumes]
    lines += [f"signature    {name} (not checked here)" for name in sorted(media.signatures)]
    return lines


def _bundle_facts(opened: Opened) -> dict[str, Any]:
    catalog = opened.catalog
    return {
        "bundle": catalog.name,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "catalog": str(opened.digest),
        "images": len(catalog.images),
        "volumes": len(catalog.volumes),
        "bytes": catalog.total_size,
        "scope": opened.verdict.scope,
        "signers": list(opened.verdict.signers),
        "reasons": list(opened.verdict.reasons),
    }


def _trust_lines(opened: Opened) -> list[str]:
    catalog = opened.catalog
    size = f"{plural(len(catalog.images), 'image')}, {plural(len(catalog.volumes), 'volume')}, {human_size(catalog.total_size)}"
    return [
        f"bundle       {catalog.name}: {size}",
        f"signed by    {', '.join(opened.verdict.signers) or 'nobody: the policy accepts anything'}",
    ]


def _judgement_lines(judgements: Sequence[Judgement], verbose: bool) -> list[str]:
    """Why images were accepted: one line an image and reason, or with -v one an instance."""
    lines: dict[str, None] = {}
    for judgement in judgements:
        who = f"{judgement.reference} {judgement.platform or judgement.instance.short}" if verbose else str(judgement.reference)
        lines[f"accepted     {who}: {judgement.verdict.reason} ({judgement.verdict.scope})"] = None
    return list(lines)


def _import_result(done: Imported, target: str, verbose: bool) -> tuple[dict[str, Any], list[str]]:
    facts = _bundle_facts(done.opened) | {
        "target": target,
        "names": {str(source): str(destination) for source, destination in done.names.items()},
        "rebuilt": [str(reference) for reference in done.rebuilt],
        "left_out": [str(reference) for reference in done.left_out],
        "judgements": [judgement.facts() for judgement in done.judgements],
        "remarks": list(done.remarks),
        "already_there": done.loaded is None,
        "sent_bytes": done.loaded.sent if done.loaded else 0,
        "sent_blobs": done.loaded.sent_blobs if done.loaded else 0,
        "present_blobs": done.loaded.present_blobs if done.loaded else 0,
        "mounted_blobs": done.loaded.mounted_blobs if done.loaded else 0,
        "rebuilt_blobs": done.loaded.rebuilt_blobs if done.loaded else 0,
        "dropped_signatures": done.loaded.dropped_signatures if done.loaded else 0,
    }
    lines = [*_trust_lines(done.opened), *(f"note         {remark}" for remark in done.remarks)]
    if done.loaded is None:
        lines.append(f"nothing to do: {target} has all of it")
        return facts, lines
    lines += _judgement_lines(done.judgements, verbose)
    lines += [f"loaded       {source} -> {destination}" for source, destination in done.names.items()]
    lines += [
        f"rebuilt      {name}: not all platforms, so its digest changed and a signature on the index no longer applies"
        for name in done.rebuilt
    ]
    lines += [f"left out     {name}: volumes are missing" for name in done.left_out]
    if done.loaded.dropped_signatures:
        lines.append(f"dropped      {plural(done.loaded.dropped_signatures, 'lookaside file')} that is no signature")
    made = f", {done.loaded.rebuilt_blobs} of them rebuilt from patches" if done.loaded.rebuilt_blobs else ""
    lines.append(f"sent         {human_size(done.loaded.sent)} in {plural(done.loaded.sent_blobs, 'blob')}{made}")
    return facts, lines
