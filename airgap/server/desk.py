"""The endpoints besides the registry: /healthz for probes, /metrics for Prometheus, /status for people."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from airgap.errors import AirgapError
from airgap.oci import strictjson
from airgap.server.catalogue import Catalogue
from airgap.server.inventory import ListedImage, images
from airgap.server.monitor import Monitor, ServedBundle
from airgap.server.page import HEADERS, Status, render
from airgap.server.wire import JSON, Response
from airgap.state import Event

#: Paths of the desk; the first one is open to everybody.
HEALTH, METRICS, STATUS = "/healthz", "/metrics", "/status"
#: The page shows at most so many images and decisions.
MAX_IMAGES, MAX_EVENTS = 1000, 50
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds for which the answer to "can the store be read" and the history are good.
_FRESH = 5.0
_UNCACHED = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Facts:
    """Facts about the server.

    Attributes:
        place: what is served, for people.
        access: who has access, in a few words.
        bundles: returns the bundles that it came from. Raises ``AirgapError``.
        history: returns up to this many of the last decisions of this site; None without a state. Raises ``AirgapError``.
    """

    place: str
    access: str
    bundles: Callable[[], Sequence[ServedBundle]] = tuple
    history: Callable[[int], Sequence[Event]] | None = None


class Desk:
    """Answers requests about the server itself.

    Args:
        catalogue: returns what is served now.
        facts: other facts about the server.
        monitor: what has happened.
        stopping: whether the server is shutting down.
    """

    def __init__(self, catalogue: Callable[[], Catalogue], facts: Facts, monitor: Monitor, stopping: Callable[[], bool]) -> None:
        self._catalogue = catalogue
        self._facts = facts
        self._monitor = monitor
        self._stopping = stopping
        self._guard = threading.Lock()
        self._checked = (-_FRESH, "")
        self._remembered: tuple[float, Sequence[Event] | None, str] = (-_FRESH, None, "")
        self._shown: tuple[Catalogue, list[ListedImage], int] | None = None

    def answer(self, path: str) -> Response | None:
        """The answer for a path, or None if it is not one of these endpoints."""
        if path == HEALTH:
            return self._health()
        if path == METRICS:
            return Response.of(self._monitor.exposition(), _METRICS_TYPE, _UNCACHED).at("metrics")
        if path == STATUS:
            return Response.of(render(self._status()), "text/html; charset=utf-8", HEADERS).at("status")
        return None

    def _health(self) -> Response:
        well = not self._stopping() and not self.ailment()
        answer = Response.of(strictjson.canonical({"status": "ok" if well else "unavailable"}), JSON, _UNCACHED).at("health")
        if not well:
            answer.status = HTTPStatus.SERVICE_UNAVAILABLE
        return answer

    def ailment(self) -> str:
        """Why the store cannot be read, or nothing: one manifest is read and verified, at most every few seconds."""
        with self._guard:
            if time.monotonic() - self._checked[0] >= _FRESH:
                self._checked = time.monotonic(), _ailment(self._catalogue())
            return self._checked[1]

    def _status(self) -> Status:
        catalogue = self._catalogue()
        shown, total = self._images(catalogue)
        history, memory = self._history()
        requests, sent = self._monitor.totals()
        try:
            bundles = self._facts.bundles()
        except AirgapError as error:
            bundles, memory = (), str(error)
        return Status(
            place=self._facts.place,
            now=dt.datetime.now(dt.UTC),
            started=self._monitor.started,
            ailment=self.ailment(),
            access=self._facts.access,
            bundles=bundles,
            images=shown,
            total=total,
            ambiguous=catalogue.ambiguous,
            troubles=self._monitor.last_troubles(),
            history=history,
            requests=requests,
            sent=sent,
            connections=self._monitor.open_connections(),
            memory=memory,
        )

    def _images(self, catalogue: Catalogue) -> tuple[list[ListedImage], int]:
        """They take some reading, so once for each catalogue."""
        with self._guard:
            if self._shown is None or self._shown[0] is not catalogue:
                self._shown = (catalogue, *images(catalogue, MAX_IMAGES))
            return self._shown[1], self._shown[2]

    def _history(self) -> tuple[Sequence[Event] | None, str]:
        if self._facts.history is None:
            return None, ""
        with self._guard:
            if time.monotonic() - self._remembered[0] >= _FRESH:
                try:
                    self._remembered = time.monotonic(), self._facts.history(MAX_EVENTS), ""
                except AirgapError as error:
                    self._remembered = time.monotonic(), None, str(error)
            return self._remembered[1], self._remembered[2]


def _ailment(catalogue: Catalogue) -> str:
    served = next((catalogue.repository(name) for name in catalogue.full_names), None)
    try:
        if served is not None and served.manifests:
            catalogue.manifest(next(iter(served.manifests)))
    except AirgapError as error:
        return str(error)
    return ""
