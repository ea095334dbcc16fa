"""One HTTP exchange: pooled connections, TLS trust, proxies, and answers whose body is read into the caller's buffers.

urllib3 pools connections and speaks through proxies; redirects, repeats and credentials are the transport's.
"""

from __future__ import annotations

import functools
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
import urllib3.connection

from airgap import __version__
from airgap.errors import RegistryError
from airgap.pace import Pace, PacedResponse, Pacing, send_all
from airgap.registry.http.failures import MAX_ERROR_BODY, NETWORK, failed_at_proxy, redact
from airgap.registry.http.proxies import Proxies, Proxy, ProxyFailure, connections
from airgap.registry.settings.certificates import Certificates, unverified
from airgap.registry.settings.options import Account, Endpoint, RegistryOptions, origin
from airgap.text import printable

#: Bytes asked for at once. Measured: faster than 64 KiB and 1 MiB, it stays in the processor's cache until it is hashed; and this
#: much at most is lost from what arrived before a connection broke.
_SLICE = 256 * 1024
_POOLS = 64
#: One request, and its answer as it comes.
_ONCE: Any = {"retries": False, "redirect": False, "assert_same_host": False, "preload_content": False, "decode_content": False}
#: A URL that needs no normalising: where it leads, and what is asked for there.
_PLAIN = re.compile(r"(https?://[a-z0-9.:-]+)(/(?:[A-Za-z0-9/:?=&_~.-]|%[0-9A-F]{2})*)", re.ASCII)
#: OpenSSL takes what it is given as one write, and that has only so long.
_TLS_PIECE = 16 * 1024
_PLAIN_PIECE = 1024 * 1024
#: Seconds for a body that nobody wants but for the connection behind it.
_REST = 5.0

Body = bytes | Iterator[memoryview] | None


class Answer:
    """An HTTP response whose body has not been read yet. Exactly one of ``read``, ``finish`` and ``close`` must end it.

    ``own`` tells whether the registry itself gave it, and not a place it redirected to; ``account`` who we were to it, where that
    may be why it refuses.
    """

    def __init__(self, method: str, url: str, response: urllib3.BaseHTTPResponse) -> None:
        self.method = method
        self.url = url
        self.status = response.status
        self.reason = response.reason or ""
        self.own = True
        self.account: Account | None = None
        self._headers = response.headers
        self._raw = response
        # http.client's response reads straight into the caller's buffer; urllib3's wrapper around it allocates and copies.
        self._fp: PacedResponse = response.connection.latest  # type: ignore[union-attr] # it is one of ours

    def header(self, name: str) -> str:
        """A header's value, ``""`` when it is not there."""
        return self._headers.get(name, "")

    @property
    def media_type(self) -> str:
        """``Content-Type`` without parameters, in lower case."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str:
        """``Content-Encoding`` in lower case."""
        return self.header("Content-Encoding").strip().lower()

    @property
    def length(self) -> int | None:
        """``Content-Length`` in bytes, None when there is none or it is not a number."""
        text = self.header("Content-Length").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of the front of ``buffer``; 0 at the end, whether or not that came too early. Raises one of ``NETWORK``."""
        try:
            return int(self._fp.readinto(buffer[:_SLICE]))
        except ValueError as error:  # http.client when closed below us, or for a malformed chunk
            raise OSError(f"malformed or closed response: {type(error).__name__}") from None

    def read(self, limit: int, *, truncate: bool = False, seconds: float | None = None) -> bytes:
        """Read a small body wholly and give the connection back.

        Args:
            limit: the most bytes.
            truncate: cut it there in place of refusing it.
            seconds: for all of it; by default what is usual for a document.

        Raises:
            RegistryError: it is longer than ``limit`` bytes, or shorter than it says.
            One of ``NETWORK``: it does not come to its end.
        """
        result = bytearray()
        self._fp.pace.document(seconds)
        buffer = memoryview(bytearray(min(limit + 1, 64 * 1024)))
        try:
            while len(result) <= limit and (count := self.readinto(buffer[: limit + 1 - len(result)])):
                result += buffer[:count]
        except BaseException:
            self.close()
            raise
        if len(result) > limit:
            self.close()
            if not truncate:
                raise self._bad_length("too large", f"at most {limit} bytes", "more")
            return bytes(result[:limit])
        self._release()
        if not truncate and self.length not in (None, len(result)) and self.method != "HEAD":
            raise OSError("the response ended too early")
        return bytes(result)

    def finish(self) -> None:
        """The body does not matter: read a little so that the connection can be used again, or close it."""
        try:
            self.read(MAX_ERROR_BODY, truncate=True, seconds=_REST)
        except NETWORK:
            self.close()

    def end(self) -> None:
        """The caller has read the whole body with ``readinto``: give the connection back."""
        self._release()

    def close(self) -> None:
        """Close the connection: whatever is still under way is not wanted."""
        self._raw.close()
        self._raw.release_conn()

    def _release(self) -> None:
        if self._fp.isclosed():
            self._raw.release_conn()
        else:
            self.close()

    def _bad_length(self, what: str, expected: str, got: str) -> RegistryError:
        return RegistryError(f"the response is {what}", where=f"{self.method} {redact(self.url)}", expected=expected, got=got)


