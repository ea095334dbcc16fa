"""Decide whether a bundle may enter now, by serial, link and time against the site's state. Pure.

1. The clock is not behind the latest time the site has seen; a bundle from the future causes a remark.
2. The bundle has not expired and is not too old, by the later of the clock and the latest time seen.
3. The serial is not older, not used by another bundle, and not far ahead.
4. The bundle's predecessor is the one that was imported here.

Each rule refuses the bundle, or accepts it and remarks on what the operator allowed deliberately (docs/adr/0007).
"""

from __future__ import annotations

import datetime as dt

from airgap.admission.terms import Terms
from airgap.errors import Refused
from airgap.format.catalog import Catalog
from airgap.format.times import format_time, parse_time
from airgap.oci.digest import Digest
from airgap.state import Known, Remembered

#: How far two honest clocks may be apart.
SKEW = dt.timedelta(days=1)
#: The largest step from one serial of a stream to the next. More would use the serials up: then nothing newer could ever come.
MAX_JUMP = 1_000_000

_CLOCK_HINT = "correct the clock of this machine, or continue deliberately with --allow-clock-behind"


def admit(catalog: Catalog, digest: Digest, known: Known, terms: Terms) -> list[str]:
    """Apply every rule.

    Args:
        catalog: the verified catalog.
        digest: the digest of its bytes.
        known: what the state knows about its stream.
        terms: the site's terms.

    Returns:
        Remarks on accepting it, one sentence each.

    Raises:
        Refused: a rule is violated.
    """
    remarks = check_times(catalog, known.floor, terms)
    remarks += _remark(check_serial(catalog, digest, known.newest, terms.allow_older))
    if known.same == digest:
        return remarks  # taken before: its place in the stream was judged then
    check_same_serial(catalog, digest, known.same)
    remarks += _remark(check_jump(catalog, known.newest, terms.allow_jump))
    return remarks + _remark(check_link(catalog, known, terms.allow_fork))


def check_times(catalog: Catalog, floor: dt.datetime | None, terms: Terms) -> list[str]:
    """Apply the rules about time.

    Args:
        catalog: the verified catalog.
        floor: the latest time that the site has seen, as the caller knows it; the terms may have a later one.
        terms: the site's terms.

    Raises:
        Refused: the clock was set back, or the bundle has expired or is too old.
    """
    floor = max(filter(None, (floor, terms.floor)), default=None)
    time = terms.now if floor is None else max(terms.now, floor)
    remarks = _remark(check_clock(terms.now, floor, terms.allow_clock_behind))
    remarks += _remark(remark_future(catalog, time))
    remarks += _remark(check_expiry(catalog, time, terms.allow_expired))
    check_age(catalog, time, terms.max_age)
    return remarks


def check_clock(now: dt.datetime, floor: dt.datetime | None, allow_behind: bool) -> str:
    """Refuse to work with a clock that was set back: an expired bundle would look fresh (freeze attack)."""
    if floor is None or now >= floor - SKEW:
        return ""
    if not allow_behind:
        raise Refused(
            "the clock of this machine is behind: this site has seen a later time",
            expected=f"{format_time(floor)} or later",
            got=format_time(now),
            hint=_CLOCK_HINT,
        )
    return f"accepted although the clock says {format_time(now)} and this site has seen {format_time(floor)} (--allow-clock-behind)"


def remark_future(catalog: Catalog, now: dt.datetime) -> str:
    """Remark on a bundle from the future. Its sender is trusted, so this machine's clock may be wrong."""
    if parse_time(catalog.created) <= now + SKEW:
        return ""
    return f"it was created in the future, at {catalog.created}: this machine's clock says {format_time(now)} and may be behind"


def check_expiry(catalog: Catalog, now: dt.datetime, allow_expired: bool) -> str:
    """Refuse an expired bundle unless allowed; returns a remark if that was needed."""
    if catalog.expires is None or parse_time(catalog.expires) > now:
        return ""
    if not allow_expired:
        raise Refused(
            f"the bundle {catalog.name} has expired",
            expected=f"a time before {catalog.expires}",
            got=f"{format_time(now)} at this site",
            hint="ask for a newer bundle, or accept this one deliberately with --allow-expired",
        )
    return f"accepted although it expired at {catalog.expires} (--allow-expired)"


def expired_at(catalog: Catalog, terms: Terms | None) -> bool:
    """Whether a bundle has expired, by the later of clock and latest time seen; without terms, by this machine's clock."""
    now = dt.datetime.now(dt.UTC) if terms is None else max(filter(None, (terms.now, terms.floor)))
    return catalog.expires is not None and parse_time(catalog.expires) <= now


