"""The status page: one HTML document for a person with a browser, on a phone or on paper. Pure.

It has no scripts and no external content; all data is escaped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airgap import __version__
from airgap.format.names import bundle_name
from airgap.html.elements import badge, facts, moment, page, section, small, table, text, verdict
from airgap.html.style import POLICY
from airgap.server.inventory import ListedImage
from airgap.server.monitor import ServedBundle, Trouble
from airgap.state import Event
from airgap.text import human_size, plural

HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BUNDLES = "Stream", "Serial", "Age", "Expires", "Trusted by"
_IMAGES = "Image", "Platforms", "Size", "Attachments"
_TROUBLES = "Time", "Kind", "What"
_EVENTS = "Time", "Event", "Bundle", "Outcome"
#: An age in days from which a person should ask whether something newer is on its way.
_OLD = 90
_NOTES = 20


@dataclass(frozen=True)
class Status:
    """Everything the page shows.

    Attributes:
        place: what is served.
        now, started: times, UTC.
        ailment: why the store cannot be read, or nothing.
        access: who has access, in a few words.
        bundles: what it came from.
        images, total: some of the images, and their total number.
        ambiguous: short names that several repositories share.
        troubles: the last errors of the server, the latest first.
        history: the last decisions of this site, oldest first; None without a state.
        requests, sent, connections: numbers since the start, and now.
        memory: why the history cannot be read, or nothing.
    """

    place: str
    now: dt.datetime
    started: dt.datetime
    ailment: str
    access: str
    bundles: Sequence[ServedBundle]
    images: Sequence[ListedImage]
    total: int
    ambiguous: dict[str, list[str]]
    troubles: Sequence[Trouble]
    history: Sequence[Event] | None
    requests: int
    sent: int
    connections: int
    memory: str = ""


def render(status: Status) -> bytes:
    """The page as UTF-8."""
    return page(
        f"airgap: {status.place}",
        f'<h1>airgap <span class="quiet">serves</span> {text(status.place)}</h1>{_verdict(status)}',
        _tiles(status) + "".join(_sections(status)),
        f"airgap {text(__version__)} · {moment(status.now)} · reload to update",
    )


def _verdict(status: Status) -> str:
    if status.ailment:
        return verdict("bad", f"✗ The store cannot be read: {text(status.ailment)}", alert=True)
    unsure = sum(bool(_worry(bundle, status.now)) for bundle in status.bundles)
    if unsure:
        return verdict("warn", f"! Serving, but check {plural(unsure, 'bundle')} below")
    return verdict("good", "✓ Serving")


def _tiles(status: Status) -> str:
    newest = max((bundle.since for bundle in status.bundles), default=None)
    found = (
        ("Images", str(status.total)),
        ("Bundle age", _age(status.now - newest) if newest else "unknown"),
        ("Uptime", _age(status.now - status.started)),
        ("Requests", f"{status.requests:,}"),
        ("Sent", human_size(status.sent)),
        ("Connections", str(status.connections)),
        ("Access", text(status.access)),
    )
    return facts(found, "tiles")


def _sections(status: Status) -> Iterator[str]:
    rows = [_bundle(bundle, status.now) for bundle in sorted(status.bundles, key=lambda one: one.stream)]
    yield _section("bundles", "Bundles", _BUNDLES, rows, "The bundles that this content came from are unknown.")
    rows = [_image(image) for image in status.images]
    yield _section("images", "Images", _IMAGES, rows, "There are no images.", _image_notes(status))
    rows = [(moment(one.at), text(one.kind), text(one.text)) for one in status.troubles]
    yield _section("errors", "Recent server errors", _TROUBLES, rows, "None since the start.")
    if status.memory:
        yield section("history", "History of this site", verdict("bad", text(status.memory)))
    elif status.history is not None:
        rows = [_event(event) for event in reversed(status.history)]
        yield _section("history", "History of this site", _EVENTS, rows, "Nothing yet.")


def _section(name: str, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], nothing: str, notes: str = "") -> str:
    # nothing is folded: people search this page, and the desk caps its lists
    return section(name, title, table(head, rows, title, shown=len(rows)) or f'<p class="quiet">{nothing}</p>', notes)


def _bundle(bundle: ServedBundle, now: dt.datetime) -> tuple[str, ...]:
    worry = _worry(bundle, now)
    since = f"<small>{'created' if bundle.made else 'loaded'} {moment(bundle.since)}</small>"
    return (
        text(bundle.stream) + small(bundle.catalog, "digest"),
        str(bundle.serial),
        _age(now - bundle.since) + since + (badge(worry, "warn") if worry else ""),
        moment(bundle.expires, "not known" if bundle.may_expire else "never"),
        "<br>".join(text(one) for one in bundle.vouchers) or "nobody",
    )


def _worry(bundle: ServedBundle, now: dt.datetime) -> str:
    if bundle.expires is not None and bundle.expires < now:
        return "expired"
    if not bundle.vouchers:
        return "signature not verified"
    return "old" if now - bundle.since > dt.timedelta(days=_OLD) else ""


def _image(image: ListedImage) -> tuple[str, ...]:
    return (
        text(image.name) + small(image.digest, "digest"),
        "<br>".join(text(one) for one in image.platforms) or "not stated",
        human_size(image.size) + (f"<br>{badge(plural(image.missing, 'blob') + ' missing', 'bad')}" if image.missing else ""),
        str(image.attachments or "none"),
    )


def _image_notes(status: Status) -> str:
    more = status.total - len(status.images)
    notes = [f"and {more} more; GET /v2/_catalog names all repositories"] if more > 0 else []
    for short, names in sorted(status.ambiguous.items()):
        notes.append(f"<b>{text(short)}</b> alone is not served: it could be {text(' or '.join(names))}")
    return "".join(f'<p class="quiet">{note}</p>' for note in notes[:_NOTES])


def _event(event: Event) -> tuple[str, ...]:
    # a bundle whose signature did not hold has no name that could be believed
    bundle = bundle_name(event.stream, event.serial) if event.stream else event.catalog[:19] or "-"
    return (
        moment(event.at),
        badge(event.event, "bad") if event.event == "refused" else text(event.event),
        f"<b>{text(bundle)}</b>{small(event.target)}",
        text(event.outcome) + "".join(small(line) for line in event.reason.split("\n")),
    )


def _age(span: dt.timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    for size, noun in ((1440, "day"), (60, "hour")):
        if minutes >= 2 * size:
            return plural(minutes // size, noun)
    return plural(minutes, "minute")
