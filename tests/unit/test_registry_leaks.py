"""Redirects and Locations to other places get no credentials, and no error shows any."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import RegistryError
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, read_all
from airgap.registry import RegistryOptions
from airgap.registry.http.failures import redact
from airgap.registry.settings.options import is_loopback
from tests.support.hostile import App, Hostile, Reply, Request, client, ranged
from tests.unit.test_registry_auth import BASIC, BLOB, CANARY, DATA, credentials


def guarded(then: App) -> App:
    """Only with the right name and password."""

    def app(request: Request) -> Reply:
        known = request.headers.get("Authorization") == BASIC
        return then(request) if known else Reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    return app


def exposed(server: Hostile) -> bool:
    """Whether anything that came in knows the secret."""
    secret = BASIC.removeprefix("Basic ")
    return any(
        secret in text or CANARY in text
        for one in server.requests
        for text in (one.target, str(one.headers), one.body.decode("latin-1"))
    )


def test_redirect_to_another_host_carries_no_credentials(tmp_path: Path) -> None:
    with Hostile(lambda request: ranged(DATA, request)) as storage, Hostile(lambda _: Reply()) as server:
        server.app = guarded(lambda _: Reply(307, headers={"Location": f"{storage.url}/blob?signature=abc", "Set-Cookie": "a=b"}))
        with client(credentials=credentials(tmp_path / "auth.json", server, storage)) as store:
            repository = Repository(server.address, "a")
            assert read_all(store.open(repository, BLOB), 10**6, "test") == DATA
            assert read_all(store.open(repository, BLOB, 7), 10**6, "test") == DATA[7:]
            assert store.has(repository, BLOB)
        assert storage.requests[0].target == "/blob?signature=abc"
        assert not exposed(storage)
        assert not any("Cookie" in one.headers for one in (*storage.requests, *server.requests))


def test_credentials_stay_dropped_when_the_way_leads_back(tmp_path: Path) -> None:
    with Hostile(lambda _: Reply()) as detour, Hostile(lambda _: Reply()) as server:
        detour.app = lambda _: Reply(302, headers={"Location": f"{server.url}/back"})

        def app(request: Request) -> Reply:
            return (
                Reply(403) if request.path == "/back" else guarded(lambda _: Reply(302, headers={"Location": detour.url}))(request)
            )

        server.app = app
        with client(credentials=credentials(tmp_path / "auth.json", server)) as store, pytest.raises(RegistryError):
            store.open(Repository(server.address, "a"), BLOB)
        assert "Authorization" not in server.requests[-1].headers
        assert not exposed(detour)


def test_challenge_of_another_host_gets_no_credentials(tmp_path: Path) -> None:
    with Hostile(lambda _: Reply(401, headers={"WWW-Authenticate": "Basic"})) as thief, Hostile(lambda _: Reply()) as server:
        server.app = guarded(lambda _: Reply(302, headers={"Location": f"{thief.url}/x"}))
        with client(credentials=credentials(tmp_path / "auth.json", server, thief)) as store, pytest.raises(RegistryError):
            store.open(Repository(server.address, "a"), BLOB)
        assert not exposed(thief)


def test_upload_to_another_host_carries_no_credentials(tmp_path: Path) -> None:
    with Hostile(lambda _: Reply(201)) as storage, Hostile(lambda _: Reply()) as server:
        server.app = guarded(lambda _: Reply(202, headers={"Location": f"{storage.url}/up?_state=s"}))
        with client(credentials=credentials(tmp_path / "auth.json", server, storage)) as store:
            store.write(Repository(server.address, "a"), BLOB, lambda: BytesReader(DATA, 0))
        assert storage.requests[0].body == DATA
        assert not exposed(storage)


@pytest.mark.parametrize("location", ["ftp://h/x", "http://u:p@h/x", "", "http://h:bad/"])
def test_unusable_location_is_refused(location: str) -> None:
    with Hostile(lambda _: Reply(302, headers={"Location": location})) as server, client() as store:
        with pytest.raises(RegistryError) as caught:
            store.open(Repository(server.address, "a"), BLOB)
        assert "Location" in caught.value.what
        assert "u:p" not in str(caught.value)


def test_circle_of_redirects_ends() -> None:
    with Hostile(lambda _: Reply(302, headers={"Location": "/again"})) as server, client() as store:
        with pytest.raises(RegistryError) as caught:
            store.open(Repository(server.address, "a"), BLOB)
        assert "redirects" in caught.value.what
        assert len(server.requests) == 6


def test_upload_is_not_redirected() -> None:
    with Hostile(lambda _: Reply(307, headers={"Location": "/elsewhere"})) as server, client() as store:
        with pytest.raises(RegistryError):
            store.write(Repository(server.address, "a"), BLOB, lambda: BytesReader(DATA, 0))
        assert server.seen() == ["POST /v2/a/blobs/uploads/"]


def test_errors_show_neither_query_nor_credentials(tmp_path: Path) -> None:
    with Hostile(lambda _: Reply(500)) as storage, Hostile(lambda _: Reply()) as server:
        server.app = guarded(lambda _: Reply(302, headers={"Location": f"{storage.url}/b?signature={CANARY}"}))
        said: list[str] = []
        with client(credentials=credentials(tmp_path / "auth.json", server), say=said.append) as store:
            with pytest.raises(RegistryError) as caught:
                store.open(Repository(server.address, "a"), BLOB)
            storage.app = lambda _: Reply(status=0)
            with pytest.raises(RegistryError) as broken:
                store.open(Repository(server.address, "a"), BLOB)
            storage.app = lambda _: Reply(429)
            with pytest.raises(RegistryError):
                store.open(Repository(server.address, "a"), BLOB)
    shown = f"{caught.value} {caught.value.facts()} {broken.value} {broken.value.__cause__} {said}"
    assert CANARY not in shown
    assert BASIC not in shown
    assert said


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login user password {CANARY}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Hostile(lambda request: ranged(DATA, request)) as server, client() as store:
        assert store.has(Repository(server.address, "a"), BLOB)
        assert not exposed(server)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h:1/a/b?c=d#e", "https://h:1/a/b"),
        ("https://h/\x1b[31m", "https://h/\\x1b[31m"),
        ("http://[bad", "(not a URL)"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.2", "http://127.0.0.2"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
        ("localhost.example.org", "https://localhost.example.org"),
        ("registry.lan:5000", "http://registry.lan:5000"),
        ("registry.lan", "https://registry.lan"),
    ],
)
def test_plain_http_is_for_loopback_and_named_registries(host: str, base: str) -> None:
    endpoint = RegistryOptions(insecure=frozenset({"registry.lan:5000"})).endpoint(host)
    assert (endpoint.base, endpoint.plain) == (base, base.startswith("http:"))


def test_loopback_is_decided_by_the_whole_name() -> None:
    assert not is_loopback("127.evil")
    assert not is_loopback("[::1:2]")
