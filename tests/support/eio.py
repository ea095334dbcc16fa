"""Disks that do not give what is on them: a process in which reads of one file fail with EIO (``eio.c``, loaded before libc)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.tools import require

_ROOT = Path(__file__).resolve().parents[2]
#: Runs ``attempt()`` once for every read that it makes, which then fails: once, or this one and all after it.
_DRIVER = """
import ctypes, json, sys
shim = ctypes.CDLL(None)
{code}
results = []
for name in {names!r}:
    for forever in (0, 1):
        number = 0
        while True:
            number += 1
            shim.eio_arm(name.encode(), number, forever)
            try:
                outcome = ["done", repr(attempt()), ""]
            except BaseException as error:
                outcome = [type(error).__name__, str(getattr(error, "what", error)), getattr(error, "hint", "")]
            reached = shim.eio_count() >= number
            shim.eio_arm(b"no such file", 0, 0)
            if not reached:
                break
            results.append([name, bool(forever), number, *outcome])
print(json.dumps(results))
"""


def compile_shim(directory: Path) -> Path:
    """Build the shim."""
    shim = directory / "eio.so"
    subprocess.run([require("gcc"), "-shared", "-fPIC", "-o", shim, Path(__file__).with_name("eio.c"), "-ldl"], check=True)
    return shim


def fail_every_read(shim: Path, code: str, *names: str) -> list[list[Any]]:
    """What becomes of a piece of Python when any read of a file fails.

    Args:
        shim: as :func:`compile_shim` made it.
        code: defines ``attempt()``.
        names: of the files.

    Returns:
        Name, whether all reads after it fail as well, and the number of the read; then ``done`` and the result, or the kind of
        error, what and hint.
    """
    text = _DRIVER.format(code=textwrap.dedent(code), names=names)
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    done = subprocess.run([sys.executable, "-c", text], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found
