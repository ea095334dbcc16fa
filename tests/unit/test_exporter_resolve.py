"""Resolving: the whole closure of every image, or an error that names every gap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airgap.errors import NotFound, RegistryError, UsageError
from airgap.limits import MAX_LEVELS
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referrers
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from tests.support import images
from tests.support.origin import Origin

NAME = "docker.io/shop/web"
SPDX = "application/spdx+json"


def entry(name: str, *platforms: str) -> Entry:
    return Entry(Reference.parse(name), tuple(map(Platform.parse, platforms)), f"list:{name}")


def resolved(origin: Origin, *entries: Entry) -> Lock:
    return resolve(entries, origin, Silent(), threads=2)


@pytest.fixture
def origin() -> Origin:
    return Origin()


def carried(lock: Lock) -> set[Digest]:
    return {node.descriptor.digest for image in lock.images for node in lock.walk(image)}


def test_nested_indexes_and_every_child_are_in_the_lock(origin: Origin) -> None:
    inner = images.multi_arch("inner")
    outer = images.index([inner, images.image([images.layer("other")], platform="linux/s390x")])
    origin.push(f"{NAME}:1", outer)
    lock = resolved(origin, entry(f"{NAME}:1"))
    assert carried(lock) == {part.digest for part in outer.everything()}
    assert lock.images[0].root == outer.manifest.descriptor
    assert lock.images[0].platforms == (*images.PLATFORMS, "linux/s390x")


def test_attachments_of_the_index_of_each_child_and_of_attachments(origin: Origin) -> None:
    web = images.multi_arch("web")
    origin.push(f"{NAME}:1", web)
    signature = images.cosign_signature(b"payload", "c2ln")
    origin.push(f"{NAME}:{digest_tag(web.digest, '.sig')}", signature)
    statement = images.cosign_attachment(b"{}", images.DSSE)
    origin.push(f"{NAME}:{digest_tag(web.children[1].digest, '.att')}", statement)
    sbom = images.artifact(web.children[0], SPDX, b"{}")
    of_sbom = images.artifact(sbom, "application/vnd.example.signature", b"s")
    for part in (sbom, of_sbom):
        origin.push(NAME, part)
    (image,) = resolved(origin, entry(f"{NAME}:1")).images
    assert {(a.kind, a.subject, a.descriptor.digest) for a in image.attachments} == {
        ("cosign-signature", web.digest, signature.digest),
        ("cosign-attestation", web.children[1].digest, statement.digest),
        ("referrer", web.children[0].digest, sbom.digest),
        ("referrer", sbom.digest, of_sbom.digest),
    }
    assert image.platforms == images.PLATFORMS, "what hangs off an image adds no platforms"


def test_a_platform_wish_leaves_children_out_and_says_so(origin: Origin) -> None:
    web = images.multi_arch("web")
    origin.push(f"{NAME}:1", web)
    lock = resolved(origin, entry(f"{NAME}:1", "linux/arm64"))
    assert lock.images[0].platforms == ("linux/arm64",)
    assert set(lock.images[0].omitted) == {web.children[0].digest, web.children[2].digest}
    assert carried(lock) == {web.digest, web.children[1].digest}


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
@pytest.mark.parametrize("asked", ["linux/arm64", "windows/amd64", "linux/amd64/v3"])
def test_a_single_image_of_another_platform_than_was_asked_for_is_not_carried_in_silence(
    origin: Origin, asked: str, docker: bool
) -> None:
    origin.push(f"{NAME}:1", images.image([images.layer("one")], platform="linux/amd64", docker=docker))
    with pytest.raises(UsageError, match="none of the requested platforms") as caught:
        resolved(origin, entry(f"{NAME}:1", asked))
    assert NAME in caught.value.where
    assert (caught.value.expected, caught.value.got) == (asked, "linux/amd64")


def test_a_single_image_of_the_platform_asked_for_is_carried_as_it_is(origin: Origin) -> None:
    origin.push("docker.io/library/one:1", images.image([images.layer("one")], platform="linux/arm64"))
    for asked in ("linux/arm64", "linux/arm64/v8"):
        lock = resolved(origin, entry("docker.io/library/one:1", asked))
        assert lock.images[0].platforms == ("linux/arm64",)
        assert lock.images[0].omitted == ()


def test_one_of_several_platforms_that_is_missing_is_not_left_out_in_silence(origin: Origin) -> None:
    origin.push(f"{NAME}:1", images.index([images.multi_arch("inner"), images.image([images.layer("z")], platform="linux/s390x")]))
    assert resolved(origin, entry(f"{NAME}:1", "linux/arm64", "linux/s390x")).images[0].platforms == ("linux/arm64", "linux/s390x")
    with pytest.raises(UsageError, match="only some of the requested platforms") as caught:
        resolved(origin, entry(f"{NAME}:1", "linux/arm64", "linux/ppc64le"))
    assert (caught.value.expected, caught.value.got) == (
        "linux/arm64, linux/ppc64le",
        ", ".join(("linux/s390x", *images.PLATFORMS)),
    )


def test_all_images_that_lack_a_platform_are_named_together(origin: Origin) -> None:
    for name in ("web", "tool"):
        origin.push(f"docker.io/shop/{name}:1", images.image([images.layer(name)]))
    origin.push("docker.io/shop/fine:1", images.multi_arch("fine"))
    with pytest.raises(UsageError, match="2 of 3 images") as caught:
        resolved(origin, *(entry(f"docker.io/shop/{name}:1", "linux/arm64") for name in ("web", "tool", "fine")))
    for fact in ("docker.io/shop/web:1", "docker.io/shop/tool:1", "linux/arm64", "linux/amd64"):
        assert fact in caught.value.got


def test_an_index_that_states_no_platforms_is_asked_what_its_configs_say(origin: Origin) -> None:
    built = [images.image([images.layer(p)], platform=p) for p in ("linux/amd64", "linux/arm64")]
    bare = [replace(one, descriptor=replace(one.descriptor, platform=None)) for one in built]
    origin.push(f"{NAME}:1", images.index(bare))
    lock = resolved(origin, entry(f"{NAME}:1", "linux/arm64"))
    assert (lock.images[0].platforms, lock.images[0].omitted) == (("linux/arm64",), (built[0].digest,))
    with pytest.raises(UsageError, match="none of the requested platforms"):
        resolved(origin, entry(f"{NAME}:1", "linux/s390x"))


def test_an_artifact_is_carried_whatever_platform_was_asked_for_and_this_is_said(origin: Origin) -> None:
    told: list[str] = []

    class Listening(Silent):
        def say(self, message: str) -> None:
            told.append(message)

    chart = images.artifact(None, "application/vnd.cncf.helm.chart", b"chart")
    origin.push("docker.io/shop/chart:1", chart)
    origin.push("docker.io/shop/charts:1", images.index([chart]))
    wanted = [entry(f"docker.io/shop/{name}:1", "linux/arm64") for name in ("chart", "charts")]
    lock = resolve(wanted, origin, Listening(), threads=2)
    assert [image.omitted for image in lock.images] == [(), ()]
    assert [line.partition(" ")[0] for line in told] == ["docker.io/shop/chart:1", "docker.io/shop/charts:1"]
    assert all("artifact" in line for line in told)
    told.clear()
    resolve([entry("docker.io/shop/chart:1")], origin, Listening(), threads=2)
    assert told == [], "nobody asked"


def test_platforms_of_an_image_leave_nothing_out_of_its_attachments(origin: Origin) -> None:
    web = images.multi_arch("web")
    origin.push(f"{NAME}:1", web)
    subject = {"subject": web.manifest.descriptor.to_json(), "artifactType": "application/vnd.example.scans"}
    scans = images.index([images.artifact(None, "application/vnd.example.scan", name) for name in (b"one", b"two")], extra=subject)
    origin.push(NAME, scans)
    (image,) = resolved(origin, entry(f"{NAME}:1", "linux/arm64")).images
    assert {attachment.descriptor.digest for attachment in image.attachments} == {scans.digest}
    assert not {part.digest for part in scans.everything()} & set(image.omitted)


def test_a_platform_that_is_not_there_is_the_users_mistake(origin: Origin) -> None:
    origin.push(f"{NAME}:1", images.multi_arch("web"))
    with pytest.raises(UsageError) as caught:
        resolved(origin, entry(f"{NAME}:1", "linux/s390x"))
    assert "list:" in caught.value.where
    assert "linux/arm64" in caught.value.got


def test_a_tag_and_its_digest_are_two_images_of_one_content(origin: Origin) -> None:
    built = images.image([images.layer("x")])
    origin.push(f"{NAME}:1", built)
    lock = resolved(origin, entry(f"{NAME}:1"), entry(f"{NAME}@{built.digest}"), entry(f"{NAME}:1@{built.digest}"))
    assert [image.root.digest for image in lock.images] == [built.digest] * 3
    assert len(lock.manifests) == 1


def test_one_name_for_two_images_is_refused(origin: Origin) -> None:
    old, new = images.image([images.layer("old")]), images.image([images.layer("new")])
    origin.push(f"{NAME}@{old.digest}", old)
    origin.push(f"{NAME}:1", new)
    with pytest.raises(UsageError) as caught:
        resolved(origin, entry(f"{NAME}:1"), entry(f"{NAME}:1@{old.digest}"))
    assert old.digest in caught.value.got
    assert new.digest in caught.value.got


def test_all_failures_are_named_and_a_usage_error_alone_stays_one(origin: Origin) -> None:
    origin.push(f"{NAME}:1", images.multi_arch("web"))
    with pytest.raises(NotFound) as one:
        resolved(origin, entry(f"{NAME}:1"), entry(f"{NAME}:2"))
    assert f"{NAME}:2" in one.value.where
    with pytest.raises(RegistryError) as several:
        resolved(origin, entry(f"{NAME}:2"), entry("quay.io/no/thing:1"), entry(f"{NAME}:1", "linux/s390x"))
    assert all(name in several.value.got for name in (f"{NAME}:2", "quay.io/no/thing:1", "s390x"))
    with pytest.raises(UsageError):
        resolved(origin, entry(f"{NAME}:1", "linux/s390x"), entry(f"{NAME}:1", "plan9/mips"))


@pytest.mark.parametrize(
    "stated", [{"size": 5}, {"media_type": "application/vnd.docker.distribution.manifest.v2+json"}, {"media_type": "text/html"}]
)
def test_a_child_that_is_not_as_its_index_says(origin: Origin, stated: dict[str, Any]) -> None:
    child = images.image([images.layer("x")])
    lying = replace(child, descriptor=replace(child.descriptor, **stated))
    origin.push(f"{NAME}:1", images.index([lying]))
    with pytest.raises(RegistryError) as caught:
        resolved(origin, entry(f"{NAME}:1"))
    assert child.digest in caught.value.where


def test_an_index_in_an_index_in_an_index_has_an_end(origin: Origin) -> None:
    built = images.image([images.layer("x")])
    for _ in range(MAX_LEVELS + 1):
        built = images.index([built])
    origin.push(f"{NAME}:1", built)
    with pytest.raises(RegistryError):
        resolved(origin, entry(f"{NAME}:1"))
    origin.push(f"{NAME}:2", built.children[0])
    assert resolved(origin, entry(f"{NAME}:2"))


class Lying(Origin):
    """Lists what it is told to as referrers of everything."""

    listed: tuple[Descriptor, ...] = ()

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``."""
        return Referrers(self.listed)


