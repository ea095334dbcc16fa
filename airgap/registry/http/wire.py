"""One HTTP exchange: pooled connections, TLS trust, proxies, and answers whose body is read into the caller's buffers.

This sits on ``requests``' transport adapter, below its sessions: a session would follow redirects and read their bodies, keep
cookies and look into ``.netrc``, none of which may happen here.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.utils
import urllib3
import urllib3.connection

from airgap import __version__
from airgap.errors import RegistryError
from airgap.pace import Pace, PacedResponse, Pacing, send_all
from airgap.registry.http.failures import MAX_ERROR_BODY, NETWORK, redact
from airgap.registry.settings.certificates import Certificates, unverified
from airgap.registry.settings.options import Endpoint, RegistryOptions, is_loopback, origin
from airgap.text import printable

#: Bytes asked for at once. Measured: faster than 64 KiB and 1 MiB, it stays in the processor's cache until it is hashed; and this
#: much at most is lost from what arrived before a connection broke.
_SLICE = 256 * 1024
_POOLS = 64
#: OpenSSL takes what it is given as one write, and that has only so long.
_TLS_PIECE = 16 * 1024
_PLAIN_PIECE = 1024 * 1024
#: Seconds for a body that nobody wants but for the connection behind it.
_REST = 5.0

Body = bytes | Iterator[memoryview] | None


class Answer:
    """An HTTP response whose body has not been read yet. Exactly one of ``read``, ``finish`` and ``close`` must end it.

    ``own`` tells whether the registry itself gave it, and not a place it redirected to.
    """

    def __init__(self, method: str, response: requests.Response) -> None:
        self.method = method
        self.url = str(response.url)
        self.status = response.status_code
        self.reason = str(response.reason or "")
        self.own = True
        self._headers = response.headers
        self._raw: Any = response.raw
        # http.client's response reads straight into the caller's buffer; urllib3's wrapper around it allocates and copies.
        self._fp: Any = getattr(self._raw, "_fp", None) or self._raw

    def header(self, name: str) -> str:
        """A header's value, ``""`` when it is not there."""
        return self._headers.get(name, "")

    @property
    def media_type(self) -> str:
        """``Content-Type`` without parameters, in lower case."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

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
        if isinstance(self._fp, PacedResponse):
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
        self._adapter = _Adapter(_POOLS, options.connections, self.certificates.default, options.pacing)
        self._proxies = _proxies()

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
            UsageError: the registry's certs.d directory cannot be used.
            RegistryError: the answer is compressed although we said that it must not be.
            One of ``NETWORK``: no answer.
        """
        fixed = {"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"}
        prepared = requests.Request(
            method, url, headers={**fixed, **headers}, data=body if isinstance(body, bytes) else None
        ).prepare()
        if body is not None and not isinstance(body, bytes):
            prepared.body = body  # type: ignore[assignment] # requests would call it chunked, http.client just sends each piece
        proxies = {} if self._is_direct(url) else self._proxies
        timeout = (self._options.connect_timeout, patience or self._options.timeout)
        try:
            context = self._context(url, endpoint)
            response = self._adapter.send(prepared, stream=True, timeout=timeout, verify=context, proxies=proxies)  # type: ignore[arg-type]
        except requests.exceptions.SSLError as error:
            error.add_note(self.certificates.trusted(_netloc(url) if endpoint is None else endpoint.host))
            raise
        answer = Answer(method, response)
        encoding = answer.header("Content-Encoding").strip().lower()
        if encoding not in ("", "identity"):
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
        self._adapter.close()

    def _context(self, url: str, endpoint: Endpoint | None) -> ssl.SSLContext:
        if endpoint is None:
            return self.certificates.own(_netloc(url))
        if not endpoint.verified and origin(url)[1] == origin(endpoint.base)[1]:
            return unverified()
        if endpoint.serves(url):
            return self.certificates.own(endpoint.host)
        return self.certificates.beside(_netloc(url), endpoint.host)

    def _is_direct(self, url: str) -> bool:
        return not self._proxies or is_loopback(_netloc(url)) or bool(requests.utils.should_bypass_proxies(url, None))


class _Adapter(requests.adapters.HTTPAdapter):
    """Takes the TLS context of each request as its ``verify``: reloading CA files costs more than the handshake.

    Attributes:
        proxy_context: for proxies that are themselves spoken to over TLS.
        pacing: how slowly anything may come or go.
    """

    def __init__(self, pools: int, connections: int, proxy_context: ssl.SSLContext, pacing: Pacing) -> None:
        self.proxy_context = proxy_context
        plain = functools.partial(_pool, urllib3.HTTPConnectionPool, functools.partial(_Plain, pacing))
        tls = functools.partial(_pool, _Pool, functools.partial(_Tls, pacing))
        self._pools: Any = {"http": plain, "https": tls}
        super().__init__(pool_connections=pools, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self.proxy_context, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        place, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return place, {"ssl_context": verify} if place["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context verifies; there is nothing to choose per request."""


class _Plain(urllib3.connection.HTTPConnection):
    """A connection with time limits in both directions."""

    def __init__(self, pacing: Pacing, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.response_class = functools.partial(PacedResponse, pacing)  # type: ignore[assignment]
        self._sending = Pace(pacing)

    def send(self, data: Any) -> None:
        """As that of ``http.client``, watched. Nobody gives it anything but bytes here."""
        if self.sock is None:
            self.connect()
        send_all(self.sock, data, self._sending, _TLS_PIECE if isinstance(self.sock, ssl.SSLSocket) else _PLAIN_PIECE)


class _Tls(_Plain, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPSConnectionPool):
    """Connects without urllib3's warning: whether a certificate is verified is the operator's word, and the transport says so."""

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed:
            conn.connect()


def _pool(kind: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:
    pool = kind(*args, **kwargs)
    pool.ConnectionCls = connection
    return pool


def _netloc(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _proxies() -> dict[str, str]:
    def named(name: str) -> str:
        return os.environ.get(name.lower()) or os.environ.get(name) or ""

    chosen = {scheme: named(f"{scheme.upper()}_PROXY") or named("ALL_PROXY") for scheme in ("http", "https")}
    return {scheme: url for scheme, url in chosen.items() if url}
