"""TLS from a private CA, client certificates, registries called insecure, and proxies; against a real docker-registry."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from airgap.errors import RegistryError, UsageError
from airgap.oci.reference import Repository
from airgap.oci.verify import read_all
from airgap.registry import RegistryStore, certs_directories
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import Hostile, Reply, client, ranged
from tests.support.privateca import PrivateCa
from tests.support.tools import require
from tests.support.tunnel import Tunnel
from tests.unit.test_registry_auth import BLOB, DATA

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

BUILT = images.image([images.layer("tls")])


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def guarded(ca: PrivateCa, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Wants a client certificate of the same CA."""
    require("docker-registry")
    certificate, key = ca.issue("server")
    tls = f"certificate: {certificate}, key: {key}, clientcas: [{ca.file}]"
    with DockerRegistry(tmp_path_factory.mktemp("registry"), tls=tls) as registry:
        yield registry


def certs(root: Path, address: str, ca: PrivateCa, *, pair: bool = True) -> Path:
    """A directory of certs.d for one registry."""
    directory = root / address
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(ca.file.read_bytes())
    if pair:
        for path in ca.issue("client"):
            (directory / path.name).write_bytes(path.read_bytes())
    return directory


def context(
    ca: PrivateCa, *, name: str = "server", address: str = "127.0.0.1", days: int = 1, strict: bool = False
) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*ca.issue(name, address, days))
    if strict:
        made.load_verify_locations(cafile=ca.file)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def push(store: RegistryStore, repository: Repository) -> None:
    for content in BUILT.blobs:
        store.write(repository, content.descriptor, partial(images.BytesReader, content.raw))
    store.put_manifest(repository, BUILT.manifest)
    store.tag(repository.tagged("v1"), BUILT.manifest)


@pytest.mark.parametrize("way", ["certs.d", "of one"])
def test_registry_with_a_private_ca_wants_a_client_certificate_and_gets_it(
    guarded: DockerRegistry, ca: PrivateCa, tmp_path: Path, way: str
) -> None:
    directory = certs(tmp_path, guarded.address, ca)
    ways: dict[str, dict[str, object]] = {
        "certs.d": {"certs_d": (tmp_path,)},
        "of one": {"cert_dirs": {guarded.address: directory}},
    }
    repository = Repository(guarded.address, way.replace(".", "-").replace(" ", "-"))
    with client(**ways[way]) as store:
        push(store, repository)
        assert store.manifest(repository, "v1").digest == BUILT.digest
    require("skopeo")
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", "--cert-dir", directory, f"docker://{repository}:v1"], capture_output=True, check=True
    )
    assert shown.stdout == BUILT.manifest.raw


def test_registry_that_wants_a_client_certificate_says_so_to_those_without(
    guarded: DockerRegistry, ca: PrivateCa, tmp_path: Path
) -> None:
    certs(tmp_path, guarded.address, ca, pair=False)
    with client(certs_d=(tmp_path,)) as store, pytest.raises(RegistryError) as caught:
        store.manifest(Repository(guarded.address, "a"), "v1")
    assert "client certificate" in caught.value.what
    assert f"certs.d/{guarded.address}/" in caught.value.hint


@pytest.mark.parametrize(
    ("days", "address", "says", "hint"),
    [
        (1, "127.0.0.1", "local issuer", "ca.crt"),
        (-1, "127.0.0.1", "expired", "clock"),
        (1, "127.0.0.9", "127.0.0.1", "a name of the registry that its certificate covers"),
    ],
    ids=["unknown CA", "expired", "other address"],
)
def test_certificate_that_is_not_trusted_is_an_error_with_what_to_do(
    ca: PrivateCa, tmp_path: Path, days: int, address: str, says: str, hint: str
) -> None:
    trusted = ca if says != "local issuer" else PrivateCa(tmp_path / "other")
    with Hostile(lambda request: ranged(DATA, request), context(ca, address=address, days=days)) as server:
        directory = certs(tmp_path / "certs.d", server.address, trusted, pair=False)
        with client(certs_d=(tmp_path / "certs.d",)) as store, pytest.raises(RegistryError) as caught:
            store.has(Repository(server.address, "a"), BLOB)
        assert server.requests == []
    assert says in caught.value.what
    assert hint in caught.value.hint
    assert str(directory) in caught.value.expected
    assert server.address in caught.value.where


def test_insecure_registry_is_spoken_to_with_tls_where_it_can(ca: PrivateCa) -> None:
    said: list[str] = []
    with (
        Hostile(lambda request: ranged(DATA, request), context(ca)) as server,
        client(insecure=frozenset({server.address}), say=said.append) as store,
    ):
        for _ in range(2):
            assert read_all(store.open(Repository(server.address, "a"), BLOB), 10**6, "test") == DATA
    assert len(said) == 1
    assert "its certificate is not verified" in said[0]


