"""What networks and servers do wrong becomes an error that says what to do; what may pass is tried again."""

from __future__ import annotations

import datetime
import email.utils
import http.client
import inspect
import ipaddress
import socket
import ssl
import time
from pathlib import Path

import pytest
import urllib3.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airgap.errors import NotFound, RegistryError, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader
from airgap.registry.http.failures import NETWORK, network_failure
from tests.support.hostile import HANG_UP, Hostile, Reply, client, ranged

DATA = b"layer" * 1000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))


def families(module: object) -> list[type[BaseException]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning) and kind.__module__.startswith(("urllib3", "http"))
    ]


@pytest.mark.parametrize("kind", families(urllib3.exceptions) + families(http.client), ids=str)
def test_every_exception_of_the_libraries_is_mapped(kind: type[BaseException]) -> None:
    assert issubclass(kind, NETWORK)
    error = kind.__new__(kind, "secret?token=x")
    found = network_failure(error, "GET", "https://u:p@h:1/a?secret=x")
    assert found.where == "GET https://h:1/a"
    assert "secret" not in str(found)
    assert found.hint


@pytest.mark.parametrize(
    ("error", "what", "hint"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "cannot be resolved", "DNS"),
        (ConnectionRefusedError(111, "Connection refused"), "refuses connections", "h:1"),
        (TimeoutError("x"), "in time", "network"),
        (ConnectionResetError(104, "Connection reset by peer"), "reset by peer", "same command"),
        (http.client.BadStatusLine("x"), "not HTTP", "TLS"),
    ],
)
def test_cause_is_found_inside_what_the_libraries_wrap_around_it(error: Exception, what: str, hint: str) -> None:
    for wrapped in (error, urllib3.exceptions.ProtocolError(error), urllib3.exceptions.ProtocolError("x", OSError("x", error))):
        found = network_failure(wrapped, "GET", "https://h:1/a")
        assert what in found.what
        assert hint in found.hint


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_refusals_are_waited_out(status: int) -> None:
    waits: list[float] = []
    left = [Reply(status)] * 3
    with Hostile(lambda request: left.pop() if left else ranged(DATA, request)) as server, client(sleep=waits.append) as store:
        assert store.has(Repository(server.address, "a"), BLOB)
    assert len(waits) == 3
    assert waits == sorted(waits)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_lasting_refusals_are_not_repeated(status: int) -> None:
    with Hostile(lambda _: Reply(status)) as server, client() as store:
        with pytest.raises(RegistryError) as caught:
            store.manifest(Repository(server.address, "a"), "x")
        assert len(server.requests) == 1
    assert isinstance(caught.value, NotFound) == (status == 404)
    assert caught.value.where == f"GET {server.url}/v2/a/manifests/x"
    assert str(status) in caught.value.got


def test_retry_after_is_obeyed_announced_and_limited() -> None:
    waits: list[float] = []
    said: list[str] = []
    date = email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60), usegmt=True)
    left = [Reply(429, headers={"Retry-After": value}) for value in ("nonsense", "99999999999", date, "3")]
    app = lambda request: left.pop() if left else ranged(DATA, request)  # noqa: E731
    with Hostile(app) as server, client(sleep=waits.append, say=said.append) as store:
        assert store.has(Repository(server.address, "a"), BLOB)
    assert waits[0] == 3
    assert 50 < waits[1] <= 60
    assert waits[2] == 120
    assert waits[3] < 10
    assert said[0] == f"registry {server.address} answered 429 (too many requests), waiting 3 s"


def test_endless_error_page_is_cut() -> None:
    page = b'{"errors":[{"code":"UNKNOWN","message":"\\u001b[31m' + b"x" * 1_000_000 + b'"}]}'
    with Hostile(lambda _: Reply(400, page)) as server, client() as store, pytest.raises(RegistryError) as caught:
        store.manifest(Repository(server.address, "a"), "x")
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


def test_only_the_first_errors_are_shown_printable() -> None:
    body = b'{"errors":[' + b",".join(b'{"code":"C%d","message":"\\u001b[2J"}' % number for number in range(9)) + b"]}"
    with Hostile(lambda _: Reply(400, body)) as server, client() as store, pytest.raises(RegistryError) as caught:
        store.manifest(Repository(server.address, "a"), "x")
    assert "C2" in caught.value.got
    assert "C3" not in caught.value.got
    assert "\x1b" not in caught.value.got


