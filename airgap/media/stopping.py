"""Work of several threads that can be told to stop: the next byte one of them reports ends it."""

from __future__ import annotations

import threading

from airgap.errors import Stopped
from airgap.progress import Progress


class Stoppable:
    """A ``Progress`` that passes everything on until :meth:`stop`, and then raises ``Stopped`` in whoever reports."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stopped = threading.Event()

    def stop(self) -> None:
        """From now on everybody who reports is stopped. Any thread."""
        self._stopped.set()

    def stage(self, name: str, total: int) -> None:
        """As ``Progress.stage``."""
        self._progress.stage(name, total)

    def advance(self, count: int) -> None:
        """As ``Progress.advance``. Raises ``Stopped`` once stopped."""
        if self._stopped.is_set():
            raise Stopped
        self._progress.advance(count)

    def say(self, message: str) -> None:
        """As ``Progress.say``."""
        self._progress.say(message)
