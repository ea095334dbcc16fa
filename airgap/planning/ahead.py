"""Asking ahead: what the walk over an image will certainly ask next is on its way while it looks at what came before.

A registry may be 100 ms away, and an image of fifty platforms has 250 questions. The walk asks them one after the other, which
keeps it simple and its results always the same; here they are asked in width. Only answers that the walk will take are asked for,
and few of them wait at any time: manifests are of other people's size.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from airgap.limits import AT_A_TIME
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader, Referrers, Source, Tagging
from airgap.work import Pool


@dataclass(frozen=True)
class _Question:
    """What is asked (a method of the source), of which repository, about which tag or digest."""

    ask: Callable[..., Any]
    repository: Repository
    about: str

    def __call__(self) -> Any:
        return self.ask(self.repository, self.about)


class Width:
    """How much may be asked ahead by all walks of a run together: answers that wait take memory."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._lock = threading.Lock()
        self._free = 2 * AT_A_TIME

    def take(self) -> bool:
        """Whether one more may be asked."""
        with self._lock:
            taken = self._free > 0
            self._free -= taken
            return taken

    def give(self) -> None:
        """One answer has been taken."""
        with self._lock:
            self._free += 1


class Ahead:
    """A ``Source`` for one walk, which says beforehand what it will ask. For one thread.

    Args:
        source: answers; must be thread-safe.
        width: shared by all walks.
    """

    def __init__(self, source: Source, width: Width) -> None:
        self._source = source
        self._by_tag = source.tagged_referrers if isinstance(source, Tagging) else source.referrers
        self._width = width
        self._wanted: deque[_Question] = deque()
        self._asked: dict[_Question, Future[Any]] = {}

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``."""
        found: Manifest = self._take(_Question(self._source.manifest, repository, selector))
        return found

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``."""
        found: Referrers = self._take(_Question(self._source.referrers, repository, subject))
        return found

    def tagged_referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Tagging.tagged_referrers``; of a source that makes no such difference as ``Source.referrers``."""
        found: Referrers = self._take(_Question(self._by_tag, repository, subject))
        return found

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """As ``Source.has``."""
        return self._source.has(repository, descriptor)

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``."""
        return self._source.open(repository, descriptor, offset)

    def expect_manifests(self, repository: Repository, selectors: Iterable[str]) -> None:
        """The walk will ask for these, in about this order."""
        self._expect(_Question(self._source.manifest, repository, selector) for selector in selectors)

    def expect_referrers(self, repository: Repository, subjects: Iterable[Digest], *, served: bool = True) -> None:
        """The walk will ask for the referrers of these, in about this order; for fallback tags alone if not ``served``."""
        ask = self._source.referrers if served else self._by_tag
        self._expect(_Question(ask, repository, subject) for subject in subjects)

    def close(self) -> None:
        """Forget what was asked and is not wanted any more."""
        self._wanted.clear()
        for future in self._asked.values():
            future.cancel()
            self._width.give()
        self._asked.clear()

    def _expect(self, questions: Iterable[_Question]) -> None:
        self._wanted.extend(questions)
        self._ask()

    def _ask(self) -> None:
        while self._wanted and self._width.take():
            question = self._wanted.popleft()
            if question in self._asked:
                self._width.give()
            else:
                self._asked[question] = self._width.pool.begin(question)

    def _take(self, question: _Question) -> Any:
        future = self._asked.pop(question, None)
        if future is None:
            with contextlib.suppress(ValueError):
                self._wanted.remove(question)
            return question()
        try:
            return future.result()
        finally:
            self._width.give()
            self._ask()