def test_registry_that_listens_nowhere_is_reported_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    waits: list[float] = []
    with client(sleep=waits.append) as store, pytest.raises(RegistryError) as caught:
        store.manifest(Repository(address, "a"), "x")
    assert "refuses" in caught.value.what
    assert len(waits) == 1


def test_registry_that_answered_before_is_waited_for() -> None:
    waits: list[float] = []
    with Hostile(lambda request: ranged(DATA, request)) as server, client(sleep=waits.append) as store:
        store.has(Repository(server.address, "a"), BLOB)
        server.stop()
        with pytest.raises(RegistryError):
            store.has(Repository(server.address, "a"), BLOB)
    assert len(waits) == 5


def test_unknown_host_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    waits: list[float] = []
    with client(sleep=waits.append) as store, pytest.raises(RegistryError) as caught:
        store.manifest(Repository("registry.invalid", "a"), "x")
    assert "resolved" in caught.value.what
    assert waits == []


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """``*.test`` is this machine."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(
        "127.0.0.1" if str(host).endswith(".test") else host, *rest, **more))  # fmt: skip


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server context; its certificate for ``registry.test`` is in ``tmp_path/ca.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("registry.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(pem)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    return context


@pytest.mark.usefixtures("names")
def test_registry_with_a_trusted_certificate_is_read(tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Hostile(lambda request: ranged(DATA, request), tls) as server, client() as store:
        repository = Repository(f"registry.test:{server.port}", "a")
        assert store.has(repository, BLOB)
        reader = store.open(repository, BLOB)
        assert reader.readinto(memoryview(bytearray(10_000))) == len(DATA)
        reader.close()


@pytest.mark.usefixtures("names")
def test_registry_with_an_unknown_certificate_is_refused_at_once(
    tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with Hostile(lambda request: ranged(DATA, request), tls) as server, client(sleep=waits.append) as store:
        with pytest.raises(RegistryError) as caught:
            store.has(Repository(f"registry.test:{server.port}", "a"), BLOB)
        assert server.requests == []
    assert "certificate" in caught.value.what
    assert "CA" in caught.value.hint
    assert waits == []


@pytest.mark.usefixtures("names")
def test_registry_without_tls_is_named_with_the_option_for_it() -> None:
    with Hostile(lambda request: ranged(DATA, request)) as server:
        host = f"registry.test:{server.port}"
        with client() as store, pytest.raises(RegistryError) as caught:
            store.has(Repository(host, "a"), BLOB)
        assert caught.value.what == "the registry does not speak TLS"
        assert f"--insecure-registry {host}" in caught.value.hint
        with client(insecure=frozenset({host})) as store:
            assert store.has(Repository(host, "a"), BLOB)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("way", ["redirect", "realm", "upload"])
def test_nothing_leads_from_tls_to_no_tls(way: str, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Hostile(lambda _: Reply(200, b'{"token":"x"}')) as plain:
        replies = {
            "redirect": Reply(302, headers={"Location": f"{plain.url}/x"}),
            "realm": Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{plain.url}/x"'}),
            "upload": Reply(202, headers={"Location": f"{plain.url}/x"}),
        }
        with Hostile(lambda _: replies[way], tls) as server, client() as store:
            repository = Repository(f"registry.test:{server.port}", "a")
            with pytest.raises(RegistryError):
                if way == "upload":
                    store.write(repository, BLOB, lambda: BytesReader(DATA, 0))
                else:
                    store.has(repository, BLOB)
        assert plain.requests == []


def test_proxy_is_taken_from_the_environment_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(lambda request: ranged(DATA, request)) as proxy, Hostile(lambda request: ranged(DATA, request)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "direct.test")
        with client(insecure=frozenset({"registry.test"})) as store:
            assert store.has(Repository("registry.test", "a"), BLOB)
            assert store.has(Repository(server.address, "a"), BLOB)
        assert [one.target for one in proxy.requests] == [f"http://registry.test/v2/a/blobs/{BLOB.digest}"]
        assert len(server.requests) == 1


def test_missing_or_malformed_ca_file_is_the_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(UsageError):
        client()
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UsageError):
        client()


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(request: object) -> Reply:
        time.sleep(0.4)
        return HANG_UP

    with Hostile(late) as server, client(timeout=0.05, retries=1) as store, pytest.raises(RegistryError) as caught:
        store.has(Repository(server.address, "a"), BLOB)
    assert "in time" in caught.value.what
