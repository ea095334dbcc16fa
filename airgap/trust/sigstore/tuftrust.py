"""What is trusted of a TUF repository, before and after it was followed (tufchain.py). Pure; loads no library."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from airgap.oci.digest import Digest

TARGET = "trusted_root.json"
#: The newest state of the repository: it says which snapshot counts.
TIMESTAMP = "timestamp.json"

#: Gives a file of the repository by name, or None if it is not there; knows how large it may be.
Fetch: TypeAlias = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Trust:
    """What is trusted before anything is fetched.

    Attributes:
        root: the newest root that is trusted.
        roots: of every version that was ever trusted, the digest of what was signed.
        timestamp, snapshot: those of the last time, which nothing older may follow; None the first time.
    """

    root: bytes
    roots: Mapping[int, Digest] = field(default_factory=dict)
    timestamp: bytes | None = None
    snapshot: bytes | None = None


@dataclass(frozen=True)
class Followed:
    """Where it leads: what is trusted from now on, with the target.

    Attributes:
        trust: as of before, further on.
        target: the exact bytes of ``trusted_root.json``.
        version: of the newest root.
        expires: when that root expires, UTC.
    """

    trust: Trust
    target: bytes
    version: int
    expires: dt.datetime


@dataclass(frozen=True)
class RootFacts:
    """A root by itself: its version, when it expires (UTC), how many of its keys must sign the next one, and its digest."""

    version: int
    expires: dt.datetime
    threshold: int
    keys: int
    digest: Digest


def root_name(version: int) -> str:
    """The file of a root."""
    return f"{version}.root.json"
