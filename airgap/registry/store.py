"""The registry store: what the command line builds and the flows use as ``Source`` and ``Target``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import TracebackType
from urllib.parse import urlsplit

from airgap.errors import UsageError
from airgap.oci.reference import Repository
from airgap.registry.http.failures import redact
from airgap.registry.http.refusals import refusal
from airgap.registry.listing import Listing
from airgap.registry.settings.options import RegistryOptions, origin
from airgap.registry.target import RegistryWriter


class RegistryStore(RegistryWriter):
    """All registries, as one ``Source`` and ``Target``: repositories name their hosts themselves.

    One connection pool, one token cache, shared by all threads. A context manager.

    Args:
        options: how registries are spoken to; the defaults when left out.
    """

    def __init__(self, options: RegistryOptions | None = None) -> None:
        super().__init__(RegistryOptions() if options is None else options)
        self._listing = Listing(self._transport)

    def fetch_file(self, url: str, limit: int, absent: Collection[int] = (404,)) -> bytes | None:
        """A small file of a static web server that the operator named, such as a lookaside; None when it answers 404.

        It goes the way of all calls (TLS trust, proxies, redirects, repeats), but nobody's credentials are sent, and plain HTTP is
        taken where the URL says so: what is read this way proves itself.

        Args:
            url: absolute, ``http`` or ``https``.
            limit: the most bytes it may have.
            absent: answers by which the server says that there is none.

        Raises:
            RegistryError: the server does not deliver it and does not say either that there is none, or it is larger.
            UsageError: not such a URL.
        """
        _check_url(url)
        answer, raw = self._transport.fetch_file(url, limit)
        if answer.status in absent:
            answer.finish()
            return None
        if answer.status != 200:
            raise refusal(answer, "the web server does not return a file")
        return raw

    def few_tags(self, repository: Repository) -> frozenset[str] | None:
        """As ``Listing.few_tags``."""
        return self._listing.few_tags(repository)

    def repositories(self, host: str) -> Iterator[Repository]:
        """All repositories of a registry, as its catalog lists them (distribution API "Catalog"); page by page.

        Raises:
            RegistryError: it has no catalog, does not show it to us, or what it lists must not be believed.
        """
        return self._listing.repositories(host)

    def tags(self, repository: Repository) -> Iterator[str]:
        """All tags of a repository (distribution-spec "Listing Tags"), page by page; no tag is listed twice in a row.

        Raises:
            NotFound: the registry says that it does not have the repository.
            RegistryError: it refuses, or what it lists must not be believed: not a tag, a list without end or in a circle.
        """
        return self._listing.tags(repository)

    def first_tags(self, repository: Repository) -> tuple[str, ...]:
        """The tags on the first page, unchecked: for messages. Raises as :meth:`tags`."""
        return self._listing.first_tags(repository)

    def __enter__(self) -> RegistryStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _check_url(url: str) -> None:
    try:
        scheme, host, _ = origin(url)
        fine = scheme in ("http", "https") and bool(host) and "@" not in urlsplit(url).netloc
    except ValueError:
        fine = False
    if not fine:
        raise UsageError(
            "not a valid URL of a file on a web server", expected="http(s)://host/path without credentials", got=redact(url)
        )
