"""A real signal at a chosen moment of a real run: the moments are what Python itself reports (files opened, programs started, names
changed, modules loaded, databases and sockets touched), counted from where the command line begins.

``python -m tests.support.striking MOMENT SIGNAL airgap-arguments...``; moment 0 never comes, and the number of moments, which
differs a little from run to run, is written to the file that ``STRIKING_COUNT`` names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def strike(moment: int, number: int, *arguments: object, home: Path, count: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command that gets a signal at its ``moment``; ``count`` gets how many there were."""
    command = [sys.executable, "-m", "tests.support.striking", str(moment), str(int(number)), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AIRGAP_KEY_PASSPHRASE": ""}
    if count is not None:
        environment["STRIKING_COUNT"] = str(count)
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, env=environment, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def moments(*arguments: object, home: Path) -> int:
    """How many moments a command has when nothing strikes it; it has to succeed."""
    count = home / "moments"
    home.mkdir(parents=True, exist_ok=True)
    for _ in range(2):  # the first run may have to compile modules
        done = strike(0, 0, *arguments, home=home, count=count)
        assert done.returncode == 0, done.stderr
    return int(count.read_text())


def _main() -> None:
    from airgap.cli.main import main
    from airgap.cli.terminal import signals

    moment, number = int(sys.argv[1]), int(sys.argv[2])
    del sys.argv[1:3]
    seen = 0

    def reach(event: str, details: tuple[object, ...]) -> None:
        nonlocal seen
        seen += begun
        if seen == moment and begun:
            os.kill(os.getpid(), number)

    begun = False
    sys.addaudithook(reach)
    ready = signals.interrupt
    finish = signals.finish

    def interrupt() -> None:
        nonlocal begun
        ready()
        begun = True

    def done(code: int) -> None:
        nonlocal begun
        begun = False
        if "STRIKING_COUNT" in os.environ:
            Path(os.environ["STRIKING_COUNT"]).write_text(str(seen))
        finish(code)

    signals.interrupt, signals.finish = interrupt, done
    main()


if __name__ == "__main__":
    _main()
