"""Text for people: hostile strings made harmless, sizes written and read."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from airgap.errors import UsageError

_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)


def printable(text: str, limit: int = 400) -> str:
    """Make text from outside safe for a terminal or a log line.

    Control characters, escape sequences, bidirectional overrides and everything else outside printable ASCII and
    ordinary letters is written as an escape, so it can neither control a terminal nor forge a log line; long text is cut.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    text = text[: limit + 1]  # an escape is never shorter than its character: more could not be seen
    safe = "".join(c if c.isprintable() and not 0x2028 <= ord(c) <= 0x202E else c.encode("unicode_escape").decode() for c in text)
    safe = re.sub("[\u200b-\u200f\u2060-\u2069\ufeff]", lambda m: m[0].encode("unicode_escape").decode(), safe)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def command(*words: str | os.PathLike[str]) -> str:
    """A command line to paste into a shell, which reads these words again, whatever is in them.

    What a terminal must not show (see :func:`printable`) is written as ``$'\\n'``, which POSIX shells know since 2024 and bash, zsh
    and ksh for long.
    """
    return " ".join(_quoted(os.fspath(word)) for word in words)


def _quoted(word: str) -> str:
    if printable(word, len(word)) == word:
        return shlex.quote(word)
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}" for b in _bytes(word)) + "'"


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


def human_size(size: int | float) -> str:
    """A number of bytes for a person, in decimal units as media are sold: ``4.7 GB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def parse_size(text: str) -> int:
    """Read a size in bytes: ``4GB`` is decimal, ``4GiB`` and ``4G`` are binary, a bare number is bytes.

    Raises:
        UsageError: not a size, or not a positive one.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    unit = _UNITS.get(match[2]) if match else None
    if match is None or unit is None:
        raise UsageError("not a valid size", got=printable(text), expected="a number with a unit, such as 700MB, 4GiB or 25GB")
    size = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if size <= 0:
        raise UsageError("a size must be larger than zero", got=printable(text))
    return size


def parse_rate(text: str) -> int:
    """Bytes a second, as :func:`parse_size` has them, with or without ``/s``. Raises ``UsageError``."""
    return parse_size(text.removesuffix("/s"))


def parse_least_rate(text: str) -> int:
    """The same, where 0 is no limit."""
    return 0 if text.strip() == "0" else parse_rate(text)


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 copies``, ``4 days``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{count} {noun}s"


def like(wanted: str, names: Sequence[str], most: int = 5) -> str:
    """Of many names those that are most like the one that is wanted, else the first ones: what there is, for one message."""
    import difflib  # here, for only mistakes need it

    near = difflib.get_close_matches(wanted, [name for name in names[:1000] if len(name) <= 300], most)
    shown = listing(near) if near else listing(list(names), most)
    return f"names near this one: {shown}" if near else f"names such as {shown}" if names else ""


def listing(names: list[str], most: int = 20) -> str:
    """Names for one message: all of them when few, else the first ones and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
