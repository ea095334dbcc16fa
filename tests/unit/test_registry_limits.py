"""Bandwidth, transfers at a time, and allowances that run out."""

from __future__ import annotations

import threading

import pytest

from airgap.errors import RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, read_all
from airgap.registry import Bucket
from airgap.registry.settings.limits import Quota, Slots, read_quota
from tests.support.hostile import Hostile, Reply, Request, client, ranged

DATA = b"layer" * 20_000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_bucket_lets_one_second_pass_at_once_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(1000, clock, clock.sleep)
    bucket.take(600)
    bucket.take(400)
    assert clock.now == 100.0
    bucket.take(500)
    assert clock.now == pytest.approx(100.5)
    bucket.take(4000)
    assert clock.now == pytest.approx(104.5)


def test_bucket_does_not_save_up_more_than_a_second() -> None:
    clock = Clock()
    bucket = Bucket(1000, clock, clock.sleep)
    clock.now += 3600
    bucket.take(3000)
    assert clock.now == pytest.approx(3702.0)


def test_blobs_pass_through_the_bucket_both_ways() -> None:
    clock = Clock()
    bucket = Bucket(20_000, clock, clock.sleep)

    def app(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, headers={"Location": "/v2/a/blobs/uploads/1"})
        return Reply(201) if request.method == "PUT" else ranged(DATA, request)

    with Hostile(app) as server, client(bucket=bucket) as store:
        repository = Repository(server.address, "a")
        assert read_all(store.open(repository, BLOB), 10**6, "test") == DATA
        assert clock.now == pytest.approx(100 + len(DATA) / 20_000 - 1)
        store.write(repository, BLOB, lambda: BytesReader(DATA))
        assert clock.now == pytest.approx(100 + 2 * len(DATA) / 20_000 - 1)
        assert server.requests[-1].body == DATA


def most(slots: Slots) -> int:
    """How many slots one host has now: so many threads get one, and the next would wait."""
    return slots._host("h").limit


def test_slots_are_halved_once_for_refusals_of_one_moment_and_grow_again() -> None:
    clock = Clock()
    slots = Slots(32, clock)
    for _ in range(10):
        slots.answered("h", refused=True)
    assert most(slots) == 16
    clock.sleep(2)
    slots.answered("h", refused=True)
    assert most(slots) == 8
    for _ in range(16):
        slots.answered("h", refused=False)
    assert most(slots) == 9
    for _ in range(100):
        clock.sleep(2)
        slots.answered("h", refused=True)
    assert most(slots) == 1, "never none"
    for _ in range(10_000):
        slots.answered("h", refused=False)
    assert most(slots) == 32, "and never more than at first"


def test_who_waits_for_a_slot_gets_it_when_they_grow() -> None:
    clock = Clock()
    slots = Slots(2, clock)
    slots.answered("h", refused=True)
    slots.acquire("h")
    got = threading.Event()

    def wait() -> None:
        slots.acquire("h")
        got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.05)
    for _ in range(2):
        slots.answered("h", refused=False)
    waiter.join(30)
    assert got.is_set()


def test_slots_hold_back_those_that_are_too_many_for_one_host() -> None:
    slots = Slots(1)
    release = slots.acquire("h")
    slots.acquire("other")()
    entered = threading.Event()

    def wait_for_it() -> None:
        with slots.held("h"):
            entered.set()

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    assert not entered.is_set()
    release()
    release()
    thread.join()
    assert entered.is_set()
    with slots.held("h"):
        pass


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_blobs_than_allowed_are_under_way_with_one_registry(limit: int) -> None:
    lock, both = threading.Lock(), threading.Barrier(limit)
    now, most = 0, 0

    def app(request: Request) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        both.wait()
        with lock:
            now -= 1
        return ranged(DATA, request)

    with Hostile(app) as server, client(per_host=limit) as store:

        def read() -> None:
            assert read_all(store.open(Repository(server.address, "a"), BLOB), 10**6, "test") == DATA

        threads = [threading.Thread(target=read) for _ in range(2 * limit)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == limit


def test_slot_is_given_back_by_readers_that_end_early_or_never_begin() -> None:
    replies = [Reply(404), Reply(200, DATA, length=7), None, None]

    def app(request: Request) -> Reply:
        return replies.pop(0) or ranged(DATA, request)

    with Hostile(app) as server, client(per_host=1) as store:
        repository = Repository(server.address, "a")
        for _ in range(2):
            with pytest.raises(RegistryError):
                store.open(repository, BLOB)
        reader = store.open(repository, BLOB)
        reader.readinto(memoryview(bytearray(10)))
        reader.close()
        assert read_all(store.open(repository, BLOB), 10**6, "test") == DATA
        store.open(repository, BLOB, BLOB.size).close()
        assert replies == []


@pytest.mark.parametrize(
    ("limit", "remaining", "quota", "low"),
    [
        ("100;w=21600", "19;w=21600", Quota(100, 19, 21600), True),
        ("100;w=21600", "20;w=21600", Quota(100, 20, 21600), False),
        ("200", "0", Quota(200, 0), True),
        ("", "", None, False),
        ("many", "3", None, False),
        ("0;w=1", "0;w=1", None, False),
        ("9" * 100_000, "1", None, False),
    ],
)
def test_allowances_are_read_from_their_headers(limit: str, remaining: str, quota: Quota | None, low: bool) -> None:
    found = read_quota(limit, remaining)
    assert found == quota
    assert (found is not None and found.is_low) is low


def test_allowance_that_runs_out_is_said_once_before_it_bites() -> None:
    said: list[str] = []
    left = iter((80, 19, 18))

    def app(request: Request) -> Reply:
        headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{next(left)};w=21600"}
        return Reply(200, DATA, headers)

    with Hostile(app) as server, client(say=said.append) as store:
        for expected in (0, 1, 1):
            store.has(Repository(server.address, "a"), BLOB)
            assert len(said) == expected
    assert "19 more manifests of 100 in 6 h" in said[0]
    assert "airgap login" in said[0]
