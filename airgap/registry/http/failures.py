"""Failures of the network, turned into errors that say what to do; no credential, no query."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import urllib3.exceptions

from airgap.errors import AirgapError, RegistryError
from airgap.pace import Endless, TooSlow
from airgap.registry.http.proxies import Proxy, ProxyFailure
from airgap.text import printable

#: Everything that urllib3, http.client and the socket layer raise.
NETWORK = (
    urllib3.exceptions.HTTPError,
    urllib3.exceptions.ProxySchemeUnsupported,
    http.client.HTTPException,
    OSError,
)

_PROXY = (urllib3.exceptions.ProxyError, urllib3.exceptions.ProxySchemeUnsupported)
_TIMEOUT = (TimeoutError, urllib3.exceptions.TimeoutError)
_HUNG_UP = (http.client.RemoteDisconnected,)
_NOT_HTTP = (http.client.BadStatusLine, http.client.UnknownProtocol)
_NOT_A_URL = (http.client.InvalidURL, urllib3.exceptions.LocationValueError)

_NO_WAY = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
#: How http.client tells the status that a proxy answered CONNECT with.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3} ?.*)", re.ASCII)

#: How much of an error answer is read.
MAX_ERROR_BODY = 64 * 1024

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_NEEDS_CERTIFICATE = "the registry refused the TLS handshake: it may ask for a client certificate, or for another one"


class Unreached(RegistryError):
    """The registry could not be reached: another location with the same content may be tried instead."""


def redact(url: str) -> str:
    """A URL without user name, password, query and fragment: those carry signatures and tokens."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not a URL)"
    return printable(f"{parts.scheme}://{host}{parts.path}", 300)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed when it is made again a little later."""
    causes = list(_chain(error))
    if any(isinstance(cause, Endless) for cause in causes):
        return False
    if any(isinstance(cause, (ssl.SSLCertVerificationError, *_NOT_A_URL)) for cause in causes):
        return False
    if any(isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN for cause in causes):
        return False
    if _tunnel_refusal(causes).startswith("4"):
        return False
    return not any(isinstance(cause, ssl.SSLError) and _reason(cause) in _NOT_TLS for cause in causes)


def is_unreached(error: BaseException) -> bool:
    """Whether no connection was made at all: then the address may be wrong, and waiting does not help."""
    kinds = (*_NO_WAY, ProxyFailure, socket.gaierror, ConnectionRefusedError)
    return any(isinstance(cause, kinds) for cause in _chain(error))


def is_unresolved(error: BaseException) -> bool:
    """Whether nobody knows the host's name now."""
    if any(isinstance(cause, ProxyFailure) for cause in _chain(error)):
        return False
    return any(isinstance(cause, socket.gaierror) for cause in _chain(error))


def failed_at_proxy(error: BaseException, proxy: Proxy) -> bool:
    """Whether a call never got beyond its proxy; a SOCKS proxy makes the connection, and what fails before that is its failure."""
    kinds = _NO_WAY if proxy.is_socks else _PROXY
    return any(isinstance(cause, kinds) for cause in _chain(error))


def is_too_slow(error: BaseException | None) -> bool:
    """Whether bytes came, and too few of them: then what has come already is no progress."""
    return error is not None and any(isinstance(cause, TooSlow) for cause in _chain(error))


def network_failure(error: BaseException, method: str, url: str) -> RegistryError:
    """The error for a call that got no complete answer."""
    causes = list(_chain(error))
    host = urlsplit(url).netloc.rpartition("@")[2]
    proxy = next((cause.proxy for cause in causes if isinstance(cause, ProxyFailure)), None)
    if proxy is not None:
        what, hint = _explain_proxy(causes, printable(host, 120), proxy)
        return Unreached(what, where=f"{method} {redact(url)}", got=f"{proxy.setting}={proxy}", hint=hint)
    what, hint = _explain(causes, host)
    kind = Unreached if is_unreached(error) else RegistryError
    trusted = next((note for cause in causes for note in getattr(cause, "__notes__", [])), "")
    untrusted = trusted and any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    expected = f"a certificate that chains to a CA in {printable(trusted)}" if untrusted else ""
    return kind(what, where=f"{method} {redact(url)}", expected=expected, hint=hint)


def unbelievable(error: AirgapError) -> RegistryError:
    """A malformed response is the registry's fault, not that of a bundle, a store or the user. Raised from its cause."""
    return RegistryError(error.what, where=error.where, expected=error.expected, got=error.got, hint=error.hint)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, those it wraps in its arguments, and its causes: each library packs the real one differently."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue and len(seen) < 50:
        item = queue.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]


def _reason(error: ssl.SSLError) -> str:
    return str(getattr(error, "reason", "") or "")


