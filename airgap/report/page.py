"""The report as one HTML page that needs nothing but itself: no network, no script; for a screen and for A4 paper. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from airgap import __version__
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.report import parts
from airgap.report.chart import qr_code
from airgap.report.data import Report
from airgap.report.html import code, facts, moment, section, text
from airgap.report.style import CSS
from airgap.text import human_size, plural

_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
#: The browser may use our style sheet and nothing else, whatever somebody manages to get into the page.
_RULES = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"


def render(report: Report) -> bytes:
    """The page as UTF-8."""
    catalog = report.catalog
    head = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_RULES}"><meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<title>{text(catalog.name)}: transfer bundle</title><link rel="icon" href="data:,"><style>{CSS}</style></head><body>'
    )
    foot = f"<footer>Made by airgap {text(__version__)} at {moment(report.made)}.</footer></body></html>"
    return f"{head}{_header(report)}<main>{_tiles(report)}{''.join(_sections(report))}</main>{foot}".encode()


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
        f'<header><div><h1>{text(catalog.name)}</h1><p class="quiet">Transfer bundle of container images</p>'
        f"{_verdict(report)}{facts(lines, 'list')}</div>"
        f"<figure>{drawing}<figcaption>SHA-256 of {names.CATALOG}</figcaption></figure></header>"
    )


def _verdict(report: Report) -> str:
    if not report.trust.policy:
        return '<p class="verdict warn">! Signatures: not verified here</p>'
    if not report.trust.signers:
        return f'<p class="verdict warn">! The policy {text(report.trust.policy)} accepts this bundle without any signature</p>'
    signers = "; ".join(report.trust.signers)
    return f'<p class="verdict good">✓ Signed by {text(signers)}: enough for the policy {text(report.trust.policy)}</p>'


def _tiles(report: Report) -> str:
    catalog = report.catalog
    found = [
        ("Images", str(len({image.reference for image in report.images})) if report.images else "encrypted"),
        ("Volumes", str(len(catalog.volumes)) + (f" + {len(catalog.parity)} parity" if catalog.parity else "")),
        ("Size", human_size(sum(file.size for file in report.catalog.files))),
    ]
    savings = catalog.savings() if isinstance(catalog, Catalog) else {}
    if savings and (savings["held_blobs"] or savings["patched_blobs"]):
        saved = savings["held_bytes"] + savings["patched_bytes"] - savings["patch_bytes"]
        found.append(("Left out, because it is there", human_size(saved)))
    if report.weights.saved:
        found.append(("Saved by sharing", human_size(report.weights.saved)))
    if report.differences is not None:
        difference = report.differences
        changed = sum(image.status == "changed" for image in report.images)
        found.append(("New / changed / removed", f"{len(difference['added'])} / {changed} / {len(difference['removed'])}"))
    if report.sboms:
        found.append(("SBOMs", plural(report.sboms, "document")))
    return facts(found, "tiles")


def _sections(report: Report) -> Iterator[str]:
    yield section("inside", "What is inside", *parts.inside(report))
    yield section("changes", "What is different from before", *parts.changes(report))
    yield section("images", "Images", *parts.images(report))
    yield section("signatures", "Signatures", *parts.signatures(report))
    if bills := "".join(parts.bills(report)):
        yield section("sboms", "Software bills of materials", bills)
    yield section("volumes", "Volumes", *parts.volumes(report))
    if report.custody.entries or report.custody.problems:
        yield section("custody", "Who carried it", *parts.custody(report))
    if report.remarks:
        remarks = "".join(f"<li>{text(remark)}</li>" for remark in report.remarks[:100])
        yield section("remarks", "What could not be found out here", f"<ul>{remarks}</ul>")
