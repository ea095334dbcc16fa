"""The report as one self-contained HTML page: no network, no script; for a screen and for A4 paper. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from airgap import __version__
from airgap.format import names
from airgap.format.catalog import Catalog, savings
from airgap.html.chart import qr_code
from airgap.html.elements import code, facts, listed, moment, page, section, text, verdict
from airgap.report import parts
from airgap.report.data import Report
from airgap.text import human_size, plural


def render(report: Report) -> bytes:
    """The page as UTF-8."""
    foot = f"Made by airgap {text(__version__)} at {moment(report.made)}."
    return page(f"{report.catalog.name}: transfer bundle", _header(report), _tiles(report) + "".join(_sections(report)), foot)


def _header(report: Report) -> str:
    catalog = report.catalog
    lines = (
        ("Stream", text(catalog.stream)),
        ("Serial", str(catalog.serial)),
        ("Created", moment(catalog.created)),
        ("Expires", moment(catalog.expires)),
        ("Made by", text(catalog.tool if isinstance(catalog, Catalog) else "")),
        ("Catalog", code(report.digest)),
    )
    drawing = qr_code(str(report.digest), "QR code of the catalog's digest")
    return (
        f'<div><h1>{text(catalog.name)}</h1><p class="quiet">Transfer bundle of container images</p>'
        f"{_verdict(report)}{facts(lines, 'list')}</div>"
        f"<figure>{drawing}<figcaption>SHA-256 of {names.CATALOG}</figcaption></figure>"
    )


def _verdict(report: Report) -> str:
    policy, signers = text(report.trust.policy), text("; ".join(report.trust.signers))
    if not policy:
        return verdict("warn", "! Signatures: not verified here")
    if not signers:
        return verdict("warn", f"! The policy {policy} accepts this bundle without any signature")
    return verdict("good", f"✓ Signed by {signers}: as required by the policy {policy}")


def _tiles(report: Report) -> str:
    catalog = report.catalog
    found = [
        ("Images", str(len({image.reference for image in report.images})) if report.images else "encrypted"),
        ("Volumes", str(len(catalog.volumes)) + (f" + {len(catalog.parity)} parity" if catalog.parity else "")),
        ("Size", human_size(sum(file.size for file in report.catalog.files))),
    ]
    saving = savings(catalog.blobs if isinstance(catalog, Catalog) else {})
    if saving["held_blobs"] or saving["patched_blobs"]:
        saved = saving["held_bytes"] + saving["patched_bytes"] - saving["patch_bytes"]
        found.append(("Already at the site", human_size(saved)))
    if report.weights.saved:
        found.append(("Saved by sharing", human_size(report.weights.saved)))
    if report.differences is not None:
        difference = report.differences
        changed = sum(image.status == "changed" for image in report.images)
        found.append(("New / changed / removed", f"{len(difference.added)} / {changed} / {len(difference.removed)}"))
    if report.sboms:
        found.append(("SBOMs", plural(report.sboms, "document")))
    return facts(found, "tiles")


def _sections(report: Report) -> Iterator[str]:
    yield section("inside", "Contents", *parts.inside(report))
    yield section("changes", "Changes", *parts.changes(report))
    yield section("images", "Images", *parts.images(report))
    yield section("signatures", "Signatures", *parts.signatures(report))
    if bills := "".join(parts.bills(report)):
        yield section("sboms", "Software bills of materials", bills)
    yield section("volumes", "Volumes", *parts.volumes(report))
    if report.custody.entries or report.custody.problems:
        yield section("custody", "Custody", *parts.custody(report))
    if report.remarks:
        yield section("remarks", "Not determined here", listed(report.remarks[:100]))
