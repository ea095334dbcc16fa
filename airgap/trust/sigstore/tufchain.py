"""Follow a TUF repository from a root that is trusted to the ``trusted_root.json`` that it vouches for. Files come from a function.

The rules are python-tuf's (TUF specification 1.0, section 5, the client's workflow). What is ours: the time that counts, and that
two roots of one version are refused. Any file may come from an enemy: no name is used that is not of a few plain characters.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from airgap.errors import Damaged, Refused
from airgap.limits import MAX_TUF_ROOTS
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.sigstore.tuftrust import TARGET, TIMESTAMP, Fetch, Followed, RootFacts, Trust, root_name

_MOST_DELEGATIONS = 32  # as python-tuf has it
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)


def root_facts(raw: bytes, where: str) -> RootFacts:
    """Read a root that its operator names: it must be signed by enough of its own keys.

    Raises:
        Refused: it is no root, or not signed by itself.
    """
    with _step(where):
        _check_json(raw, where)
        root = TrustedMetadataSet(raw, EnvelopeType.METADATA).root
        role = root.roles["root"]
        return RootFacts(root.version, root.expires, role.threshold, len(role.keyids), _digest(raw))


def follow(trust: Trust, fetch: Fetch, when: dt.datetime) -> Followed:
    """Verify everything between a trusted root and the target.

    Args:
        trust: where to begin.
        fetch: gives the repository's files.
        when: the time by which metadata must not have expired, UTC.

    Raises:
        Refused: something is not signed by enough keys, older than what is known, expired, or another root of a known version.
        Damaged: a file is missing.
    """
    chain = _Chain(trust, fetch, when)
    chain.refuse_fork()
    chain.follow_roots()
    chain.follow_timestamp()
    chain.follow_snapshot()
    return chain.reach()


class _Chain:
    def __init__(self, trust: Trust, fetch: Fetch, when: dt.datetime) -> None:
        self._trust, self._fetch, self._when = trust, fetch, when
        with _step("the trusted root"):
            self._set = TrustedMetadataSet(trust.root, EnvelopeType.METADATA)
        self._set.reference_time = when
        self._root = trust.root
        self._roots = dict(trust.roots) | {self._set.root.version: _digest(trust.root)}
        self._timestamp = self._snapshot = b""

    def refuse_fork(self) -> None:
        """A root of a version that is known must be that root."""
        for version, known in sorted(self._roots.items()):
            raw = self._file(root_name(version))
            if raw is None:
                continue
            with _step(root_name(version)):
                found = _digest(raw)
            if found != known:
                raise Refused(
                    f"a fork: another root of version {version} than the one that is trusted",
                    where=root_name(version),
                    expected=str(known),
                    got=str(found),
                    hint="somebody has signed two roots of one version: ask the instance's operators before anything is trusted",
                )

    def follow_roots(self) -> None:
        """Specification 5.3: every root is signed by enough keys of the one before and by enough of its own."""
        while raw := self._file(name := root_name(self._set.root.version + 1)):
            if len(self._roots) >= MAX_TUF_ROOTS:
                raise Refused("too many roots", where=name, expected=f"at most {MAX_TUF_ROOTS}")
            with _step(name):
                self._set.update_root(raw)
            self._root = raw
            self._roots[self._set.root.version] = _digest(raw)

    def follow_timestamp(self) -> None:
        """5.3.10 and 5.4: the root has not expired; nothing older than the timestamp that is known."""
        before = self._trust.timestamp
        if before is not None:  # unless a newer root has taken away its keys (5.3.11)
            with contextlib.suppress(exceptions.RepositoryError):
                self._set.update_timestamp(before)
        self._timestamp = self._needed(TIMESTAMP)
        with _step(TIMESTAMP if not self._set.root.is_expired(self._when) else root_name(self._set.root.version), self._when):
            try:
                self._set.update_timestamp(self._timestamp)
            except exceptions.EqualVersionNumberError:  # the known one goes on
                self._timestamp = before or b""

    def follow_snapshot(self) -> None:
        """5.5: the snapshot that the timestamp names; no version in it is older than in the one that is known."""
        before = self._trust.snapshot
        if before is not None:
            with contextlib.suppress(exceptions.RepositoryError):
                self._set.update_snapshot(before, trusted=True)
                self._snapshot = before  # it is still the one that the timestamp names
        if not self._snapshot:
            version = self._set.timestamp.snapshot_meta.version
            name = self._versioned(version, "snapshot")
            self._snapshot = self._needed(name)
            with _step(name, self._when):
                self._set.update_snapshot(self._snapshot)

    def reach(self) -> Followed:
        """5.6 and 5.7: the targets and what they delegate to, in their order, up to the one that has the target."""
        info = self._find_target()
        names = [f"targets/{value}.{TARGET}" for value in info.hashes.values()] if self._consistent else [f"targets/{TARGET}"]
        raw = next((found for name in names if (found := self._file(name)) is not None), None)
        if raw is None:
            raise _missing(names[0])
        with _step(names[0]):
            info.verify_length_and_hashes(raw)
        trust = Trust(self._root, self._roots, self._timestamp, self._snapshot)
        return Followed(trust, raw, self._set.root.version, self._set.root.expires)

    def _find_target(self) -> Any:
        left, seen = [("targets", "root")], set[str]()
        while left and len(seen) < _MOST_DELEGATIONS:
            role, delegator = left.pop()
            if role in seen:
                continue
            seen.add(role)
            with _step(f"{role}.json", self._when):
                meta = self._set.snapshot.meta.get(f"{role}.json")
                name = self._versioned(meta.version if meta else 0, role)
                targets = self._set.update_delegated_targets(self._needed(name), role, delegator)
                if (info := targets.targets.get(TARGET)) is not None:
                    return info
                below = []
                for child, terminating in targets.delegations.get_roles_for_target(TARGET) if targets.delegations else ():
                    below.append((child, role))
                    if terminating:
                        left.clear()
                        break
                left += reversed(below)
        raise Refused("the repository vouches for no trusted root", expected=f"a target {TARGET}")

    @property
    def _consistent(self) -> bool:
        return bool(self._set.root.consistent_snapshot)

    def _versioned(self, version: int, role: str) -> str:
        return f"{version}.{role}.json" if self._consistent else f"{role}.json"

    def _needed(self, name: str) -> bytes:
        raw = self._file(name)
        if raw is None:
            raise _missing(name)
        return raw

    def _file(self, name: str) -> bytes | None:
        if not _NAME.fullmatch(name.removeprefix("targets/")):
            raise Refused("the repository names a file that no repository of Sigstore has", got=printable(name, 120))
        raw = self._fetch(name)
        if raw is not None:
            _check_json(raw, name)
        return raw


def _check_json(raw: bytes, name: str) -> None:
    """Strictly, before a library reads it that lets more pass."""
    try:
        strictjson.parse_object(raw, name)
    except Damaged as error:
        what = f"not a file of a TUF repository: {error.what}"
        raise Refused(what, where=name, expected=error.expected, got=error.got) from error


def _digest(raw: bytes) -> Digest:
    """Over what is signed of a root: more signatures do not make it another one."""
    return Digest.of(Metadata.from_bytes(raw).signed_bytes)


def _missing(name: str) -> Damaged:
    return Damaged(
        "a file of the TUF repository is missing",
        where=printable(name),
        hint="copy the whole repository: all roots, timestamp, snapshot, targets, and the target itself",
    )


@contextlib.contextmanager
def _step(name: str, when: dt.datetime | None = None) -> Iterator[None]:
    """What python-tuf says about a file, in our words."""
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        at = "" if when is None else f"{printable(str(error), 120)}, at {when:%Y-%m-%dT%H:%M:%SZ}"
        hint = "carry what the instance says today; a bundle counts as of the day it was made"
        raise Refused("the metadata of the trusted root has expired", where=name, got=at, hint=hint) from error
    except exceptions.UnsignedMetadataError as error:
        got = printable(str(error), 200)
        raise Refused("not signed by enough of the keys that must vouch for it", where=name, got=got, hint=_HINT) from error
    except exceptions.BadVersionNumberError as error:
        got = printable(str(error), 200)
        raise Refused("not the version that must follow: the site knows a newer state", where=name, got=got, hint=_HINT) from error
    except exceptions.LengthOrHashMismatchError as error:
        got = printable(str(error), 200)
        raise Refused("not the file that the metadata vouches for", where=name, got=got, hint=_HINT) from error
    except (exceptions.RepositoryError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("not valid metadata of a TUF repository", where=name, got=printable(str(error), 200), hint=_HINT) from error


_HINT = "nothing was changed; ask whoever made the bundle or the copy for the whole repository as it is today"