def _explain(causes: list[BaseException], host: str) -> tuple[str, str]:
    shown = printable(host, 120)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explain_certificate(cause, shown)
        if isinstance(cause, ssl.SSLError):
            return _explain_tls(cause, shown)
        if isinstance(cause, socket.gaierror):
            return "the registry's host name cannot be resolved", f"check the name {shown} and the DNS settings"
        if isinstance(cause, ConnectionRefusedError):
            return "the registry refuses connections", f"check that a registry listens on {shown}"
    return _explain_rest(causes, shown)


def _explain_proxy(causes: list[BaseException], host: str, proxy: Proxy) -> tuple[str, str]:
    """What failed at a proxy, which is not the registry's fault."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    hint = f"check {proxy.setting}; if {host} can be reached without a proxy, add {name} to NO_PROXY"
    refused = _tunnel_refusal(causes)
    if refused:
        login = f"put the login into {proxy.setting}: {urlsplit(proxy.url).scheme}://USER:PASSWORD@HOST:PORT"
        return f"the proxy refuses to connect to {host}: {printable(refused, 80)}", login if refused.startswith("407") else hint
    said = [cause for cause in causes if type(cause).__module__ == "socks"]
    itself = all(type(cause).__name__ == "ProxyConnectionError" for cause in said)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the proxy's certificate is not trusted: {printable(cause.verify_message or '', 200)}", hint
        if isinstance(cause, socket.gaierror) and itself:
            return "the proxy's host name cannot be resolved", hint
        if isinstance(cause, socket.gaierror):
            return "the registry's host name cannot be resolved here", f"let the proxy resolve it: socks5h:// in {proxy.setting}"
        if isinstance(cause, ConnectionRefusedError) and itself:
            return "the proxy refuses connections", hint
        if isinstance(cause, TimeoutError):  # the system's: urllib3's are also for connections that were refused
            return "the proxy did not answer in time", hint
    return f"the proxy could not connect to {host}{f': {printable(str(said[0]), 120)}' if said else ''}", hint


def _tunnel_refusal(causes: list[BaseException]) -> str:
    """The status with which a proxy refused a tunnel, ``""`` where none did."""
    found = (_TUNNEL.fullmatch(str(cause)) for cause in causes if type(cause) is OSError)
    return next((match[1] for match in found if match), "")


#: OpenSSL's codes for a certificate that is too old or not yet valid, and for one that is for other names or addresses.
_OUTDATED, _OTHER_NAME = frozenset({9, 10}), frozenset({62, 64})


def _explain_certificate(cause: ssl.SSLCertVerificationError, host: str) -> tuple[str, str]:
    why = printable(cause.verify_message or "verification failed", 200)
    hint = f"put the PEM of its CA into ~/.config/containers/certs.d/{host}/ca.crt or --cert-dir, if you trust it"
    if cause.verify_code in _OUTDATED:
        hint = f"renew the certificate of {host}, or correct the clock of this machine"
    elif cause.verify_code in _OTHER_NAME:
        hint = "use a name of the registry that its certificate covers"
    return f"the registry's certificate is not trusted: {why}", hint


def _explain_tls(cause: ssl.SSLError, host: str) -> tuple[str, str]:
    if _reason(cause) in _NOT_TLS:
        return "the registry does not speak TLS", f"add --insecure-registry {host} if that is intended"
    if "CERTIFICATE_REQUIRED" in _reason(cause) or "HANDSHAKE_FAILURE" in _reason(cause) or "BAD_CERTIFICATE" in _reason(cause):
        return _NEEDS_CERTIFICATE, f"put client.cert and client.key into ~/.config/containers/certs.d/{host}/ or --cert-dir"
    return f"TLS failed: {printable(_reason(cause) or 'no reason given', 80)}", "check the registry's TLS settings"


def _explain_rest(causes: list[BaseException], host: str) -> tuple[str, str]:
    again = "run the same command again to continue"
    for cause in causes:
        if isinstance(cause, TooSlow):
            return f"the registry is too slow: {cause}", f"check the network to {host}; a lower --min-rate accepts slower transfers"
        if isinstance(cause, Endless):
            return str(cause), f"check that {host} is a registry"
    for kinds, what, hint in (
        (_TIMEOUT, "the registry did not answer in time", f"check the network to {host}, then {again}"),
        (_HUNG_UP, "the registry closed the connection without an answer", again),
        (_NOT_HTTP, "the response is not HTTP", f"check that {host} is a registry, and whether it speaks TLS"),
        (_NOT_A_URL, "not a valid address", f"check the name {host}"),
    ):
        if any(isinstance(cause, kinds) for cause in causes):
            return what, hint
    for cause in causes:
        if isinstance(cause, OSError) and isinstance(cause.strerror, str):
            return f"the connection failed: {printable(cause.strerror, 80)}", again
    return f"the connection broke ({printable(' < '.join(type(cause).__name__ for cause in causes[:3]), 120)})", again
