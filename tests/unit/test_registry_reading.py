"""Reading blobs and manifests from registries that drop, lie, stutter or refuse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airgap.errors import NotFound, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import read_all
from airgap.registry import RegistryStore
from tests.support.hostile import HANG_UP, App, Hostile, Reply, Request, client, ranged

DATA = bytes(range(256)) * 2000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))
CONFIG = {"mediaType": media.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
RAW = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": []}).encode()


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client() as one:
        yield one


def read(reader: Reader) -> bytes:
    return read_all(reader, 10 * len(DATA), "test")


def repository(server: Hostile) -> Repository:
    return Repository(server.address, "a/b")


def times(count: int, first: Reply, then: Callable[[Request], Reply]) -> App:
    """Answer ``first`` so many times, then as ``then`` says."""
    left = [first] * count
    return lambda request: left.pop() if left else then(request)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_read_goes_on_with_a_closed_range_after_a_drop(store: RegistryStore, reset: bool) -> None:
    app = times(1, Reply(200, DATA, cut=100_000, reset=reset), lambda request: ranged(DATA, request))
    with Hostile(app) as server:
        assert read(store.open(repository(server), BLOB)) == DATA
        first, second = server.requests
        begin, _, end = second.headers["Range"].removeprefix("bytes=").partition("-")
    assert "Range" not in first.headers
    assert int(end) == len(DATA) - 1
    assert 0 <= int(begin) <= 100_000


def test_read_survives_many_drops_as_long_as_each_brings_something(store: RegistryStore) -> None:
    def app(request: Request) -> Reply:
        whole = ranged(DATA, request)
        return Reply(whole.status, whole.body, whole.headers, cut=70_000) if len(whole.body) > 70_000 else whole

    with Hostile(app) as server:
        assert read(store.open(repository(server), BLOB)) == DATA


def test_read_from_offset_asks_for_the_rest_only(store: RegistryStore) -> None:
    with Hostile(lambda request: ranged(DATA, request)) as server:
        assert read(store.open(repository(server), BLOB, 1234)) == DATA[1234:]
        assert server.requests[0].headers["Range"] == f"bytes=1234-{len(DATA) - 1}"


def test_read_skips_what_it_has_when_the_range_is_ignored(store: RegistryStore) -> None:
    app = times(1, Reply(200, DATA, cut=100_000), lambda _: Reply(200, DATA))
    with Hostile(app) as server:
        assert read(store.open(repository(server), BLOB)) == DATA
        assert read(store.open(repository(server), BLOB, 99)) == DATA[99:]


def test_read_gives_up_on_a_source_that_always_starts_over(store: RegistryStore) -> None:
    cuts = iter(range(100_000, len(DATA), 66_000))
    with Hostile(lambda _: Reply(200, DATA, cut=next(cuts))) as server, pytest.raises(RegistryError) as caught:
        read(store.open(repository(server), BLOB))
    assert "the whole blob every time" in caught.value.got


def test_truncated_response_that_never_completes_is_an_error_with_expected_and_got(store: RegistryStore) -> None:
    def app(request: Request) -> Reply:
        whole = ranged(DATA[:5000].ljust(len(DATA)), request)
        begin = len(DATA) - len(whole.body)
        return Reply(whole.status, whole.body, whole.headers, cut=max(0, 5000 - begin))

    with Hostile(app) as server, pytest.raises(RegistryError) as caught:
        read(store.open(repository(server), BLOB))
    assert BLOB.digest in caught.value.what
    assert (caught.value.expected, caught.value.got) == (f"{len(DATA)} bytes", "5000 bytes")


@pytest.mark.parametrize("off", [-1, 1], ids=["short", "long"])
def test_wrong_content_length_is_refused_before_a_byte_is_read(store: RegistryStore, off: int) -> None:
    with Hostile(lambda _: Reply(200, DATA + b"x", length=len(DATA) + off)) as server, pytest.raises(RegistryError) as caught:
        store.open(repository(server), BLOB)
    assert caught.value.expected == f"{len(DATA)} bytes"
    assert caught.value.got == f"{len(DATA) + off} bytes"


@pytest.mark.parametrize("content_range", ["bytes 0-5/6", "bytes 10-{last}/{size}", "nonsense", ""])
def test_partial_response_to_another_range_is_refused(store: RegistryStore, content_range: str) -> None:
    header = content_range.format(last=len(DATA) - 1, size=len(DATA))
    with Hostile(lambda _: Reply(206, DATA[100:], {"Content-Range": header})) as server, pytest.raises(RegistryError) as caught:
        store.open(repository(server), BLOB, 100)
    assert "bytes 100-" in caught.value.expected


@pytest.mark.parametrize("form", [{"chunked": True}, {"length": -1}], ids=["chunked", "until close"])
def test_body_without_length_is_read_and_its_surplus_refused(store: RegistryStore, form: dict[str, Any]) -> None:
    with Hostile(lambda _: Reply(200, DATA, **form)) as server:
        assert read(store.open(repository(server), BLOB)) == DATA
        server.app = lambda _: Reply(200, DATA + b"x", **form)
        with pytest.raises(RegistryError):
            read(store.open(repository(server), BLOB))


def test_chunked_body_that_ends_early_is_resumed(store: RegistryStore) -> None:
    app = times(1, Reply(200, DATA, chunked=True, cut=100_000), lambda request: ranged(DATA, request))
    with Hostile(app) as server:
        assert read(store.open(repository(server), BLOB)) == DATA


def test_empty_blob_is_read(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200)) as server:
        assert read(store.open(repository(server), Descriptor(media.OCTETS, Digest.of(b""), 0))) == b""


def test_connection_is_used_again_after_a_blob_was_read(store: RegistryStore) -> None:
    ports = set()
    with Hostile(lambda request: ranged(DATA, request)) as server:
        for _ in range(3):
            read(store.open(repository(server), BLOB))
            ports |= {one.getpeername() for one in server.connections()}
    assert len(ports) == 1


def test_compressed_answer_is_refused(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200, DATA, {"Content-Encoding": "gzip"})) as server:
        with pytest.raises(RegistryError) as caught:
            store.open(repository(server), BLOB)
        assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert caught.value.got == "gzip"


def test_compressed_error_page_is_the_status_that_it_has(store: RegistryStore) -> None:
    page = gzip.compress(b"<html>not here</html>")
    with Hostile(lambda _: Reply(404, page, {"Content-Encoding": "gzip"})) as server:
        with pytest.raises(NotFound) as caught:
            store.open(repository(server), BLOB)
        assert caught.value.got == "404 Not Found"
        assert store.has(repository(server), BLOB) is False


def test_bytes_that_are_right_are_right_whatever_the_storage_says_of_their_upload(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200, DATA, {"Content-Encoding": "aws-chunked"})) as server:
        assert read(store.open(repository(server), BLOB)) == DATA


def test_missing_blob_is_not_found(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(404)) as server:
        with pytest.raises(NotFound):
            store.open(repository(server), BLOB)
        assert store.has(repository(server), BLOB) is False


def test_blob_of_another_size_is_an_error_for_has(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200, b"12345")) as server, pytest.raises(RegistryError) as caught:
        store.has(repository(server), BLOB)
    assert (caught.value.expected, caught.value.got) == (f"{len(DATA)} bytes", "5 bytes")


@pytest.mark.parametrize("status", [401, 403, 405])
def test_has_asks_for_one_byte_where_head_is_refused(store: RegistryStore, status: int) -> None:
    with Hostile(lambda request: Reply(status) if request.method == "HEAD" else ranged(DATA, request)) as server:
        assert store.has(repository(server), BLOB) is True
        assert server.requests[-1].headers["Range"] == "bytes=0-0"


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_is_neither_absence_nor_presence(store: RegistryStore, status: int) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}'
    with Hostile(lambda _: Reply(status, body)) as server:
        for ask in (
            lambda: store.has(repository(server), BLOB),
            lambda: store.manifest(repository(server), "latest"),
            lambda: store.has_manifest(repository(server), BLOB.digest),
            lambda: store.resolve(repository(server).tagged("latest")),
        ):
            with pytest.raises(RegistryError) as caught:
                ask()
            assert not isinstance(caught.value, NotFound)
            assert "log in" in caught.value.hint
            assert "DENIED" in caught.value.got


def test_manifest_comes_as_it_is(store: RegistryStore) -> None:
    headers = {"Content-Type": f"{media.OCI_MANIFEST}; charset=utf-8"}
    with Hostile(lambda _: Reply(200, RAW, headers)) as server:
        found = store.manifest(repository(server), "latest")
        assert server.requests[0].path == "/v2/a/b/manifests/latest"
        assert server.requests[0].headers["Accept"] == media.ACCEPT_MANIFESTS
    assert (found.raw, found.media_type, found.digest) == (RAW, media.OCI_MANIFEST, Digest.of(RAW))


def test_manifest_under_an_unknown_content_type_is_judged_by_itself(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200, RAW, {"Content-Type": "application/json"})) as server:
        assert store.manifest(repository(server), "latest").media_type == media.OCI_MANIFEST


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_manifest_by_digest_is_hashed_whatever_the_header_says(store: RegistryStore, algorithm: str) -> None:
    right, wrong = Digest.of(RAW, algorithm), Digest.of(b"other", algorithm)
    headers = {"Content-Type": media.OCI_MANIFEST, "Docker-Content-Digest": wrong}
    with Hostile(lambda _: Reply(200, RAW, headers)) as server:
        assert store.manifest(repository(server), right).digest == right
        with pytest.raises(RegistryError) as caught:
            store.manifest(repository(server), wrong)
    assert (caught.value.expected, caught.value.got) == (wrong, right)


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b"<html>", "text/html"),
        (b"{}", media.OCI_MANIFEST),
        (RAW, media.OCI_INDEX),
        (b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (b"x" * (4 * 1024 * 1024 + 1), media.OCI_MANIFEST),
    ],
    ids=["html", "empty", "wrong type", "schema 1", "too large"],
)
def test_unbelievable_manifest_is_the_fault_of_the_registry(store: RegistryStore, raw: bytes, content_type: str) -> None:
    with Hostile(lambda _: Reply(200, raw, {"Content-Type": content_type})) as server, pytest.raises(RegistryError) as caught:
        store.manifest(repository(server), "latest")
    assert not isinstance(caught.value, NotFound)


def test_endless_manifest_is_cut(store: RegistryStore) -> None:
    reply = Reply(200, b"x" * (5 * 1024 * 1024), {"Content-Type": media.OCI_MANIFEST}, chunked=True)
    with Hostile(lambda _: reply) as server, pytest.raises(RegistryError) as caught:
        store.manifest(repository(server), "latest")
    assert "too large" in caught.value.what


def test_truncated_manifest_is_asked_for_again(store: RegistryStore) -> None:
    headers = {"Content-Type": media.OCI_MANIFEST}
    with Hostile(times(2, Reply(200, RAW, headers, cut=20), lambda _: Reply(200, RAW, headers))) as server:
        assert store.manifest(repository(server), "latest").raw == RAW


def test_open_reads_a_manifest_descriptor_from_the_manifests(store: RegistryStore) -> None:
    descriptor = Manifest.parse(RAW, media.OCI_MANIFEST, "test").descriptor
    with Hostile(lambda _: Reply(200, RAW, {"Content-Type": media.OCI_MANIFEST})) as server:
        assert read(store.open(repository(server), descriptor, 10)) == RAW[10:]
        assert server.seen("GET") == [f"/v2/a/b/manifests/{descriptor.digest}"]


def test_resolve_takes_the_digest_a_head_states(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(200, RAW, {"Docker-Content-Digest": Digest.of(RAW)})) as server:
        assert store.resolve(repository(server).tagged("x")) == Digest.of(RAW)
        assert server.seen("GET") == []


@pytest.mark.parametrize("stated", ["", "nonsense", Digest.of(RAW, "sha512")])
def test_resolve_hashes_where_the_head_states_no_usable_digest(store: RegistryStore, stated: str) -> None:
    headers = {"Content-Type": media.OCI_MANIFEST, "Docker-Content-Digest": stated}
    with Hostile(lambda _: Reply(200, RAW, headers)) as server:
        assert store.resolve(repository(server).tagged("x")) == Digest.of(RAW)


def test_unknown_tag_resolves_to_nothing(store: RegistryStore) -> None:
    with Hostile(lambda _: Reply(404)) as server:
        assert store.resolve(repository(server).tagged("x")) is None


def test_server_that_hangs_up_is_asked_again_then_reported(store: RegistryStore) -> None:
    with Hostile(times(3, HANG_UP, lambda request: ranged(DATA, request))) as server:
        assert read(store.open(repository(server), BLOB)) == DATA
        server.app = lambda _: HANG_UP
        with pytest.raises(RegistryError) as caught:
            store.open(repository(server), BLOB)
    assert caught.value.where.startswith("GET http://127.0.0.1:")
