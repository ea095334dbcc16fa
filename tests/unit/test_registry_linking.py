"""Referrers at a target: each can be found afterwards, and nothing else is written over for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from airgap.errors import NotTaken, RegistryError
from airgap.importer.signing import put_signature_tag
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from airgap.oci.stores import Referring
from airgap.registry import RegistryStore
from tests.support import images
from tests.support.hostile import Reply, Request, client
from tests.support.replica import FORBIDDEN, NOTHING, Replica

SPDX = "application/spdx+json"
IMAGE = images.image([images.layer("subject")])
SUBJECT, TAG = IMAGE.digest, digest_tag(IMAGE.digest)
SBOMS = [images.artifact(IMAGE, SPDX, bytes([number])) for number in range(3)]
LISTED = [replace(sbom.manifest.descriptor) for sbom in SBOMS]


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica() as one:
        one.push("app", IMAGE, "1")
        yield one


@pytest.fixture
def store() -> Iterator[RegistryStore]:
    with client(retries=1) as one:
        yield one


def put(store: RegistryStore, replica: Replica, *referrers: images.Built, name: str = "app") -> Repository:
    repository = Repository(replica.address, name)
    for one in referrers:
        store.put_manifest(repository, one.manifest)
    return repository


def findable(store: RegistryStore, repository: Repository) -> set[Digest]:
    """What a client finds that looks where the specification says."""
    found = store.referrers(repository, SUBJECT)
    return {one.digest for one in found.descriptors} | {child.digest for index in found.tagged for child in index.children}


@pytest.mark.parametrize("without_api", [False, True])
def test_referrers_can_be_found_afterwards(replica: Replica, store: RegistryStore, without_api: bool) -> None:
    replica.without_api = {"app"} if without_api else set()
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert findable(store, repository) == {one.digest for one in SBOMS}
    assert (TAG in replica.tags("app")) is without_api


def test_repository_with_the_api_says_nothing_of_one_without(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"proxy"}
    replica.push("proxy", IMAGE, "1")
    for name in ("app", "proxy", "app"):
        repository = put(store, replica, *SBOMS, name=name)
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
        assert findable(store, repository) == {one.digest for one in SBOMS}
    assert (TAG in replica.tags("app"), TAG in replica.tags("proxy")) == (False, True)


@pytest.mark.parametrize("odd", [NOTHING, Reply(405), Reply(406)], ids=lambda reply: f"{reply.status}")
def test_one_odd_answer_at_a_target_with_the_api_leaves_nothing_unfindable(
    replica: Replica, store: RegistryStore, odd: Reply
) -> None:
    replica.special[f"GET /v2/app/referrers/{SUBJECT}"] = odd
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert findable(store, repository) == {one.digest for one in SBOMS}


@pytest.mark.parametrize("odd", [FORBIDDEN, Reply(400), Reply(500)], ids=lambda reply: f"{reply.status}")
def test_answer_that_says_nothing_is_an_error_and_not_a_guess(replica: Replica, store: RegistryStore, odd: Reply) -> None:
    replica.special[f"GET /v2/app/referrers/{SUBJECT}"] = odd
    repository = put(store, replica, *SBOMS)
    with pytest.raises(RegistryError):
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert TAG not in replica.tags("app")


def test_registry_that_promises_a_link_and_does_not_list_it_is_not_believed(replica: Replica, store: RegistryStore) -> None:
    empty = images.fallback_index([]).manifest
    replica.special[f"GET /v2/app/referrers/{SUBJECT}"] = Reply(200, empty.raw, {"Content-Type": empty.media_type})
    repository = put(store, replica, *SBOMS)
    with pytest.raises(NotTaken) as caught:
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert caught.value.what == "the registry reported that it linked a referrer, but does not list it"


def test_list_that_comes_a_moment_late_is_waited_for(replica: Replica, store: RegistryStore) -> None:
    asked: list[str] = []
    usual = replica.answer

    def late(request: Request) -> Reply:
        if "/referrers/" in request.path:
            asked.append(request.path)
            if len(asked) == 1:
                empty = images.fallback_index([]).manifest
                return Reply(200, empty.raw, {"Content-Type": empty.media_type})
        return usual(request)

    replica.server.app = late
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert len(asked) == 2
    assert TAG not in replica.tags("app")


def test_what_the_api_took_without_a_word_goes_under_the_tag_too(replica: Replica, store: RegistryStore) -> None:
    """No OCI-Subject in the answer, and an API that lists nothing: the specification's way is the tag."""
    empty = images.fallback_index([]).manifest
    replica.without_api = {"app"}
    replica.special[f"GET /v2/app/referrers/{SUBJECT}"] = Reply(200, empty.raw, {"Content-Type": empty.media_type})
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert findable(store, repository) == {one.digest for one in SBOMS}


