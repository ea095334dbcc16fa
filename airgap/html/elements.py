"""The few pieces of HTML that pages consist of. Titles, heads and captions are ours; values are HTML unless said otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from airgap.html.style import CSS, POLICY
from airgap.text import plural, printable

#: Rows that a table always shows, and rows that can be unfolded behind them.
SHOWN, FOLDED = 100, 10_000


def page(title: str, header: str, main: str, footer: str) -> bytes:
    """A whole page as UTF-8. ``title`` is plain text."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<title>{text(title)}</title><link rel="icon" href="data:,"><style>{CSS}</style></head><body>'
        f"<header>{header}</header><main>{main}</main><footer>{footer}</footer></body></html>"
    ).encode()


def text(value: object, limit: int = 2000) -> str:
    """Outside text, harmless for terminals and for HTML."""
    return escape(printable(str(value), limit))


def code(value: object) -> str:
    """A digest or a file name, to be compared letter by letter; any text."""
    return f'<code class="digest">{text(value)}</code>'


def small(value: object, kind: str = "") -> str:
    """A quiet line below a value; any text. Nothing for nothing."""
    return f'<small class="{kind}">{text(value)}</small>' if value else ""


def badge(word: str, kind: str = "") -> str:
    """A word that should be seen; any text."""
    return f'<span class="badge {kind}">{text(word)}</span>'


def verdict(kind: str, words: str, *, alert: bool = False) -> str:
    """The line that says how things are: ``good``, ``warn`` or ``bad``; with ``alert`` it is read out at once."""
    role = ' role="alert"' if alert else ""
    return f'<p class="verdict {kind}"{role}>{words}</p>'


def listed(values: Iterable[object]) -> str:
    """A list of any texts."""
    return f"<ul>{''.join(f'<li>{text(value)}</li>' for value in values)}</ul>"


def section(name: str, title: str, *parts: str) -> str:
    """A section with a heading."""
    return f'<section id="{name}"><h2>{title}</h2>{"".join(parts)}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, note: str = "", shown: int = SHOWN) -> str:
    """A table whose first column names the row; long ones are folded, and cut in the end. Nothing without rows.

    Args:
        head: what the columns are.
        rows: the cells.
        caption: what the table shows, for those who do not see it.
        note: what is said about rows that do not fit.
        shown: rows that are not folded.
    """
    found = iter(rows)
    first, folded = list(islice(found, shown)), list(islice(found, FOLDED))
    left = sum(1 for _ in found)
    parts = _table(head, first, caption)
    if folded:
        more = _table(head, folded, f"{caption}, continued")
        parts += f"<details><summary>{plural(len(folded), 'more row')}</summary>{more}</details>"
    return parts + (f'<p class="quiet">and {left} more{": " if note else ""}{note}</p>' if left else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f'<td data-label="{name}"><div>{cell}</div></td>' for name, cell in zip(head[1:], cells, strict=True))
        + "</tr>"
        for first, *cells in rows
    )
    inner = f'<caption class="unseen">{caption}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody>'
    return f"<table>{inner}</table>" if rows else ""


def facts(pairs: Iterable[tuple[str, str]], kind: str) -> str:
    """Names and values, as a ``list`` or as ``tiles``."""
    inner = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{inner}</dl>'


def moment(when: dt.datetime | str | None, nothing: str = "never") -> str:
    """A time, also as documents have it (RFC 3339); what is no time is shown as it is."""
    if when is None:
        return nothing
    try:
        utc = (dt.datetime.fromisoformat(when) if isinstance(when, str) else when).astimezone(dt.UTC)
    except ValueError:
        return text(when)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{utc:%Y-%m-%d %H:%M} UTC</time>'
