"""Keys that a site no longer accepts, whatever its policy says: a text file with one key per line. Pure.

An offline site learns of a lost key by phone or on paper. One line in this file is quicker and safer than editing every
policy that may name the key (docs/threats.md, row 11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airgap.errors import UsageError
from airgap.text import printable
from airgap.trust.keys.numbers import OpenPgpKey, names_of

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
        for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), 1):
            written, _, reason = line.partition("#")
            key = re.sub(r"[\s:]", "", written).lower().removeprefix("0x")
            if key and not _KEY.fullmatch(key):
                raise UsageError(
                    "not a valid key in the list of revoked keys",
                    where=f"{printable(where)}, line {number}",
                    expected="a key id (16 hex digits) or a full fingerprint (40 or 64), or a # comment",
                    got=printable(written.strip(), 100),
                    hint="correct the line; nothing is accepted until then",
                )
            if key:
                keys[key] = printable(reason.strip(), 200)
        return cls(keys)

    def joined(self, other: Revoked) -> Revoked:
        """The keys of both lists."""
        return Revoked({**other.keys, **self.keys})

    def in_every_form(self, known: Iterable[OpenPgpKey]) -> Revoked:
        """The same keys also by their public numbers, as far as OpenPGP keys are known: an OpenPGP fingerprint does not tell them.

        Who revokes a primary key revokes its subkeys.
        """
        numbers: dict[str, str] = {}
        for key in known:
            whole = self._listed(*names_of(key, key.primary))
            for fingerprint, number in key.numbers.items():
                listed = whole or self._listed(*names_of(key, fingerprint))
                if listed is not None:
                    numbers[number] = self.keys[listed]
        return self.joined(Revoked(numbers))

    def reason(self, *names: str) -> str | None:
        """Why a key is revoked, given its fingerprints and ids: a sentence, or None when it is not."""
        listed = self._listed(*names)
        if listed is None:
            return None
        comment = self.keys[listed]
        return "the key is revoked at this site" + (f" ({comment})" if comment else "")

    def _listed(self, *names: str) -> str | None:
        return next((name.lower() for name in names if name.lower() in self.keys), None)
