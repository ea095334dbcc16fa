"""The sections of the report, each as pieces of HTML. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from airgap.documents.difference import Changed, Shown
from airgap.format import names
from airgap.html.chart import Part, bar, treemap
from airgap.html.elements import badge, code, listed, moment, small, table, text, verdict
from airgap.report.data import CHANGED, NEW, SAME, Report, ShownImage, word_of
from airgap.report.sbom import Sbom
from airgap.text import human_size, plural

_LICENCES = 6
_ALL_LICENCES = 12
_VOLUMES_NAMED = 12
_LEGEND = {NEW: "new", CHANGED: "changed", SAME: "unchanged", "shared": "needed by several images"}


def inside(report: Report) -> Iterator[str]:
    """The treemap, the platforms, and what is shared."""
    boxes = _boxes(report)
    title = f"Bytes that each image adds: {', '.join(f'{box.label} {human_size(box.size)}' for box in boxes[:8])}"
    if drawing := treemap(boxes, title):
        kinds = {box.kind for box in boxes if box.size}
        words = _LEGEND if any(image.status for image in report.images) else {**_LEGEND, SAME: "needed by one image"}
        keys = "".join(f'<li><span class="key {kind}"></span>{word}</li>' for kind, word in words.items() if kind in kinds)
        yield '<p class="quiet">Each area shows the bytes that only this image needs.</p>'
        yield drawing
        yield f'<ul class="legend">{keys}</ul>' if kinds != {SAME} else ""
    yield from _platforms(report)
    weights = report.weights
    if weights.shared_blobs:
        saved = human_size(weights.saved)
        yield (
            f"<p>{plural(weights.shared_blobs, 'blob')} of {human_size(weights.shared)} are needed by several images and carried "
            f"once. Without sharing the bundle would be {saved} larger.</p>"
        )


def _boxes(report: Report) -> list[Part]:
    boxes, seen = [], set()
    for image in report.images:
        if image.digest not in seen:
            seen.add(image.digest)
            boxes.append(Part(_short(image.reference), image.weight.own, image.status or SAME))
    return sorted([*boxes, Part("shared", report.weights.shared, "shared")], key=lambda box: -box.size)


def _short(reference: str) -> str:
    """The end of a reference, by which people know an image."""
    name, _, digest = reference.rpartition("/")[2].partition("@")
    return name if ":" in name or not digest else f"{name}@{digest.rpartition(':')[2][:12]}"


def _platforms(report: Report) -> Iterator[str]:
    counts, sizes = Counter[str](), Counter[str]()
    for image in {image.digest: image for image in report.images}.values():
        counts.update(image.weight.platforms.keys() or image.platforms)
        sizes.update(image.weight.platforms)
    most = max(sizes.values(), default=0)
    rows = [
        (text(name, 80), plural(count, "image"), f"{human_size(sizes[name])}{bar(sizes[name] / most)}" if most else "not known")
        for name, count in counts.most_common()
    ]
    yield f'<div class="keep"><h3>Platforms</h3>{table(("Platform", "Images", "Bytes needed"), rows, "Platforms")}</div>'


def changes(report: Report) -> Iterator[str]:
    """New, changed and removed images."""
    before, found = report.before, report.differences
    if before.is_first:
        yield f"<p>{text(before.label[:1].upper() + before.label[1:])}</p>"
        return
    if found is None:
        yield f"<p>The previous content is unknown: {text(before.label)}</p>"
        return
    moved = found.moved if before.only_names else (*found.moved, *found.changed)
    unchanged = found.unchanged + len(found.changed) * before.only_names
    yield f"<p>Compared with {text(before.label)}. {plural(unchanged, 'image')} unchanged.</p>"
    if not (found.added or moved or found.removed):
        yield "<p>It contains the same images.</p>"
    yield from _entries("New", found.added)
    rows = [(text(change.reference), _what(change)) for change in moved]
    yield f"<h3>Changed ({len(moved)})</h3>{table(('Image', 'What'), rows, 'Changed images')}" if rows else ""
    yield from _entries("Removed", found.removed)


def _entries(title: str, entries: Mapping[str, Shown]) -> Iterator[str]:
    rows = [(text(name), text(", ".join(one.platforms or ()) or "not stated", 300)) for name, one in entries.items()]
    yield f"<h3>{title} ({len(rows)})</h3>{table(('Image', 'Platforms'), rows, title)}" if rows else ""


def _what(change: Changed) -> str:
    said = ["other content"] if change.old != change.new else []
    said += [f"platform gained: {one}" for one in change.platforms_gained]
    said += [f"platform lost: {one}" for one in change.platforms_lost]
    for word, sorts in (("gained", change.gained), ("lost", change.lost), ("replaced", change.replaced)):
        said += [f"{word}: {count} × {word_of(sort.kind, sort.artifact_type)}" for sort, count in sorted(sorts.items())]
    lost = f"<br>{badge(plural(change.signatures_lost, 'signature') + ' lost', 'bad')}" if change.signatures_lost else ""
    return text("; ".join(said)) + lost


def images(report: Report) -> Iterator[str]:
    """All images."""
    most = max((image.weight.size for image in report.images), default=0)
    if not report.images:
        yield "<p>They are encrypted for the site and unknown here.</p>"
    rows = (_image(image, most) for image in report.images)
    yield table(
        ("Image", "Platforms", "Size", "Attached", "Volumes"), rows, "Images of the bundle", "airgap inspect lists them all"
    )


def _image(image: ShownImage, most: int) -> tuple[str, ...]:
    status = f" {badge(image.status, image.status)}" if image.status in (NEW, CHANGED) else ""
    digest = "" if image.digest in image.reference else small(image.digest, "digest")
    hanging = "<br>".join(f"{count} × {text(word)}" for word, count in image.hanging.items()) or "nothing"
    return (
        f"{text(image.reference)}{status}{digest}",
        "<br>".join(text(one, 80) for one in image.platforms[:20]) or "not stated",
        _size(image, most),
        hanging,
        _numbers(image.volumes),
    )


def _size(image: ShownImage, most: int) -> str:
    weight = image.weight
    if weight.unread:
        return "unknown here"
    carried = small(f"{human_size(weight.carried)} of it in this bundle") if weight.carried != weight.size else ""
    return f"{human_size(weight.size)}{bar(weight.size / most if most else 0)}{carried}"


def _numbers(volumes: Sequence[int]) -> str:
    """``1 to 3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(volumes):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first} to {last}" for first, last in runs[:_VOLUMES_NAMED]]
    return ", ".join(shown) + (" ..." if len(runs) > _VOLUMES_NAMED else "")


