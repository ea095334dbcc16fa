"""No referrer is lost to one odd answer, and nothing is taken for a list of referrers that is none: over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from airgap.errors import RegistryError
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from tests.support import images
from tests.support.hostile import Reply, client
from tests.support.replica import FORBIDDEN, MANIFEST_UNKNOWN, NOTHING, Replica

SPDX = "application/spdx+json"


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica() as one:
        yield one


def lock_of(replica: Replica, *names: str, threads: int = 4, **options: object) -> Lock:
    entries = [Entry(Reference.parse(f"{replica.address}/{name}:1"), origin="list:1") for name in names]
    with client(**{"retries": 0, **options}) as source:
        return resolve(entries, source, Silent(), threads)


def attached(lock: Lock) -> dict[str, set[Digest]]:
    """What refers to each image, by path."""
    return {
        image.reference.repository.path: {a.descriptor.digest for a in image.attachments if a.kind == "referrer"}
        for image in lock.images
    }


def lists(lock: Lock) -> list[Digest]:
    return [a.descriptor.digest for image in lock.images for a in image.attachments if a.kind == "referrers-tag"]


def image(replica: Replica, name: str, *, sbom: bool = True) -> tuple[images.Built, images.Built]:
    """An image with an SBOM."""
    built = replica.push(name, images.image([images.layer(name)]), "1")
    made = images.artifact(built, SPDX, name.encode())
    return built, replica.push(name, made) if sbom else made


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("odd", [Reply(404), NOTHING, Reply(405), Reply(406), Reply(404, MANIFEST_UNKNOWN)])
def test_one_repository_without_the_api_costs_no_sbom_of_another(replica: Replica, odd: Reply, threads: int) -> None:
    names = [f"team{number}/app" for number in range(8)]
    sboms = {name: {image(replica, name)[1].digest} for name in names}
    proxied, _ = image(replica, "proxy/app", sbom=False)
    replica.special[f"GET /v2/proxy/app/referrers/{proxied.digest}"] = odd
    lock = lock_of(replica, "proxy/app", *names, threads=threads)
    assert attached(lock) == {**sboms, "proxy/app": set()}
    assert lock.remarks == ()


@pytest.mark.parametrize("order", [1, -1])
def test_one_odd_404_costs_no_sbom_in_the_same_repository_and_is_said(replica: Replica, order: int) -> None:
    wanted = {}
    for tag in ("1", "2", "3"):
        built = replica.push("app", images.image([images.layer(tag)]), tag)
        wanted[tag] = replica.push("app", images.artifact(built, SPDX, tag.encode()))
    odd = replica.manifests["app", "2"]
    replica.special[f"GET /v2/app/referrers/{odd.digest}"] = NOTHING
    entries = [Entry(Reference.parse(f"{replica.address}/app:{tag}")) for tag in ("1", "2", "3")][::order]
    with client() as source:
        lock = resolve(entries, source, Silent(), 1)
    found = {str(one.reference)[-1]: {a.descriptor.digest for a in one.attachments} for one in lock.images}
    assert found == {"1": {wanted["1"].digest}, "2": set(), "3": {wanted["3"].digest}}
    (remark,) = lock.remarks
    assert f"{replica.address}/app lists referrers of other manifests" in remark
    assert odd.digest in remark


@pytest.mark.parametrize("odd", [Reply(400, MANIFEST_UNKNOWN), Reply(500), Reply(503), Reply(429), Reply(418)], ids=str)
def test_answer_that_is_neither_a_list_nor_a_clear_no_is_an_error(replica: Replica, odd: Reply) -> None:
    built, _ = image(replica, "app", sbom=False)
    replica.special[f"GET /v2/app/referrers/{built.digest}"] = odd
    with pytest.raises(RegistryError) as caught:
        lock_of(replica, "app")
    assert caught.value.what == "the registry does not list the referrers of a manifest"
    assert "--without referrers" in caught.value.hint


def test_forbidden_lists_are_told_and_tags_alone_are_a_way_on(replica: Replica) -> None:
    built, sbom = image(replica, "app")
    listed = replica.push("app", images.fallback_index([sbom]), digest_tag(built.digest))
    for one in (built, sbom, listed):
        replica.special[f"GET /v2/app/referrers/{one.digest}"] = FORBIDDEN
    with pytest.raises(RegistryError) as caught:
        lock_of(replica, "app")
    assert "shows the manifests of this repository, but not their referrers" in caught.value.what
    lock = lock_of(replica, "app", no_referrers_api=frozenset({replica.address}))
    assert attached(lock) == {"app": {sbom.digest}}
    assert lock.remarks == (f"the referrers API of {replica.address}/app was not used (--no-referrers-api)",)


def test_union_of_api_and_tag_is_carried(replica: Replica) -> None:
    built, by_api = image(replica, "app")
    by_tag = images.artifact(built, SPDX, b"only under the tag")
    replica.push("app", by_tag)
    listed = replica.push("app", images.fallback_index([by_tag]), digest_tag(built.digest))
    only = Manifests(by_api).reply()
    replica.special[f"GET /v2/app/referrers/{built.digest}"] = only
    lock = lock_of(replica, "app")
    assert attached(lock) == {"app": {by_api.digest, by_tag.digest}}
    assert lists(lock) == [listed.digest]


class Manifests:
    """A list that a registry gives."""

    def __init__(self, *listed: images.Built) -> None:
        self.index = images.fallback_index(listed).manifest

    def reply(self) -> Reply:
        return Reply(200, self.index.raw, {"Content-Type": self.index.media_type})


def test_digest_answered_under_its_tag_is_no_list(replica: Replica) -> None:
    replica.digests_are_tags, replica.without_api = True, {"app"}
    web = replica.push("app", images.multi_arch("web"), "1")
    lock = lock_of(replica, "app")
    assert (attached(lock), lists(lock)) == ({"app": set()}, [])
    (remark,) = lock.remarks
    assert remark.startswith(f"{replica.address}/app: 4 fallback tags hold no list of referrers")
    assert digest_tag(web.digest) in remark


STRANGERS = {
    "an image": lambda: images.image([images.layer("stranger")]),
    "an image index": lambda: images.multi_arch("stranger"),
    "a Docker list": lambda: images.multi_arch("stranger", docker=True),
    "a nested index": lambda: images.index([images.multi_arch("inside")]),
    "a list of another's referrers": lambda: images.fallback_index(
        [images.artifact(images.image([images.layer("another")]), SPDX, b"{}")]
    ),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_somebody_elses_image_under_the_tag_is_no_list_and_stops_nothing(replica: Replica, what: str) -> None:
    replica.without_api = {"app"}
    built, _ = image(replica, "app", sbom=False)
    stranger = STRANGERS[what]()
    replica.push("app", stranger, digest_tag(built.digest))
    lock = lock_of(replica, "app")
    assert (attached(lock), lists(lock)) == ({"app": set()}, [])
    assert stranger.digest not in lock.manifests
    assert "holds no list of referrers" in lock.remarks[0]


def test_sparse_image_index_under_the_tag_is_no_list_although_children_are_missing(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, _ = image(replica, "app", sbom=False)
    stranger = images.multi_arch("stranger")
    replica.push("app", stranger, digest_tag(built.digest))
    del replica.manifests["app", stranger.children[0].digest]
    assert lists(lock_of(replica, "app")) == []


def test_list_that_also_lists_a_stranger_gives_its_referrers_and_is_not_carried_as_a_list(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, sbom = image(replica, "app")
    stranger = replica.push("app", images.image([images.layer("stranger")]))
    replica.push("app", images.fallback_index([stranger, sbom]), digest_tag(built.digest))
    lock = lock_of(replica, "app")
    assert (attached(lock), lists(lock)) == ({"app": {sbom.digest}}, [])
    assert "holds no list of referrers" in lock.remarks[0]


def test_list_whose_entry_is_gone_is_an_error_and_not_a_shorter_list(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, sbom = image(replica, "app")
    gone = images.artifact(built, SPDX, b"gone")
    for entries in ([sbom, gone], [gone]):
        replica.push("app", images.fallback_index(entries), digest_tag(built.digest))
        del replica.manifests["app", gone.digest]
        with pytest.raises(RegistryError) as caught:
            lock_of(replica, "app")
        assert caught.value.what == "a listed referrer is missing there"
        assert "--without referrers" in caught.value.hint


def test_entry_that_fails_is_an_error_although_others_are_strangers(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, sbom = image(replica, "app")
    stranger = replica.push("app", images.image([images.layer("stranger")]))
    replica.push("app", images.fallback_index([stranger, sbom]), digest_tag(built.digest))
    replica.special[f"GET /v2/app/manifests/{sbom.digest}"] = Reply(500)
    with pytest.raises(RegistryError):
        lock_of(replica, "app")


def test_empty_list_is_carried_as_it_is(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, _ = image(replica, "app", sbom=False)
    empty = replica.push("app", images.fallback_index([]), digest_tag(built.digest))
    lock = lock_of(replica, "app")
    assert (lists(lock), lock.remarks) == ([empty.digest], ())


def test_endless_list_under_the_tag_is_refused_before_any_entry_is_asked_for(replica: Replica) -> None:
    replica.without_api = {"app"}
    built, sbom = image(replica, "app")
    listed = replace(sbom, children=())
    many = [images.artifact(built, f"{SPDX}{number}", b"{}") for number in range(1001)]
    replica.push("app", images.index([*many, listed]), digest_tag(built.digest))
    with pytest.raises(RegistryError) as caught:
        lock_of(replica, "app")
    assert caught.value.what == "too many referrers"


def test_choice_of_attachments_and_remarks_are_in_the_lock(replica: Replica) -> None:
    image(replica, "app")
    entry = Entry(Reference.parse(f"{replica.address}/app:1"), attachments=frozenset({"cosign-signature"}))
    with client() as source:
        lock = resolve([entry], source, Silent(), 1)
    assert attached(lock) == {"app": set()}
    assert lock.remarks == (
        f"not requested: cosign-attestation, cosign-sbom, lookaside-signature, referrer of {entry.reference}"
        " (a site that demands attestations will refuse what lacks them)",
    )
    assert Lock.from_bytes(lock.to_bytes(), "lock") == lock


def test_descriptor_that_lies_about_a_referrer_is_refused(replica: Replica) -> None:
    built, sbom = image(replica, "app")
    wrong = Descriptor(sbom.manifest.media_type, sbom.digest, len(sbom.manifest.raw) + 1)
    index = images.fallback_index([sbom]).manifest.raw.replace(str(len(sbom.manifest.raw)).encode(), str(wrong.size).encode())
    replica.special[f"GET /v2/app/referrers/{built.digest}"] = Reply(
        200, index, {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    )
    with pytest.raises(RegistryError) as caught:
        lock_of(replica, "app")
    assert "differs from its descriptor" in caught.value.what
