"""Proxies: the one that fails is named, SOCKS works, and what is no proxy is refused before anything is asked."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import AirgapError, RegistryError, UsageError
from airgap.oci.reference import Repository
from airgap.oci.verify import read_all
from airgap.registry.http.failures import Unreached
from tests.support.hostile import Hostile, Reply, client, ranged
from tests.support.privateca import PrivateCa
from tests.support.tunnel import Socks, Tunnel
from tests.unit.test_registry_auth import BLOB, DATA

REPOSITORY = Repository("registry.test:8443", "a")
PLAIN = frozenset({"registry.test:8443"})


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def failure(**options: Any) -> AirgapError:
    with client(**options) as store, pytest.raises(AirgapError) as caught:
        store.has(REPOSITORY, BLOB)
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4a"])
@pytest.mark.parametrize("setting", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_dead_proxy_is_named_and_the_registry_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch, closed: str, scheme: str, setting: str
) -> None:
    monkeypatch.setenv(setting, f"{scheme}://me:canary@{closed}")
    found = failure()
    assert isinstance(found, Unreached), "another location may be tried"
    assert found.what == "the proxy refuses connections"
    assert found.got == f"{setting.upper()}={scheme}://{closed}"
    assert found.where.startswith("HEAD https://registry.test:8443/v2/a/blobs/")
    assert f"check {setting.upper()}" in found.hint
    assert "NO_PROXY" in found.hint
    assert "canary" not in str(found)


def test_dead_proxy_of_plain_registries_is_named(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", closed)
    found = failure(insecure=PLAIN)
    assert (found.what, found.got) == ("the proxy refuses connections", f"HTTP_PROXY=http://{closed}")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_proxy_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://proxy.invalid:3128")
    found = failure()
    assert found.what == "the proxy's host name cannot be resolved"
    assert found.got == f"HTTPS_PROXY={scheme}://proxy.invalid:3128"


@pytest.mark.parametrize(
    ("status", "hint"), [("403 Forbidden", "NO_PROXY"), ("407 Proxy Authentication Required", "http://USER:PASSWORD@HOST:PORT")]
)
def test_proxy_that_refuses_a_tunnel_is_asked_once(monkeypatch: pytest.MonkeyPatch, status: str, hint: str) -> None:
    with Tunnel(0, status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        found = failure()
    assert found.what == f"the proxy refuses to connect to registry.test:8443: {status}"
    assert hint in found.hint
    assert proxy.asked == ["registry.test:8443"]


def test_proxy_of_plain_registries_that_wants_a_login_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(lambda _: Reply(407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        found = failure(insecure=PLAIN)
    assert found.what == "the proxy requires a login"
    assert "HTTP_PROXY" in found.hint


def test_socks_proxy_that_cannot_connect_says_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Socks(0, "4") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        found = failure(retries=0)
    assert found.what.startswith("the proxy could not connect to registry.test:8443: ")
    assert "Host unreachable" in found.what


def test_name_that_only_the_proxy_knows_is_no_fault_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Socks(0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("socks5h", "socks5"))
        found = failure(retries=0)
    assert found.what == "the registry's host name cannot be resolved here"
    assert "socks5h://" in found.hint


def test_socks_leads_to_registries_with_and_without_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = PrivateCa(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "registry.test"))
    directory = tmp_path / "certs/registry.test:8443"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(authority.file.read_bytes())
    for tls, options in ((context, {"certs_d": (tmp_path / "certs",)}), (None, {"insecure": PLAIN, "retries": 0})):
        with Hostile(lambda request: ranged(DATA, request), tls) as server, Socks(server.port) as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            with client(**options) as store:
                assert read_all(store.open(REPOSITORY, BLOB), 10**6, "test") == DATA
            assert set(proxy.asked) == {"registry.test:8443"}
            assert {one.target for one in server.requests} == {f"/v2/a/blobs/{BLOB.digest}"}


@pytest.mark.parametrize("proxy", ["ftp://proxy:21", "socks6://proxy", "http://[", "http://", "socks5://"])
def test_what_is_no_proxy_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    found = failure()
    assert isinstance(found, UsageError)
    assert found.where == "HTTPS_PROXY"
    assert "socks5h://HOST:PORT" in found.expected


def test_socks_without_its_package_is_refused_at_once_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("HTTPS_PROXY", f"socks5h://me:canary@{closed}")
    found = failure()
    assert isinstance(found, UsageError)
    assert not isinstance(found, RegistryError)
    assert "PySocks" in found.what
    assert "airgap[socks]" in found.hint
    assert "canary" not in str(found)
