"""The command ``report``: one page about a bundle, for a browser and for the papers that travel with the media."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.admission.door import Found, believed_by
from airgap.admission.terms import Terms
from airgap.bundle.carried import read_custody
from airgap.bundle.media import Media
from airgap.bundle.several import several, unverified
from airgap.bundle.store import BundleStore
from airgap.cipher.sites import SiteSecret
from airgap.cli.commands.connected.diff import read_content
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.terminal.batch import Batch, Told
from airgap.cli.terminal.console import Console, Said
from airgap.documents.difference import Compared, Shown, of_catalog
from airgap.errors import AirgapError, Damaged, Refused, SeveralBundles
from airgap.format import names, sealed
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.format.times import format_time
from airgap.limits import MAX_CATALOG
from airgap.oci.digest import Digest
from airgap.report.data import Before, Report, Trust, gather
from airgap.report.page import render
from airgap.state import State
from airgap.state.catalogs import Catalogs
from airgap.text import human_size, plural, printable

_PAGES = frozenset({".html", ".htm"})  # a name that ends so is meant for one page
_NEIGHBOURS = 50  # earlier bundles beside this one that are looked at


@grouped
def report_command(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="The bundle's directory or media.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help=f"File for the page, or a directory for one page per bundle; {HELP}"),
    ],
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            metavar="OTHER",
            help="Bundle, catalog.json or receipt to compare with.",
            show_default="the previous bundle if it lies beside this one, else the one recorded in this site's state",
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Verify the bundle's signatures with this policy.")] = None,
    revoked: inputs.RevokedOption = None,
    decrypt_key: DecryptOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    created: Annotated[str | None, typer.Option("--created", help="RFC 3339. Default: SOURCE_DATE_EPOCH, else now.")] = None,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Write a page about a bundle: self-contained, for a browser without a network and for A4 paper.

    It shows images, platforms, sizes, changes, sharing, signatures, SBOMs, volumes with checksums, and a QR code of the catalog's
    digest. Without --policy it verifies nothing, and says so; `airgap media check` checks the volumes.

    Media that hold several bundles need a directory, which is created: it gets one page for each, STREAM-SERIAL.html.

    Example: airgap report /srv/out/prod-site-0008 -o report.html --since /srv/out/prod-site-0007
    """
    asked = _Asked(since, policy, revoked, site_secrets(decrypt_key, passphrase_file), inputs.created_time(created), state)
    if out.is_dir() or not (fsio.is_there(out) or out.suffix in _PAGES):
        console = said.console()
        terms = Terms.of_site(inputs.state_directory(state), policy, revoked=revoked) if policy else None
        every = several(bundle, believed_by(terms) if terms else unverified, console.say)
        if every and since is not None:
            raise SeveralBundles([(one.name, one.directories) for one in every], "--since is for the report of one bundle")
        if every:
            fsio.make_directory(out)
            Batch(console, "written").run(every, lambda one: _write(asked, one.directories, out, console))
            return
    console = said.console(not out.is_dir() and taken(Output(out, "--out")))
    try:
        console.result(*_write(asked, bundle, out, console))
    except SeveralBundles as error:
        error.hint = "for one page each, give a directory: -o DIR; for one page, name the bundle"
        raise


@dataclass(frozen=True)
class _Asked:
    """What the options said."""

    since: Path | None
    policy: Path | None
    revoked: Path | None
    secrets: Sequence[SiteSecret]
    created: str | None
    state: Path | None


def _write(asked: _Asked, bundle: Sequence[Path], out: Path, console: Console) -> Told:
    """Write the page of one bundle; into a directory by the bundle's name."""
    found = Found.at(bundle)  # read once: what is vouched for is what the page shows
    media = found.media
    directory, trust = inputs.state_directory(asked.state), Trust()
    if asked.policy is not None:  # a page must not show what the policy does not let in
        verdict = found.vouched(Terms.of_site(directory, asked.policy, revoked=asked.revoked))
        trust = Trust(printable(str(asked.policy)), verdict.signers, verdict.reasons)
    shown = Unverified.read(media.catalog_raw)
    catalog = sealed.unseal(shown.claims, asked.secrets) if asked.secrets else shown.claims
    store, here, remarks = _content(media, catalog)
    report = gather(
        catalog,
        store,
        digest=shown.digest,
        made=asked.created or format_time(dt.datetime.now(dt.UTC)),
        signatures=[Path(name).name for name in media.signatures],
        trust=trust,
        before=_before(asked.since, catalog, media, directory),
        here=here,
        remarks=remarks,
        custody=read_custody(media.directories, shown.digest),
        progress=console,
    )
    page = render(report)
    if out.is_dir():
        out /= f"{catalog.name}.html"
    Output(out, "--out").write(page)
    return _result(report, out, page)


