"""Drawings as inline SVG without scripts or style attributes: a treemap, bars, a QR code.

Rectangles are placed in per cent and text keeps its size, so that a drawing is readable on a phone, on a wide screen and on paper.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import segno

from airgap.text import human_size, printable

#: Rectangles of a treemap; the rest is one more.
MOST = 40
#: A treemap on a wide screen; the least side of what is left of it, for sums of fractions are not exact.
_WIDTH, _HEIGHT, _LEAST = 100.0, 42.0, 1e-9
#: The smallest rectangle, in per cent of width and height, into which text is put, and the height for two lines of it.
_TEXT_WIDTH, _TEXT_HEIGHT, _TWO_LINES = 7.0, 8.0, 14.0


@dataclass(frozen=True)
class Part:
    """One rectangle: its label, its weight in bytes, and the class that colours it."""

    label: str
    size: int
    kind: str


@dataclass(frozen=True)
class Box:
    """Where a part lies, in per cent of the whole."""

    part: Part
    x: float
    y: float
    width: float
    height: float


def treemap(parts: Sequence[Part], title: str) -> str:
    """A treemap of the largest parts; what is too small to see is summed up. Empty where nothing weighs anything."""
    ordered = sorted((part for part in parts if part.size > 0), key=lambda part: -part.size)
    if not ordered:
        return ""
    shown = ordered[:MOST]
    if rest := sum(part.size for part in ordered[MOST:]):
        shown.append(Part(f"{len(ordered) - MOST} more", rest, "rest"))
    drawn = "".join(piece for box in squarify(shown) for piece in _drawn(box))
    return f'<svg class="treemap" role="img" aria-label="{_text(title)}" width="100%" height="26rem">{drawn}</svg>'


def squarify(parts: Sequence[Part]) -> list[Box]:
    """Lay parts that weigh something out as squarely as possible (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000)."""
    left = sorted(parts, key=lambda part: -part.size)
    scale = _WIDTH * _HEIGHT / sum(part.size for part in left)
    boxes: list[Box] = []
    x, y, width, height = 0.0, 0.0, _WIDTH, _HEIGHT
    while left:
        side = max(min(width, height), _LEAST)
        count = _row([part.size * scale for part in left], side)
        row, left = left[:count], left[count:]
        depth = sum(part.size for part in row) * scale / side
        at = 0.0
        for part in row:
            length = part.size * scale / depth
            boxes.append(_box(part, x, y + at, depth, length) if height <= width else _box(part, x + at, y, length, depth))
            at += length
        if height <= width:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    return boxes


def _row(areas: Sequence[float], side: float) -> int:
    """How many of the next areas, which fall, make the best row along a side: the worst rectangle is the most nearly square."""
    total, best = 0.0, float("inf")
    for count, area in enumerate(areas):
        total += area
        square = (total / side) ** 2
        worst = max(areas[0] / square, square / area)
        if worst > best:
            return count
        best = worst
    return len(areas)


def _box(part: Part, x: float, y: float, width: float, height: float) -> Box:
    return Box(part, x, 100 * y / _HEIGHT, width, 100 * height / _HEIGHT)


def _drawn(box: Box) -> Iterator[str]:
    label, size = _text(box.part.label), human_size(box.part.size)
    yield f'<svg x="{box.x:.2f}%" y="{box.y:.2f}%" width="{box.width:.2f}%" height="{box.height:.2f}%">'
    yield f'<title>{label}: {size}</title><rect class="{box.part.kind}" width="100%" height="100%"/>'
    if box.width >= _TEXT_WIDTH and box.height >= _TEXT_HEIGHT:
        second = f"<p>{size}</p>" if box.height >= _TWO_LINES else ""
        # HTML and not SVG text: only that ends what does not fit in an ellipsis
        yield f'<foreignObject width="100%" height="100%"><p>{label}</p>{second}</foreignObject>'
    yield "</svg>"


def _text(text: str) -> str:
    return escape(printable(text, 200))


def bar(share: float) -> str:
    """A bar, filled from the left: ``share`` of 1. The number stands beside it, so it says nothing by itself."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="bar" aria-hidden="true" width="100%" height="8"><rect class="rest" width="100%" height="8" rx="3"/>'
        f'<rect class="fill" width="{width:.1f}%" height="8" rx="3"/></svg>'
    )


def qr_code(text: str, title: str) -> str:
    """A QR code (ISO/IEC 18004), dark on light whatever the page's colours are, for scanners want it so."""
    drawing = io.BytesIO()
    looks = {"xmldecl": False, "svgns": False, "omitsize": True, "border": 4, "dark": "#000", "light": "#fff", "svgclass": "qr"}
    segno.make_qr(text, error="m").save(drawing, kind="svg", title=title, **looks)
    return drawing.getvalue().decode().strip()