STRANGERS = {
    "an image": images.image([images.layer("stranger")]),
    "an image index": images.multi_arch("stranger"),
    "a Docker list": images.multi_arch("stranger", docker=True),
    "a nested index": images.index([images.multi_arch("inside")]),
    "the subject itself": IMAGE,
    "a list with one stranger": images.index([SBOMS[0], images.image([images.layer("stranger")])]),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_somebody_elses_image_under_the_tag_is_never_written_over(replica: Replica, store: RegistryStore, what: str) -> None:
    replica.without_api = {"app"}
    replica.push("app", STRANGERS[what], TAG)
    before = replica.tags("app")
    repository = put(store, replica, *SBOMS)
    for original in (None, images.fallback_index(SBOMS).manifest):
        with pytest.raises(NotTaken) as caught:
            store.link_referrers(Referring(repository, SUBJECT, LISTED, original))
        assert "the fallback tag for referrers is in use" in caught.value.what
    assert replica.tags("app") == before


def test_somebody_elses_image_under_the_tag_does_not_matter_where_there_is_the_api(replica: Replica, store: RegistryStore) -> None:
    replica.push("app", STRANGERS["an image index"], TAG)
    before = replica.tags("app")
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert replica.tags("app") == before


def test_digest_answered_under_its_tag_is_not_taken_for_a_list_to_add_to(replica: Replica, store: RegistryStore) -> None:
    replica.without_api, replica.digests_are_tags = {"app"}, True
    repository = put(store, replica, *SBOMS)
    with pytest.raises(NotTaken):
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    store.link_referrers(Referring(repository, SUBJECT, [], None))


def test_tag_that_will_be_an_images_name_is_not_used_for_a_list(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"app"}
    repository = put(store, replica, *SBOMS)
    with pytest.raises(NotTaken):
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None, tag_is_free=False))
    assert TAG not in replica.tags("app")


def test_list_that_another_writer_replaces_meanwhile_has_both(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"app"}
    theirs = images.artifact(IMAGE, SPDX, b"theirs")
    replica.push("app", theirs)
    usual = replica.answer
    wrote: list[object] = []

    def rival(request: Request) -> Reply:
        reply = usual(request)
        if request.method == "PUT" and request.path.endswith(TAG) and not wrote:
            wrote.append(replica.push("app", images.fallback_index([theirs]), TAG))
        return reply

    replica.server.app = rival
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert findable(store, repository) == {theirs.digest, *(one.digest for one in SBOMS)}


def test_list_of_somebody_else_is_added_to_and_keeps_its_words(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"app"}
    theirs = images.artifact(IMAGE, SPDX, b"theirs")
    replica.push("app", theirs)
    replica.push("app", images.index([theirs], extra={"annotations": {"kept": "yes"}}), TAG)
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    found = json.loads(replica.manifests["app", TAG].raw)
    assert found["annotations"] == {"kept": "yes"}
    assert {one["digest"] for one in found["manifests"]} == {theirs.digest, *(one.digest for one in SBOMS)}


def test_registry_that_loses_what_is_put_under_the_tag_is_noticed(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"app"}
    replica.special[f"PUT /v2/app/manifests/{TAG}"] = Reply(201)
    repository = put(store, replica, *SBOMS)
    with pytest.raises(NotTaken) as caught:
        store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    assert caught.value.what == "the registry does not find referrers that were linked"


def test_empty_list_of_the_source_is_kept_and_never_takes_the_place_of_a_full_one(replica: Replica, store: RegistryStore) -> None:
    replica.without_api = {"app"}
    empty = images.fallback_index([]).manifest
    repository = put(store, replica, *SBOMS)
    store.link_referrers(Referring(repository, SUBJECT, [], empty))
    assert replica.tags("app")[TAG] == empty.digest
    store.link_referrers(Referring(repository, SUBJECT, LISTED, None))
    store.link_referrers(Referring(repository, SUBJECT, [], empty))
    assert findable(store, repository) == {one.digest for one in SBOMS}


@pytest.mark.parametrize("stranger", [images.image([images.layer("x")]), images.multi_arch("x")], ids=["image", "index"])
def test_somebody_elses_image_under_a_signature_tag_is_never_written_over(
    replica: Replica, store: RegistryStore, stranger: images.Built
) -> None:
    tag = digest_tag(SUBJECT, ".sig")
    replica.push("app", stranger, tag)
    ours = replica.push("app", images.cosign_signature(b"payload", "c2ln"))
    with pytest.raises(NotTaken):
        put_signature_tag(store, Repository(replica.address, "app").tagged(tag), ours.manifest, [])
    assert replica.tags("app")[tag] == stranger.digest
