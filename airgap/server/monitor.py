"""Monitoring: Prometheus metrics, the last errors, and one log line per request.

prometheus-client is imported only here. Label values never come from clients: no request can create new series.
"""

from __future__ import annotations

import collections
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from airgap import __version__
from airgap.server.wire import Request, Response
from airgap.text import printable

#: So many of the last errors are remembered.
LAST = 20
disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which says when the first one began
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)


@dataclass(frozen=True)
class ServedBundle:
    """A bundle that served content came from.

    Attributes:
        stream, serial: which one.
        since: when it was created (from media) or loaded (into a store).
        made: whether ``since`` is when it was created.
        expires: when it says it expires, or None.
        may_expire: whether it is not known if it expires: an earlier version imported it.
        catalog: the digest of its catalog.
        vouchers: why it is trusted, for people; empty if its signature was not verified.
    """

    stream: str
    serial: int
    since: dt.datetime
    made: bool = True
    expires: dt.datetime | None = None
    may_expire: bool = False
    catalog: str = ""
    vouchers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong while serving."""

    at: dt.datetime
    kind: str
    text: str


class Monitor:
    """Counts what happens. May be used from every thread.

    Args:
        log: called with a line for each request; None for no log.
        complain: called with a line for each error of the server.
        bundles: returns the served bundles.
        sizes: returns the numbers of served repositories and tags.
    """

    def __init__(
        self,
        log: Callable[[str], None] | None = None,
        complain: Callable[[str], None] = lambda _: None,
        bundles: Callable[[], Sequence[ServedBundle]] = tuple,
        sizes: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self.started = _now()
        self._log = log
        self._complain = complain
        self._last: collections.deque[Trouble] = collections.deque(maxlen=LAST)
        self._damaged: set[str] = set()
        self._guard = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = self._counter("airgap_http_requests", "Requests answered.", "route", "status")
        self._sent = self._counter("airgap_http_sent_bytes", "Body bytes sent.", "route")
        self._errors = self._counter("airgap_errors", "Errors by kind; see the log or the status page.", "kind")
        self._seconds = Histogram(
            "airgap_http_request_seconds", "Time to answer a request.", ["route"], registry=self._registry, buckets=_SECONDS
        )
        self.in_flight = Gauge("airgap_http_requests_in_flight", "Requests being answered now.", registry=self._registry)
        self.connections = Gauge("airgap_http_connections", "Open connections.", registry=self._registry)
        info = Gauge("airgap_build_info", "Always 1.", ["version"], registry=self._registry)
        info.labels(__version__).set(1)
        started = Gauge("airgap_start_time_seconds", "Start time of the server, as Unix time.", registry=self._registry)
        started.set(self.started.timestamp())
        ProcessCollector(registry=self._registry)
        self._series: dict[tuple[str, int], tuple[Counter, Counter, Histogram]] = {}
        self._registry.register(_Content(bundles, sizes))

    def answered(self, request: Request, answer: Response, sent: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            sent: bytes of the body that were sent.
            seconds: how long it took, including sending.
        """
        key = answer.route, answer.status.value
        series = self._series.get(key)
        if series is None:  # looking series up by their labels takes longer than counting
            route, status = answer.route, str(answer.status.value)
            series = self._requests.labels(route, status), self._sent.labels(route), self._seconds.labels(route)
            self._series[key] = series
        series[0].inc()
        series[1].inc(sent)
        series[2].observe(seconds)
        if self._log is not None:
            agent = request.headers.get("user-agent", "-")[:200]
            what = f'"{request.method} {request.target[:1000]}" {answer.status.value} {sent} bytes {seconds:.3f} s "{agent}"'
            self._log(printable(f"{request.client} {answer.user or '-'} {what}", 1500))

    def trouble(self, kind: str, text: str) -> None:
        """Count an error of the server: the store, a file to reload, a bug."""
        line = printable(text, 1000)
        self._errors.labels(kind).inc()
        with self._guard:
            self._last.append(Trouble(_now(), kind, line))
        self._complain(f"{kind}: {line}")

    def damaged(self, path: str, text: str) -> None:
        """Count a blob that turned out to be damaged when it was sent. It is reported once, however many clients ask for it."""
        blob = path.rpartition("/")[2]
        with self._guard:
            known = blob in self._damaged
            self._damaged.add(blob)
        if known:
            self._errors.labels("damaged").inc()
        else:
            self.trouble("damaged", f"{path}: {text}")

    def client_failed(self, kind: str) -> None:
        """Count a client that disconnected, was too slow or did not use TLS; not an error of the server."""
        self._errors.labels(kind).inc()

    def last_troubles(self) -> list[Trouble]:
        """The last errors, the latest first."""
        with self._guard:
            return list(reversed(self._last))

    def open_connections(self) -> int:
        "Open connections."
        return int(sum(sample.value for metric in self.connections.collect() for sample in metric.samples))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def totals(self) -> tuple[int, int]:
        """Requests answered and bytes sent since the start."""
        found = {"airgap_http_requests_total": 0.0, "airgap_http_sent_bytes_total": 0.0}
        for metric in (*self._requests.collect(), *self._sent.collect()):
            for sample in metric.samples:
                if sample.name in found:
                    found[sample.name] += sample.value
        requests, sent = found.values()
        return int(requests), int(sent)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)


class _Content:
    """The served content as metrics, with the current age."""

    def __init__(self, bundles: Callable[[], Sequence[ServedBundle]], sizes: Callable[[], tuple[int, int]]) -> None:
        self._bundles = bundles
        self._sizes = sizes

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        repositories, tags = self._sizes()
        yield GaugeMetricFamily("airgap_repositories", "Repository names served.", repositories)
        yield GaugeMetricFamily("airgap_tags", "Tags served.", tags)
        serial = GaugeMetricFamily("airgap_bundle_serial", "Serial of the latest bundle of a stream.", labels=["stream"])
        age = GaugeMetricFamily(
            "airgap_bundle_age_seconds", "Time since it was created (from media) or loaded (into a store).", labels=["stream"]
        )
        expires = GaugeMetricFamily("airgap_bundle_expires_seconds", "Expiry time, as Unix time.", labels=["stream"])
        verified = GaugeMetricFamily("airgap_bundle_verified", "1 if the bundle is trusted.", labels=["stream"])
        latest = {bundle.stream: bundle for bundle in sorted(self._bundles(), key=lambda one: one.serial)}
        for bundle in latest.values():
            labels = [bundle.stream]
            serial.add_metric(labels, bundle.serial)
            age.add_metric(labels, max(0.0, (_now() - bundle.since).total_seconds()))
            verified.add_metric(labels, 1 if bundle.vouchers else 0)
            if bundle.expires is not None:
                expires.add_metric(labels, bundle.expires.timestamp())
        yield from (serial, age, expires, verified)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