def check_age(catalog: Catalog, time: dt.datetime, max_age: dt.timedelta | None) -> None:
    """Refuse a bundle that was created too long ago for the site, whatever expiry its sender set."""
    age = time - parse_time(catalog.created)
    if max_age is not None and age > max_age:
        raise Refused(
            f"the bundle {catalog.name} is too old",
            expected=f"created {max_age.days} days ago at most",
            got=f"created at {catalog.created}, {age.days} days ago",
            hint="ask for a newer bundle, or give a larger --max-age",
        )


def next_floor(floor: dt.datetime | None, created: dt.datetime, now: dt.datetime, allow_behind: bool) -> dt.datetime:
    """The latest time seen after a bundle was imported.

    A catalog moves it ahead of the clock by no more than two honest clocks may differ, or it could lock the site out. If the
    operator allowed a clock that is behind, the clock is believed from now on, so that a wrong latest time can be corrected.
    """
    seen = [now, min(created, now + SKEW)]
    return max(seen if floor is None or allow_behind else [floor, *seen])


def check_serial(catalog: Catalog, digest: Digest, last: Remembered | None, allow_older: bool) -> str:
    """Refuse a bundle older than the newest one imported of its stream, and a second one with the same serial.

    Args:
        catalog: the verified catalog.
        digest: the digest of its bytes.
        last: the newest bundle of the stream imported so far; a gap after it is allowed.
        allow_older: accept an older one.

    Raises:
        Refused: the bundle is older, or another one has the same serial.
    """
    if last is None or catalog.serial > last.serial:
        return ""
    if catalog.serial == last.serial:
        check_same_serial(catalog, digest, last.catalog)
        return ""
    if not allow_older:
        raise Refused(
            f"the bundle {catalog.name} is older than the newest one imported here",
            expected=f"serial {last.serial} or higher of stream {catalog.stream}",
            got=f"serial {catalog.serial}",
            hint="bring the newest bundle, or go back deliberately with --allow-older",
        )
    return f"accepted although serial {last.serial} was imported before (--allow-older)"


def check_same_serial(catalog: Catalog, digest: Digest, taken: Digest | None) -> None:
    """Refuse a second bundle with a serial that was imported before. No option allows that: one of the two is false."""
    if taken is not None and taken != digest:
        raise Refused(
            f"another bundle with serial {catalog.serial} of stream {catalog.stream} was imported here before",
            expected=f"catalog {taken}",
            got=f"catalog {digest}",
            hint="ask the sender which of the two is right: a serial is used only once",
        )


def check_jump(catalog: Catalog, last: Remembered | None, allow_jump: bool) -> str:
    """Refuse a leap ahead: after it, no honest bundle would be new enough (fast-forward attack)."""
    if last is None or catalog.serial <= last.serial + MAX_JUMP:
        return ""
    if not allow_jump:
        raise Refused(
            f"the serial of {catalog.name} is far ahead of the newest one imported here",
            expected=f"serial {last.serial + MAX_JUMP} of stream {catalog.stream} at most",
            got=f"serial {catalog.serial}",
            hint="ask the sender whether it is right; if so, accept it with --allow-jump",
        )
    return f"accepted although its serial is far ahead of {last.serial} (--allow-jump)"


def check_link(catalog: Catalog, known: Known, allow_fork: bool) -> str:
    """Refuse a bundle whose predecessor is not the bundle that was imported here.

    An unknown predecessor is allowed if serials are missing in between: then there is nothing to compare.
    """
    before = known.before
    if before is None or catalog.previous == before.catalog:
        return ""
    if catalog.previous is None:
        return f"names no predecessor, although serial {before.serial} of its stream was imported here: the sender lost its state"
    if known.predecessor is None and before.serial < catalog.serial - 1:
        return ""
    if not allow_fork:
        other = f" (serial {known.predecessor})" if known.predecessor is not None else ""
        raise Refused(
            f"the predecessor of bundle {catalog.name} is not the bundle that was imported here",
            expected=f"previous catalog {before.catalog} (serial {before.serial})",
            got=f"previous catalog {catalog.previous}{other}",
            hint="ask the sender: two exporters use one stream, or the sender's state was lost; if that is right, add --allow-fork",
        )
    return f"accepted although its predecessor is not serial {before.serial} as imported here (--allow-fork)"


def _remark(text: str) -> list[str]:
    return [text] if text else []
