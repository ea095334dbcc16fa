"""What the differential test with cosign signatures is made of: one change, and where changes are made."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ALL, KEYS, LOGS, CERTIFICATES = ("key", "logged", "fulcio", "pki"), ("key", "logged"), ("logged", "fulcio"), ("fulcio", "pki")


@dataclass(frozen=True)
class Edit:
    """One change: its name, where it is made, for which kinds of requirement, and what it does to the value there.

    ``sort`` is the sort of key that it needs to be about anything.
    """

    name: str
    point: str
    kinds: tuple[str, ...]
    change: Callable[[Any, Any], Any]
    sort: str = ""


def pem_body(pem: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """A PEM text with other lines between its markers."""
    lines = pem.split(b"\n")
    return b"\n".join([lines[0], *change(lines[1:-2]), *lines[-2:]])


def pem_der(pem: bytes) -> bytes:
    """What a PEM text holds; nothing where another change has made it no base64."""
    try:
        return base64.b64decode(b"".join(pem.split(b"\n")[1:-2]))
    except ValueError:
        return b""


def with_der(pem: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A PEM text that holds something else."""
    text = base64.b64encode(change(pem_der(pem)))
    return pem_body(pem, lambda _: [text[i : i + 64] for i in range(0, len(text), 64)])


def last_bits(text: str) -> str:
    """The same bytes in base64, with other bits that nothing depends on."""
    bare = text.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return bare[:-1] + alphabet[alphabet.index(bare[-1]) ^ 1] + text[len(bare) :] if bare != text else text
