"""A real browser without a window: what a page looks like, and what it made of the markup."""

from __future__ import annotations

import os
import subprocess
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
