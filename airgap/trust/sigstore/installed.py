"""What a site has installed of a Sigstore instance, as one document: the pinned root and how far it was followed since. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from airgap.errors import Damaged
from airgap.limits import MAX_TUF_ROOTS
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.trust.sigstore.trustedroot import TrustedRoot
from airgap.trust.sigstore.tuftrust import Followed, RootFacts, Trust

SCHEMA = "airgap.installed-root/1"
NAME = "the installed trusted root"
_FIELDS = frozenset({"schema", "root", "roots", "timestamp", "snapshot", "target", "current", "installed", "source"})
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes:
        trust: the newest root, and what nothing older may follow.
        target: the exact bytes of ``trusted_root.json``; None as long as a root is only pinned.
        current: the latest time at which all of it was shown to be current, UTC: its age counts from here.
        installed: when it was installed or pinned, UTC.
        source: where it came from, for people.
    """

    trust: Trust
    target: bytes | None
    current: dt.datetime | None
    installed: dt.datetime
    source: str

    @classmethod
    def pinned(cls, root: bytes, facts: RootFacts, where: str, now: dt.datetime) -> Installed:
        """A root that its operator names."""
        return cls(Trust(root, {facts.version: facts.digest}), None, None, now, where)

    def followed(self, found: Followed, current: dt.datetime, now: dt.datetime, source: str) -> Installed:
        """The same after an update that was shown to be current at that time."""
        latest = current if self.current is None else max(current, self.current)
        return replace(self, trust=found.trust, target=found.target, current=latest, installed=now, source=source)

    @property
    def version(self) -> int:
        """Of the newest root."""
        return max(self.trust.roots)

    @property
    def trusted_root(self) -> TrustedRoot | None:
        """What is trusted, or None as long as a root is only pinned. Raises ``UsageError``: it is none."""
        return None if self.target is None else TrustedRoot.parse(self.target, NAME)

    def to_text(self) -> str:
        """As the state keeps it."""
        document = {
            "schema": SCHEMA,
            "root": self.trust.root.decode(),
            "roots": {str(version): str(digest) for version, digest in self.trust.roots.items()},
            "timestamp": _text(self.trust.timestamp),
            "snapshot": _text(self.trust.snapshot),
            "target": _text(self.target),
            "current": None if self.current is None else self.current.strftime(_TIME),
            "installed": self.installed.strftime(_TIME),
            "source": self.source,
        }
        return strictjson.canonical(document).decode()

    @classmethod
    def parse(cls, text: str) -> Installed:
        """Read what a state keeps. Raises ``Damaged``."""
        top = strictjson.parse_object(text.encode("utf-8", "surrogatepass"), NAME)
        if set(top) != _FIELDS or top["schema"] != SCHEMA:
            raise Damaged("not what this version of airgap has installed", where=NAME, expected=SCHEMA)
        roots = strictjson.mapping(top["roots"], f"{NAME}: roots")
        if not 0 < len(roots) <= MAX_TUF_ROOTS or not all(one.isascii() and one.isdigit() and len(one) < 10 for one in roots):
            raise Damaged("not versions of roots", where=f"{NAME}: roots")
        known = {int(version): Digest.parse(digest, f"{NAME}: roots") for version, digest in roots.items()}
        root, timestamp, snapshot, target = (_bytes(top, name) for name in ("root", "timestamp", "snapshot", "target"))
        installed = _time(top, "installed")
        if root is None or installed is None:
            raise Damaged("no root", where=NAME)
        source = strictjson.string(top["source"], f"{NAME}: source")
        return cls(Trust(root, known, timestamp, snapshot), target, _time(top, "current"), installed, source)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()


def _bytes(top: dict[str, Any], name: str) -> bytes | None:
    return None if top[name] is None else strictjson.string(top[name], f"{NAME}: {name}").encode("utf-8", "surrogatepass")


def _time(top: dict[str, Any], name: str) -> dt.datetime | None:
    if top[name] is None:
        return None
    where = f"{NAME}: {name}"
    try:
        return dt.datetime.strptime(strictjson.string(top[name], where), _TIME).replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise Damaged("not a time", where=where) from error
