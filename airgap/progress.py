"""How long work tells what it is doing: a protocol that the command line implements and the flows call."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one flow. Every method may be called from any thread."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins; ``total`` is its length in bytes, 0 when unknown."""

    def advance(self, count: int) -> None:
        """``count`` more bytes of the current stage are done."""

    def say(self, message: str) -> None:
        """One line that a person should see now: a retry, a wait, a warning."""


class Silent:
    """The progress nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """Ignore."""

    def advance(self, count: int) -> None:
        """Ignore."""

    def say(self, message: str) -> None:
        """Ignore."""
