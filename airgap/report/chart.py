"""Drawings for the report, as inline SVG without scripts or style attributes: a treemap, bars, a QR code. Pure.

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
_WIDTH, _HEIGHT = 100.0, 42.0
#: The smallest rectangle, in per cent of width and height, into which text is put.
_TEXT_WIDTH, _TEXT_HEIGHT = 7.0, 8.0
_TWO_LINES = 14.0


@dataclass(frozen=True)
class Part:
    """One rectangle: what it stands for, its weight in bytes, and the class that colours it."""

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
    rest = sum(part.size for part in ordered[MOST:])
    if rest:
        shown.append(Part(f"{len(ordered) - MOST} more", rest, "rest"))
    drawn = "".join(_box(box) for box in squarify(shown))
    return f'<svg class="treemap" role="img" aria-label="{_text(title)}" width="100%" height="26rem">{drawn}</svg>'


def squarify(parts: Sequence[Part]) -> list[Box]:
    """Lay rectangles out so that they are as square as possible (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000)."""
    total = sum(part.size for part in parts)
    scale = _WIDTH * _HEIGHT / total if total else 0.0
    left = sorted(parts, key=lambda part: -part.size)
    boxes: list[Box] = []
    x, y, width, height = 0.0, 0.0, _WIDTH, _HEIGHT
    while left:
        side = min(width, height)
        row = _row([part.size * scale for part in left], side)
        chosen, left = left[:row], left[row:]
        area = sum(part.size for part in chosen) * scale
        depth = area / side if side else 0.0
        at = 0.0
        for part in chosen:
            length = part.size * scale / depth if depth else 0.0
            place = (x, y + at, depth, length) if height <= width else (x + at, y, length, depth)
            boxes.append(_percent(part, *place))
            at += length
        if height <= width:
            x, width = x + depth, max(width - depth, 0.0)
        else:
            y, height = y + depth, max(height - depth, 0.0)
    return boxes


def bar(share: float) -> str:
    """A bar, filled from the left: ``share`` of 1. The number stands beside it, so it says nothing by itself."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="bar" aria-hidden="true" width="100%" height="8"><rect class="track" width="100%" height="8" rx="3"/>'
        f'<rect class="fill" width="{width:.1f}%" height="8" rx="3"/></svg>'
    )


def qr_code(text: str, title: str) -> str:
    """A QR code (ISO/IEC 18004), dark on light whatever the page's colours are, for scanners want it so."""
    drawing = io.BytesIO()
    segno.make_qr(text, error="m").save(
        drawing,
        kind="svg",
        xmldecl=False,
        svgns=False,
        omitsize=True,
        border=4,
        dark="#000",
        light="#fff",
        title=title,
        svgclass="qr",
    )
    return drawing.getvalue().decode().strip()


def _row(areas: Sequence[float], side: float) -> int:
    """How many of the next areas make the best row along a side."""
    count, best = 0, float("inf")
    total = 0.0
    for area in areas:
        total += area
        ratio = max(_ratio(areas[0], total, side), _ratio(area, total, side))
        if ratio > best:
            break
        count, best = count + 1, ratio
    return max(count, 1)


def _ratio(area: float, total: float, side: float) -> float:
    depth = total / side if side else 0.0
    length = area / depth if depth else 0.0
    return max(depth / length, length / depth) if length and depth else float("inf")


def _percent(part: Part, x: float, y: float, width: float, height: float) -> Box:
    return Box(part, x, 100 * y / _HEIGHT, width, 100 * height / _HEIGHT)


def _box(box: Box) -> str:
    label, size = _text(box.part.label), human_size(box.part.size)
    inner = "".join(_words(box, label, size))
    return (
        f'<svg x="{box.x:.2f}%" y="{box.y:.2f}%" width="{box.width:.2f}%" height="{box.height:.2f}%">'
        f'<title>{label}: {size}</title><rect class="{box.part.kind}" width="100%" height="100%"/>{inner}</svg>'
    )


def _words(box: Box, label: str, size: str) -> Iterator[str]:
    if box.width >= _TEXT_WIDTH and box.height >= _TEXT_HEIGHT:
        yield f'<text x="8" y="19">{label}</text>'
        if box.height >= _TWO_LINES:
            yield f'<text class="size" x="8" y="36">{size}</text>'


def _text(text: str) -> str:
    return escape(printable(text, 200))
