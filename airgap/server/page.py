"""The status page: one HTML document for a person with a browser, on a phone or on paper. Pure.

No script, nothing from elsewhere; everything that is not ours is escaped.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from airgap import __version__
from airgap.format.names import bundle_name
from airgap.server.inventory import ShownImage
from airgap.server.monitor import ServedBundle, Trouble
from airgap.server.style import CSS
from airgap.state import Event
from airgap.text import human_size, plural, printable

_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
#: The browser may use our style sheet and nothing else, whatever somebody manages to get into the page.
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
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
        access: who gets in, in a few words.
        bundles: what it came from.
        images, total: some of the images, and how many there are.
        ambiguous: short names that stand for several repositories.
        troubles: the last errors of the server, the latest first.
        history: the last decisions of this site, the oldest first; None where no state was named.
        requests, sent, connections: how many, since the start and now.
        memory: why the history cannot be read, or nothing.
    """

    place: str
    now: dt.datetime
    started: dt.datetime
    ailment: str
    access: str
    bundles: Sequence[ServedBundle]
    images: Sequence[ShownImage]
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
    parts = [
        f"<header><h1>airgap <span>serves</span> {_text(status.place)}</h1>{_verdict(status)}</header>",
        f"<main>{_tiles(status)}",
        *_section("bundles", "Bundles", _bundles(status), "Nothing is known about the bundles that this came from."),
        *_section("images", "Images", _images(status), "There are no images.", _image_notes(status)),
        *_section("errors", "Last errors of this server", _troubles(status), "None since the start."),
        *_history(status),
        "</main>",
        f"<footer>airgap {_text(__version__)} · {_time(status.now)} · reload for the current state</footer>",
    ]
    head = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<title>airgap: {_text(status.place)}</title><link rel="icon" href="data:,"><style>{CSS}</style></head><body>'
    )
    return f"{head}{''.join(parts)}</body></html>".encode()


def _verdict(status: Status) -> str:
    if status.ailment:
        return f'<p class="verdict bad" role="alert">✗ The store cannot be read: {_text(status.ailment)}</p>'
    unsure = [bundle for bundle in status.bundles if _worry(bundle, status.now)]
    if unsure:
        return f'<p class="verdict warn">! Serving, but look at {plural(len(unsure), "bundle")} below</p>'
    return '<p class="verdict good">✓ Serving</p>'


def _tiles(status: Status) -> str:
    newest = max((bundle.since for bundle in status.bundles), default=None)
    facts = (
        ("Images", str(status.total)),
        ("Bundle age", _age(status.now - newest) if newest else "unknown"),
        ("Running for", _age(status.now - status.started)),
        ("Requests", f"{status.requests:,}"),
        ("Sent", human_size(status.sent)),
        ("Connections", str(status.connections)),
        ("Access", status.access),
    )
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{_text(value)}</dd></div>' for name, value in facts)}</dl>"


def _bundles(status: Status) -> Iterator[str]:
    if not status.bundles:
        return
    yield _head("Stream", "Serial", "Age", "Expires", "Vouched for by")
    for bundle in sorted(status.bundles, key=lambda one: one.stream):
        worry = _worry(bundle, status.now)
        badge = f'<strong class="badge warn">{_text(worry)}</strong>' if worry else ""
        since = f"{_age(status.now - bundle.since)}<small>{'made' if bundle.made else 'loaded'} {_time(bundle.since)}</small>"
        vouchers = "<br>".join(_text(one) for one in bundle.vouchers) or "nobody"
        catalog = f'<small class="digest">{_text(bundle.catalog)}</small>' if bundle.catalog else ""
        expires = _time(bundle.expires) if bundle.expires else "never" if bundle.made else "not known"
        yield _row(
            ("Stream", f"<b>{_text(bundle.stream)}</b>{catalog}"),
            ("Serial", str(bundle.serial)),
            ("Age", since + badge),
            ("Expires", expires),
            ("Vouched for by", vouchers),
        )


