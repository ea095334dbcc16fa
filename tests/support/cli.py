"""The command line as people and scripts meet it: started for real or in this process, and what a failure must look like."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from airgap.cli.main import run
from tests.support.schemas import checked_output

#: The names of the exit codes (airgap/errors.py).
USAGE, REFUSED, DAMAGED, NETWORK, MEDIA = 2, 3, 4, 5, 6

#: The parts of a command line. Classes that have a method called ``list`` need the name.
Words = list[object]


def here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one command in this process: the same code without the start of an interpreter, for wide matrices."""
    out, err = io.StringIO(), io.StringIO()
    command = [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(command)
    done = subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
    checked_output(done)
    return done


def failed(done: subprocess.CompletedProcess[str], code: int, *says: str, hint: bool = True) -> dict[str, Any]:
    """Check the contract of every failure, and that a person is told ``says``; the facts.

    The exit code; one message on stderr, and one only; what to do next (``hint``); no traceback; nothing that a terminal would take
    for a command; with ``--json`` one document on stdout that says the same.
    """
    shown = f"{' '.join(map(str, done.args))}: exit {done.returncode}\n{done.stderr}\n{done.stdout}"
    assert done.returncode == code, shown
    lines = done.stderr.splitlines()
    assert [line.startswith("airgap: error: ") for line in lines].count(True) == 1, shown
    assert "Traceback" not in done.stderr, shown
    assert all(line.isprintable() for line in lines), shown
    assert not hint or [line.startswith("  next: ") for line in lines].count(True) == 1, shown
    for text in says:
        assert text in done.stderr, f"{text!r} is not in\n{shown}"
    if "--json" not in done.args:
        assert done.stdout == "", shown
        return {}
    facts: dict[str, Any] = json.loads(done.stdout)
    assert facts["exit_code"] == code, shown
    assert facts["error"] in done.stderr, shown
    return facts


def tree(directory: Path) -> dict[str, tuple[str, int, bytes]]:
    """Everything below a directory, to compare before and after: kind, mode and content by path."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for root, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = Path(root, name)
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path.relative_to(directory))] = (oct(status.st_mode), status.st_nlink if path.is_file() else 0, content)
    return found
