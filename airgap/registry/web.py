"""Web servers that the operator named for what is no registry, such as chart repositories: read with the settings of registries.

TLS trust, proxies, repeats and redirects are those of registries, and so are the credentials: those of ``HOST[:PORT]`` or a path
there, sent as Basic (RFC 7617) to the same scheme, host and port as the repository's, and never on to another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import urllib3

from airgap.errors import NotFound, Refused, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.hosts import canonical_host
from airgap.registry.http.failures import NETWORK, network_failure, redact
from airgap.registry.http.proxies import Proxies
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import FileCall, Transport
from airgap.registry.http.wire import Answer
from airgap.registry.reader import BlobReader
from airgap.registry.settings.certificates import Certificates
from airgap.registry.settings.options import Endpoint, RegistryOptions, is_loopback, origin

#: Seconds for one file, however slowly it comes: ten megabytes over a line of a village are no failure.
_SECONDS = 1800.0
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class WebAccess:
    """How another program is to speak to a web server.

    Attributes:
        authorization: for the URL's own scheme, host and port; empty: nobody's.
        verified: whether the certificate must prove itself.
        authorities: the CA certificates for it, PEM.
        proxy: the URL of the proxy, with its login; empty for none.
    """

    authorization: str
    verified: bool
    authorities: bytes
    proxy: str


class WebFiles:
    """Files of web servers, read whole. Close it at the end.

    Args:
        options: how registries, and so these servers, are spoken to.
    """

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._transport = Transport(options)

    def fetch(self, url: str, limit: int, home: str) -> bytes:
        """A file. As :meth:`find`, and raises ``NotFound`` (a ``RegistryError``) where there is none."""
        raw = self.find(url, limit, home)
        if raw is None:
            raise NotFound("the web server has no such file", where=redact(url))
        return raw

    def find(self, url: str, limit: int, home: str, absent: Collection[int] = (404, 410)) -> bytes | None:
        """A file; None when the server says that there is none.

        Args:
            url: absolute.
            limit: the most bytes it may have.
            home: the URL whose credentials may go along, where ``url`` has the same scheme, host and port.
            absent: statuses by which the server says that there is none.

        Raises:
            UsageError: not such a URL, or ``home`` is spoken to without TLS and the operator has not allowed it.
            Refused: ``url`` leads from TLS to no TLS.
            RegistryError: the server does not deliver the file, or it is larger.
        """
        at, parts = web_url(home), web_url(url)
        same = origin(url) == origin(home)
        if not same and at.scheme == "https" and parts.scheme == "http":
            raise Refused("a web server names a file without TLS", where=redact(home), expected="an https:// URL", got=redact(url))
        endpoint = self._endpoint(parts)
        credential = self._options.credential(endpoint.host, at.path.strip("/")) if same else None
        authorization = credential.basic() if credential is not None and credential.username else ""
        answer, raw = self._transport.fetch_file(url, limit, endpoint, authorization, _SECONDS)
        if answer.status in absent:
            answer.finish()
            return None
        if answer.status != 200:
            raise refusal(answer, "the web server does not return the file")
        return raw

    def size(self, url: str, *, proven: bool) -> int | None:
        """The bytes of a file, as the server says in answer to HEAD; None when it does not say. Raises as :meth:`read`."""
        answer = self._transport.ask(self._call("HEAD", url, proven))
        answer.finish()
        if answer.status in (404, 410):
            raise NotFound("the web server has no such file", where=redact(url))
        return answer.length if answer.status == 200 else None

    def read(self, url: str, digest: Digest, size: int, offset: int = 0, *, proven: bool) -> BlobReader:
        """A file as a stream that is continued where a connection breaks; its size is checked, its digest is not.

        Args:
            url: absolute.
            digest: what the bytes should turn out to be.
            size: in bytes.
            offset: the byte to begin with.
            proven: whether a digest that the operator gave proves the file, so that it may come without TLS.

        Raises:
            UsageError: not such a URL, or without TLS and proof, which the operator has not allowed.
            RegistryError: the server does not deliver the file, or in another size.
        """
        return BlobReader(self._transport, self._call("GET", url, proven), Descriptor(media.OCTETS, digest, size), offset)

    def pinned(self, url: str, most: int, *, proven: bool) -> tuple[Digest, int]:
        """The digest and size of a file, read once to its end without keeping it.

        Raises:
            UsageError: as :meth:`read`, or it has more than ``most`` bytes.
            RegistryError: the server does not deliver it whole.
        """
        size = self.size(url, proven=proven)
        hasher, count, buffer = Digest.of(b"").hasher(), 0, memoryview(bytearray(_CHUNK))
        reader = self._unsized(url, proven) if size is None else self.read(url, Digest.of(b""), size, proven=proven)
        try:
            while got := reader.readinto(buffer):
                hasher.update(buffer[:got])
                count += got
                if count > most:
                    raise UsageError("a file on a web server is too large", where=redact(url), expected=f"at most {most} bytes")
        except NETWORK as error:
            raise network_failure(error, "GET", url) from None
        finally:
            reader.close()
        return Digest.sealed(hasher), count

    def _unsized(self, url: str, proven: bool) -> Answer:
        answer = self._transport.ask(self._call("GET", url, proven))
        if answer.status != 200:
            raise refusal(answer, "the web server does not return the file")
        return answer

    def _call(self, method: str, url: str, proven: bool) -> FileCall:
        parts = web_url(url)
        endpoint = self._endpoint(parts, proven=proven)
        credential = self._options.credential(endpoint.host, parts.path.strip("/")) if parts.scheme == "https" else None
        authorization = credential.basic() if credential is not None and credential.username else ""
        return FileCall(method, url, endpoint, authorization)

    def access(self, url: str) -> WebAccess:
        """How a program that speaks for us is to read a URL.

        Raises:
            UsageError: as :meth:`read`, or a file of certificates or the proxy cannot be used.
        """
        call = self._call("GET", url, False)
        options = self._options
        certificates = Certificates(options.cert_dirs, options.cert_dir, options.certs_d)
        proxy = Proxies().of(urllib3.util.parse_url(url))
        authorities = certificates.authorities(call.endpoint.host)
        return WebAccess(call.authorization, call.endpoint.verified, authorities, "" if proxy is None else proxy.url)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def _endpoint(self, parts: SplitResult, *, proven: bool = False) -> Endpoint:
        host = canonical_host(parts.netloc)
        self._options.rules.check_open(host, parts.path.strip("/"))
        insecure = self._options.is_insecure(host, parts.path.strip("/"))
        if parts.scheme == "http" and not (proven or insecure or is_loopback(host)):
            raise UsageError(
                "a web server would be read without TLS",
                where=redact(parts.geturl()),
                expected="https://",
                hint=f"write https://, or allow it with --insecure-registry {host}",
            )
        return Endpoint(host, f"{parts.scheme}://{parts.netloc}", verified=not insecure)


def web_url(url: str) -> SplitResult:
    """The parts of an absolute ``http`` or ``https`` URL without credentials.

    Raises:
        UsageError: it is none.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url
        if plain and parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and origin(url):
            canonical_host(parts.netloc)
            return parts
    raise UsageError(
        "not a valid URL of a web server",
        expected="http(s)://HOST[:PORT]/PATH",
        got=redact(url),
        hint="credentials belong in the auth file (--authfile), under the HOST or HOST/PATH of the URL"
        if "@" in url.partition("/")[2]
        else "",
    )