def test_a_listed_referrer_that_refers_to_something_else_is_an_error() -> None:
    origin = Lying()
    origin.push(f"{NAME}:1", images.image([images.layer("x")]))
    stranger = images.artifact(images.image([images.layer("y")]), SPDX, b"{}")
    origin.push(NAME, stranger)
    origin.listed = (stranger.manifest.descriptor,)
    with pytest.raises(RegistryError) as caught:
        resolved(origin, entry(f"{NAME}:1"))
    assert stranger.digest in caught.value.where


def test_a_listed_referrer_that_is_not_there_is_an_error() -> None:
    origin = Lying()
    built = images.image([images.layer("x")])
    origin.push(f"{NAME}:1", built)
    origin.listed = (images.artifact(built, SPDX, b"{}").manifest.descriptor,)
    with pytest.raises(RegistryError) as caught:
        resolved(origin, entry(f"{NAME}:1"))
    assert not isinstance(caught.value, NotFound)
    assert "a listed referrer is missing" in caught.value.what


def test_foreign_layers_are_named_when_the_registry_lacks_them_and_carried_when_not(origin: Origin) -> None:
    foreign = images.layer("base", media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    origin.push(f"{NAME}:1", images.image([foreign, images.layer("own")]))
    assert resolved(origin, entry(f"{NAME}:1")).images[0].foreign == ()
    del origin.shelves[NAME].blobs[foreign.descriptor.digest]
    assert resolved(origin, entry(f"{NAME}:1")).images[0].foreign == (foreign.descriptor.digest,)
