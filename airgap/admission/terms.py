"""What a site asks of a bundle, and what its operator lets pass deliberately."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from airgap.cipher.sites import SiteSecret
from airgap.oci.descriptor import Platform
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.document import Policy


@dataclass(frozen=True)
class Terms:
    """The site's terms for a bundle.

    Attributes:
        policy: the site's containers-policy.json.
        read_key: reads a key file that the policy names.
        now: the current time, UTC.
        revoked: keys whose signatures on a bundle count as none.
        floor: the latest time that the site has seen; None where nothing is remembered.
        max_age: refuse bundles created longer ago than this.
        require_signed: accept only images that some requirement asked a signature for.
        accept_unnamed_bundles: cosign 3 bundles that name no image count when their key and digest are right.
        allow_expired, allow_older, allow_jump, allow_fork, allow_clock_behind: take such a bundle deliberately.
        replace_names: take over repositories at the target that belong to other sources.
        digest_tags: give images that are wanted by digest alone a tag at a registry.
        partial: load the images that are complete and leave the others out.
        platforms: load only these.
        without: kinds of attachments that are not loaded; the policy judges by them all the same.
        require_custody: accept only media whose custody logs are there and whole.
        custody_keys: public keys by which entries of those logs are checked; when logs are required, every entry must be signed
            by one of them.
        secrets: the site's keys, by which encrypted bundles are opened.
        threads: how many blobs move at a time.
    """

    policy: Policy
    read_key: Callable[[str], bytes]
    now: dt.datetime
    revoked: Revoked = field(default_factory=Revoked)
    floor: dt.datetime | None = None
    max_age: dt.timedelta | None = None
    require_signed: bool = False
    accept_unnamed_bundles: bool = False
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
