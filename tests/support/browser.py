"""A real browser without a window: what a page looks like, and what it made of the markup."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

from tests.support.tools import require

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--log-level=0", "--v=0",
)  # fmt: skip


class Browser:
    """Headless Chromium with a profile of its own below ``work``."""

    def __init__(self, work: Path) -> None:
        self._command = [require("chromium"), *_QUIET, f"--user-data-dir={work / 'profile'}"]
        self._home = work

    def dom(self, url: str) -> tuple[str, str]:
        """The document as the browser understood it, and what its console said."""
        done = self._run("--dump-dom", url)
        return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)

    def screenshot(self, url: str, file: Path, *, width: int, height: int, dark: bool = False) -> bytes:
        """A picture of the page as PNG, also written to a file."""
        scheme = "--blink-settings=preferredColorScheme=0" if dark else "--blink-settings=preferredColorScheme=1"
        self._run(f"--screenshot={file}", f"--window-size={width},{height}", scheme, url)
        return file.read_bytes()

    def pdf(self, url: str, file: Path) -> bytes:
        """The page on paper."""
        self._run(f"--print-to-pdf={file}", "--no-pdf-header-footer", url)
        return file.read_bytes()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(self._home)}
        command = [*self._command, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


def rows(png: bytes) -> list[bytes]:
    """The pixel rows of an 8-bit RGB or RGBA PNG, three bytes a pixel."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (depth, kind in (2, 6)) == (8, True)
    size = 3 if kind == 2 else 4
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += length + 12
    raw, stride = zlib.decompress(data), width * size
    found: list[bytes] = []
    before = bytearray(stride)
    for number in range(height):
        line = raw[number * (stride + 1) : (number + 1) * (stride + 1)]
        before = _unfiltered(line[0], bytearray(line[1:]), before, size)
        found.append(bytes(before) if size == 3 else b"".join(bytes(before[at : at + 3]) for at in range(0, stride, 4)))
    return found


def _unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """One row without PNG's filter (PNG specification, section 9)."""
    for at in range(len(line)) if kind else ():
        left, up, corner = (line[at - size], above[at], above[at - size]) if at >= size else (0, above[at], 0)
        distances = [(abs(left + up - corner - one), n) for n, one in enumerate((left, up, corner))]
        paeth = (left, up, corner)[min(distances)[1]]
        line[at] = (line[at] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
    return line
