"""A TUF repository as Sigstore's is laid out, made with python-tuf's own metadata: what its keeper does, and what an enemy does."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from tuf.api.metadata import (  # type: ignore[attr-defined]
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from airgap.trust.sigstore.tuftrust import TARGET, TIMESTAMP, Trust, root_name
from tests.support import trustedroots

ROLES = ("root", "timestamp", "snapshot", "targets")


class TufRepository:
    """The repository; ``files`` are what it publishes, by name.

    Args:
        target: its ``trusted_root.json``.
        threshold: how many of its three root keys must sign a root.
        days: for how long roots hold; other metadata holds for a week.
    """

    def __init__(self, target: bytes | None = None, threshold: int = 2, days: int = 365) -> None:
        self.files: dict[str, bytes] = {}
        self.signers = {role: [CryptoSigner.generate_ecdsa() for _ in range(3 if role == "root" else 1)] for role in ROLES}
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.days = days
        self.root = Root(version=1, expires=self.after(days), consistent_snapshot=True)
        self.root.roles["root"].threshold = threshold
        for role in ROLES:
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.targets = Targets(version=1, expires=self.after(90))
        self.snapshot = Snapshot(version=1, expires=self.after(21))
        self.timestamp = Timestamp(version=1, expires=self.after(7))
        self.rotate()
        self.publish(trustedroots.plain() if target is None else target)

    def after(self, days: float) -> dt.datetime:
        """So many days from now."""
        return self.now + dt.timedelta(days=days)

    def rotate(self, *, sign: int | None = None, days: int | None = None, replace: bool = True) -> bytes:
        """Publish the next root, with a new key in place of the oldest one.

        Args:
            sign: only so many keys of the former root sign it.
            days: for how long it holds.
            replace: whether a key is replaced.
        """
        before = list(self.signers["root"])
        again = root_name(1) in self.files
        if replace and again:
            gone, new = before[0], CryptoSigner.generate_ecdsa()
            self.root.revoke_key(gone.public_key.keyid, "root")
            self.root.add_key(new.public_key, "root")
            self.signers["root"] = [*before[1:], new]
        self.root.version += again
        self.root.expires = self.after(self.days if days is None else days)
        signers = {one.public_key.keyid: one for one in (*before[:sign], *self.signers["root"][:sign])}
        raw = self.signed(self.root, list(signers.values()))
        self.files[root_name(self.root.version)] = raw
        return raw

    def publish(self, target: bytes, *, days: float = 7) -> None:
        """Publish another ``trusted_root.json``; the timestamp holds for so many days."""
        info = TargetFile.from_data(TARGET, target, ["sha256"])
        self.targets.targets = {TARGET: info}
        self.files[f"targets/{info.hashes['sha256']}.{TARGET}"] = target
        again = TIMESTAMP in self.files
        self.targets.version += again
        raw = self.put(self.targets, "targets")
        self.snapshot.meta["targets.json"] = MetaFile.from_data(self.targets.version, raw, ["sha256"])
        self.snapshot.version += again
        self.put(self.snapshot, "snapshot")
        self.stamp(days=days)

    def stamp(self, *, days: float = 7) -> None:
        """Sign a new timestamp over the snapshot that there is."""
        self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        self.timestamp.version += TIMESTAMP in self.files
        self.timestamp.expires = self.after(days)
        self.files[TIMESTAMP] = self.signed(self.timestamp, self.signers["timestamp"])

    def put(self, what: Any, role: str) -> bytes:
        """Sign and publish the metadata of a role."""
        raw = self.signed(what, self.signers[role])
        self.files[f"{what.version}.{role}.json"] = raw
        return raw

    def signed(self, what: Any, signers: list[CryptoSigner]) -> bytes:
        """Metadata with these signatures."""
        metadata = Metadata(what)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(JSONSerializer(compact=False))

    def copy(self) -> TufRepository:
        """Another one with the same keys: what is done to one is not done to the other."""
        other = TufRepository.__new__(TufRepository)
        other.__dict__.update({name: copy.deepcopy(value) for name, value in vars(self).items() if name != "signers"})
        other.signers = {role: list(signers) for role, signers in self.signers.items()}
        return other

    def trust(self, version: int = 1) -> Trust:
        """What a site trusts that has pinned the root of this version."""
        return Trust(self.files[root_name(version)])

    def write(self, directory: Path) -> Path:
        """As a mirror of it lies on a disk."""
        return written(self.files, directory)


def written(files: Mapping[str, bytes], directory: Path) -> Path:
    """Files of a repository below a directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory
