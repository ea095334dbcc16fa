"""``python -m airgap``, and where the command ``airgap`` begins."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line; a Ctrl-C ends it as promised also while it is still being loaded, which takes a moment."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from airgap.cli.main import main as run

    run()


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    os._exit(130)


if __name__ == "__main__":
    main()
