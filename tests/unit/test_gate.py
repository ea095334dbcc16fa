"""May this bundle enter now: clocks, age, leaps and links. Serials and expiry alone are in test_importer_gate."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from airgap.admission.gate import MAX_JUMP, SKEW, admit, next_floor
from airgap.admission.terms import Terms
from airgap.errors import Damaged, Refused
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.times import format_time, parse_time
from airgap.oci.digest import Digest
from airgap.state import Known, Remembered
from airgap.trust.policy.document import parse_policy

NOW = parse_time("2026-06-01T12:00:00Z")
POLICY = parse_policy(b'{"default":[{"type":"reject"}]}')
ONE, TWO, OTHER = Digest.of(b"one"), Digest.of(b"two"), Digest.of(b"other")
SECOND, DAY, YEAR = dt.timedelta(seconds=1), dt.timedelta(days=1), dt.timedelta(days=365)


def bundle(serial: int = 7, **changes: Any) -> Catalog:
    """A catalog of which only the head matters."""
    head = Catalog(
        stream="prod",
        serial=serial,
        created="2026-05-01T00:00:00Z",
        expires=None,
        tool="test",
        previous=None,
        base=(),
        volume_size=None,
        images=(),
        blobs={},
        volumes=(),
    )
    return replace(head, **changes)


def terms(now: dt.datetime = NOW, **changes: Any) -> Terms:
    return replace(Terms(POLICY, lambda _: b"", now), **changes)


def let_in(catalog: Catalog, known: Known, **changes: Any) -> list[str]:
    return admit(catalog, ONE, known, terms(**changes))


def refused(catalog: Catalog, known: Known, **changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        let_in(catalog, known, **changes)
    assert caught.value.hint
    return caught.value


def test_the_first_bundle_of_a_stream_enters_without_remarks() -> None:
    assert let_in(bundle(), Known()) == []
    assert let_in(bundle(20261231), Known(), max_age=dt.timedelta(days=40)) == []


# the clock


@pytest.mark.parametrize(("behind", "fine"), [(-YEAR, True), (SECOND, True), (SKEW, True), (SKEW + SECOND, False), (YEAR, False)])
def test_a_clock_that_was_set_back_is_noticed(behind: dt.timedelta, fine: bool) -> None:
    known = Known(floor=NOW + behind)
    if fine:
        assert let_in(bundle(), known) == []
        return
    assert "--allow-clock-behind" in refused(bundle(), known).hint
    assert "--allow-clock-behind" in let_in(bundle(), known, allow_clock_behind=True)[0]


@pytest.mark.parametrize("back", [SECOND, SKEW, YEAR])
def test_freeze_by_setting_the_clock_back_does_not_make_an_expired_bundle_fresh(back: dt.timedelta) -> None:
    expired = bundle(expires=format_time(NOW - SECOND))
    known = Known(floor=NOW)
    for allowed in (False, True):
        refused(expired, known, now=NOW - back, allow_clock_behind=allowed)
    assert "expired" in refused(expired, known, now=NOW - back, allow_clock_behind=True).what
    assert let_in(expired, known, now=NOW - back, allow_clock_behind=True, allow_expired=True)


@pytest.mark.parametrize(("ahead", "fine"), [(SKEW, True), (SKEW + SECOND, False), (1000 * YEAR, False)])
def test_a_bundle_from_the_future_is_remarked(ahead: dt.timedelta, fine: bool) -> None:
    remarks = let_in(bundle(created=format_time(NOW + ahead)), Known())
    assert [("future" in remark) for remark in remarks] == ([] if fine else [True])


def test_a_bundle_from_the_future_cannot_move_the_latest_time_seen_far_ahead() -> None:
    far = NOW + 1000 * YEAR
    assert next_floor(None, far, NOW, allow_behind=False) == NOW + SKEW
    floor = NOW
    for _ in range(10):
        floor = next_floor(floor, far, NOW, allow_behind=False)
    assert let_in(bundle(), Known(floor=floor)) == [], "the site must not be locked out"


def test_the_latest_time_seen_never_goes_back_by_itself() -> None:
    assert next_floor(NOW, NOW - YEAR, NOW - SECOND, allow_behind=False) == NOW
    assert next_floor(NOW, NOW - YEAR, NOW + SECOND, allow_behind=False) == NOW + SECOND
    assert next_floor(None, NOW - YEAR, NOW, allow_behind=False) == NOW


def test_a_clock_that_was_once_wrong_can_be_mended() -> None:
    floor = NOW + YEAR
    refused(bundle(), Known(floor=floor))
    let_in(bundle(), Known(floor=floor), allow_clock_behind=True)
    assert next_floor(floor, NOW - DAY, NOW, allow_behind=True) == NOW


@pytest.mark.parametrize(("age", "fine"), [(-DAY, True), (30 * DAY, True), (30 * DAY + SECOND, False), (YEAR, False)])
def test_freeze_is_bounded_by_the_age_that_the_site_wants(age: dt.timedelta, fine: bool) -> None:
    catalog = bundle(created=format_time(NOW - age))
    if fine:
        assert let_in(catalog, Known(), max_age=30 * DAY) == []
        return
    assert "--max-age" in refused(catalog, Known(), max_age=30 * DAY).hint
    assert "too old" in refused(catalog, Known(), max_age=30 * DAY, allow_expired=True).what
    assert let_in(catalog, Known()) == []


def test_age_is_judged_by_the_latest_time_seen() -> None:
    catalog = bundle(created=format_time(NOW - 30 * DAY))
    refused(catalog, Known(floor=NOW + SECOND), max_age=30 * DAY)


# serials


def test_fast_forward_is_refused_and_can_be_allowed() -> None:
    known = Known(newest=Remembered(7, TWO), before=Remembered(7, TWO))
    assert let_in(bundle(7 + MAX_JUMP, previous=TWO), known) == []
    assert "--allow-jump" in refused(bundle(8 + MAX_JUMP), known).hint
    assert "--allow-jump" in let_in(bundle(8 + MAX_JUMP, previous=TWO), known, allow_jump=True)[0]


@pytest.mark.parametrize("serial", [2**53, 2**63 - 1, 10**30, -1])
def test_fast_forward_beyond_what_numbers_can_hold_is_no_catalog(serial: int) -> None:
    raw = bundle().to_bytes().replace(b'"serial":7', b'"serial":%d' % serial)
    with pytest.raises(Damaged):
        Catalog.from_bytes(raw)
    assert serial < 0 or serial > names.MAX_SERIAL


def test_rollback_by_a_second_bundle_of_an_old_serial_is_never_allowed() -> None:
    known = Known(newest=Remembered(9, OTHER), same=TWO)
    found = refused(bundle(), known, allow_older=True, allow_fork=True, allow_jump=True)
    assert (found.expected, found.got) == (f"catalog {TWO}", f"catalog {ONE}")


def test_what_was_taken_before_may_come_again_whatever_its_place() -> None:
    assert let_in(bundle(previous=OTHER), Known(newest=Remembered(7, ONE), same=ONE, before=Remembered(6, TWO))) == []


# links


@pytest.mark.parametrize(
    ("previous", "known"),
    [
        (TWO, Known(newest=Remembered(6, TWO), before=Remembered(6, TWO), predecessor=6)),
        (TWO, Known(newest=Remembered(3, TWO), before=Remembered(3, TWO), predecessor=3)),
        (OTHER, Known(newest=Remembered(5, TWO), before=Remembered(5, TWO))),
        (OTHER, Known()),
        (None, Known()),
    ],
    ids=["the last one", "a gap in the serials", "a gap, and the predecessor never came here", "first", "first ever"],
)
def test_a_link_that_holds_or_cannot_be_checked(previous: Digest | None, known: Known) -> None:
    assert let_in(bundle(previous=previous), known) == []


@pytest.mark.parametrize(
    "known",
    [
        Known(newest=Remembered(6, TWO), before=Remembered(6, TWO)),
        Known(newest=Remembered(6, TWO), before=Remembered(6, TWO), predecessor=5),
        Known(newest=Remembered(5, TWO), before=Remembered(5, TWO), predecessor=4),
    ],
    ids=["another bundle of the serial before", "passes over one that came here", "passes over one, with a gap"],
)
def test_fork_of_a_stream_is_refused_and_can_be_allowed(known: Known) -> None:
    catalog = bundle(previous=OTHER)
    found = refused(catalog, known)
    assert str(TWO) in found.expected
    assert str(OTHER) in found.got
    assert "--allow-fork" in found.hint
    assert "--allow-fork" in let_in(catalog, known, allow_fork=True)[0]


def test_a_sender_that_lost_its_memory_is_remarked() -> None:
    known = Known(newest=Remembered(6, TWO), before=Remembered(6, TWO))
    assert "lost its state" in let_in(bundle(previous=None), known)[0]
