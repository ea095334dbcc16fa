"""Listing repositories and tags: every way in which registries page, and those in which they must not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

from airgap.errors import NotFound, RegistryError, UsageError
from airgap.oci.reference import Repository
from airgap.registry import CredentialStore, RegistryStore
from airgap.registry.listing import MAX_NAMES, MAX_PAGES, PAGE
from tests.support.hostile import App, Hostile, Reply, Request, client

TAGS = "/v2/a/tags/list"
ALL = [f"v{number:05d}" for number in range(2 * PAGE + 345)]


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client() as one:
        yield one


def page(names: Sequence[object] | None, link: str = "", key: str = "tags") -> Reply:
    headers = {"Link": f'<{link}>; rel="next"'} if link else {}
    return Reply(200, json.dumps({"name": "a", key: names}).encode(), headers)


def asked(request: Request, name: str) -> str:
    return request.query.get(name, [""])[0]


def after(names: Sequence[str], last: str) -> list[str]:
    return [name for name in names if name > last]


def linking(request: Request) -> Reply:
    """As the specification wants it."""
    left, size = after(ALL, asked(request, "last")), int(asked(request, "n"))
    return page(left[:size], f"{TAGS}?n={size}&last={left[size - 1]}" if len(left) > size else "")


def silent(request: Request) -> Reply:
    """Pages, and does not say so."""
    return page(after(ALL, asked(request, "last"))[: int(asked(request, "n"))])


def small_pages(request: Request) -> Reply:
    """Silent, with an own idea of how long a page is."""
    return page(after(ALL, asked(request, "last"))[:50])


def inclusive(request: Request) -> Reply:
    """Silent, and begins with the last name again."""
    left = [name for name in ALL if name >= asked(request, "last")]
    return page(left[: int(asked(request, "n"))])


def unpaged(request: Request) -> Reply:
    """Everything at once, whatever is asked, as docker's registry 2.8 does."""
    return page(ALL)


def strict(request: Request) -> Reply:
    """Refuses an ``n`` above its limit (distribution 3)."""
    if "n" in request.query:
        return Reply(400, b'{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}')
    left = after(ALL, asked(request, "last"))
    return page(left[:100], f"{TAGS}?last={left[99]}" if len(left) > 100 else "")


@pytest.mark.parametrize("app", [linking, silent, small_pages, inclusive, unpaged, strict], ids=lambda app: app.__name__)
def test_every_tag_is_listed_once_however_the_registry_pages(store: RegistryStore, app: App) -> None:
    with Hostile(app) as server:
        assert list(store.tags(Repository(server.address, "a"))) == ALL


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1])
@pytest.mark.parametrize("app", ["linking", "silent", "unpaged"])
def test_lists_of_every_length_end_where_they_end(
    store: RegistryStore, app: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ALL", ALL[:count])
    with Hostile(lambda request: globals()[app](request)) as server:
        assert list(store.tags(Repository(server.address, "a"))) == ALL[:count]


def test_pages_are_asked_for_as_they_are_needed(store: RegistryStore) -> None:
    with Hostile(linking) as server:
        assert list(islice(store.tags(Repository(server.address, "a")), 10)) == ALL[:10]
        assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [page(None), page([])], ids=["null", "empty"])
def test_a_repository_without_tags(store: RegistryStore, reply: Reply) -> None:
    with Hostile(lambda _: reply) as server:
        assert list(store.tags(Repository(server.address, "a"))) == []


