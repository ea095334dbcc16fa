"""The names of streams: part of a bundle's name, and the scopes of the policy's transport ``airgap``."""

from __future__ import annotations

import re

from airgap.limits import MAX_STREAM

_STREAM = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)


def is_stream(text: str) -> bool:
    """Whether a text is a stream name: lower-case letters and digits, joined by single ``.``, ``_`` or ``-``."""
    return len(text) <= MAX_STREAM and _STREAM.fullmatch(text) is not None
