"""``python -m airgap``, and where the command ``airgap`` begins."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; a Ctrl-C ends it as promised also while it is still being loaded, which takes a moment."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    _have_standard_streams()
    from airgap.cli.main import main as run

    run()


def _have_standard_streams() -> None:
    """Where one is closed (``>&-``), what is printed goes nowhere: else the next file that is opened would get its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, mode))


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    os._exit(130)


if __name__ == "__main__":
    main()
