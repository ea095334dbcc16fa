"""What is in a trusted root, and what differs between two of them, for whoever decides about the newer one. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from airgap.trust.sigstore.trustedroot import Authority, Log, Span, TrustedRoot


@dataclass(frozen=True)
class Part:
    """A log or an authority.

    Attributes:
        kind: which of the four.
        name: its URL or URI.
        id: of a log its id, of an authority the SHA-256 of its chain, in hexadecimal.
        span: when it is in use.
    """

    kind: str
    name: str
    id: str
    span: Span

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        end = None if self.span.end is None else _time(self.span.end)
        return {"part": self.kind, "name": self.name, "id": self.id, "begins": _time(self.span.start), "ends": end}

    def __str__(self) -> str:
        until = "" if self.span.end is None else f" to {self.span.end:%Y-%m-%d}"
        return f"{self.kind} {self.name or 'without a name'} ({self.id[:16]}), from {self.span.start:%Y-%m-%d}{until}"


@dataclass(frozen=True)
class Change:
    """A part that was ``added``, ``removed``, ``ended`` (its use got an end) or ``changed`` (in use at other times)."""

    what: str
    part: Part

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"change": self.what, **self.part.facts()}


def parts_of(root: TrustedRoot) -> list[Part]:
    """Everything that is trusted, logs first."""
    return [
        *(_log("log", one) for one in root.logs),
        *(_log("CT log", one) for one in root.ct_logs),
        *(_authority("CA", one) for one in root.authorities),
        *(_authority("timestamp authority", one) for one in root.timestamp_authorities),
    ]


def changes_between(before: TrustedRoot | None, after: TrustedRoot) -> list[Change]:
    """What the newer one brings and takes away."""
    old, new = (dict(_numbered(parts_of(root))) if root else {} for root in (before, after))
    found = [Change("added", part) for key, part in new.items() if key not in old]
    for key, part in old.items():
        later = new.get(key)
        if later is None:
            found.append(Change("removed", part))
        elif later.span != part.span:
            ended = later.span.start == part.span.start and part.span.end is None
            found.append(Change("ended" if ended else "changed", later))
    return found


def _numbered(parts: list[Part]) -> Iterator[tuple[tuple[str, str, str, int], Part]]:
    """By what identifies them; of the same one that stands there twice, the second one is another."""
    count: dict[tuple[str, str, str], int] = {}
    for part in parts:
        key = (part.kind, part.name, part.id)
        count[key] = count.get(key, 0) + 1
        yield (*key, count[key]), part


def _log(kind: str, log: Log) -> Part:
    return Part(kind, log.url, log.id.hex(), log.valid)


def _authority(kind: str, authority: Authority) -> Part:
    joined = b"".join(one.public_bytes(Encoding.DER) for one in authority.chain)
    return Part(kind, authority.uri, hashlib.sha256(joined).hexdigest(), authority.valid)


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
