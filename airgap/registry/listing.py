"""The repositories and tags that a registry lists (distribution-spec "Listing Tags", distribution API "Catalog").

Registries page in three ways: with a ``Link`` to the next page, silently (then one must ask for what comes after the last name), or
not at all. A list that only looks complete would lose images, so the end is believed when the registry has shown it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin

from airgap.errors import Damaged, RegistryError, UsageError
from airgap.oci import strictjson
from airgap.oci.hosts import canonical_host
from airgap.oci.reference import Repository
from airgap.registry.http.failures import redact, unbelievable
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import AnyCall, Call, HostCall, Transport
from airgap.registry.http.wire import Answer
from airgap.registry.settings.options import Endpoint
from airgap.text import printable

#: Names asked for at once: the most that docker's registry allows.
PAGE = 1000
#: Limits of one list (pages, names) and of one page (bytes): registries that do not page send 100,000 tags in one.
MAX_PAGES = 10_000
MAX_NAMES = 1_000_000
MAX_PAGE = 32 * 1024 * 1024
#: A first page with fewer names and without a link is all there is: who cuts lists silently does it at 50 names or more.
_SHORT = 25
_MAX_LINK = 8192
# RFC 8288 section 3: each target in angle brackets, then its parameters.
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r""";\s*rel\s*=\s*["']?next["']?\s*(?:[;,]|$)""")
_REPOSITORIES = "repositories"
#: The last part of the path of a repository that holds nothing but a lease of ours (``registry/lease.py``): nothing is in it.
LEASES = "airgap-lease"
_CATALOG_HINT = "not every registry shows its catalog to everyone: name the repositories (--repository PATH), or log in"


def next_page(endpoint: Endpoint, answer: Answer, what: str) -> str | None:
    """The absolute URL of the page after this answer (RFC 8288 ``Link`` with ``rel="next"``), None for the last one.

    Args:
        endpoint: the registry that was asked: the only host at which a list may continue.
        what: what is listed, for the message.

    Raises:
        RegistryError: it continues at another host.
    """
    for where, parameters in _LINK.findall(answer.header("Link")[:_MAX_LINK]):
        if where and _NEXT.search(parameters):
            target: str = urljoin(answer.url, where)
            try:
                same = endpoint.serves(target)
            except ValueError:
                same = False
            if not same:
                raise RegistryError(f"{what} continues at another host", where=redact(answer.url), got=redact(target))
            return target
    return None


class Listing:
    """Lists what the registries behind a transport have. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def repositories(self, host: str) -> Iterator[Repository]:
        """As ``RegistryStore.repositories``."""
        host = canonical_host(host)  # a mistake in the host is the user's, not the registry's
        pages = _Pages(self._transport, lambda path: HostCall("GET", host, path), "_catalog", _REPOSITORIES, host)
        for name in pages.names():
            if name.rpartition("/")[2] == LEASES:
                continue
            try:
                yield Repository.parse(f"{host}/{name}")
            except UsageError as error:
                raise _bad_name("a repository", host, error) from error

    def tags(self, repository: Repository) -> Iterator[str]:
        """As ``RegistryStore.tags``."""
        for name in self._pages_of_tags(repository).names():
            try:
                repository.tagged(name)
            except UsageError as error:
                raise _bad_name("a tag", str(repository), error) from error
            yield name

    def few_tags(self, repository: Repository) -> frozenset[str] | None:
        """All tags, as the registry spells them; None when they take more than two pages. Raises ``RegistryError``, and soon: this
        list spares questions, and waiting for it may take longer than they do."""
        return self._pages_of_tags(repository, retries=1).few(2)

    def first_tags(self, repository: Repository) -> tuple[str, ...]:
        """As ``RegistryStore.first_tags``."""
        return self._pages_of_tags(repository).first()

    def _pages_of_tags(self, repository: Repository, retries: int | None = None) -> _Pages:
        def call(path: str) -> Call:
            return Call("GET", repository, path, retries=retries)

        return _Pages(self._transport, call, "tags/list", "tags", str(repository))


@dataclass(frozen=True)
class _Page:
    names: tuple[str, ...]
    following: str | None


class _Pages:
    """One list, read page by page: one page is kept, and a digest of every page and link before it.

    Args:
        call: makes the call for a path.
        path: of the list.
        key: what the names are called in the answer.
        where: whose list it is.
    """

    def __init__(self, transport: Transport, call: Callable[[str], AnyCall], path: str, key: str, where: str) -> None:
        self._transport = transport
        self._call = call
        self._path = path
        self._key = key
        self._where = where
        self._what = f"the list of {key}"
        self._size: int | None = PAGE
        self._linked = False
        self._seen: set[bytes] = set()

    def names(self) -> Iterator[str]:
        """Every name; one that ends a page and begins the next only once."""
        page: _Page | None = self._first()
        last: str | None
        last, total = None, 0
        while page is not None:
            total += len(page.names)
            if total > MAX_NAMES:
                raise self._error("does not end", expected=f"at most {MAX_NAMES} names")
            for name in page.names:
                if name != last:
                    last = name
                    yield name
            page = self._next(page, last)

    def few(self, pages: int) -> frozenset[str] | None:
        """All names if they stand on so many pages; None if there are more."""
        first = self._first()
        if first.following is None and len(first.names) < _SHORT:
            return frozenset(first.names)
        found: set[str] = set()
        page: _Page | None = first
        while page is not None:
            pages -= bool(page.names)
            if pages < 0:
                return None
            found.update(page.names)
            page = self._next(page, page.names[-1] if page.names else None)
        return frozenset(found)

    def first(self) -> tuple[str, ...]:
        """The names on the first page alone."""
        return self._first().names

    def _first(self) -> _Page:
        answer, raw = self._fetch(self._query())
        if answer.status == 400:  # this registry's own limit is lower than ours (distribution: PAGINATION_NUMBER_INVALID)
            answer.finish()
            self._size = None
            answer, raw = self._fetch(self._query())
        return self._fresh(self._page(answer, raw))

    def _next(self, page: _Page, last: str | None) -> _Page | None:
        if page.following is not None:
            self._linked = True
            self._remember(page.following)
            return self._fresh(self._ask(page.following))
        if self._linked or not page.names or (self._size is not None and len(page.names) > self._size):
            return None
        following = self._ask(self._query(last))
        if following.names == page.names:
            self._check_unpaged(page)
            return None
        return self._fresh(following)

    def _check_unpaged(self, page: _Page) -> None:
        """A registry that does not know ``last`` has sent all it has, unless it cut its list at the length that we asked for."""
        if self._size is not None and len(page.names) == self._size:
            longer = self._ask(f"{self._path}?{urlencode({'n': self._size + 1})}")
            if len(longer.names) != len(page.names):
                raise self._error("repeats a page", expected="the names after the last one")

    def _query(self, last: str | None = None) -> str:
        fields = ({"n": str(self._size)} if self._size is not None else {}) | ({"last": last} if last else {})
        return f"{self._path}?{urlencode(fields)}" if fields else self._path

    def _ask(self, path: str) -> _Page:
        return self._page(*self._fetch(path))

    def _fetch(self, path: str) -> tuple[Answer, bytes]:
        return self._transport.fetch(self._call(path), MAX_PAGE)

    def _page(self, answer: Answer, raw: bytes) -> _Page:
        if answer.status != 200:
            error = refusal(answer, f"the registry does not return {self._what}")
            error.hint = _CATALOG_HINT if self._key == _REPOSITORIES else error.hint
            raise error
        where = redact(answer.url)
        try:
            fields = strictjson.parse_object(raw, where)
            if self._key not in fields:
                raise Damaged(f"the response has no {self._what.removeprefix('the ')}", where=where)
            found = strictjson.array(fields[self._key] or [], f"{where}: {self._key}")
            names = tuple(strictjson.string(item, f"{where}: {self._key}") for item in found)
        except Damaged as error:
            raise unbelievable(error) from error
        endpoint = self._transport.endpoint(self._call(""))
        return _Page(names, next_page(endpoint, answer, self._what))

    def _fresh(self, page: _Page) -> _Page:
        """Refuse a page that was there before; an empty one proves nothing."""
        if page.names:
            self._remember("\n".join(page.names))
        return page

    def _remember(self, text: str) -> None:
        mark = hashlib.sha256(text.encode()).digest()
        if mark in self._seen:
            raise self._error("is circular", expected="a new page")
        self._seen.add(mark)
        if len(self._seen) > 2 * MAX_PAGES:
            raise self._error("does not end", expected=f"at most {MAX_PAGES} pages")

    def _error(self, what: str, expected: str) -> RegistryError:
        return RegistryError(f"{self._what} {what}", where=printable(self._where), expected=expected)


def _bad_name(kind: str, where: str, error: UsageError) -> RegistryError:
    return RegistryError(f"the registry lists {kind} with an invalid name", where=printable(where), got=error.got)
