"""How long work tells what it is doing: a protocol that the command line implements and the flows call."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one flow. Every method may be called from any thread."""

    def stage(self, name: str, total: int, items: int = 0, noun: str = "image") -> None:
        """A new stage begins.

        Args:
            name: what it does, such as ``loading``.
            total: its length in bytes, 0 when unknown.
            items: its length in things of which each has an end of its own, 0 when unknown.
            noun: what one of them is called.
        """

    def advance(self, count: int, items: int = 0) -> None:
        """``count`` more bytes and ``items`` more things of the current stage are done."""

    def at(self, what: str, where: str = "") -> None:
        """Work on a thing begins: its name, such as an image, and where it lies, such as ``volume 2 of 9``."""

    def say(self, message: str) -> None:
        """One line that a person should see now: a retry, a wait, a warning."""


class Silent:
    """The progress nobody watches."""

    def stage(self, name: str, total: int, items: int = 0, noun: str = "image") -> None:
        """Ignore."""

    def advance(self, count: int, items: int = 0) -> None:
        """Ignore."""

    def at(self, what: str, where: str = "") -> None:
        """Ignore."""

    def say(self, message: str) -> None:
        """Ignore."""