def test_insecure_registry_without_tls_is_spoken_to_without(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path) as registry, client(insecure=frozenset({registry.address})) as store:
        push(store, Repository(registry.address, "a"))
        assert store.manifest(Repository(registry.address, "a"), "v1").digest == BUILT.digest


def test_insecure_does_not_extend_to_where_the_registry_leads(ca: PrivateCa) -> None:
    with Hostile(lambda request: ranged(DATA, request), context(ca)) as storage, Hostile(lambda _: Reply(), context(ca)) as server:
        elsewhere = storage.url.replace("127.0.0.1", "localhost")
        server.app = lambda _: Reply(307, headers={"Location": f"{elsewhere}/b"})
        with client(insecure=frozenset({server.address})) as store, pytest.raises(RegistryError) as caught:
            store.open(Repository(server.address, "a"), BLOB)
        assert storage.requests == []
    assert "not trusted" in caught.value.what


def test_ca_of_a_registry_holds_for_its_storage_and_the_client_certificate_stays_at_home(ca: PrivateCa, tmp_path: Path) -> None:
    for strict in (False, True):
        with Hostile(lambda request: ranged(DATA, request), context(ca, strict=strict)) as storage:
            leads = Reply(307, headers={"Location": f"{storage.url}/b"})
            with Hostile(partial(lambda leads, _: leads, leads), context(ca, strict=True)) as server:
                directory = certs(tmp_path / str(strict), server.address, ca)
                with client(cert_dirs={server.address: directory}, retries=0) as store:
                    repository = Repository(server.address, "a")
                    if strict:
                        with pytest.raises(RegistryError):
                            read_all(store.open(repository, BLOB), 10**6, "test")
                    else:
                        assert read_all(store.open(repository, BLOB), 10**6, "test") == DATA
                assert server.requests
                assert bool(storage.requests) is not strict


@pytest.mark.parametrize("missing", ["client.cert", "client.key"])
def test_half_of_a_pair_is_a_mistake_in_the_directory(ca: PrivateCa, tmp_path: Path, missing: str) -> None:
    directory = certs(tmp_path, "registry.test", ca)
    (directory / missing).unlink()
    with client(certs_d=(tmp_path,)) as store, pytest.raises(UsageError) as caught:
        store.has(Repository("registry.test", "a"), BLOB)
    assert missing in caught.value.expected
    assert caught.value.where == str(directory)


@pytest.mark.parametrize("name", ["ca.crt", "client.cert", "client.key"])
def test_file_that_is_no_certificate_is_named(ca: PrivateCa, tmp_path: Path, name: str) -> None:
    directory = certs(tmp_path, "registry.test", ca)
    (directory / name).write_text("no certificate")
    with client(certs_d=(tmp_path,)) as store, pytest.raises(UsageError) as caught:
        store.has(Repository("registry.test", "a"), BLOB)
    assert str(directory) in caught.value.where


def test_key_with_a_passphrase_is_an_error_and_nobody_is_asked(ca: PrivateCa, tmp_path: Path) -> None:
    directory = certs(tmp_path, "registry.test", ca)
    key = directory / "client.key"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-passout", "pass:secret"]
    key.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    with client(certs_d=(tmp_path,)) as store, pytest.raises(UsageError) as caught:
        store.has(Repository("registry.test", "a"), BLOB)
    assert "without a passphrase" in caught.value.expected


def test_host_of_a_redirect_never_names_a_directory_above(ca: PrivateCa, tmp_path: Path) -> None:
    (tmp_path / "certs.d").mkdir()
    (tmp_path / "broken.crt").write_text("this would be an error")
    with Hostile(lambda _: Reply(307, headers={"Location": "https://../x"}), context(ca)) as server:
        directory = certs(tmp_path / "certs.d", server.address, ca)
        assert directory.is_dir()
        with client(certs_d=(tmp_path / "certs.d",), retries=0) as store, pytest.raises(RegistryError):
            store.open(Repository(server.address, "a"), BLOB)


def test_directories_are_those_of_podman_and_docker() -> None:
    found = [str(path) for path in certs_directories({"HOME": "/h"})]
    assert found == ["/h/.config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"]


def test_tls_goes_through_a_proxy_with_the_registrys_own_certificates(
    ca: PrivateCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = certs(tmp_path, "registry.test", ca)
    tls = context(ca, name="named", address="registry.test", strict=True)
    with Hostile(lambda request: ranged(DATA, request), tls) as server, Tunnel(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for options in ({"certs_d": (tmp_path,)}, {"cert_dir": directory}):
            proxy.asked.clear()
            with client(**options) as store:
                assert read_all(store.open(Repository("registry.test", "a"), BLOB), 10**6, "test") == DATA
            assert proxy.asked == ["registry.test:443"]
        monkeypatch.setenv("NO_PROXY", "registry.test")
        with client(certs_d=(tmp_path,), retries=0) as store, pytest.raises(RegistryError):
            store.open(Repository("registry.test", "a"), BLOB)
        assert proxy.asked == ["registry.test:443"]