class Wire:
    """Sends single requests over pooled connections. Thread-safe.

    Attributes:
        certificates: whom TLS trusts.
    """

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self.certificates = Certificates(options.cert_dirs, options.cert_dir, options.certs_d)
        self._managers: dict[Proxy | None, urllib3.PoolManager] = {}
        self._proxies = Proxies()
        self._known: dict[tuple[str, Endpoint | None], tuple[urllib3.HTTPConnectionPool, bool, Proxy | None]] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = None,
        patience: float | None = None,
        endpoint: Endpoint | None = None,
    ) -> Answer:
        """One request, one answer, no redirects, no repeats.

        Args:
            body: bytes, or an iterator whose length the ``Content-Length`` header tells.
            patience: seconds to wait for the answer, where that is not the usual time.
            endpoint: the registry on whose behalf this is sent, wherever it goes: its CA is trusted there, too.

        Raises:
            UsageError: the registry's certs.d directory, or the proxy, cannot be used.
            RegistryError: the answer is compressed although we said that it must not be.
            One of ``NETWORK``: no answer.
        """
        fixed = {"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"}
        sent: Any = body  # pieces of memory are sent as they are
        timeout = urllib3.Timeout(connect=self._options.connect_timeout, read=patience or self._options.timeout)
        pool, target, proxy = self._pool(url, endpoint)
        try:
            response = pool.urlopen(method, target, sent, {**fixed, **headers}, timeout=timeout, **_ONCE)
        except urllib3.exceptions.SSLError as error:
            error.add_note(self.certificates.trusted(_netloc(url) if endpoint is None else endpoint.host))
            raise
        except ValueError as error:
            if isinstance(error, NETWORK):
                raise
            raise OSError("a header that cannot be sent") from None
        except NETWORK as error:
            if proxy is not None and failed_at_proxy(error, proxy):
                raise ProxyFailure(proxy) from error
            raise
        answer = Answer(method, url, response)
        encoding = answer.encoding
        # What is refused needs no body, and S3's word for how a blob was once uploaded says nothing about the bytes of now.
        if encoding not in ("", "identity", "aws-chunked") and 200 <= answer.status < 300:
            answer.close()
            raise RegistryError(
                "the registry compressed a response although asked not to",
                where=f"{method} {redact(url)}",
                expected="Content-Encoding: identity",
                got=printable(encoding, 60),
            )
        return answer

    def close(self) -> None:
        """Close all idle connections."""
        self._known.clear()
        for manager in self._managers.values():
            manager.clear()

    def _pool(self, url: str, endpoint: Endpoint | None) -> tuple[urllib3.HTTPConnectionPool, str, Proxy | None]:
        """The connections for a URL, what to ask for on one of them, and the proxy that they go through."""
        plain = _PLAIN.fullmatch(url)
        if plain is None or "/." in plain[2]:
            pool, target, whole, proxy = self._find(url, endpoint)
            return pool, url if whole else target, proxy
        key = plain[1], endpoint
        known = self._known.get(key)
        if known is None:
            pool, _, whole, proxy = self._find(url, endpoint)
            if len(self._known) >= _POOLS // 2:  # so that the manager has not closed any of those that are known here
                self._known.clear()
            known = self._known[key] = pool, whole, proxy
        return known[0], url if known[1] else plain[2], known[2]

    def _find(self, url: str, endpoint: Endpoint | None) -> tuple[urllib3.HTTPConnectionPool, str, bool, Proxy | None]:
        """The connections for a URL, its path with its query, whether a proxy must be told all of the URL, and the proxy."""
        place = urllib3.util.parse_url(url)
        proxy = self._proxies.of(place)
        context = {"ssl_context": self._context(url, endpoint)} if place.scheme == "https" else {}
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._manager(proxy)
            pool = self._managers[proxy].connection_from_host(place.host, place.port, place.scheme, pool_kwargs=context)
        whole = proxy is not None and not proxy.is_socks and not context
        return pool, place.request_uri, whole, proxy

    def _manager(self, proxy: Proxy | None) -> urllib3.PoolManager:
        """The connections through a proxy, or without one: all of them ours."""
        sizes: Any = {"num_pools": _POOLS, "maxsize": self._options.connections}
        manager = urllib3.PoolManager(**sizes) if proxy is None else proxy.manager(self.certificates.default, sizes)
        plain, tls = (functools.partial(kind, self._options.pacing) for kind in connections(proxy, _Plain, _Tls))
        classes: Any = {
            "http": functools.partial(_pool, urllib3.HTTPConnectionPool, plain),
            "https": functools.partial(_pool, urllib3.HTTPSConnectionPool, tls),
        }
        manager.pool_classes_by_scheme = classes
        return manager

    def _context(self, url: str, endpoint: Endpoint | None) -> ssl.SSLContext:
        if endpoint is None:
            return self.certificates.own(_netloc(url))
        if not endpoint.verified and origin(url)[1] == origin(endpoint.base)[1]:
            return unverified()
        if endpoint.serves(url):
            return self.certificates.own(endpoint.host)
        return self.certificates.beside(_netloc(url), endpoint.host)


class _Plain(urllib3.connection.HTTPConnection):
    """A connection with time limits in both directions."""

    def __init__(self, pacing: Pacing, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pacing = pacing
        self._sending = Pace(pacing)
        self.latest: PacedResponse | None = None

    def response_class(self, *args: Any, **kwargs: Any) -> PacedResponse:  # type: ignore[override] # it is called, and no more
        """The response that is about to come."""
        self.latest = PacedResponse(self._pacing, *args, **kwargs)
        return self.latest

    def send(self, data: Any) -> None:
        """As that of ``http.client``, watched. Nobody gives it anything but bytes here."""
        if self.sock is None:
            self.connect()
        send_all(self.sock, data, self._sending, _TLS_PIECE if isinstance(self.sock, ssl.SSLSocket) else _PLAIN_PIECE)


class _Tls(_Plain, urllib3.connection.HTTPSConnection):
    """The same over TLS."""

    def connect(self) -> None:
        """As that of urllib3, which would warn: what is not verified is the operator's word, and the transport says so."""
        super().connect()
        self.is_verified = True


def _pool(kind: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:
    pool = kind(*args, **kwargs)
    pool.ConnectionCls = connection
    return pool


def _netloc(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
