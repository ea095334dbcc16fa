"""The site's terms for bundles: one function makes them, from options and state, for every command that opens a bundle.

``admission/opening`` takes nothing but such terms, so that no way into a bundle can forget one of them. docs/policy.md ("Every way
into a bundle") lists the ways and what each of them checks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from airgap.admission.terms import Terms
from airgap.cipher.sites import SiteSecret
from airgap.cli.options import inputs
from airgap.errors import Refused
from airgap.state import State


def site_terms(
    policy: Path | None,
    state: Path | None,
    revoked: Path | None = None,
    secrets: Sequence[SiteSecret] = (),
    max_age: str | None = None,
) -> Terms:
    """What a site asks of bundles before its operator lets anything pass deliberately; commands add that with ``replace``.

    Args:
        policy: ``--policy``; None: the user's or the system's.
        state: ``--state``; None: where it lies by default. Its ``revoked.txt`` counts, and the latest time in it.
        revoked: ``--revoked``.
        secrets: by which encrypted bundles are opened.
        max_age: ``--max-age``.

    Raises:
        Refused: there is no policy, or it has a mistake.
        UsageError: a list of revoked keys or an option has a mistake.
    """
    directory = inputs.state_directory(state)
    return Terms(
        policy=inputs.read_policy(policy)[0],
        read_key=inputs.read_key,
        now=dt.datetime.now(dt.UTC),
        revoked=inputs.read_revoked(revoked, directory),
        floor=_latest_time(directory),
        max_age=inputs.max_age(max_age),
        secrets=tuple(secrets),
    )


def _latest_time(directory: Path) -> dt.datetime | None:
    """The latest time that the site has seen, so that a clock that was set back does not make an expired bundle fresh."""
    if State.begun(directory):
        with contextlib.suppress(Refused), State(directory) as memory:  # one that is damaged: an import says so, and what to do
            return memory.latest_time()
    return None
