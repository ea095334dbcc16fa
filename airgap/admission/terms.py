"""What a site requires of a bundle, and what its operator allows deliberately."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from airgap.admission.site import read_key, read_policy, read_revoked
from airgap.cipher.sites import SiteSecret
from airgap.errors import Refused
from airgap.oci.descriptor import Platform
from airgap.state import State
from airgap.trust.judge.terms import ImageTerms
from airgap.trust.keys.revoked import Revoked


@dataclass(frozen=True)
class Terms(ImageTerms):
    """The site's terms for a bundle, and for the images in it.

    Attributes:
        revoked: keys whose signatures on a bundle do not count.
        floor: the latest time that the site has seen; None if unknown.
        max_age: refuse bundles created longer ago than this.
        allow_expired, allow_older, allow_jump, allow_fork, allow_clock_behind: accept such a bundle.
        replace_names: take over repositories at the target that belong to other sources.
        digest_tags: give images that are listed by digest alone a tag at a registry.
        partial: load the images that are complete and leave the others out.
        platforms: load only these.
        without: kinds of attachments that are not loaded; the policy still takes them into account.
        require_custody: accept only media with an intact custody log.
        custody_keys: public keys that verify entries of those logs; if logs are required, every entry must be signed with one
            of them.
        secrets: the site's keys, which decrypt bundles.
        threads: blobs transferred at a time.
    """

    revoked: Revoked = field(default_factory=Revoked)
    floor: dt.datetime | None = None
    max_age: dt.timedelta | None = None
    allow_expired: bool = False
    allow_older: bool = False
    allow_jump: bool = False
    allow_fork: bool = False
    allow_clock_behind: bool = False
    replace_names: bool = False
    digest_tags: bool = True
    partial: bool = False
    platforms: tuple[Platform, ...] = ()
    without: frozenset[str] = frozenset()
    require_custody: bool = False
    custody_keys: tuple[bytes, ...] = ()
    secrets: tuple[SiteSecret, ...] = ()
    threads: int = 4

    @classmethod
    def of_site(
        cls,
        state: Path,
        policy: Path | None,
        *,
        revoked: Path | None = None,
        secrets: Sequence[SiteSecret] = (),
        max_age: dt.timedelta | None = None,
    ) -> Terms:
        """What a site asks of bundles before its operator lets anything pass deliberately; commands add that with ``replace``.

        Args:
            state: the state directory: its ``revoked.txt`` counts, and the latest time in it.
            policy: ``--policy``; None: the user's or the system's.
            revoked: a list of revoked keys besides.
            secrets: by which encrypted bundles are opened.
            max_age: refuse bundles created longer ago.

        Raises:
            Refused: there is no policy.
            UsageError: the policy or a list of revoked keys has a mistake.
        """
        return cls(
            policy=read_policy(policy)[0],
            read_key=read_key,
            now=dt.datetime.now(dt.UTC),
            revoked=read_revoked(revoked, state),
            floor=_latest_time(state),
            max_age=max_age,
            secrets=tuple(secrets),
        )

    def told(self) -> Terms:
        """The same for a command that takes nothing in: it tells the bundle's age, and does not refuse for it."""
        return replace(self, allow_expired=True, allow_clock_behind=True, max_age=None)


def _latest_time(directory: Path) -> dt.datetime | None:
    """The latest time that the site has seen, so that a clock that was set back does not make an expired bundle fresh."""
    if State.begun(directory):
        with contextlib.suppress(Refused), State(directory) as memory:  # one that is damaged: an import says so, and what to do
            return memory.latest_time()
    return None