def test_a_repository_that_is_not_there(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')) as server, pytest.raises(NotFound):
        list(store.tags(Repository(server.address, "a")))


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/x", "https://127.0.0.1/x", "//evil.example/x", "http://h:x/"])
def test_list_that_goes_on_at_another_host_is_refused(store: RegistryStore, link: str) -> None:
    with Hostile(lambda _: page(["1"], link)) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "another host" in caught.value.what


def circle(request: Request) -> Reply:
    return page([asked(request, "last") or "0"], f"{TAGS}?last={(int(asked(request, 'last') or 0) + 1) % 3}")


def same_link(request: Request) -> Reply:
    return page([f"t{id(request)}"], f"{TAGS}?page=2")


def same_page(request: Request) -> Reply:
    return page(["1", "2"], f"{TAGS}?page={int(asked(request, 'page') or 1) + 1}")


def empty_circle(request: Request) -> Reply:
    return page([], f"{TAGS}?page=2")


@pytest.mark.parametrize("app", [circle, same_link, same_page, empty_circle], ids=lambda app: app.__name__)
def test_list_that_goes_in_a_circle_is_refused(store: RegistryStore, app: App) -> None:
    with Hostile(app) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "circular" in caught.value.what
    assert len(server.requests) < 6


def test_list_that_is_cut_and_cannot_be_continued_is_refused(store: RegistryStore) -> None:
    """It keeps to ``n`` but knows neither ``Link`` nor ``last``: what comes after could never be had."""
    with Hostile(lambda request: page(ALL[: int(asked(request, "n"))])) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "repeats a page" in caught.value.what


def test_endless_pages_end(store: RegistryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.registry.listing.MAX_PAGES", 20)

    def app(request: Request) -> Reply:
        number = int(asked(request, "page") or 1)
        return page([f"t{number}"], f"{TAGS}?page={number + 1}")

    with Hostile(app) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "does not end" in caught.value.what
    assert len(server.requests) <= 22 < MAX_PAGES


def test_endless_names_end(store: RegistryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.registry.listing.MAX_NAMES", 2 * PAGE)
    with Hostile(silent) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "does not end" in caught.value.what
    assert MAX_NAMES > 100_000


def test_a_page_that_is_too_large_is_cut(store: RegistryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.registry.listing.MAX_PAGE", 10_000)
    with Hostile(unpaged) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert "too large" in caught.value.what


@pytest.mark.parametrize("name", ["x" * 129, "x" * 100_000, "", "../../etc", "a b", "ü", "a\u001b[2J", "-x", 7, None, ["a"]])
def test_what_is_not_a_tag_is_refused_and_shown_harmless(store: RegistryStore, name: object) -> None:
    with Hostile(lambda _: page(["fine", name])) as server, pytest.raises(RegistryError) as caught:
        list(store.tags(Repository(server.address, "a")))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>please log in</html>", {"Content-Type": "text/html"}),
        Reply(200, b"[]"),
        Reply(200, b"{}"),
        Reply(200, b'{"tags":{"a":1}}'),
        Reply(200, b'{"tags":[],"tags":["x"]}'),
        Reply(403),
        Reply(500),
        Reply(400),
    ],
    ids=str,
)
def test_answer_that_is_no_list_is_an_error_and_not_an_empty_list(store: RegistryStore, reply: Reply) -> None:
    with Hostile(lambda _: reply) as server, pytest.raises(RegistryError):
        list(store.tags(Repository(server.address, "a")))


def test_repositories_are_listed_over_pages(store: RegistryStore) -> None:
    names = [f"team/app{number}" for number in range(7)]

    def app(request: Request) -> Reply:
        assert request.path == "/v2/_catalog"
        left = after(names, asked(request, "last"))
        return page(left[:3], f"/v2/_catalog?n=3&last={left[2].replace('/', '%2F')}" if len(left) > 3 else "", "repositories")

    with Hostile(app) as server:
        assert list(store.repositories(server.address)) == [Repository(server.address, name) for name in names]


@pytest.mark.parametrize("name", ["UPPER", "a//b", "/a", "a/../b", "x" * 256, "a:b", "_x", ""])
def test_what_is_not_a_repository_is_refused(store: RegistryStore, name: str) -> None:
    with Hostile(lambda _: page([name], key="repositories")) as server, pytest.raises(RegistryError):
        list(store.repositories(server.address))


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_registry_without_a_catalog_tells_to_name_the_repositories(store: RegistryStore, status: int) -> None:
    with Hostile(lambda _: Reply(status)) as server, pytest.raises(RegistryError) as caught:
        list(store.repositories(server.address))
    assert "--repository" in caught.value.hint


def test_a_host_that_is_none_is_the_users_mistake(store: RegistryStore) -> None:
    with pytest.raises(UsageError):
        list(store.repositories("a host"))


def test_catalog_is_asked_for_with_the_scope_of_the_whole_registry() -> None:
    def app(request: Request) -> Reply:
        if request.path == "/token":
            assert request.query["scope"] == ["registry:catalog:*"]
            return Reply(200, b'{"token":"t0"}')
        if request.headers.get("Authorization") != "Bearer t0":
            return Reply(401, headers={"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token"'})
        return page(["a"], key="repositories")

    with Hostile(app) as server, client(credentials=CredentialStore()) as one:
        assert list(one.repositories(server.address)) == [Repository(server.address, "a")]