def _worry(bundle: ServedBundle, now: dt.datetime) -> str:
    if bundle.expires is not None and bundle.expires < now:
        return "expired"
    if not bundle.vouchers:
        return "signature not checked"
    return "old" if now - bundle.since > dt.timedelta(days=_OLD) else ""


def _images(status: Status) -> Iterator[str]:
    if not status.images:
        return
    yield _head("Image", "Platforms", "Size", "Attachments")
    for image in status.images:
        missing = f'<br><strong class="badge bad">{plural(image.missing, "blob")} missing</strong>' if image.missing else ""
        yield _row(
            ("Image", f'<b>{_text(image.name)}</b><small class="digest">{_text(image.digest)}</small>'),
            ("Platforms", "<br>".join(_text(one) for one in image.platforms) or "not stated"),
            ("Size", human_size(image.size) + missing),
            ("Attachments", str(image.attachments) if image.attachments else "none"),
        )


def _image_notes(status: Status) -> str:
    notes = []
    if status.total > len(status.images):
        notes.append(f"and {status.total - len(status.images)} more; GET /v2/_catalog names all repositories")
    for short, names in sorted(status.ambiguous.items()):
        notes.append(f"<b>{_text(short)}</b> alone is not served: it could be {_text(' or '.join(names))}")
    return "".join(f"<p>{note}</p>" for note in notes[:_NOTES])


def _troubles(status: Status) -> Iterator[str]:
    if not status.troubles:
        return
    yield _head("Time", "Kind", "What")
    for one in status.troubles:
        yield _row(("Time", _time(one.at)), ("Kind", _text(one.kind)), ("What", _text(one.text)))


def _history(status: Status) -> Iterator[str]:
    if status.memory:
        yield f'<section id="history"><h2>History of this site</h2><p class="verdict bad">{_text(status.memory)}</p></section>'
    elif status.history is not None:
        yield from _section("history", "History of this site", _events(status.history), "Nothing yet.")


def _events(events: Sequence[Event]) -> Iterator[str]:
    if not events:
        return
    yield _head("Time", "Event", "Bundle", "Outcome")
    for event in reversed(events):
        # a bundle whose signature did not hold has no name that could be believed
        bundle = bundle_name(event.stream, event.serial) if event.stream else event.catalog[:19] or "-"
        kind = f'<strong class="badge bad">{_text(event.event)}</strong>' if event.event == "refused" else _text(event.event)
        target = f"<small>{_text(event.target)}</small>" if event.target else ""
        reason = f"<small>{_text(event.reason)}</small>" if event.reason else ""
        yield _row(
            ("Time", _written(event.at)),
            ("Event", kind),
            ("Bundle", f"<b>{_text(bundle)}</b>{target}"),
            ("Outcome", _text(event.outcome) + reason),
        )


def _section(name: str, title: str, table: Iterable[str], nothing: str, notes: str = "") -> Iterator[str]:
    rows = "".join(table)
    body = f"<table>{rows}</tbody></table>" if rows else f"<p>{nothing}</p>"
    yield f'<section id="{name}"><h2>{title}</h2>{body}{notes}</section>'


def _head(*names: str) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead><tbody>"


def _row(*cells: tuple[str, str]) -> str:
    inner = "".join(f'<td data-label="{name}"><div>{html}</div></td>' for name, html in cells)
    return f"<tr>{inner}</tr>"


def _text(text: str) -> str:
    return escape(printable(text, 2000))


def _time(moment: dt.datetime) -> str:
    utc = moment.astimezone(dt.UTC)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{utc:%Y-%m-%d %H:%M} UTC</time>'


def _written(text: str) -> str:
    """A time as the state has it."""
    try:
        return _time(dt.datetime.fromisoformat(text))
    except ValueError:
        return _text(text)


def _age(span: dt.timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    for size, noun in ((1440, "day"), (60, "hour")):
        if minutes >= 2 * size:
            return plural(minutes // size, noun)
    return plural(minutes, "minute")
