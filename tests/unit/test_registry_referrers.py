"""Finding referrers by API and by fallback tag, and making them findable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airgap.errors import NotFound, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Referring
from airgap.registry import RegistryStore
from tests.support.hostile import Hostile, Reply, Request, client

SUBJECT = Digest.of(b"subject")
TAG = f"sha256-{SUBJECT.hex}"
API = f"/v2/a/referrers/{SUBJECT}"
FALLBACK = f"/v2/a/manifests/{TAG}"


def descriptor(name: str, **more: Any) -> Descriptor:
    return Descriptor(media.OCI_MANIFEST, Digest.of(name.encode()), 100, **more)


def index(*descriptors: Descriptor, **more: Any) -> bytes:
    listed = [one.to_json() for one in descriptors]
    return json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed, **more}, indent=1).encode()


def as_index(raw: bytes, **headers: str) -> Reply:
    return Reply(200, raw, {"Content-Type": media.OCI_INDEX, **headers})


class Site:
    """A registry whose answers are a table of paths; PUTs change it."""

    def __init__(self, **_: Any) -> None:
        self.table: dict[str, Reply] = {}
        self.put_headers: dict[str, str] = {}
        self.server = Hostile(self.answer)
        self.repository = Repository(self.server.address, "a")

    def answer(self, request: Request) -> Reply:
        if request.method == "PUT":
            self.table[request.path] = as_index(request.body)
            return Reply(201, headers=self.put_headers)
        return self.table.get(request.target, Reply(404, b"404 page not found\n"))

    def tagged(self) -> bytes:
        return self.table[FALLBACK].body

    def puts(self) -> list[str]:
        return self.server.seen("PUT")


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.server.stop()


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client() as one:
        yield one


def test_what_only_the_fallback_tag_lists_is_not_lost_where_the_api_lists_something_else(site: Site, store: RegistryStore) -> None:
    site.table[API] = as_index(index(descriptor("a"), descriptor("b", artifact_type="x/y")))
    site.table[FALLBACK] = as_index(index(descriptor("c")))
    found = store.referrers(site.repository, SUBJECT)
    assert found.listed
    assert found.descriptors == (descriptor("a"), descriptor("b"))
    assert [one.raw for one in found.tagged] == [index(descriptor("c"))]


def test_pages_are_followed_and_repeats_dropped(site: Site, store: RegistryStore) -> None:
    site.table[API] = as_index(index(descriptor("a")), Link=f'<{API}?page=2>; rel="next"')
    site.table[f"{API}?page=2"] = as_index(
        index(descriptor("a"), descriptor("b")), Link=f'<{site.server.url}{API}?page=3>; rel="next"'
    )
    site.table[f"{API}?page=3"] = as_index(index(descriptor("c")), Link='</elsewhere>; rel="prev"')
    assert store.referrers(site.repository, SUBJECT).descriptors == tuple(map(descriptor, "abc"))


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/x", "https://127.0.0.1/x", "//evil.example/x", "http://h:x/"])
def test_page_at_another_host_is_refused(site: Site, store: RegistryStore, link: str) -> None:
    site.table[API] = as_index(index(descriptor("a")), Link=f'<{link}>; rel="next"')
    with pytest.raises(RegistryError):
        store.referrers(site.repository, SUBJECT)


def test_list_without_end_is_refused(site: Site, store: RegistryStore) -> None:
    site.table[API] = as_index(index(descriptor("a")), Link=f'<{API}>; rel="next"')
    with pytest.raises(RegistryError) as caught:
        store.referrers(site.repository, SUBJECT)
    assert "does not end" in caught.value.what


def test_too_many_referrers_are_refused(site: Site, store: RegistryStore) -> None:
    many = index(*(descriptor(str(number)) for number in range(1001)))
    site.table[API] = as_index(many)
    with pytest.raises(RegistryError):
        store.referrers(site.repository, SUBJECT)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"{}", {"Content-Type": "application/json"}),
        as_index(b"{}"),
        Reply(400, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
        Reply(401),
        Reply(403),
        Reply(500),
    ],
    ids=lambda reply: f"{reply.status}",
)
def test_unbelievable_list_is_an_error_and_not_an_empty_one(site: Site, store: RegistryStore, reply: Reply) -> None:
    site.table[API] = reply
    with pytest.raises(RegistryError):
        store.referrers(site.repository, SUBJECT)


NO_API = [
    *(Reply(status) for status in (404, 405, 406, 501)),
    Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'),
    Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
    Reply(400, b'{"errors":[{"code":"UNSUPPORTED"}]}'),
    Reply(200, b"<html>", {"Content-Type": "text/html"}),
]


@pytest.mark.parametrize("reply", NO_API, ids=lambda reply: f"{reply.status} {reply.body.decode()[:40]}")
def test_no_api_for_one_subject_sends_to_its_tag_and_says_nothing_about_others(
    site: Site, store: RegistryStore, reply: Reply
) -> None:
    other = Digest.of(b"other")
    site.table[API] = reply
    site.table[FALLBACK] = as_index(index(descriptor("a")))
    site.table[API.replace(SUBJECT, other)] = as_index(index(descriptor("b")))
    found = store.referrers(site.repository, SUBJECT)
    assert (found.listed, found.descriptors, [one.raw for one in found.tagged]) == (False, (), [index(descriptor("a"))])
    assert store.referrers(site.repository, other).descriptors == (descriptor("b"),)
    site.table[API] = as_index(index(descriptor("c")))
    assert store.referrers(site.repository, SUBJECT).descriptors == (descriptor("c"),)


def test_list_that_breaks_off_at_its_second_page_is_no_short_list(site: Site, store: RegistryStore) -> None:
    site.table[API] = as_index(index(), Link=f'<{API}?page=2>; rel="next"')
    with pytest.raises(RegistryError) as caught:
        store.referrers(site.repository, SUBJECT)
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("status", [401, 403])
def test_no_right_to_lists_alone_is_told_with_the_ways_on(site: Site, status: int) -> None:
    site.table[API] = Reply(status)
    site.table[f"/v2/a/manifests/{SUBJECT}"] = as_index(index())
    site.table[FALLBACK] = as_index(index(descriptor("a")))
    with client() as one, pytest.raises(RegistryError) as caught:
        one.referrers(site.repository, SUBJECT)
    assert caught.value.what == "the registry shows the manifests of this repository, but not their referrers"
    for way in (f"--no-referrers-api {site.server.address}", "--without referrers"):
        assert way in caught.value.hint
    for told in (site.server.address, f"{site.server.address}/a"):
        with client(no_referrers_api=frozenset({told})) as one:
            found = one.referrers(site.repository, SUBJECT)
        assert [one.raw for one in found.tagged] == [index(descriptor("a"))]
        assert "--no-referrers-api" in found.remark


def test_what_is_under_the_tag_in_a_kind_that_nobody_reads_is_said_and_stops_nothing(site: Site, store: RegistryStore) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    site.table[FALLBACK] = Reply(200, b"{}", {"Content-Type": kind})
    found = store.referrers(site.repository, SUBJECT)
    assert (found.descriptors, found.tagged) == ((), ())
    assert f"{TAG} is not a list of referrers: {kind}" in found.remark


def test_nothing_is_tagged_where_the_api_lists_it(site: Site, store: RegistryStore) -> None:
    site.table[API] = as_index(index(descriptor("a")))
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a")], None))
    assert site.puts() == []


def test_original_index_is_kept_byte_for_byte_when_it_lists_the_same(site: Site, store: RegistryStore) -> None:
    original = Manifest.parse(index(descriptor("b"), descriptor("a")), media.OCI_INDEX, "test")
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a"), descriptor("b")], original))
    assert site.tagged() == original.raw


def test_original_index_that_lists_something_else_is_not_used(site: Site, store: RegistryStore) -> None:
    original = Manifest.parse(index(descriptor("b"), descriptor("a")), media.OCI_INDEX, "test")
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a")], original))
    assert [one["digest"] for one in json.loads(site.tagged())["manifests"]] == [descriptor("a").digest]


def test_new_referrers_are_added_behind_those_that_are_there(site: Site, store: RegistryStore) -> None:
    site.table[FALLBACK] = as_index(index(descriptor("b"), descriptor("a"), annotations={"kept": "yes"}))
    added = descriptor("c", artifact_type="x/y", annotations={"k": "v"})
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a"), added, added], None))
    found = json.loads(site.tagged())
    assert [one["digest"] for one in found["manifests"]] == [descriptor(name).digest for name in "bac"]
    assert found["manifests"][2] == {**descriptor("c").to_json(), "artifactType": "x/y", "annotations": {"k": "v"}}
    assert found["annotations"] == {"kept": "yes"}
    assert site.tagged() == json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def test_linking_again_changes_nothing(site: Site, store: RegistryStore) -> None:
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a")], None))
    store.link_referrers(Referring(site.repository, SUBJECT, [descriptor("a")], None))
    assert site.puts() == [FALLBACK]


def test_no_referrers_need_no_calls(site: Site, store: RegistryStore) -> None:
    store.link_referrers(Referring(site.repository, SUBJECT, [], None))
    assert site.server.requests == []


def test_fallback_tag_of_a_long_digest_is_cut(site: Site, store: RegistryStore) -> None:
    long = Digest.of(b"subject", "sha512")
    store.referrers(site.repository, long)
    assert site.server.seen("GET")[-1] == f"/v2/a/manifests/sha512-{long.hex[:64]}"