def signatures(report: Report) -> Iterator[str]:
    """Who signed the catalog, and what vouches for images."""
    yield "<h3>Bundle</h3>"
    if report.trust.policy:
        yield listed(report.trust.reasons[:50])
    else:
        yield (
            "<p><strong>Not verified here.</strong> These files say who signed; whether that is true, only a check with the "
            "sender's public key tells: <code>airgap verify</code>, or this report with <code>--policy</code>.</p>"
        )
    rows = [(code(one.name), text(one.kind), code(one.key)) for one in report.signatures]
    yield table(("File", "Kind", "Key, according to the file name"), rows, "Signature files") or "<p>The bundle is not signed.</p>"
    totals = Counter[str]()
    for image in report.images:
        totals.update(image.hanging)
    if not report.images:
        return
    yield "<h3>Images</h3>"
    kinds = [(text(word), str(count)) for word, count in totals.most_common()]
    yield table(("Attached to images", "How many"), kinds, "Attachments") or "<p>Nothing is attached to any image.</p>"
    unsigned = sum(not any("signature" in word or "sigstore" in word for word in image.hanging) for image in report.images)
    yield (
        f"<p>{unsigned} of {plural(len(report.images), 'image')} have no signature. The site's policy decides on import "
        "whether it takes them.</p>"
    )


def bills(report: Report) -> Iterator[str]:
    """What the SBOMs say."""
    rows = [
        (text(image.reference), text(bill.format), str(bill.packages), text(_licences(bill, _LICENCES)))
        for image in report.images
        for bill in image.sboms
    ]
    if not rows:
        return
    totals = Counter[str]()
    for bill in {id(bill): bill for image in report.images for bill in image.sboms}.values():
        totals.update(bill.licences)
    yield "<p>As written by the publishers; not verified here.</p>"
    if totals:
        yield f"<p>Most frequent licences: {text(_licences(Sbom('', 0, totals), _ALL_LICENCES))}.</p>"
    yield table(("Image", "Format", "Packages", "Licences, by number of packages"), rows, "SBOMs")


def _licences(bill: Sbom, most: int) -> str:
    ordered = sorted(bill.licences.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} ({count})" for name, count in ordered[:most])
    return f"{shown} and {len(ordered) - most} more" if len(ordered) > most else shown or "none stated"


def custody(report: Report) -> Iterator[str]:
    """The custody logs on the media."""
    for problem in report.custody.problems[:20]:
        yield verdict("bad", f"The log is broken: {text(problem)}")
    rows = (
        (
            text(entry.who),
            moment(entry.at),
            text(entry.where) or "not stated",
            text("; ".join(filter(None, (f"check: {entry.checked.result}" if entry.checked else "", entry.note)))),
            text(report.custody.vouched(entry)),
        )
        for _, entry in report.custody.entries
    )
    yield table(("Who", "When", "Where", "What", "Vouched for"), rows, "Custody log")
    yield '<p class="quiet">Unsigned entries are no proof: anyone who held the media could have rewritten them.</p>'


def volumes(report: Report) -> Iterator[str]:
    """Volumes and parity files, with their checksums."""
    needed = Counter(number for image in report.images for number in image.volumes)
    rows = []
    for number, file in enumerate(report.catalog.files, 1):
        use = "repair" if number > len(report.catalog.volumes) else plural(needed[number], "image") if needed else "not known"
        there = "" if file.name in report.here else f" {badge('not here', 'warn')}"
        name = f"{text(file.name)}{there}{small(file.sha256, 'digest')}"
        rows.append((name, f"{file.size:,}", human_size(file.size), use))
    yield table(("File and SHA-256", "Bytes", "Size", "Needed for"), rows, "Volumes and parity files", f"see {names.SUMS}")
    yield (
        f"<p>To check them without a key, run <code>sha256sum -c {names.SUMS}</code> in the directory of each medium, or "
        f"<code>airgap media check</code> with all of them. The catalog itself must have the digest on the first page: scan the "
        f"code there, and compare it with what <code>sha256sum {names.CATALOG}</code> says.</p>"
    )
