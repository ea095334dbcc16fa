"""Families of error messages: ``docs/messages.toml`` says of each what causes them and what helps."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reference.messages import Message


@dataclass(frozen=True)
class Family:
    """Messages that have cause and cure in common.

    Attributes:
        title: what the page calls them.
        modules: the beginnings of the modules that raise them, below ``airgap/``.
        codes: their exit codes; empty for every one.
        cause: what has happened, in Markdown.
        cure: what helps, in Markdown.
    """

    title: str
    modules: tuple[str, ...]
    codes: tuple[int, ...]
    cause: str
    cure: str

    def fits(self, message: Message) -> int:
        """How closely the family fits: the length of the beginning that decided, 0 if it does not."""
        if self.codes and message.code not in self.codes:
            return 0
        name = message.module.removeprefix("airgap/")
        return max(
            (len(start) for start in self.modules if name.startswith((f"{start}/", f"{start}.")) or name == start), default=0
        )


def families(root: Path) -> list[Family]:
    """The families of a checkout, in the order of the page.

    Raises:
        KeyError: one lacks a member.
        tomllib.TOMLDecodeError: the file is not TOML.
    """
    read = tomllib.loads((root / "docs/messages.toml").read_text())
    return [
        Family(one["title"], tuple(one["modules"]), tuple(one.get("codes", ())), one["cause"], one["cure"])
        for one in read["family"]
    ]


def family_of(message: Message, every: Sequence[Family]) -> Family | None:
    """The family that fits a message most closely, the first of equals; None if none does."""
    best = max(every, key=lambda family: family.fits(message), default=None)
    return best if best is not None and best.fits(message) else None
