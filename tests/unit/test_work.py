"""Threads that work for one flow: what comes of it, how much waits, what ends it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from airgap.errors import Damaged, Interrupted, Stopped
from airgap.progress import Silent
from airgap.work import Pool


def test_results_come_in_the_order_of_the_items_however_long_each_takes() -> None:
    first = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            first.wait()
        if number == 40:
            first.set()
        return number * number

    with Pool(3, "test") as pool:
        assert pool.map(work, range(100)) == [number * number for number in range(100)]
        assert pool.map(work, ()) == []


def test_items_are_taken_a_few_ahead_of_the_work() -> None:
    taken = 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    with Pool(4, "test") as pool:
        for done, _ in enumerate(pool.unordered(str, items())):
            most = max(most, taken - done)
    assert taken == 1000
    assert most <= 8


def test_what_comes_of_items_is_done_too_and_few_of_them_wait() -> None:
    """A tree of 3 ** 7 leaves."""
    root: list[tuple[int, ...]] = [()]
    seen: list[tuple[int, ...]] = []

    def below(path: tuple[int, ...]) -> list[tuple[int, ...]]:
        seen.append(path)
        return [(*path, n) for n in range(3)] if len(path) < 7 else []

    with Pool(4, "test") as pool:
        pool.walk(below, root)
    assert len(seen) == len(set(seen)) == sum(3**depth for depth in range(8))


def test_who_has_seen_enough_need_not_see_the_rest() -> None:
    taken = iter(range(1_000_000))
    with Pool(2, "test") as pool:
        assert not all(pool.unordered(lambda number: number < 10, taken))
    assert next(taken) < 100


def test_the_first_failure_ends_the_others_and_is_what_is_raised() -> None:
    ended: list[BaseException] = []
    running = threading.Barrier(3)

    def work(number: int) -> None:
        if number > 2:  # may have been begun before the failure was noticed
            return
        running.wait()
        if number == 2:
            raise Damaged("the third")
        try:
            while True:
                watched.advance(1)
        except BaseException as error:
            ended.append(error)
            raise

    with pytest.raises(Damaged, match="the third"), Pool(3, "test") as pool:
        watched = pool.watched(Silent())
        pool.each(work, range(1000))
    assert [type(error) for error in ended] == [Stopped, Stopped]


def test_a_failure_in_the_block_ends_the_others() -> None:
    begun = threading.Event()
    ended = threading.Event()

    def work(number: int) -> int:
        if not number:
            return 0
        begun.set()
        try:
            while True:
                pool.check()
        finally:
            ended.set()

    with pytest.raises(ValueError, match="own"), Pool(2, "test") as pool:
        for _ in pool.unordered(work, range(2)):
            begun.wait()
            raise ValueError("own")
    assert ended.is_set()


@pytest.fixture
def interrupting() -> Iterator[Callable[[], None]]:
    """What sends this process a signal that raises ``Interrupted`` in the main thread, as the command line has it."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("threads", [1, 4])
def test_who_is_interrupted_waits_for_nobody(interrupting: Callable[[], None], threads: int) -> None:
    slow = threading.Event()
    begun = threading.Barrier(threads)
    stopped = threading.Semaphore(0)

    def work(number: int) -> None:
        begun.wait()
        if number == 0:
            interrupting()
        slow.wait()  # a registry that does not answer
        try:
            pool.check()
        except Stopped:
            stopped.release()
            raise

    with pytest.raises(Interrupted), Pool(threads, "test") as pool:
        pool.each(work, range(1000))
    slow.set()
    for _ in range(threads):
        stopped.acquire()


def test_who_is_patient_waits_for_those_that_have_something_to_close(interrupting: Callable[[], None]) -> None:
    closed = threading.Event()

    def work(_: int) -> None:
        interrupting()
        try:
            while True:
                pool.check()
        finally:
            time.sleep(0.1)
            closed.set()

    with pytest.raises(Interrupted), Pool(1, "test", patient=None) as pool:
        pool.each(work, range(1000))
    assert closed.is_set()


def test_patience_has_an_end_where_it_is_given_one(interrupting: Callable[[], None]) -> None:
    released = threading.Event()

    def work(_: int) -> None:
        interrupting()
        assert released.wait(60)

    with pytest.raises(Interrupted), Pool(1, "test", patient=0.1) as pool:
        pool.each(work, range(1000))
    assert not released.is_set(), "it has not waited for the work"
    released.set()


def test_an_interruption_that_a_thread_meets_is_passed_on() -> None:
    """A program that worked for it was ended by the user."""

    def work(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted), Pool(2, "test") as pool:
        pool.each(work, range(1000))
