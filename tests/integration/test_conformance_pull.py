"""The pull, content discovery and referrers parts of OCI distribution-spec 1.1 against ``airgap serve``.

Written from the text of the specification; every test names the section or endpoint (``end-N``) it is about. Where the text says
SHOULD, we do. There is no push here: a test says how pushes are answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from airgap.server import Catalogue, RegistryServer
from tests.support import images
from tests.support.served import Reply, ask

NAME = "team/app"
TAGS = ["1.0", "1.1", "A", "b", "C", "latest", "Z9"]
SBOM, SIGNATURE = "application/vnd.example.sbom.v1", "application/vnd.example.signature.v1"
ABSENT = "sha256:" + "a" * 64
#: distribution-spec "Error Codes"; those of a registry that takes no pushes.
CODES = {"BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNSUPPORTED"}


@dataclass(frozen=True)
class Registry:
    """A running registry and what is in its repository ``team/app``."""

    address: str
    index: images.Built
    image: images.Built
    lonely: images.Built
    referrers: dict[str, images.Built]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return ask(self.address, f"/v2/{NAME}/{path}", method, **headers)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    image = images.image([images.layer("one"), images.content(b"by another hash" * 99, media.OCI_LAYER_GZIP, algorithm="sha512")])
    index = images.index([image, images.image([images.layer("two")], platform="linux/arm64")])
    subject = {"subject": {"mediaType": index.manifest.media_type, "digest": index.digest, "size": len(index.manifest.raw)}}
    referrers = {
        "sbom": images.artifact(index, SBOM, b"sbom", annotations={"org.example.sbom.format": "json", "org.example.ä": "<&>"}),
        "signature": images.artifact(index, SIGNATURE, b"signature"),
        "image": images.image([images.layer("referring")], extra=subject),
        "index": images.index([image], extra={**subject, "annotations": {"org.example.kind": "index"}}),
        "typed index": images.index([image], extra={**subject, "artifactType": SBOM}),
    }
    # pushed before there was a referrers API: known by the tag alone ("Enabling the Referrers API")
    old = images.artifact(image, SIGNATURE, b"old")
    path: Path = tmp_path_factory.mktemp("conformance") / "store"
    with LayoutStore(path) as store:
        repository = Repository("registry.example.org", NAME)
        for tag in TAGS:
            images.publish(store, f"{repository}:{tag}", index if tag == "latest" else image)
        images.attach(store, repository, index, list(referrers.values()))
        images.publish(store, f"{repository}:{digest_tag(image.digest)}", images.fallback_index([old]))
        lonely = images.image([images.layer("lonely")])
        images.publish(store, "registry.example.org/team/other:1", lonely)
        store.commit()
    with RegistryServer(Catalogue(LayoutStore(path)), "127.0.0.1", 0, lambda _: None) as server:
        yield Registry(server.address, index, image, lonely, {**referrers, "old": old})


def check_error(reply: Reply, status: int) -> None:
    """ "Error Codes": the format, and no codes but those of the table."""
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/json"
    errors = reply.json["errors"]
    assert errors
    for error in errors:
        assert set(error) <= {"code", "message", "detail"}
        assert re.fullmatch("[A-Z_]+", error["code"])
        assert error["code"] in CODES
        assert isinstance(error.get("message", ""), str)


# API: Determining Support


def test_end_1_says_that_the_specification_is_implemented(registry):
    assert ask(registry.address, "/v2/").status == 200


# Pull: Pulling manifests


@pytest.mark.parametrize("tag", ["latest", "1.0", "Z9"])
def test_end_3_pulling_manifests_by_tag(registry, tag):
    built = registry.index if tag == "latest" else registry.image
    reply = registry.ask(f"manifests/{tag}", Accept=media.ACCEPT_MANIFESTS)
    assert (reply.status, reply.body) == (200, built.manifest.raw)
    assert reply.headers["Docker-Content-Digest"] == built.digest
    assert reply.headers["Content-Type"] == built.manifest.media_type


def test_end_3_pulling_manifests_by_digest_gives_exactly_the_bytes_that_the_digest_is_over(registry):
    for built in (*registry.index.everything(), *registry.referrers.values()):
        reply = registry.ask(f"manifests/{built.digest}")
        assert reply.status == 200
        assert Digest.of(reply.body) == built.digest == reply.headers["Docker-Content-Digest"]
        assert reply.headers["Content-Type"] == built.manifest.media_type


@pytest.mark.parametrize("reference", [ABSENT, "2.0", "latest2", ".INVALID", "a" * 129, "sha512:" + "a" * 128])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_end_3_pulling_manifests_that_are_not_found_is_404(registry, reference, method):
    reply = registry.ask(f"manifests/{reference}", method)
    assert reply.status == 404
    if method == "GET":
        check_error(reply, 404)
        assert reply.code == "MANIFEST_UNKNOWN"


def test_end_3_pulling_manifests_of_another_repository_is_404(registry):
    check_error(registry.ask(f"manifests/{registry.lonely.digest}"), 404)


def test_end_3_a_nonexistent_repository_is_404(registry):
    check_error(ask(registry.address, "/v2/no/such/repository/manifests/latest"), 404)
    check_error(ask(registry.address, f"/v2/no/such/repository/blobs/{ABSENT}"), 404)


# Pull: Pulling blobs


def test_end_2_pulling_blobs_gives_the_expected_blob_whatever_its_hash(registry):
    algorithms = set()
    for blob in registry.image.blobs:
        reply = registry.ask(f"blobs/{blob.descriptor.digest}")
        assert (reply.status, reply.body) == (200, blob.raw)
        assert reply.headers["Docker-Content-Digest"] == blob.descriptor.digest
        assert reply.headers["Content-Length"] == str(len(blob.raw))
        algorithms.add(blob.descriptor.digest.algorithm)
    assert algorithms == {"sha256", "sha512"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_end_2_pulling_blobs_that_are_not_found_is_404(registry, method):
    elsewhere = registry.lonely.blobs[1].descriptor.digest
    for digest in (ABSENT, elsewhere):
        reply = registry.ask(f"blobs/{digest}", method)
        assert reply.status == 404
        if method == "GET":
            check_error(reply, 404)
            assert reply.code == "BLOB_UNKNOWN"


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 99), (7, 7), (1000, 1484)])
def test_end_2_pulling_blobs_by_range_is_206_with_these_bytes(registry, first, last):
    blob = registry.image.blobs[2]
    reply = registry.ask(f"blobs/{blob.descriptor.digest}", Range=f"bytes={first}-{last}")
    assert (reply.status, reply.body) == (206, blob.raw[first : last + 1])
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(blob.raw)}"
    assert reply.headers["Content-Length"] == str(last - first + 1)


def test_end_2_a_blob_in_pieces_is_the_blob(registry):
    blob = registry.image.blobs[1]
    half = len(blob.raw) // 2
    parts = [registry.ask(f"blobs/{blob.descriptor.digest}", Range=text) for text in (f"bytes=0-{half - 1}", f"bytes={half}-")]
    assert b"".join(part.body for part in parts) == blob.raw
    assert registry.ask(f"blobs/{blob.descriptor.digest}", Range="bytes=-10").body == blob.raw[-10:]


def test_end_2_a_range_that_cannot_be_satisfied_is_416_and_says_the_size(registry):
    blob = registry.image.blobs[2]
    reply = registry.ask(f"blobs/{blob.descriptor.digest}", Range=f"bytes={len(blob.raw)}-")
    check_error(reply, 416)
    assert reply.headers["Content-Range"] == f"bytes */{len(blob.raw)}"


# Pull: Checking if content exists in the registry


def test_end_3_checking_if_a_manifest_exists(registry):
    for reference, built in (("latest", registry.index), ("A", registry.image), (registry.image.digest, registry.image)):
        reply = registry.ask(f"manifests/{reference}", "HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["Docker-Content-Digest"] == built.digest
        assert reply.headers["Content-Length"] == str(len(built.manifest.raw))
        assert reply.headers["Content-Type"] == built.manifest.media_type


def test_end_2_checking_if_a_blob_exists(registry):
    for blob in registry.image.blobs:
        reply = registry.ask(f"blobs/{blob.descriptor.digest}", "HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["Docker-Content-Digest"] == blob.descriptor.digest
        assert reply.headers["Content-Length"] == str(len(blob.raw))


# Content Discovery: Listing Tags


def everything(registry: Registry) -> list[str]:
    return sorted([*TAGS, digest_tag(registry.image.digest)], key=str.lower)


def test_end_8a_listing_tags_is_in_lexical_order(registry):
    reply = registry.ask("tags/list")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json == {"name": NAME, "tags": everything(registry)}
    assert reply.headers["Link"] is None


def test_end_8a_listing_tags_of_a_repository_that_is_not_found_is_404(registry):
    reply = ask(registry.address, "/v2/no/such/repository/tags/list")
    check_error(reply, 404)
    assert reply.code == "NAME_UNKNOWN"


@pytest.mark.parametrize("count", [1, 3, 7, 8, 100])
def test_end_8b_listing_tags_n_at_a_time_with_the_next_link(registry, count):
    path = f"/v2/{NAME}/tags/list?n={count}"
    found: list[str] = []
    while path:
        reply = ask(registry.address, path)
        assert len(reply.json["tags"]) == min(count, len(everything(registry)) - len(found))
        found += reply.json["tags"]
        link = reply.headers["Link"]
        assert (link is not None) == (len(found) < len(everything(registry)))
        match = re.fullmatch(r'<([^>]+)>; rel="next"', link or "")  # RFC 5988
        path = match[1] if match else ""
    assert found == everything(registry)


def test_end_8b_listing_no_tags_at_all_has_no_link(registry):
    reply = registry.ask("tags/list?n=0")
    assert (reply.status, reply.json["tags"], reply.headers["Link"]) == (200, [], None)


@pytest.mark.parametrize("last", [*TAGS, "aa", "0", "zz", "1.05"])
def test_end_8b_listing_tags_begins_after_last_and_n_is_optional(registry, last):
    after = [tag for tag in everything(registry) if tag.lower() > last.lower()]
    assert registry.ask(f"tags/list?last={last}").json["tags"] == after
    assert registry.ask(f"tags/list?n=2&last={last}").json["tags"] == after[:2]


@pytest.mark.parametrize("count", ["-1", "x", "1.5", "", "9" * 40])
def test_end_8b_a_count_that_is_none_is_refused(registry, count):
    check_error(registry.ask(f"tags/list?n={count}"), 400)


# Content Discovery: Listing Referrers


def expected(built: images.Built, artifact_type: str | None) -> dict[str, object]:
    entry = {"mediaType": built.manifest.media_type, "digest": built.digest, "size": len(built.manifest.raw)}
    optional = {"artifactType": artifact_type, "annotations": built.manifest.annotations}
    return entry | {name: value for name, value in optional.items() if value}


def test_end_12a_listing_referrers_is_an_index_of_complete_descriptors(registry):
    reply = registry.ask(f"referrers/{registry.index.digest}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, media.OCI_INDEX)
    assert reply.headers["OCI-Filters-Applied"] is None
    found = reply.json
    assert (found["schemaVersion"], found["mediaType"]) == (2, media.OCI_INDEX)
    types = {"sbom": SBOM, "signature": SIGNATURE, "image": media.OCI_CONFIG, "index": None, "typed index": SBOM}
    wanted = [expected(registry.referrers[name], kind) for name, kind in types.items()]
    assert sorted(found["manifests"], key=lambda one: one["digest"]) == sorted(wanted, key=lambda one: str(one["digest"]))


def test_end_12a_enabling_the_referrers_api_includes_what_the_tag_schema_lists(registry):
    found = registry.ask(f"referrers/{registry.image.digest}").json["manifests"]
    assert found == [expected(registry.referrers["old"], SIGNATURE)]


@pytest.mark.parametrize("path", [f"team/app/referrers/{ABSENT}", f"no/such/repository/referrers/{ABSENT}"])
def test_end_12a_listing_referrers_is_never_404_but_an_empty_index(registry, path):
    reply = ask(registry.address, f"/v2/{path}")
    assert (reply.status, reply.headers["Content-Type"], reply.json["manifests"]) == (200, media.OCI_INDEX, [])


@pytest.mark.parametrize("digest", ["sha256:123", "12345", "latest", "md5:" + "a" * 32, "sha256:" + "A" * 64])
def test_end_12a_listing_referrers_of_what_is_no_digest_is_400(registry, digest):
    check_error(registry.ask(f"referrers/{digest}"), 400)


@pytest.mark.parametrize(
    ("kind", "names"), [(SBOM, {"sbom", "typed index"}), (SIGNATURE, {"signature"}), (media.OCI_CONFIG, {"image"})]
)
def test_end_12b_listing_referrers_filters_by_artifact_type_and_says_so(registry, kind, names):
    reply = registry.ask(f"referrers/{registry.index.digest}?artifactType={kind.replace('+', '%2B')}")
    assert reply.headers["OCI-Filters-Applied"] == "artifactType"
    assert {one["digest"] for one in reply.json["manifests"]} == {registry.referrers[name].digest for name in names}


def test_end_12b_no_match_is_an_empty_index_with_the_filter_applied(registry):
    reply = registry.ask(f"referrers/{registry.index.digest}?artifactType=application/none")
    assert (reply.status, reply.headers["OCI-Filters-Applied"], reply.json["manifests"]) == (200, "artifactType", [])


def test_end_12a_a_list_in_several_parts_is_linked_and_keeps_the_filter(registry):
    found, path = [], f"/v2/{NAME}/referrers/{registry.index.digest}?n=1&artifactType={SBOM}"
    while path:
        reply = ask(registry.address, path)
        assert reply.headers["OCI-Filters-Applied"] == "artifactType"
        found += [one["digest"] for one in reply.json["manifests"]]
        path = (reply.headers["Link"] or "").partition(">")[0].removeprefix("<")
    assert sorted(found) == sorted(registry.referrers[name].digest for name in ("sbom", "typed index"))


# what belongs to the other parts: Push, Content Management


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "blobs/uploads/"), ("PATCH", "blobs/uploads/x"), ("PUT", f"blobs/uploads/x?digest={ABSENT}"),
        ("PUT", "manifests/1.0"),
        ("DELETE", "manifests/1.0"), ("DELETE", f"manifests/{ABSENT}"), ("DELETE", f"blobs/{ABSENT}"),
    ],
)  # fmt: skip
def test_end_4_to_end_11_pushing_and_deleting_are_disabled_with_405(registry, method, path):
    check_error(registry.ask(path, method), 405)
