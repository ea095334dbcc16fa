"""The trusted root that a site has installed: pinned, brought up to date from a bundle or a copy, and how old it may become."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.admission.door import Found
from airgap.admission.site import read_trusted_root
from airgap.admission.terms import Terms
from airgap.documents.tufrepository import CarriedRepository
from airgap.errors import Damaged, Refused, UsageError
from airgap.format import names
from airgap.format.times import format_time, parse_time
from airgap.limits import MAX_TUF_FILE, MAX_TUF_REPOSITORY
from airgap.oci.digest import Digest
from airgap.state import State
from airgap.text import plural, printable
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import SigstoreSigned
from airgap.trust.sigstore.installed import Installed
from airgap.trust.sigstore.rootchanges import Change, changes_between
from airgap.trust.sigstore.trustedroot import TrustedRoot
from airgap.trust.sigstore.tuftrust import TIMESTAMP, Fetch

_UPDATE = "airgap trust update follows the root that is pinned"
_PIN = "pin the instance's first root: airgap trust pin root.json"


@dataclass(frozen=True)
class Ages:
    """How old an installed root may become: said from ``warn`` on, of no use from ``stop`` on."""

    warn: dt.timedelta = dt.timedelta(days=180)
    stop: dt.timedelta = dt.timedelta(days=400)


@dataclass(frozen=True)
class InUse:
    """The trusted root that judges: its name, and what its operator should know about its age."""

    root: TrustedRoot
    name: str
    remark: str = ""


@dataclass(frozen=True)
class Offer:
    """A TUF repository as it lies somewhere.

    Attributes:
        fetch: gives its files.
        when: the time at which it must be current, UTC.
        source: where it is from, for people.
        remarks: what the gate let pass.
    """

    fetch: Fetch
    when: dt.datetime
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Update:
    """What an offer would make of what is installed, and what that changes."""

    before: Installed
    after: Installed
    changes: tuple[Change, ...]


def installed_in(memory: State) -> Installed | None:
    """What is installed; None: nothing was ever pinned. Raises ``Refused``: it cannot be read, so nothing is trusted."""
    text = memory.sigstore_root
    if text is None:
        return None
    try:
        return Installed.parse(text)
    except Damaged as error:
        hint = "restore the state from a backup, or pin a root again: airgap trust pin --replace"
        raise Refused(f"the installed trusted root is damaged: {error.what}", where=error.where, hint=hint) from error


def stamp(state: Path) -> str:
    """What changes when something else is installed. Raises ``Refused``, ``MediaError``: the state cannot be read."""
    if not State.begun(state):
        return ""
    with State(state) as memory:
        return str(Digest.of((memory.sigstore_root or "").encode()))


def in_use(path: Path | None, state: Path, policy: Policy, ages: Ages, now: dt.datetime) -> InUse | None:
    """The trusted root by which signatures are judged: the one that is named, else the one that is installed.

    One that is named has no age: whoever writes the file sees to it. An installed one that is too old stops the command, if the
    policy asks for a keyless signature anywhere: to go on without it would only refuse everything for another reason.

    Raises:
        UsageError, Refused: as ``read_trusted_root``; or what is installed is damaged or too old.
    """
    if path is not None:
        return InUse(read_trusted_root(path), str(path))
    if not State.begun(state):
        return None
    with State(state) as memory:
        found, floor = installed_in(memory), memory.latest_time()
    if found is None or found.current is None or (root := found.trusted_root) is None:
        return None
    age = age_of(found, now, floor)
    name = f"installed, root version {found.version}"
    if not asks_for_keyless(policy):
        return InUse(root, name) if age < ages.stop else None
    old = f"the installed trusted root was current {plural(age.days, 'day')} ago, on {found.current:%Y-%m-%d}"
    if age >= ages.stop:
        raise Refused(
            "the installed trusted root is too old",
            expected=f"one that was current less than {plural(ages.stop.days, 'day')} ago (root-max-age)",
            got=f"{plural(age.days, 'day')}, since {format_time(found.current)}",
            hint="bring a newer one: export --carry-root on the other side, airgap trust update here",
        )
    return InUse(root, name, f"{old}: bring a newer one (export --carry-root, trust update)" if age >= ages.warn else "")


def age_of(found: Installed, now: dt.datetime, floor: dt.datetime | None) -> dt.timedelta:
    """Since it was last shown to be current, by the later of the clock and the latest time that the site has seen."""
    latest = now if floor is None else max(now, floor)
    return max(latest - (found.current or latest), dt.timedelta())


def asks_for_keyless(policy: Policy) -> bool:
    """Whether any requirement is about certificates of a Sigstore instance."""
    return any(isinstance(one, SigstoreSigned) and one.fulcio is not None for one in policy.requirements())


def pin(memory: State, root: Path, now: dt.datetime, *, replace: bool = False) -> tuple[Installed, bool]:
    """Pin the root from which everything else is followed; what is pinned, and whether it was not before.

    Args:
        memory: the site's state.
        root: a ``root.json`` that its operator has from a source of trust.
        now: this machine's time, UTC.
        replace: forget what is known, for another instance or if it is damaged.

    Raises:
        UsageError: it cannot be read, or one is pinned already.
        Refused: it is no root, or the site has gone beyond it.
    """
    from airgap.trust.sigstore.tufchain import root_facts  # here, for its library takes time to load, and few need it

    raw, where = fsio.read_input(root, MAX_TUF_FILE, "root"), printable(str(root))
    made = Installed.pinned(raw, root_facts(raw, where), where, now)
    try:
        before = installed_in(memory)
    except Refused:
        if not replace:
            raise
        before = None
    if before is not None and before.trust.roots.get(made.version) == made.trust.roots[made.version]:
        if replace and made.version < before.version:
            expected = f"version {before.version} or newer, or the root of another instance"
            raise Refused("the site has gone beyond this root", expected=expected, got=f"version {made.version}", hint=_UPDATE)
        return before, False
    if before is not None and not replace:
        hint = f"{_UPDATE}; --replace forgets it, for another instance"
        raise UsageError("a root is pinned already", got=f"version {before.version} from {before.source}", hint=hint)
    outcome = f"pinned root version {made.version}{' in place of what was known' if replace else ''}"
    memory.record_sigstore_root(made.to_text(), outcome, f"from {made.source}")
    return made, True


def offered(paths: Sequence[Path], terms: Callable[[], Terms], now: dt.datetime) -> Offer:
    """A TUF repository in a directory, or the one that a bundle carries.

    What is in a directory must be current now. What a bundle carries must have been current when the bundle was made, which its
    signature vouches for: metadata expires within days, and media take longer.

    Args:
        paths: one directory with a repository, or a bundle's directories or media.
        terms: what the site asks of a bundle, asked if there is one.
        now: this machine's time, UTC.

    Raises:
        UsageError: there is neither.
        Refused, Damaged: the bundle may not enter, or what it carries is not what its catalog says.
    """
    for base in (paths[0], paths[0] / "metadata"):
        if len(paths) == 1 and fsio.is_there(base / TIMESTAMP):
            return Offer(directory_files(base, paths[0]), now, printable(str(paths[0])))
    signed = Found.at(paths).signed(terms()).admitted()
    catalog = signed.catalog
    if catalog.trusted_root is None:
        raise UsageError(
            "the bundle carries no trusted root", where=catalog.name, hint="export --carry-root SOURCE puts one into a bundle"
        )
    repository = CarriedRepository.parse(_carried(signed.media.directories, catalog.trusted_root))
    source = f"{catalog.name}, which has it from {printable(repository.source)}"
    return Offer(repository.files.get, min(parse_time(catalog.created), now), source, signed.remarks)


def directory_files(base: Path, top: Path) -> Fetch:
    """The files of a repository that lies in a directory; targets lie beside the metadata, or beside its directory."""

    def fetch(name: str) -> bytes | None:
        for place in dict.fromkeys((base, top)):
            if (found := fsio.read_if_there(place / name, MAX_TUF_FILE)) is not None:
                return found
        return None

    return fetch


def _carried(directories: Sequence[Path], digest: Digest) -> bytes:
    for directory in directories:
        raw = fsio.read_if_there(directory / names.TRUSTED_ROOT, MAX_TUF_REPOSITORY)
        if raw is not None:
            if Digest.of(raw) != digest:
                where = printable(str(directory / names.TRUSTED_ROOT))
                raise Damaged("the carried trusted root is not the one in the signed catalog", where=where, expected=str(digest))
            return raw
    raise Damaged("the carried trusted root is missing", expected=names.TRUSTED_ROOT, hint="copy it again from the original")


def look(memory: State, offer: Offer, now: dt.datetime) -> Update:
    """Follow an offer from what is installed. Nothing is changed.

    Raises:
        Refused: nothing is pinned; or as ``follow``.
        Damaged: a file is missing.
        UsageError: what it leads to is no trusted root.
    """
    from airgap.trust.sigstore.tufchain import follow  # here, as in ``pin``

    before = installed_in(memory)
    if before is None:
        raise Refused("no root is pinned: nothing can be verified", expected="a root of the instance", hint=_PIN)
    found = follow(before.trust, offer.fetch, offer.when)
    after = before.followed(found, offer.when, now, offer.source)
    root = after.trusted_root
    assert root is not None  # noqa: S101 - for the type checker
    return Update(before, after, tuple(changes_between(before.trusted_root, root)))


def install(memory: State, update: Update) -> None:
    """Install what was looked at. Raises ``Refused``: something else was installed since."""
    if installed_in(memory) != update.before:
        raise Refused("another command has changed what is installed", hint="run the same command again")
    outcome = f"installed root version {update.after.version}: {plural(len(update.changes), 'change')}"
    memory.record_sigstore_root(update.after.to_text(), outcome, f"from {update.after.source}")
