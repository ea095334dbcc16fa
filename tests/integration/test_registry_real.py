"""The client against a real docker-registry: push, pull, mount, fallback tags, Basic and signed tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.errors import Damaged, NotFound, RegistryError
from airgap.limits import MAX_MANIFEST
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Referring
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.registry import CredentialStore, RegistryStore
from tests.support import images
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.hostile import client
from tests.support.tokenserver import TokenServer
from tests.support.tools import require

BIG = images.seeded("big", 3_000_000)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client() as one:
        yield one


@pytest.fixture
def repository(registry: DockerRegistry, request: pytest.FixtureRequest) -> Repository:
    """One of its own for every test."""
    return Repository(registry.address, f"t/{request.node.name.partition('[')[0].removeprefix('test_').replace('_', '-')}")


def blob(raw: bytes, algorithm: str = "sha256") -> Descriptor:
    return Descriptor(media.OCI_LAYER, Digest.of(raw, algorithm), len(raw))


def send(store: RegistryStore, repository: Repository, raw: bytes, algorithm: str = "sha256") -> Descriptor:
    descriptor = blob(raw, algorithm)
    store.write(repository, descriptor, lambda: VerifiedReader(BytesReader(raw, 0), descriptor, "test"))
    return descriptor


def push(store: RegistryStore, repository: Repository, built: images.Built) -> Manifest:
    for child in built.children:
        push(store, repository, child)
    for content in built.blobs:
        if not store.has(repository, content.descriptor):
            send(store, repository, content.raw)
    store.put_manifest(repository, built.manifest)
    return built.manifest


@pytest.mark.parametrize("raw", [b"", b"x", BIG], ids=["empty", "one byte", "3 MB"])
def test_blob_comes_back_as_it_was_sent(store: RegistryStore, repository: Repository, raw: bytes) -> None:
    assert not store.has(repository, blob(raw))
    descriptor = send(store, repository, raw)
    assert store.has(repository, descriptor)
    assert read_all(VerifiedReader(store.open(repository, descriptor), descriptor, "test"), 10**7, "test") == raw
    assert read_all(store.open(repository, descriptor, len(raw) // 2), 10**7, "test") == raw[len(raw) // 2 :]


def test_sha512_blob_is_stored(store: RegistryStore, repository: Repository, registry: DockerRegistry) -> None:
    send(store, repository, b"long digest", "sha512")
    assert registry.blob_path(Digest.of(b"long digest")).read_bytes() == b"long digest"


def test_damaged_blob_is_not_stored(store: RegistryStore, repository: Repository, registry: DockerRegistry) -> None:
    descriptor = blob(BIG + b"good")
    with pytest.raises(Damaged):
        store.write(repository, descriptor, lambda: VerifiedReader(BytesReader(BIG + b"evil", 0), descriptor, "test"))
    assert not store.has(repository, descriptor)
    assert not registry.blob_path(descriptor.digest).exists()
    assert not registry.blob_path(Digest.of(BIG + b"evil")).exists()


def test_index_with_children_is_pushed_tagged_and_resolved(store: RegistryStore, repository: Repository) -> None:
    built = images.multi_arch("web", [images.layer("base")])
    assert store.resolve(repository.tagged("v1")) is None
    with pytest.raises(NotFound):
        store.manifest(repository, "v1")
    manifest = push(store, repository, built)
    assert store.has_manifest(repository, manifest.digest)
    assert store.resolve(repository.tagged("v1")) is None
    store.tag(repository.tagged("v1"), manifest)
    assert store.resolve(repository.tagged("v1")) == manifest.digest
    for selector in ("v1", manifest.digest):
        assert store.manifest(repository, selector).raw == manifest.raw
    for child in built.children:
        assert store.manifest(repository, child.digest).raw == child.manifest.raw
        assert read_all(store.open(repository, child.descriptor), 10**6, "test") == child.manifest.raw


def test_index_without_its_children_is_refused_with_the_registrys_words(store: RegistryStore, repository: Repository) -> None:
    with pytest.raises(RegistryError) as caught:
        store.put_manifest(repository, images.multi_arch("lonely").manifest)
    assert "MANIFEST_BLOB_UNKNOWN" in caught.value.got


@pytest.mark.parametrize(("spare", "taken"), [(1000, True), (-1000, False)], ids=["below the limit", "above it"])
def test_manifest_up_to_the_limit_of_the_registry_is_taken(
    store: RegistryStore, repository: Repository, spare: int, taken: bool
) -> None:
    built = images.image([images.layer("large")])
    push(store, repository, built)
    document = json.loads(built.manifest.raw)
    padding = MAX_MANIFEST - len(built.manifest.raw) - spare
    raw = json.dumps({**document, "annotations": {"a": "x" * padding}}, separators=(",", ":")).encode()
    manifest = replace(built.manifest, raw=raw, digest=Digest.of(raw))
    if taken:
        store.put_manifest(repository, manifest)
        assert store.has_manifest(repository, manifest.digest)
        return
    with pytest.raises(RegistryError) as caught:
        store.put_manifest(repository, manifest)
    assert "limits the size of manifests" in caught.value.hint


def test_blob_is_mounted_from_another_repository(store: RegistryStore, repository: Repository) -> None:
    other = Repository(repository.host, f"{repository.path}/other")
    descriptor = send(store, repository, b"shared")
    assert store.mount(other, descriptor, repository) is True
    assert store.has(other, descriptor)


def test_missing_blob_is_not_mounted_and_its_session_takes_the_blob(
    store: RegistryStore, repository: Repository, registry: DockerRegistry
) -> None:
    other = Repository(repository.host, f"{repository.path}/other")
    assert store.mount(other, blob(b"nowhere"), repository) is False
    assert not store.has(other, blob(b"nowhere"))
    store.write(other, blob(b"nowhere"), lambda: BytesReader(b"nowhere", 0))
    assert store.has(other, blob(b"nowhere"))
    assert list((registry.root / "data" / "docker/registry/v2/repositories" / other.path).rglob("_uploads/*/data")) == []


def test_referrers_are_linked_by_the_fallback_tag(store: RegistryStore, repository: Repository) -> None:
    subject = push(store, repository, images.image([images.layer("subject")]))
    config = send(store, repository, b"{}")
    referrers = []
    for number in range(3):
        document = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "artifactType": f"example/{number}",
            "config": Descriptor(media.OCI_EMPTY, config.digest, 2).to_json(),
            "layers": [],
            "subject": subject.descriptor.to_json(),
        }
        manifest = Manifest.parse(json.dumps(document).encode(), media.OCI_MANIFEST, "test")
        store.put_manifest(repository, manifest)
        referrers.append(manifest.descriptor)
    assert store.referrers(repository, subject.digest).descriptors == ()
    store.link_referrers(Referring(repository, subject.digest, referrers[:2], None))
    store.link_referrers(Referring(repository, subject.digest, referrers, None))
    found = store.referrers(repository, subject.digest)
    assert [(one.digest, one.artifact_type) for one in found.tagged[0].children] == [
        (one.digest, one.artifact_type) for one in referrers
    ]
    (listed,) = found.tagged
    other = Repository(repository.host, f"{repository.path}/other")
    for one in (subject, *(store.manifest(repository, one.digest) for one in referrers)):
        for needed in one.blobs():
            store.mount(other, needed, repository)
        store.put_manifest(other, one)
    store.link_referrers(Referring(other, subject.digest, list(reversed(referrers)), listed))
    assert store.referrers(other, subject.digest).tagged == (listed,)


def test_client_goes_on_after_the_registry_was_restarted(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path) as registry, client() as store:
        repository = Repository(registry.address, "a")
        descriptor = send(store, repository, BIG)
        reader = store.open(repository, descriptor)
        buffer = memoryview(bytearray(100_000))
        got = bytearray(buffer[: reader.readinto(buffer)])
        registry.restart()
        while count := reader.readinto(buffer):
            got += buffer[:count]
        reader.close()
        assert got == BIG
        send(store, repository, b"after")


def test_basic_credentials_open_a_guarded_registry(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "r", htpasswd(tmp_path)) as registry:
        repository = Repository(registry.address, "a")
        with client() as anonymous, pytest.raises(RegistryError) as caught:
            send(anonymous, repository, b"x")
        assert "log in" in caught.value.hint
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {registry.address: {"auth": secret}}}))
        with client(credentials=CredentialStore((tmp_path / "auth.json",))) as known:
            built = images.image([images.layer("guarded")])
            known.tag(repository.tagged("v1"), push(known, repository, built))
            assert known.resolve(repository.tagged("v1")) == built.digest


def test_signed_tokens_with_our_scopes_are_enough_for_all_calls(tmp_path: Path) -> None:
    require("docker-registry")
    tokens = TokenServer(tmp_path)
    with tokens.server, DockerRegistry(tmp_path / "r", tokens.config) as registry, client() as store:
        first, second = (Repository(registry.address, name) for name in ("a/first", "second"))
        built = images.image([images.layer("token")])
        store.tag(first.tagged("v1"), push(store, first, built))
        for content in built.blobs:
            assert store.mount(second, content.descriptor, first)
        store.put_manifest(second, built.manifest)
        assert store.manifest(second, built.digest).raw == built.manifest.raw
        store.link_referrers(Referring(first, built.digest, [built.manifest.descriptor], None))
        asked = [tuple(one.query["scope"]) for one in tokens.server.requests]
    assert len(asked) == len(set(asked)) <= 5
