"""The options about what the site trusts of a Sigstore instance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.roots import Ages, InUse, in_use
from airgap.cli.options.inputs import days_of
from airgap.errors import UsageError
from airgap.exporter.roots import CarriedRoot, collect, in_directory
from airgap.limits import MAX_TUF_FILE
from airgap.text import printable
from airgap.trust.policy.document import Policy
from airgap.trust.sigstore.trustedroot import TrustedRoot

TrustedRootOption = Annotated[
    Path | None,
    typer.Option(
        "--trusted-root",
        metavar="FILE",
        help="The site's own trusted_root.json: logs, CAs and timestamp authorities of a Sigstore instance, by which signatures "
        "without a key (keyless) are judged.",
        show_default="what airgap trust update has installed",
    ),
]
WarnOption = Annotated[
    str,
    typer.Option("--root-warn-age", metavar="DAYSd", help="Warn if the installed trusted root was current that long ago."),
]
StopOption = Annotated[
    str,
    typer.Option(
        "--root-max-age",
        metavar="DAYSd",
        help="Stop if the installed trusted root was current that long ago, and the policy asks for keyless signatures.",
    ),
]
CarryOption = Annotated[
    str,
    typer.Option(
        "--carry-root",
        metavar="SOURCE",
        help="Also carry what the TUF repository of a Sigstore instance says today, for airgap trust update: its https URL, or a "
        "directory with a copy of it.",
    ),
]
_ABSENT = (403, 404)  #: stores that let nobody list them do not say of a file that there is none
WARN, STOP = (f"{age.days}d" for age in (Ages.warn, Ages.stop))


def carried_from(source: str, fetch_file: Callable[[str, int, Collection[int]], bytes | None]) -> CarriedRoot | None:
    """What ``--carry-root`` names, verified; None for nothing. ``fetch_file`` reads from the web. Raises as ``collect``."""
    if not source:
        return None
    now = dt.datetime.now(dt.UTC)
    if "://" not in source:
        return collect(*in_directory(Path(source)), source, now)
    if not source.startswith("https://"):
        raise UsageError(
            "not an https URL", where="--carry-root", got=printable(source), expected="https://HOST/PATH, or a directory"
        )
    base = source.rstrip("/")
    return collect(lambda name: fetch_file(f"{base}/{name}", MAX_TUF_FILE, _ABSENT), 1, base, now)


@dataclass(frozen=True)
class Rooted:
    """Which Sigstore instance is trusted."""

    trusted_root: TrustedRootOption = None
    root_warn_age: WarnOption = WARN
    root_max_age: StopOption = STOP

    @property
    def ages(self) -> Ages:
        """How old it may become. Raises ``UsageError``."""
        ages = Ages(days_of(self.root_warn_age, "--root-warn-age"), days_of(self.root_max_age, "--root-max-age"))
        if ages.warn > ages.stop:
            expected = f"at most --root-max-age, {ages.stop.days}d"
            raise UsageError("the warning would never come", where="--root-warn-age", expected=expected, got=f"{ages.warn.days}d")
        return ages

    def in_use(self, state: Path, policy: Policy, say: Callable[[str], None]) -> InUse | None:
        """The trusted root that judges, or None; says if it grows old. Raises as ``admission.roots.in_use``."""
        found = in_use(self.trusted_root, state, policy, self.ages, dt.datetime.now(dt.UTC))
        if found is not None and found.remark:
            say(f"warning: {found.remark}")
        return found

    def read(self, state: Path, policy: Policy, say: Callable[[str], None]) -> TrustedRoot | None:
        """The same, without its name."""
        found = self.in_use(state, policy, say)
        return None if found is None else found.root
