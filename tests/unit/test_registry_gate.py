"""A registry that has said how long to wait is asked by nobody meanwhile, and then by one first."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from airgap.errors import RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from tests.support.hostile import Hostile, Reply, Request, client, ranged

DATA = b"layer" * 1000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))
OTHERS = 12


class Window:
    """A registry that refuses until the wait that it asked for is over, and is slow with its first answer after that.

    Attributes:
        refused: how many requests it refused.
        beside: how many came while it was at that first answer.
    """

    def __init__(self, told: str) -> None:
        self.over = threading.Event()
        self.told, self.refused, self.beside, self.good = told, 0, 0, 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            if not self.over.is_set():
                self.refused += 1
                return Reply(429, headers={"Retry-After": self.told} if self.told else {})
            self.good += 1
            first = self.good == 1
        if first:
            time.sleep(0.3)
            self.beside = self.good - 1
        return ranged(DATA, request)


@pytest.mark.parametrize("told", ["1", ""])
def test_one_waits_and_asks_first_and_no_other_request_is_sent_meanwhile(told: str) -> None:
    window = Window(told)
    waits: list[float] = []
    said: list[str] = []
    with Hostile(window) as server, ThreadPoolExecutor(OTHERS) as pool:

        def has() -> bool:
            return store.has(Repository(server.address, "a"), BLOB)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            others.extend(pool.submit(has) for _ in range(OTHERS))
            time.sleep(0.4)
            window.over.set()

        others: list[Future[bool]] = []
        with client(sleep=sleep, say=said.append, patience=60) as store:
            assert has()
            assert all(one.result() for one in others)
    assert (window.refused, window.beside, window.good) == (1, 0, OTHERS + 1)
    assert len(waits) == len(said) == 1


def test_a_wait_that_is_too_long_ends_the_run_without_another_request() -> None:
    waits: list[float] = []
    with Hostile(lambda _: Reply(429, headers={"Retry-After": "21600"})) as server:
        with client(sleep=waits.append, patience=180) as store:
            with pytest.raises(RegistryError) as caught:
                store.has(Repository(server.address, "a"), BLOB)
            assert "--registry-patience 21600" in caught.value.hint
            with pytest.raises(RegistryError, match="asks to wait longer than it is waited for"):
                store.has(Repository(server.address, "b"), BLOB)
        assert (waits, len(server.requests)) == ([], 1)


def test_another_registry_is_asked_all_the_same() -> None:
    with Hostile(lambda request: ranged(DATA, request)) as other:

        def sleep(seconds: float) -> None:
            assert store.has(Repository(other.address, "a"), BLOB)
            assert seconds == 5

        left = [Reply(429, headers={"Retry-After": "5"})]
        refusing = Hostile(lambda request: left.pop() if left else ranged(DATA, request))
        with refusing as server, client(sleep=sleep, patience=60) as store:
            assert store.has(Repository(server.address, "a"), BLOB)
        assert len(other.requests) == 1


def test_who_was_to_ask_first_and_cannot_keeps_nobody_waiting_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.registry.http.gate._GRACE", 0.2)
    left = [Reply(429)]
    with Hostile(lambda request: left.pop() if left else ranged(DATA, request)) as server, ThreadPoolExecutor(1) as pool:

        def sleep(_: float) -> None:
            raise RuntimeError("the thread ends here")

        with client(sleep=sleep, patience=60) as store:
            with pytest.raises(RuntimeError):
                store.has(Repository(server.address, "a"), BLOB)
            assert pool.submit(store.has, Repository(server.address, "a"), BLOB).result()
