"""The few pieces of HTML that the report consists of. Everything that is not ours goes through :func:`text`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from airgap.text import plural, printable

#: Rows that are always shown, and rows that can be unfolded behind them.
SHOWN, FOLDED = 100, 10_000


def text(value: object, limit: int = 1000) -> str:
    """Outside text, harmless for terminals and for HTML."""
    return escape(printable(str(value), limit))


def code(value: object) -> str:
    """A digest or a file name, to be compared letter by letter."""
    return f'<code class="digest">{text(value)}</code>'


def section(name: str, title: str, *parts: str) -> str:
    """A section with a heading."""
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>{"".join(parts)}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, note: str = "") -> str:
    """A table whose first column names the row; long ones are folded, and cut in the end. Cells are HTML.

    Args:
        head: what the columns are.
        rows: the cells.
        caption: what the table shows, for those who do not see it.
        note: what is said about rows that do not fit.
    """
    found = iter(rows)
    first = list(islice(found, SHOWN))
    if not first:
        return ""
    folded = list(islice(found, FOLDED))
    left = sum(1 for _ in found)
    parts = [_table(head, first, caption)]
    if folded:
        more = _table(head, folded, f"{caption}, continued")
        parts.append(f"<details><summary>{plural(len(folded), 'more row')}</summary>{more}</details>")
    if left:
        parts.append(f'<p class="quiet">and {left} more{": " if note else ""}{note}</p>')
    return "".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(_row(head, row) for row in rows)
    return f'<table><caption class="unseen">{caption}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>'


def _row(head: Sequence[str], cells: Sequence[str]) -> str:
    first = f'<th scope="row">{cells[0]}</th>'
    others = "".join(f'<td data-label="{name}"><div>{cell}</div></td>' for name, cell in zip(head[1:], cells[1:], strict=True))
    return f"<tr>{first}{others}</tr>"


def facts(pairs: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Names and values. Values are HTML."""
    inner = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{inner}</dl>'


def moment(written: str | None, nothing: str = "never") -> str:
    """A time as catalogs have it."""
    if written is None:
        return nothing
    try:
        utc = dt.datetime.fromisoformat(written).astimezone(dt.UTC)
    except ValueError:
        return text(written)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{utc:%Y-%m-%d %H:%M} UTC</time>'


def badge(word: str, kind: str = "") -> str:
    """A word that should be seen."""
    return f'<span class="badge {kind}">{text(word)}</span>'
