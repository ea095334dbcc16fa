"""Proxies: which one a URL goes through, by the environment, and what to say of one that fails.

HTTP and HTTPS proxies are urllib3's own; SOCKS proxies need PySocks, which is asked for only then (docs/adr/0022).
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from airgap.errors import UsageError
from airgap.registry.settings.options import is_loopback
from airgap.text import printable

_HTTP = ("http", "https")
_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_EXPECTED = (
    "http://HOST:PORT, https://HOST:PORT, socks5h://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ if it asks for a login"
)


class ProxyFailure(urllib3.exceptions.HTTPError):
    """A call that failed on the way through a proxy; raised from what happened.

    Attributes:
        proxy: the one.
    """

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(str(proxy))
        self.proxy = proxy


@dataclass(frozen=True)
class Proxy:
    """One proxy.

    Attributes:
        setting: the environment variable that names it, such as ``HTTPS_PROXY``.
        url: with its scheme, and perhaps a user name and password: not for messages.
    """

    setting: str
    url: str

    def __str__(self) -> str:
        """Without the login."""
        try:
            parts = urlsplit(self.url)
            return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", 200)
        except ValueError:
            return "(not a URL)"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, which knows nothing of HTTP."""
        return urlsplit(self.url).scheme in _SOCKS

    def manager(self, trusted: Any, sizes: dict[str, Any]) -> urllib3.PoolManager:
        """The connections through it.

        Args:
            trusted: the TLS context for the proxy itself.
            sizes: how many connections are kept.

        Raises:
            UsageError: it cannot be used: not a URL, no such kind of proxy, or SOCKS without PySocks.
        """
        try:
            place = urllib3.util.parse_url(self.url)
        except urllib3.exceptions.LocationValueError:
            place = urllib3.util.Url()
        if place.scheme not in (*_HTTP, *_SOCKS) or not place.host:
            raise UsageError("not a proxy that airgap can use", where=self.setting, expected=_EXPECTED, got=str(self))
        if self.is_socks:
            return _socks_manager(self, sizes)
        headers = urllib3.make_headers(proxy_basic_auth=unquote(place.auth)) if place.auth else None
        return urllib3.ProxyManager(place._replace(auth=None).url, proxy_headers=headers, proxy_ssl_context=trusted, **sizes)


class Proxies:
    """The proxies of this process's environment, as they are when this is made."""

    def __init__(self) -> None:
        self._known = urllib.request.getproxies()

    def of(self, place: urllib3.util.Url) -> Proxy | None:
        """The proxy for a URL; None where there is none to be asked."""
        for name in (place.scheme or "", "all"):
            if self._known.get(name) and not self._is_direct(place):
                url = self._known[name]
                return Proxy(f"{name.upper()}_PROXY", url if "://" in url else f"http://{url}")
        return None

    def _is_direct(self, place: urllib3.util.Url) -> bool:
        """Whether no proxy is to be asked: ``no_proxy`` names hosts, their domains, and networks."""
        host = place.netloc or ""
        if is_loopback(host) or urllib.request.proxy_bypass(host, self._known):
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address((place.host or "").strip("[]"))
            return any(address in network for network in _networks(self._known.get("no", "")))
        return False


def _networks(listed: str) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for text in listed.split(","):
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(text.strip(), strict=False)


def _socks_manager(proxy: Proxy, sizes: dict[str, Any]) -> urllib3.PoolManager:
    if importlib.util.find_spec("socks") is None:
        raise UsageError(
            "SOCKS proxies need PySocks, which is not installed",
            where=proxy.setting,
            expected="an http:// or https:// proxy, or PySocks",
            got=str(proxy),
            hint="install it beside airgap: pip install 'airgap[socks]' or Debian's python3-socks",
        )
    from urllib3.contrib.socks import SOCKSProxyManager

    return SOCKSProxyManager(proxy.url, **sizes)


def connections(proxy: Proxy | None, plain: Any, tls: Any) -> tuple[Any, Any]:
    """The classes of connections without and with TLS: these, or with SOCKS below them."""
    if proxy is None or not proxy.is_socks:
        return plain, tls
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection

    return type("SocksPlain", (plain, SOCKSConnection), {}), type("SocksTls", (tls, SOCKSHTTPSConnection), {})