def _result(report: Report, output: Path, page: bytes) -> tuple[dict[str, object], list[str]]:
    facts = {
        "report": str(output),
        "report_bytes": len(page),
        "bundle": report.catalog.name,
        "catalog": str(report.digest),
        "image_count": len(report.images),
        "compared_with": report.before.label if report.before.content else None,
        "sbom_count": report.sboms,
        "verified": bool(report.trust.policy),
        "signers": list(report.trust.signers),
        "remarks": list(report.remarks),
    }
    before = report.before.label if report.before.content else "nothing: name the previous bundle with --since"
    before = f"nothing: {report.before.label}" if report.before.is_first else before
    signers = ", ".join(report.trust.signers) or "nobody: the policy accepts anything"
    verified = f"signed by {signers}" if report.trust.policy else "nothing: give --policy"
    return facts, [
        f"report       {output} ({human_size(len(page))})",
        f"bundle       {report.catalog.name}: {plural(len(report.images), 'image')}, {human_size(report.catalog.total_size)}",
        f"compared     with {before}",
        f"verified     {verified}",
        *(f"note         {remark}" for remark in report.remarks),
    ]


def _content(media: Media, catalog: Catalog | Sealed) -> tuple[BundleStore | None, set[str], list[str]]:
    """The content that is available here, the files that are present, and what is wrong with the others."""
    if isinstance(catalog, Sealed):
        return None, _here(media, catalog), ["The content is encrypted for the site: give --decrypt-key"]
    here = _here(media, catalog)
    try:
        volumes = media.locate(catalog, partial=True)
        return BundleStore(catalog, volumes), here, [] if volumes.lacking is None else [volumes.lacking.remark]
    except Damaged as error:
        return BundleStore(catalog, {}), here, [str(error)]


def _here(media: Media, catalog: Outline) -> set[str]:
    return {file.name for file in catalog.files for directory in media.directories if (directory / file.name).is_file()}


def _before(since: Path | None, catalog: Catalog | Sealed, media: Media, state: Path) -> Before:
    """The bundle that was named, else the catalog's predecessor, else the one imported last."""
    if isinstance(catalog, Sealed):
        return Before(None, "the bundle is encrypted for the site.")
    if since is not None:
        content = read_content(since)
        return Before(content, content.label, only_names=content.kind == "receipt")
    if catalog.serial == 1:
        return Before(None, f"this is the first bundle of stream {catalog.stream}.", is_first=True)
    if catalog.previous is not None and (found := _neighbour(catalog, media)) is not None:
        return Before(of_catalog(found), found.name)
    try:
        return _remembered(catalog, state)
    except AirgapError as error:
        return Before(None, f"the state of this machine cannot be read: {error.what}")


def _neighbour(catalog: Catalog, media: Media) -> Catalog | None:
    """The previous bundle, if it lies beside this one."""
    form = re.compile(rf"{re.escape(catalog.stream)}-(\d{{4,16}})", re.ASCII)
    for parent in dict.fromkeys(directory.absolute().parent for directory in media.directories):
        with fsio.disk_errors("cannot look for the previous bundle", parent), contextlib.suppress(PermissionError):
            serials = sorted((int(found[1]) for entry in parent.iterdir() if (found := form.fullmatch(entry.name))), reverse=True)
            for serial in [serial for serial in serials if serial < catalog.serial][:_NEIGHBOURS]:
                with contextlib.suppress(Damaged, Refused):
                    raw = fsio.read_capped(parent / names.bundle_name(catalog.stream, serial) / names.CATALOG, MAX_CATALOG)
                    if Digest.of(raw) == catalog.previous:
                        return Unverified.read(raw).readable()
    return None


def _remembered(catalog: Catalog, directory: Path) -> Before:
    """The previous bundle that this machine imported or exported, if it has a state."""
    unknown = "name the previous bundle with --since."
    if not State.exists(directory):
        return Before(None, unknown)
    with State(directory) as memory:
        held = [(target, one) for target in memory.generations.targets() for one in memory.generations.read(target)]
        held = [(target, one) for target, one in held if one.stream == catalog.stream and one.serial < catalog.serial]
        if held:
            target, newest = max(held, key=lambda item: (item[1].serial, item[1].at))
            sources = {one.name: one.source for one in memory.names(target)}
            images = [one for one in newest.brought if one.image and one.name in sources]
            shown = {sources[one.name]: Shown(one.digest) for one in images}
            label = f"{names.bundle_name(newest.stream, newest.serial)}, as this site loaded it into {target} at {newest.at}"
            return Before(Compared(label, "state", shown, {}, None, 0), label, only_names=True)
        exported = memory.last_exported(catalog.stream, below=catalog.serial)
    if exported is None:
        return Before(None, f"no earlier bundle of stream {catalog.stream} is recorded on this machine; {unknown}")
    name = names.bundle_name(catalog.stream, exported.serial)
    kept = Catalogs(directory).find(catalog.stream, exported.serial)
    if kept is not None and Digest.of(kept[0]) == exported.catalog:
        return Before(of_catalog(Unverified.read(kept[0]).readable()), f"{name}, as exported by this machine")
    return Before(None, f"the previous bundle is {name} (catalog {exported.catalog}), which is not available here; {unknown}")
