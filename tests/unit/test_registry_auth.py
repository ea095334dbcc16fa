"""Tokens, Basic, and credentials that go nowhere else."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from airgap.errors import RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, read_all
from airgap.registry import CredentialStore
from airgap.registry.http.auth import Challenge, parse_challenges
from tests.support.hostile import Hostile, Reply, Request, client, ranged

CANARY = "canary-4711"
BASIC = "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode()
DATA = b"layer" * 1000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))


def credentials(path: Path, *servers: Hostile, entry: Mapping[str, str] | None = None) -> CredentialStore:
    entry = entry or {"auth": BASIC.removeprefix("Basic ")}
    path.write_text(json.dumps({"auths": {server.address: entry for server in servers}}))
    return CredentialStore((path,))


class TokenSite:
    """A registry and its token server; tokens are ``t1``, ``t2``, ...; ``good`` holds those that the registry takes."""

    def __init__(self, life: int | None = None) -> None:
        self.life = life
        self.good: set[str] = set()
        self.issued = 0
        self.lock = threading.Lock()
        self.tokens = Hostile(self.issue)
        self.registry = Hostile(self.serve)
        self.realm = f"{self.tokens.url}/token"

    def __enter__(self) -> TokenSite:
        return self

    def __exit__(self, *error: object) -> None:
        self.registry.stop()
        self.tokens.stop()

    @property
    def repository(self) -> Repository:
        return Repository(self.registry.address, "a/b")

    def issue(self, request: Request) -> Reply:
        with self.lock:
            self.issued += 1
            name = f"t{self.issued}"
            self.good.add(name)
        answer = {"access_token": name} if self.life is None else {"token": name, "expires_in": self.life}
        return Reply(200, json.dumps(answer).encode())

    def serve(self, request: Request) -> Reply:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.good:
            return Reply(
                401, headers={"WWW-Authenticate": f'Bearer realm="{self.realm}",service="s p",scope="repository:a/b:pull"'}
            )
        return self.answer(request)

    def answer(self, request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, headers={"Location": "/v2/a/b/blobs/uploads/1?_state=x%3D"})
        return Reply(201) if request.method == "PUT" else ranged(DATA, request)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"', [Challenge("bearer", "https://a/t", "s")]),
        ('bearer  Realm=https://a/t , service="q\\"uoted"', [Challenge("bearer", "https://a/t", 'q"uoted')]),
        ('Basic realm="x", Bearer realm="https://a/t"', [Challenge("basic", "x"), Challenge("bearer", "https://a/t")]),
        ("Basic", [Challenge("basic")]),
        ('Negotiate abc==, Digest realm="x"', []),
        ("Bearer", []),
        ('Bearer realm=""', []),
        ("", []),
        (", , =", []),
        ("x" * 100_000, []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges(header) == expected


def test_one_anonymous_token_serves_all_calls_of_a_repository() -> None:
    with TokenSite() as site, client() as store:
        for _ in range(3):
            assert store.has(site.repository, BLOB)
        assert site.issued == 1
        asked = site.tokens.requests[0]
        assert asked.query == {"service": ["s p"], "scope": ["repository:a/b:pull"]}
        assert "Authorization" not in asked.headers
        assert [one.headers.get("Authorization") for one in site.registry.requests] == [None] + ["Bearer t1"] * 3


def test_token_is_fetched_once_for_many_threads() -> None:
    with TokenSite() as site, client() as store:
        threads = [threading.Thread(target=store.has, args=(site.repository, BLOB)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert site.issued == 1


def test_token_that_expires_in_the_middle_is_renewed_and_the_call_goes_on() -> None:
    with TokenSite() as site, client() as store:
        assert store.has(site.repository, BLOB)
        site.good.clear()
        assert store.has(site.repository, BLOB)
        site.good.clear()
        assert read_all(store.open(site.repository, BLOB), 10**6, "test") == DATA
        site.good.clear()
        store.write(site.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert [one.body for one in site.registry.requests if one.method == "PUT"] == [DATA]


def test_token_refused_during_an_upload_is_renewed_and_the_blob_sent_again() -> None:
    with TokenSite() as site, client() as store:

        def app(request: Request) -> Reply:
            if request.method == "HEAD":
                return Reply(404)
            if request.method == "PUT" and request.headers["Authorization"] == "Bearer t1":
                site.good.clear()
            return site.serve(request)

        site.registry.app = app
        store.write(site.repository, BLOB, lambda: BytesReader(DATA, 0))
        sent = [(one.headers["Authorization"], one.body) for one in site.registry.requests if one.method == "PUT"]
    assert sent == [("Bearer t1", DATA), ("Bearer t2", DATA)]


def test_short_lived_token_is_replaced_before_it_is_refused() -> None:
    with TokenSite(life=1) as site, client() as store:
        store.has(site.repository, BLOB)
        expiry = next(iter(store._transport._auth._tokens.values())).good_until
        assert expiry < time.monotonic() + 1


def test_refused_token_is_renewed_only_once_per_call() -> None:
    with TokenSite() as site, client() as store:
        site.registry.app = lambda _: Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{site.realm}"'})
        with pytest.raises(RegistryError) as caught:
            store.manifest(site.repository, "x")
        assert len(site.registry.requests) == 2
        assert "log in" in caught.value.hint


def test_push_asks_for_pull_and_push_and_mount_for_the_origin_too() -> None:
    with TokenSite() as site, client() as store:
        site.registry.app = lambda request: site.serve(request) if "mount" not in request.query else Reply(201)
        store.write(site.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert store.has(site.repository, BLOB)
        site.registry.app = lambda request: (
            Reply(201) if request.headers.get("Authorization") == "Bearer t2" else site.serve(request)
        )
        assert store.mount(site.repository, BLOB, Repository(site.registry.address, "c/d"))
        scopes = [one.query["scope"] for one in site.tokens.requests]
    assert scopes == [["repository:a/b:pull,push"], ["repository:a/b:pull,push", "repository:c/d:pull"]]


def test_name_and_password_go_to_the_token_server_only(tmp_path: Path) -> None:
    with TokenSite() as site, client(credentials=credentials(tmp_path / "auth.json", site.registry)) as store:
        assert store.has(site.repository, BLOB)
        assert [one.headers["Authorization"] for one in site.tokens.requests] == [BASIC]
        assert {one.headers.get("Authorization") for one in site.registry.requests} == {None, "Bearer t1"}


def test_identity_token_is_exchanged_by_post(tmp_path: Path) -> None:
    with TokenSite() as site:
        store_of = credentials(tmp_path / "auth.json", site.registry, entry={"identitytoken": CANARY})
        with client(credentials=store_of) as store:
            assert store.has(site.repository, BLOB)
        asked = site.tokens.requests[0]
    assert asked.method == "POST"
    assert f"refresh_token={CANARY}".encode() in asked.body
    assert b"grant_type=refresh_token" in asked.body


def test_basic_is_offered_after_it_was_asked_for(tmp_path: Path) -> None:
    def app(request: Request) -> Reply:
        known = request.headers.get("Authorization") == BASIC
        return ranged(DATA, request) if known else Reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    with Hostile(app) as server, client(credentials=credentials(tmp_path / "auth.json", server)) as store:
        assert store.has(Repository(server.address, "a"), BLOB)
        assert store.has(Repository(server.address, "b"), BLOB)
        assert [one.headers.get("Authorization") for one in server.requests] == [None, BASIC, BASIC]


@pytest.mark.parametrize(
    "realm", ["ftp://h/t", "http://user:pw@h/t", "//h/t", "token", "http://h:port/t", "file:///etc/passwd", "http://"]
)
def test_unusable_realm_is_refused(realm: str) -> None:
    with TokenSite() as site, client() as store:
        site.realm = realm
        with pytest.raises(RegistryError) as caught:
            store.has(site.repository, BLOB)
        assert "token server" in caught.value.what
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token":7}', b'{"token":"a\\r\\nX: y"}', b'{"token":"x","expires_in":"soon"}', b"["]
)
def test_nonsense_from_the_token_server_is_an_error(body: bytes) -> None:
    with TokenSite() as site, client() as store:
        site.tokens.app = lambda _: Reply(200, body)
        with pytest.raises(RegistryError):
            store.has(site.repository, BLOB)


def test_refusing_token_server_is_an_error_with_its_words(tmp_path: Path) -> None:
    with TokenSite() as site, client(credentials=credentials(tmp_path / "auth.json", site.registry)) as store:
        site.tokens.app = lambda _: Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
        with pytest.raises(RegistryError) as caught:
            store.has(site.repository, BLOB)
    assert "wrong password" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert "scope=" not in str(caught.value)


def test_redirect_of_a_token_server_is_not_followed(tmp_path: Path) -> None:
    with Hostile(lambda _: Reply(200, b'{"token":"x"}')) as thief, TokenSite() as site:
        site.tokens.app = lambda _: Reply(307, headers={"Location": f"{thief.url}/t"})
        with client(credentials=credentials(tmp_path / "auth.json", site.registry)) as store, pytest.raises(RegistryError):
            store.has(site.repository, BLOB)
        assert thief.requests == []
