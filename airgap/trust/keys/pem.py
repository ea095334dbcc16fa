"""PEM (RFC 7468) in the form that every program reads the same way: no more than skopeo and podman accept.

Libraries differ in what they pass over: text on a marker's line, a byte order mark, header lines, other labels. A key that only
some programs can read would pass here and fail on every host. Text on lines of its own before a block is common and read alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airgap.errors import Refused
from airgap.trust.policy.fields import decode_base64

_BLOCK = re.compile(
    rb"(?:\A|(?<=\n))-----BEGIN ([A-Z0-9 ]{1,60})-----[ \t]*\r?\n"
    rb"((?:[A-Za-z0-9+/=]{1,8192}+[ \t]*+\r?\n)++)"
    rb"-----END \1-----[ \t]*(?:\r?\n|\Z)"
)
_MARKER = b"-----"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its label, such as ``PUBLIC KEY``, and its content."""

    label: str
    der: bytes


@dataclass(frozen=True, slots=True)
class Pem:
    """All blocks of a text, and what stands behind the last one."""

    blocks: tuple[Block, ...]
    rest: bytes

    def only(self, *labels: str) -> Block:
        """The one block that there must be.

        Raises:
            Refused: there are others, or it has another label.
        """
        if len(self.blocks) != 1 or self.blocks[0].label not in labels:
            raise Refused("not exactly one PEM block", expected=" or ".join(labels), got=self._shown())
        return self.blocks[0]

    def all(self, label: str) -> tuple[Block, ...]:
        """The blocks, all of which must have this label.

        Raises:
            Refused: there is none, or one has another label.
        """
        if not self.blocks or any(block.label != label for block in self.blocks):
            raise Refused(f"not a PEM {label.lower()}", expected=label, got=self._shown())
        return self.blocks

    def _shown(self) -> str:
        return ", ".join(block.label for block in self.blocks[:4]) or "no block"


def read_pem(text: bytes) -> Pem:
    """Split a text into its blocks.

    Raises:
        Refused: there is something like a block that programs read differently, or one that is damaged.
    """
    blocks, position = [], 0
    for match in _BLOCK.finditer(text):
        _check_outside(text[position : match.start()])
        der = decode_base64(b"".join(match[2].split()).decode("ascii"))
        if der is None:
            raise Refused("a PEM block is damaged", got=match[1].decode("ascii"))
        blocks.append(Block(match[1].decode("ascii"), der))
        position = match.end()
    _check_outside(text[position:])
    return Pem(tuple(blocks), text[position:])


def _check_outside(text: bytes) -> None:
    if _MARKER in text:
        raise Refused(
            "programs would read this PEM file differently", expected="only BEGIN, base64 and END lines, with nothing else on them"
        )
