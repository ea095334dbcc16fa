"""Content digests."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from airgap.errors import Damaged
from airgap.text import printable

if TYPE_CHECKING:
    from hashlib import _Hash

_FORMS = {"sha256": re.compile(r"[0-9a-f]{64}", re.ASCII), "sha512": re.compile(r"[0-9a-f]{128}", re.ASCII)}


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
