"""Work that several threads do for one flow: the first failure ends the others, and so does Ctrl-C; few tasks wait at any time.

A thread cannot be ended from outside. Whatever takes long asks now and then whether it shall go on: it reports to a progress from
:meth:`Pool.watched`, or calls :meth:`Pool.check`, and gets ``Stopped``. That is never what a flow ends with: only the failure which
stopped the others is raised.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from airgap.errors import Interrupted, Stopped
from airgap.progress import Progress

#: Seconds after which who waits for the threads looks up: a signal that came right before the wait does not end it.
_GLANCE = 1.0

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many threads can compute at the same time."""
    return len(os.sched_getaffinity(0))


class Pool:
    """Threads, for as long as a ``with`` block lasts.

    Leaving the block in whatever way stops them and waits for those that are at work. Only who is interrupted does not wait for a
    slow disk or registry: the process is about to end, and what belongs to the threads must be left open for them.

    Args:
        threads: how many; at least one.
        name: how they are called.
        patient: seconds to wait for them even when interrupted, because they have something to end or to close; None: as long as
            it takes.
    """

    def __init__(self, threads: int, name: str, *, patient: float | None = 0.0) -> None:
        threads = max(1, threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = 2 * threads
        self._patient = patient
        self._stopped = False
        self._at_work = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        with self._changed:
            self._stopped = True
            if self._patient != 0:  # counted here: of a thread in whose start the signal struck, the executor does not know
                self._changed.wait_for(lambda: not self._at_work, self._patient)
        self._executor.shutdown(wait=not interrupted, cancel_futures=True)

    def check(self) -> None:
        """Go on, or not. Any thread. Raises ``Stopped`` once the pool is stopped."""
        if self._stopped:
            raise Stopped

    def watched(self, progress: Progress) -> Progress:
        """A progress that passes everything on, and stops whoever reports bytes to it once the pool is stopped."""
        return _Watched(progress, self)

    def begin(self, work: Callable[[], R]) -> Future[R]:
        """Let a thread do something now; what comes of it. Whoever stops the pool cancels what has not begun."""
        return self._executor.submit(self._one, lambda _: work(), None)

    def unordered(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """What comes of the items, as it comes. Whoever has seen enough may leave it there.

        Args:
            work: what is done with each, by any of the threads.
            items: are taken by the caller's thread, a few ahead of the work.

        Raises:
            BaseException: the first that ``work`` raised; nothing new is begun then.
        """
        return self._results(work, [iter(items)])

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """What comes of the items, in their order; else as :meth:`unordered`."""
        found = dict(self.unordered(lambda item: (item[0], work(item[1])), enumerate(items)))
        return [found[number] for number in range(len(found))]

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """Do it all; else as :meth:`unordered`."""
        for _ in self.unordered(work, items):
            pass

    def walk(self, work: Callable[[T], Iterable[T]], items: Iterable[T]) -> None:
        """Do all items and those that come of them, the newest first, so that few are waiting; else as :meth:`unordered`."""
        todo = [iter(items)]
        for found in self._results(work, todo):
            todo.append(iter(found))

    def _results(self, work: Callable[[T], R], todo: list[Iterator[T]]) -> Iterator[R]:
        """Do what is in ``todo``, the last of it first; the caller may add to it."""
        done = queue.SimpleQueue[Future[R]]()
        running = 0
        while True:
            while todo and running < self._most:
                for item in todo[-1]:
                    self._executor.submit(self._one, work, item).add_done_callback(done.put)
                    running += 1
                    break
                else:
                    todo.pop()
            if not running:
                return
            try:
                one = done.get(timeout=_GLANCE)
            except queue.Empty:
                continue
            running -= 1
            yield one.result()

    def _one(self, work: Callable[[T], R], item: T) -> R:
        with self._changed:
            self.check()
            self._at_work += 1
        try:
            return work(item)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()


class _Watched:
    """The progress of :meth:`Pool.watched`."""

    def __init__(self, progress: Progress, pool: Pool) -> None:
        self._pool = pool
        self._progress = progress
        self.stage = progress.stage
        self.at = progress.at
        self.say = progress.say

    def advance(self, count: int, items: int = 0) -> None:
        """As ``Progress.advance``. Raises ``Stopped`` once stopped."""
        self._pool.check()
        self._progress.advance(count, items)
