"""Sending blobs and manifests to registries that break off, lose sessions or refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airgap.errors import Damaged, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.verify import BytesReader, VerifiedReader
from airgap.registry import RegistryStore
from tests.support.hostile import HANG_UP, Hostile, Reply, Request, client

DATA = bytes(range(256)) * 20_000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))
CONFIG = {"mediaType": media.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
RAW = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": []}).encode()
MANIFEST = Manifest.parse(RAW, media.OCI_MANIFEST, "test")


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client() as one:
        yield one


class Receiver:
    """A registry that takes blobs and manifests; ``faults`` are given instead of the first answers to PUT."""

    def __init__(self, *faults: Reply, location: str = "/v2/a/b/blobs/uploads/1?_state=x%3D%3D&n=1") -> None:
        self.faults = list(faults)
        self.location = location
        self.held: dict[str, bytes] = {}
        self.server = Hostile(self.answer)
        self.repository = Repository(self.server.address, "a/b")

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()

    def answer(self, request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, headers={"Location": self.location})
        if request.method == "PUT":
            if self.faults:
                return self.faults.pop(0)
            digest = request.query["digest"][0] if "digest" in request.query else request.path.rpartition("/")[2]
            self.held[digest] = request.body
            return Reply(201, headers={"Docker-Content-Digest": Digest.of(request.body)})
        if request.method == "DELETE":
            return Reply(204)
        digest = request.path.rpartition("/")[2]
        return Reply(200, self.held[digest]) if digest in self.held else Reply(404)

    def puts(self) -> list[Request]:
        return [one for one in self.server.requests if one.method == "PUT"]


def test_blob_is_sent_in_one_piece_to_the_location_with_its_query(store: RegistryStore) -> None:
    with Receiver() as there:
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        put = there.puts()[0]
        assert put.target == f"/v2/a/b/blobs/uploads/1?_state=x%3D%3D&n=1&digest=sha256%3A{BLOB.digest.hex}"
        assert put.headers["Content-Length"] == str(len(DATA))
        assert put.headers["Content-Type"] == "application/octet-stream"
        assert "Transfer-Encoding" not in put.headers
        assert put.body == DATA


@pytest.mark.parametrize("location", ["/up", "up/1", "{url}/up/1"], ids=["absolute path", "relative path", "URL"])
def test_location_without_query_gets_one(store: RegistryStore, location: str) -> None:
    with Receiver() as there:
        there.location = location.format(url=there.server.url)
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert there.puts()[0].query == {"digest": [BLOB.digest]}
        assert there.held[BLOB.digest] == DATA


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_empty_blob_is_sent(store: RegistryStore, algorithm: str) -> None:
    blob = Descriptor(media.OCTETS, Digest.of(b"", algorithm), 0)
    with Receiver() as there:
        store.write(there.repository, blob, lambda: VerifiedReader(BytesReader(b"", 0), blob, "test"))
        assert there.puts()[0].headers["Content-Length"] == "0"
        assert there.held == {blob.digest: b""}


@pytest.mark.parametrize("status", [404, 416, 500, 502, 503, 504, 429])
def test_lost_session_is_started_anew_with_a_fresh_reader(store: RegistryStore, status: int) -> None:
    opened = []

    def opener() -> BytesReader:
        opened.append(BytesReader(DATA, 0))
        return opened[-1]

    with Receiver(Reply(status)) as there:
        store.write(there.repository, BLOB, opener)
        assert there.server.seen() == [
            "POST /v2/a/b/blobs/uploads/", "PUT /v2/a/b/blobs/uploads/1",
            f"HEAD /v2/a/b/blobs/{BLOB.digest}",
            "POST /v2/a/b/blobs/uploads/", "PUT /v2/a/b/blobs/uploads/1",
        ]  # fmt: skip
        assert there.held[BLOB.digest] == DATA
    assert len(opened) == 2


def test_connection_cut_in_the_middle_of_an_upload_is_retried(store: RegistryStore) -> None:
    with Receiver(HANG_UP) as there:
        there.server.body_limit = 1_000_000

        def app(request: Request) -> Reply:
            reply = there.answer(request)
            if request.method == "PUT":
                there.server.body_limit = None
            return reply

        there.server.app = app
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert [len(one.body) for one in there.puts()] == [1_000_000, len(DATA)]
        assert there.held[BLOB.digest] == DATA


def test_blob_that_arrived_although_the_answer_was_lost_is_not_sent_again(store: RegistryStore) -> None:
    with Receiver(HANG_UP) as there:
        there.held[BLOB.digest] = DATA
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert len(there.puts()) == 1


def test_refusal_in_the_middle_of_an_upload_is_reported_with_its_words(store: RegistryStore) -> None:
    refusal = Reply(413, b'{"errors":[{"code":"SIZE_INVALID","message":"too much"}]}')
    with Receiver(refusal) as there, pytest.raises(RegistryError) as caught:
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
    assert "too much" in caught.value.got
    assert "limit" in caught.value.hint


def test_upload_that_never_works_ends_with_an_error(store: RegistryStore) -> None:
    with Receiver(*[HANG_UP] * 20) as there:
        with pytest.raises(RegistryError):
            store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert len(there.puts()) == 6


def test_reader_that_finds_damage_cancels_the_upload(store: RegistryStore) -> None:
    with Receiver() as there:
        with pytest.raises(Damaged):
            store.write(there.repository, BLOB, lambda: VerifiedReader(BytesReader(DATA[:-1] + b"!", 0), BLOB, "test"))
        assert there.held == {}
        assert there.server.seen("DELETE") == ["/v2/a/b/blobs/uploads/1"]


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"!", b""], ids=["short", "long", "empty"])
def test_reader_of_the_wrong_length_is_an_error(store: RegistryStore, data: bytes) -> None:
    with Receiver() as there, pytest.raises(Damaged):
        store.write(there.repository, BLOB, lambda: BytesReader(data, 0))


def test_other_digest_in_the_answer_is_an_error(store: RegistryStore) -> None:
    with (
        Receiver(Reply(201, headers={"Docker-Content-Digest": Digest.of(b"other")})) as there,
        pytest.raises(RegistryError) as caught,
    ):
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
    assert (caught.value.expected, caught.value.got) == (BLOB.digest, Digest.of(b"other"))


def test_sha512_blob_may_be_answered_with_its_sha256(store: RegistryStore) -> None:
    blob = Descriptor(media.OCI_LAYER, Digest.of(DATA, "sha512"), len(DATA))
    with Receiver() as there:
        store.write(there.repository, blob, lambda: BytesReader(DATA, 0))
        assert list(there.held) == [blob.digest]


@pytest.mark.parametrize(("status", "mounted"), [(201, True), (202, False), (400, False), (403, False), (404, False), (405, False)])
def test_mount_says_whether_the_blob_must_be_sent(store: RegistryStore, status: int, mounted: bool) -> None:
    with Receiver() as there:
        there.server.app = lambda request: (
            Reply(status, headers={"Location": "/up/7"}) if request.method == "POST" else there.answer(request)
        )
        assert store.mount(there.repository, BLOB, Repository(there.server.address, "c/d")) is mounted
        assert there.server.requests[0].query == {"mount": [BLOB.digest], "from": ["c/d"]}
        assert [one.method for one in there.server.requests] == (["POST"] if mounted else ["POST", "HEAD"])


def test_a_session_that_was_opened_in_place_of_a_mount_takes_the_blob(store: RegistryStore) -> None:
    with Receiver(location="/up/7") as there:
        assert store.mount(there.repository, BLOB, Repository(there.server.address, "c/d")) is False
        store.write(there.repository, BLOB, lambda: BytesReader(DATA, 0))
        assert [one.method for one in there.server.requests] == ["POST", "HEAD", "PUT"]
        assert there.held == {BLOB.digest: DATA}


def test_where_a_mount_was_refused_it_is_asked_first_whether_the_blob_is_there(store: RegistryStore) -> None:
    with Receiver(location="/up/7") as there:
        origin = Repository(there.server.address, "c/d")
        there.held[BLOB.digest] = DATA
        assert store.mount(there.repository, BLOB, origin) is True, "nothing is sent that is there"
        assert [one.method for one in there.server.requests] == ["POST", "HEAD", "DELETE"]
        there.server.requests.clear()
        assert store.mount(there.repository, BLOB, origin) is True
        assert [one.method for one in there.server.requests] == ["HEAD"]
        there.held.clear()
        there.server.requests.clear()
        assert store.mount(there.repository, BLOB, origin) is False
        assert [one.method for one in there.server.requests] == ["HEAD", "POST"]


def test_nothing_is_mounted_across_registries(store: RegistryStore) -> None:
    with Receiver() as there:
        assert store.mount(there.repository, BLOB, Repository("127.0.0.1:1", "c/d")) is False
        assert store.mount(there.repository, BLOB, there.repository) is False
        assert there.server.requests == []


def test_manifest_is_sent_as_it_is_under_its_digest_and_tag(store: RegistryStore) -> None:
    with Receiver() as there:
        store.put_manifest(there.repository, MANIFEST)
        store.tag(there.repository.tagged("v1"), MANIFEST)
        store.tag(Reference(there.repository, None, MANIFEST.digest), MANIFEST)
        store.commit()
        assert there.server.seen("PUT") == [f"/v2/a/b/manifests/{MANIFEST.digest}", "/v2/a/b/manifests/v1"]
        assert {(one.body, one.headers["Content-Type"]) for one in there.puts()} == {(RAW, media.OCI_MANIFEST)}


@pytest.mark.parametrize("fault", [Reply(500), Reply(503), Reply(429), HANG_UP], ids=["500", "503", "429", "hang up"])
def test_manifest_is_asked_for_before_it_is_sent_again(store: RegistryStore, fault: Reply) -> None:
    with Receiver(fault) as there:
        store.put_manifest(there.repository, MANIFEST)
        assert [one.method for one in there.server.requests] == ["PUT", "HEAD", "PUT"]
    with Receiver(fault) as there:
        there.held[MANIFEST.digest] = RAW
        store.put_manifest(there.repository, MANIFEST)
        assert [one.method for one in there.server.requests] == ["PUT", "HEAD"]


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [(413, "entity too large", "limit"), (400, "manifest invalid: too large", "limits the size"), (400, "blob unknown", "")],
)
def test_refused_manifest_is_reported_with_the_words_of_the_registry(
    store: RegistryStore, status: int, message: str, hint: str
) -> None:
    body = json.dumps({"errors": [{"code": "MANIFEST_INVALID", "message": message, "detail": {"a": 1}}]}).encode()
    with Receiver(Reply(status, body)) as there, pytest.raises(RegistryError) as caught:
        store.put_manifest(there.repository, MANIFEST)
    assert f"MANIFEST_INVALID: {message}" in caught.value.got
    assert hint in caught.value.hint


def test_other_manifest_digest_in_the_answer_is_an_error(store: RegistryStore) -> None:
    with Receiver(Reply(201, headers={"Docker-Content-Digest": Digest.of(b"x")})) as there, pytest.raises(RegistryError):
        store.put_manifest(there.repository, MANIFEST)
