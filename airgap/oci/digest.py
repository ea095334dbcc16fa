"""Content digests."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from airgap.errors import Damaged
from airgap.text import printable

if TYPE_CHECKING:
    from hashlib import _Hash

_FORMS = {"sha256": re.compile(r"[0-9a-f]{64}", re.ASCII), "sha512": re.compile(r"[0-9a-f]{128}", re.ASCII)}

#: The kind that tables keep as bytes, how many those are, and slots of the index for each: the fewer, the longer the search.
_TABLED, _WIDTH, _SPARE = "sha256:", 32, 2


class Digest(str):
    """A validated digest, ``sha256:<64 hex>`` or ``sha512:<128 hex>``, lower case (image-spec, descriptor.md#digests).

    It is a ``str``, so it goes into JSON and dictionaries as it is; validation makes it safe as a file name part.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: object, where: str = "") -> Digest:
        """Check a digest that came from outside.

        Raises:
            Damaged: another algorithm, length, case, or not a string at all.
        """
        if isinstance(text, Digest):
            return text
        if isinstance(text, str):
            algorithm, _, encoded = text.partition(":")
            form = _FORMS.get(algorithm)
            if form is not None and form.fullmatch(encoded):
                return cls(text)
        raise Damaged(
            "not a valid digest",
            where=where,
            expected="sha256:<64 lower-case hex digits> or sha512:<128>",
            got=printable(str(text), 100),
        )

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of some bytes."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @classmethod
    def sealed(cls, hasher: _Hash) -> Digest:
        """The digest that a hasher from :meth:`hasher` has arrived at."""
        return cls(f"{hasher.name}:{hasher.hexdigest()}")

    @property
    def algorithm(self) -> str:
        """``sha256`` or ``sha512``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The encoded part."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]

    def hasher(self) -> _Hash:
        """A fresh hasher of this digest's algorithm."""
        return hashlib.new(self.algorithm)


class DigestTable:
    """Very many digests in little memory: a set whose members have numbers, in the order in which they were added.

    A SHA-256 digest takes 40 to 50 bytes; in a set of strings it would take 200. Others are kept as they are.

    Args:
        digests: what it begins with.
    """

    def __init__(self, digests: Iterable[Digest] = ()) -> None:
        self._raw = bytearray()
        self._others: dict[str, int] = {}
        self._named: dict[int, Digest] = {}
        self._slots = array("I", bytes(array("I").itemsize * 16))  # number + 1, or 0
        for digest in digests:
            self.add(digest)

    def add(self, digest: Digest) -> int:
        """Add a digest that may be there already; its number."""
        raw = _raw_of(digest)
        if raw is None:
            return self._others[digest] if digest in self._others else self._add_other(digest)
        at, number = self._search(raw)
        if number is not None:
            return number
        self._raw += raw
        count = len(self)
        self._slots[at] = count
        if _SPARE * (count + 1) > len(self._slots):
            self._grow()
        return count - 1

    def number(self, digest: object) -> int | None:
        """The number of a digest; None where it is not there."""
        raw = _raw_of(digest) if isinstance(digest, str) else None
        return self._others.get(digest) if raw is None else self._search(raw)[1]  # type: ignore[call-overload]

    def __contains__(self, digest: object) -> bool:
        return self.number(digest) is not None

    def __getitem__(self, number: int) -> Digest:
        """The digest of a number. Raises ``IndexError``."""
        if number >= len(self):
            raise IndexError(number)
        named = self._named.get(number) if self._named else None
        return Digest(_TABLED + self.raw(number).hex()) if named is None else named

    def __iter__(self) -> Iterator[Digest]:
        number = 0
        while number < len(self):  # also what is added meanwhile
            yield self[number]
            number += 1

    def __len__(self) -> int:
        return len(self._raw) // _WIDTH

    def raw(self, number: int) -> bytes:
        """The bytes of a digest that is SHA-256."""
        return bytes(self._raw[number * _WIDTH : (number + 1) * _WIDTH])

    def in_order(self) -> Iterator[int]:
        """The numbers, in the order of their digests."""
        rows = [array("I") for _ in range(256)]  # by the first byte: so only few digests are in memory at a time
        for number in range(len(self)):
            if number not in self._named:
                rows[self._raw[number * _WIDTH]].append(number)
        for row in rows:
            yield from sorted(row, key=self.raw)
        yield from (number for _, number in sorted(self._others.items()))  # sha512 comes after sha256

    def _add_other(self, digest: Digest) -> int:
        number = len(self)
        self._raw += bytes(_WIDTH)
        self._others[digest], self._named[number] = number, digest
        if _SPARE * (number + 2) > len(self._slots):
            self._grow()
        return number

    def _search(self, raw: bytes) -> tuple[int, int | None]:
        """The slot where a digest is or would be, and its number."""
        slots, digests = self._slots, self._raw
        mask = len(slots) - 1
        at = hash(raw) & mask  # secret to this process, so nobody can choose digests that meet in one place
        while number := slots[at]:
            if digests[(number - 1) * _WIDTH : number * _WIDTH] == raw:
                return at, number - 1
            at = (at + 1) & mask
        return at, None

    def _grow(self) -> None:
        self._slots = slots = array("I", bytes(self._slots.itemsize * 2 * len(self._slots)))
        mask = len(slots) - 1
        for number in range(len(self)):
            if number not in self._named:
                at = hash(self.raw(number)) & mask
                while slots[at]:
                    at = (at + 1) & mask
                slots[at] = number + 1


def _raw_of(digest: str) -> bytes | None:
    """The bytes of a SHA-256 digest; None for all else."""
    if not digest.startswith(_TABLED):
        return None
    try:
        raw = bytes.fromhex(digest[len(_TABLED) :])
    except ValueError:
        return None
    return raw if len(raw) == _WIDTH else None
