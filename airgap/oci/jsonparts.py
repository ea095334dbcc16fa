"""A large JSON object from outside, part by part: it is never in memory as a whole, neither as text nor as values.

As strict as :mod:`airgap.oci.strictjson`, but for keys that are there twice among the parts: whoever keeps them sees that.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Collection, Iterator
from json.decoder import JSONDecodeError
from typing import Any

from airgap.errors import Damaged
from airgap.oci import strictjson

#: Bytes that are decoded at a time, and the most that one part may have.
_PIECE, _LARGEST = 1 << 18, 32 << 20
#: The memory that one part may take, in bytes.
_MOST = 64 << 20
#: What an entry takes in the two dictionaries that have its key, in bytes, when they have just grown.
_ENTRY = 256
_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"[-+0-9.eE]*\Z")


class Memory:
    """The memory that may still be used, in bytes. Entries reduce it by their cost; callers that keep parts do so for those."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def take(self, count: int) -> None:
        """Raises ``Damaged`` when there is not so much left."""
        self.left -= count
        strictjson.check_memory(self.most - self.left, self.most, "")


def parts(raw: bytes, where: str, inside: Collection[str], memory: Memory) -> Iterator[tuple[str, str | int | None, Any]]:
    """The entries of an object, in their order.

    Args:
        raw: the bytes; the caller has capped their length.
        where: what the bytes are, for the message.
        inside: the keys whose values come in parts.
        memory: bounds what any one part may take, and all entries that are not in parts.

    Yields:
        Key, None and value of an entry. Of one in parts the value is an empty list or object, then comes each part: the key, the
        part's own key or number, and its value.

    Raises:
        Damaged: as :func:`strictjson.parse`.
    """
    try:
        yield from _Window(raw, memory).entries(inside)
    except (ValueError, RecursionError) as error:
        raise strictjson.unacceptable(error, where) from error
    except Damaged as error:
        error.where = error.where or where
        raise


class _Window:
    """A window of decoded text that is pushed over the bytes."""

    def __init__(self, raw: bytes, memory: Memory) -> None:
        self._memory = memory
        self._raw = memoryview(raw)
        self._halves = b"\\u" in raw
        self._next = 0
        self._text = ""
        self._at = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(object_pairs_hook=strictjson.no_duplicates, parse_constant=strictjson.no_constant)

    def entries(self, inside: Collection[str]) -> Iterator[tuple[str, str | int | None, Any]]:
        if self._sign() != "{":
            raise ValueError("it is not a JSON object")
        seen: set[str] = set()
        for key in self._members("{", "}"):
            if key in seen:
                raise ValueError(f"duplicate key {key!r}")
            seen.add(str(key))
            opening = self._sign() if key in inside else ""
            if opening in ("{", "["):
                yield str(key), None, {} if opening == "{" else []
                for name in self._members(opening, "}" if opening == "{" else "]"):
                    yield str(key), name, self._value(strictjson.MAX_DEPTH - 2)
            else:
                value = self._value(strictjson.MAX_DEPTH - 1)
                self._memory.take(_ENTRY + sys.getsizeof(key) + _cost(value))
                yield str(key), None, value
        if self._sign():
            raise ValueError("Extra data")

    def _members(self, opening: str, closing: str) -> Iterator[str | int]:
        """Go from member to member; the key or number of each, whose value is to be read then."""
        self._take(opening)
        number = 0
        while True:
            if not number and self._sign() == closing:
                break
            if opening == "{":
                key = self._value(0) if self._sign() == '"' else None
                if not isinstance(key, str):
                    raise ValueError("Expecting property name enclosed in double quotes")
                self._take(":")
                yield key
            else:
                yield number
            number += 1
            if self._sign() == closing:
                break
            self._take(",")
        self._take(closing)

    def _sign(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> None:
        if self._sign() != sign:
            raise ValueError(f"Expecting {sign!r}")
        self._at += 1

    def _value(self, depth: int) -> Any:
        """The next value; the window is made larger until all of it is in it."""
        self._sign()
        while True:
            if len(self._text) > 8 * _PIECE:
                strictjson.check_memory(strictjson.memory_of(self._text), min(_MOST, self._memory.left), "")
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except JSONDecodeError:
                if not self._more():
                    raise
                continue
            if _NUMBER.match(self._text, self._at) and self._more():
                continue  # a number that may go on
            self._at = end
            strictjson.check_inside(value, halves=self._halves, depth=depth)
            return value

    def _more(self) -> bool:
        """Push the window on, or make it larger when all of it is still needed; whether there was more."""
        if self._next == len(self._raw):
            return False
        rest = self._text[self._at :]
        if len(rest) > _LARGEST:
            raise ValueError("one entry is too large")
        count = max(_PIECE, len(rest))  # twice as large each time, so that a long part is not read again and again
        piece = self._raw[self._next : self._next + count]
        self._next += len(piece)
        self._text = rest + self._decoder.decode(piece, self._next == len(self._raw))
        self._at = 0
        return True


def _cost(value: Any) -> int:
    return sys.getsizeof(value) if isinstance(value, str) else strictjson.memory_of(strictjson.canonical(value))
