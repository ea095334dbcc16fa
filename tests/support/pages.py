"""Documents that are run: every block of a page that is marked ``sh``, in order, in one shell, with a home directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^([ ]*)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
#: A network of its own, so that pages can name ports; nothing of it reaches another machine.
_ALONE = ("unshare", "--map-root-user", "--net", "--fork", "--kill-child")
_LOOPBACK = """import fcntl, socket, struct
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
"""


def blocks(page: Path, language: str = "sh") -> list[str]:
    """What stands in the blocks of a page that are in this language, without indentation."""
    found = _BLOCK.findall(page.read_text())
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, name, text in found if name == language]


def run_page(page: Path, home: Path, *, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run a page from beginning to end as a reader would, and say with which command it ended if it fails.

    Args:
        page: the Markdown file.
        home: an empty directory: HOME, and where the shell begins.
        first: commands that stand for what the page says one needs, such as another page.
    """
    return run_commands("\n".join([first, *blocks(page)]), home)


def run_commands(commands: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run commands of pages, as :func:`run_page` does."""
    program = Path(sys.executable).parent
    script = "\n".join([f"{sys.executable} -c '{_LOOPBACK}'", "set -eo pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR",
                        "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", commands])  # fmt: skip
    environment = {"HOME": str(home), "PATH": f"{program}:{os.environ['PATH']}", "LANG": "C.UTF-8", "USER": "reader"}
    command = [*_ALONE, "bash", "-c", script]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
