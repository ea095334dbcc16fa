"""Keys that a site no longer believes, whatever its policy says: a text file with one key a line. Pure.

An offline site hears of a lost key by telephone or on paper. One line in this file is quicker and safer than an edit of every
policy that may name the key (reference: threat 11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.errors import UsageError
from airgap.text import printable

#: A file of revoked keys may not be larger, in bytes.
MAX_REVOKED = 1024 * 1024

_KEY = re.compile(r"[0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Revoked:
    """Revoked keys: id or full fingerprint in lower-case hex -> the comment behind it."""

    keys: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, where: str) -> Revoked:
        """Read a file: on each line the id (16 hex digits) or the full fingerprint of a key, then maybe ``#`` and a reason.

        Blanks and colons within a fingerprint do not matter, nor does case.

        Raises:
            UsageError: a line that is neither a key nor a comment. It may be a mistyped key, so it must not be passed over.
        """
        keys: dict[str, str] = {}
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
            written, _, reason = line.partition("#")
            key = re.sub(r"[\s:]", "", written).lower().removeprefix("0x")
            if key and not _KEY.fullmatch(key):
                raise UsageError(
                    "not a key in the list of revoked keys",
                    where=f"{printable(where)}, line {number}",
                    expected="a key id (16 hex digits) or a full fingerprint (40 or 64), or # and a comment",
                    got=printable(written.strip(), 100),
                    hint="correct the line; while it is there, nothing is accepted",
                )
            if key:
                keys[key] = printable(reason.strip(), 200)
        return cls(keys)

    def joined(self, other: Revoked) -> Revoked:
        """The keys of both lists."""
        return Revoked({**other.keys, **self.keys})

    def reason(self, *names: str) -> str | None:
        """Why a key is revoked, given its fingerprints and ids: a sentence, or None when it is not."""
        for name in names:
            comment = self.keys.get(name.lower())
            if comment is not None:
                return "the key is revoked at this site" + (f" ({comment})" if comment else "")
        return None
