"""One HTTP exchange: pooled connections, TLS trust, proxies, and answers whose body is read into the caller's buffers.

This sits on ``requests``' transport adapter, below its sessions: a session would follow redirects and read their bodies, keep
cookies and look into ``.netrc``, none of which may happen here.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
import requests.adapters
import requests.utils

from airgap import __version__
from airgap.errors import RegistryError, UsageError
from airgap.registry.failures import MAX_ERROR_BODY, NETWORK, redact
from airgap.registry.options import RegistryOptions, is_loopback
from airgap.text import printable

#: Bytes asked for at once. Measured: faster than 64 KiB and 1 MiB, it stays in the processor's cache until it is hashed; and this
#: much at most is lost from what arrived before a connection broke.
_SLICE = 256 * 1024
_POOLS = 64

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

    def read(self, limit: int, *, truncate: bool = False) -> bytes:
        """Read a small body wholly and give the connection back.

        Raises:
            RegistryError: it is longer than ``limit`` bytes (or cut there, with ``truncate``), or shorter than it says.
        """
        result = bytearray()
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
                raise self._bad_length("too large", f"{limit} bytes at most", "more")
            return bytes(result[:limit])
        self._release()
        if not truncate and self.length not in (None, len(result)) and self.method != "HEAD":
            raise OSError("the response ended too early")
        return bytes(result)

    def finish(self) -> None:
        """The body does not matter: read a little so that the connection can be used again, or close it."""
        try:
            self.read(MAX_ERROR_BODY, truncate=True)
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
        return RegistryError(f"an answer is {what}", where=f"{self.method} {redact(self.url)}", expected=expected, got=got)


class Wire:
    """Sends single requests over pooled connections. Thread-safe."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._adapter = _Adapter(_POOLS, options.connections)
        self._proxies = _proxies()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body = None, patience: float | None = None) -> Answer:
        """One request, one answer, no redirects, no repeats.

        Args:
            body: bytes, or an iterator whose length the ``Content-Length`` header tells.
            patience: seconds to wait for the answer, where that is not the usual time.

        Raises:
            RegistryError: the answer is compressed although we said that it must not be.
            One of ``NETWORK``: no answer.
        """
        fixed = {"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"}
        prepared = requests.Request(
            method, url, headers={**fixed, **headers}, data=body if isinstance(body, bytes) else None
        ).prepare()
        if body is not None and not isinstance(body, bytes):
            prepared.body = body  # type: ignore[assignment] # requests would call it chunked, http.client just sends each piece
        # The connect time also limits each send on a fresh connection, so it must not be short where a body follows.
        connect = self._options.connect_timeout if body is None else self._options.timeout
        proxies = {} if self._is_direct(url) else self._proxies
        response = self._adapter.send(prepared, stream=True, timeout=(connect, patience or self._options.timeout), proxies=proxies)
        answer = Answer(method, response)
        encoding = answer.header("Content-Encoding").strip().lower()
        if encoding not in ("", "identity"):
            answer.close()
            raise RegistryError(
                "the registry compressed an answer although it was asked not to",
                where=f"{method} {redact(url)}",
                expected="Content-Encoding: identity",
                got=printable(encoding, 60),
            )
        return answer

    def close(self) -> None:
        """Close all idle connections."""
        self._adapter.close()

    def _is_direct(self, url: str) -> bool:
        host = urlsplit(url).netloc.rpartition("@")[2]
        return not self._proxies or is_loopback(host) or bool(requests.utils.should_bypass_proxies(url, None))


class _Adapter(requests.adapters.HTTPAdapter):
    """Keeps one TLS context for all connections: loading the CA bundle anew for each of them costs more than the handshake."""

    def __init__(self, pools: int, connections: int) -> None:
        self._context = _trust(_ca_file())
        super().__init__(pool_connections=pools, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        place, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return place, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context verifies; there is nothing to choose per request."""


@functools.lru_cache(maxsize=8)
def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError):
        raise UsageError("the CA file cannot be used", where=printable(ca_file), expected="a PEM file of CA certificates") from None


def _ca_file() -> str:
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        chosen = os.environ.get(variable)
        if chosen:
            if not Path(chosen).is_file():
                raise UsageError(
                    f"{variable} does not name a file", got=printable(chosen), expected="a PEM file of CA certificates"
                )
            return chosen
    default = ssl.get_default_verify_paths()
    for candidate in (default.cafile, default.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if candidate and Path(candidate).is_file():
            return candidate
    return certifi.where()


def _proxies() -> dict[str, str]:
    def named(name: str) -> str:
        return os.environ.get(name.lower()) or os.environ.get(name) or ""

    chosen = {scheme: named(f"{scheme.upper()}_PROXY") or named("ALL_PROXY") for scheme in ("http", "https")}
    return {scheme: url for scheme, url in chosen.items() if url}
