"""May this bundle enter now: serials and expiry."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from airgap.admission.gate import check_expiry, check_serial
from airgap.errors import Refused
from airgap.format.catalog import Catalog
from airgap.format.times import parse_time
from airgap.oci.digest import Digest
from airgap.state import Remembered
from tests.unit.test_bundle_catalog import make

CATALOG: Catalog = make([100], None, serial=7)
DIGEST = Digest.of(CATALOG.to_bytes())
OTHER = Digest.of(b"other")


@pytest.mark.parametrize("last", [None, Remembered(6, OTHER), Remembered(1, OTHER), Remembered(7, DIGEST)])
def test_the_first_a_newer_and_the_same_bundle_may_enter(last: Remembered | None) -> None:
    check_serial(CATALOG, DIGEST, last, allow_older=False)


def test_an_older_bundle_may_not_unless_that_is_wanted() -> None:
    with pytest.raises(Refused) as caught:
        check_serial(CATALOG, DIGEST, Remembered(8, OTHER), allow_older=False)
    assert "--allow-older" in caught.value.hint
    assert (caught.value.expected, caught.value.got) == ("serial 8 or higher of stream prod-site", "serial 7")
    check_serial(CATALOG, DIGEST, Remembered(8, OTHER), allow_older=True)


@pytest.mark.parametrize("allow_older", [False, True])
def test_a_second_bundle_of_one_serial_may_never(allow_older: bool) -> None:
    with pytest.raises(Refused) as caught:
        check_serial(CATALOG, DIGEST, Remembered(7, OTHER), allow_older)
    assert caught.value.expected.endswith(OTHER)
    assert caught.value.got.endswith(DIGEST)


@pytest.mark.parametrize(("seconds", "fine"), [(-1, True), (0, False), (1, False), (10**8, False)])
def test_expiry_to_the_second(seconds: int, fine: bool) -> None:
    expiring = replace(CATALOG, expires="2026-03-01T00:00:00Z")
    now = parse_time("2026-03-01T00:00:00Z") + dt.timedelta(seconds=seconds)
    check_expiry(expiring, now, allow_expired=True)
    if fine:
        check_expiry(expiring, now, allow_expired=False)
        return
    with pytest.raises(Refused) as caught:
        check_expiry(expiring, now, allow_expired=False)
    assert "--allow-expired" in caught.value.hint


def test_without_an_expiry_a_bundle_never_expires() -> None:
    check_expiry(CATALOG, dt.datetime(9999, 1, 1, tzinfo=dt.UTC), allow_expired=False)
