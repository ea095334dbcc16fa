"""``airgap serve`` as real clients see it. Tests of single endpoints name the section of distribution-spec."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.served import REPOSITORY, World, serve_everything
from tests.support.tools import require

PATHS = ("shop/web", "localhost-5000/shop/web")
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that only ask."""
    yield from serve_everything(tmp_path_factory.mktemp("world"))


def skopeo(*words: str) -> str:
    done = subprocess.run([require("skopeo"), "--insecure-policy", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", PATHS)
def test_skopeo_copies_an_image_with_everything_under_it(world, tmp_path, path):
    flat = world.web.children[0]  # this skopeo copies no nested indexes
    for target in (f"dir:{tmp_path / 'dir'}", f"oci:{tmp_path / 'oci'}:1"):
        skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{world.address}/{path}:flat", target)
    store = LayoutStore(tmp_path / "oci")
    assert store.resolve(Reference.parse("localhost/oci:1")) == flat.digest
    for part in flat.everything():
        assert store.find_manifest(part.digest).raw == part.manifest.raw
        assert all(store.has(REPOSITORY, blob.descriptor) for blob in part.blobs)


def test_skopeo_inspects_by_tag_and_digest_and_lists_tags(world):
    where = f"docker://{world.address}/shop/web"
    for reference in (f"{where}:1.0", f"{where}@{world.web.digest}"):
        assert skopeo("inspect", "--tls-verify=false", "--raw", reference).encode() == world.web.manifest.raw
    tags = json.loads(skopeo("list-tags", "--tls-verify=false", where))["Tags"]
    assert tags == ["1.0", "1.0-slim", "flat", digest_tag(world.web.digest), digest_tag(world.web.digest, ".sig")]
    plain = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{world.address}/library/plain"))
    assert plain["Digest"] == world.plain.digest


def test_end_1_version_check(world):
    for path in ("/v2/", "/v2"):
        reply = world.ask(path)
        assert (reply.status, reply.headers["Docker-Distribution-API-Version"]) == (200, "registry/2.0")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulling_manifests(world, path, method):
    for selector, built in (("1.0", world.web), (world.web.digest, world.web), ("1.0-slim", world.web.children[1])):
        reply = world.ask(f"/v2/{path}/manifests/{selector}", method)
        assert reply.status == 200
        assert reply.headers["Content-Type"] == built.manifest.media_type
        assert reply.headers["Docker-Content-Digest"] == built.digest
        assert reply.headers["Content-Length"] == str(len(built.manifest.raw))
        assert reply.body == (built.manifest.raw if method == "GET" else b"")


def test_pulling_manifests_of_nested_children_and_attachments(world):
    for built in (*world.web.everything(), world.sbom, world.sbom_signature):
        assert world.ask(f"/v2/shop/web/manifests/{built.digest}").body == built.manifest.raw
        for blob in built.blobs:
            assert world.ask(f"/v2/shop/web/blobs/{blob.descriptor.digest}").body == blob.raw


def test_pulling_blobs_head_tells_the_length(world):
    blob = world.plain.blobs[1]
    reply = world.ask(f"/v2/library/plain/blobs/{blob.descriptor.digest}", "HEAD")
    assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, str(len(blob.raw)), b"")
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["Docker-Content-Digest"] == blob.descriptor.digest


def test_content_of_another_repository_is_not_there(world):
    blob = world.plain.blobs[1].descriptor.digest
    assert world.ask(f"/v2/shop/web/blobs/{blob}").code == "BLOB_UNKNOWN"
    assert world.ask(f"/v2/shop/web/manifests/{world.plain.digest}").code == "MANIFEST_UNKNOWN"


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=10-99", 10, 100),
    ("bytes=100-", 100, None),
    ("bytes=-7", -7, None),
    ("bytes=5-999999999", 5, None),
    ("bytes=-999999999", 0, None),
]


@pytest.mark.parametrize(("text", "start", "end"), RANGES, ids=[r[0] for r in RANGES])
def test_pulling_blobs_by_range(world, text, start, end):
    blob = world.plain.blobs[1]
    reply = world.ask(f"/v2/library/plain/blobs/{blob.descriptor.digest}", Range=text)
    expected = blob.raw[start:end]
    first = blob.raw.index(expected) if start >= 0 else len(blob.raw) + start
    assert (reply.status, reply.body) == (206, expected)
    assert reply.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(blob.raw)}"


@pytest.mark.parametrize("text", ["bytes=9999999-", "bytes=-0", "bytes=9999999-99999999"])
def test_a_range_outside_the_blob_is_416(world, text):
    blob = world.plain.blobs[1]
    reply = world.ask(f"/v2/library/plain/blobs/{blob.descriptor.digest}", Range=text)
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(blob.raw)}")


@pytest.mark.parametrize("text", ["bytes=0-1,3-4", "bytes=5-1", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 40 + "-"])
def test_a_range_we_do_not_understand_is_ignored(world, text):
    blob = world.plain.blobs[1]
    reply = world.ask(f"/v2/library/plain/blobs/{blob.descriptor.digest}", Range=text)
    assert (reply.status, reply.body) == (200, blob.raw)


def test_if_range_of_another_version_gives_the_whole_blob(world):
    blob = world.plain.blobs[1]
    path = f"/v2/library/plain/blobs/{blob.descriptor.digest}"
    assert world.ask(path, Range="bytes=0-0", If_Range='"other"').status == 200
    assert world.ask(path, Range="bytes=0-0", If_Range=world.ask(path, "HEAD").headers["ETag"]).status == 206


def test_listing_tags_in_pages(world):
    everything = world.ask("/v2/shop/web/tags/list").json
    assert everything["name"] == "shop/web"
    found: list[str] = []
    path = "/v2/shop/web/tags/list?n=1"
    while path:
        reply = world.ask(path)
        found += reply.json["tags"]
        link = reply.headers["Link"]
        path = link.partition(">")[0].lstrip("<") if link else ""
    assert found == everything["tags"]
    assert len(found) == 5


def test_listing_tags_edges(world):
    nothing = world.ask("/v2/shop/web/tags/list?n=0")
    assert (nothing.json["tags"], nothing.headers["Link"]) == ([], None)
    assert world.ask("/v2/shop/web/tags/list?last=zzz").json["tags"] == []
    assert world.ask("/v2/shop/web/tags/list?n=-1").status == 400
    assert world.ask("/v2/shop/nothing/tags/list").code == "NAME_UNKNOWN"


def test_the_catalog_names_every_repository_in_both_forms(world):
    expected = ["docker.io/library/plain", "library/plain", "localhost-5000/shop/web", "shop/web"]
    assert world.ask("/v2/_catalog").json["repositories"] == expected
    page = world.ask("/v2/_catalog?n=2")
    assert page.json["repositories"] == expected[:2]
    assert "last=library%2Fplain" in page.headers["Link"]


@pytest.mark.parametrize("path", PATHS)
def test_listing_referrers(world, path):
    reply = world.ask(f"/v2/{path}/referrers/{world.web.digest}")
    assert (reply.status, reply.headers["Content-Type"], reply.json["mediaType"]) == (200, media.OCI_INDEX, media.OCI_INDEX)
    assert reply.json["manifests"] == [
        {
            "mediaType": media.OCI_MANIFEST,
            "digest": world.sbom.digest,
            "size": len(world.sbom.manifest.raw),
            "artifactType": "application/spdx+json",
            "annotations": {"org.example.made": "yes"},
        }
    ]
    deeper = world.ask(f"/v2/{path}/referrers/{world.sbom.digest}").json["manifests"]
    assert [entry["digest"] for entry in deeper] == [world.sbom_signature.digest]


def test_listing_referrers_filtered_by_artifact_type(world):
    path = f"/v2/shop/web/referrers/{world.web.digest}"
    for kind, count in (("application/spdx%2Bjson", 1), ("application/other", 0)):
        reply = world.ask(f"{path}?artifactType={kind}")
        assert reply.headers["OCI-Filters-Applied"] == "artifactType"
        assert len(reply.json["manifests"]) == count


def test_listing_referrers_of_nothing_is_an_empty_index(world):
    reply = world.ask(f"/v2/shop/web/referrers/{UNKNOWN}")
    assert (reply.status, reply.json["manifests"]) == (200, [])
    assert world.ask("/v2/shop/web/referrers/sha256:short").code == "DIGEST_INVALID"


def test_the_fallback_tag_is_served_when_the_store_has_one(world):
    reply = world.ask(f"/v2/shop/web/manifests/{digest_tag(world.web.digest)}")
    assert reply.body == images.fallback_index([world.sbom]).manifest.raw


ERRORS = [
    ("/v2/shop/web/manifests/9.9", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/shop/web/manifests/{UNKNOWN}", 404, "MANIFEST_UNKNOWN"),
    ("/v2/shop/web/manifests/sha256:zz", 400, "DIGEST_INVALID"),
    (f"/v2/shop/web/blobs/{UNKNOWN}", 404, "BLOB_UNKNOWN"),
    ("/v2/shop/web/blobs/md5:00", 400, "DIGEST_INVALID"),
    ("/v2/no/such/manifests/1", 404, "NAME_UNKNOWN"),
    ("/v2/UPPER/manifests/1", 400, "NAME_INVALID"),
    ("/v2/../../etc/manifests/passwd", 400, "NAME_INVALID"),
    ("/v2/..%2F..%2Fetc/blobs/" + UNKNOWN, 400, "NAME_INVALID"),
    ("/v2/" + "a" * 300 + "/tags/list", 400, "NAME_INVALID"),
    ("/", 404, "UNSUPPORTED"),
    ("/v2/shop/web/blobs/uploads/", 404, "UNSUPPORTED"),
    ("/v2/_catalog?" + "&".join(f"a{i}=1" for i in range(50)), 400, "UNSUPPORTED"),
]


@pytest.mark.parametrize(("path", "status", "code"), ERRORS, ids=[f"{e[2]}-{i}" for i, e in enumerate(ERRORS)])
def test_error_codes(world, path, status, code):
    reply = world.ask(path)
    assert (reply.status, reply.code, reply.headers["Content-Type"]) == (status, code, "application/json")
    assert world.ask(path, "HEAD").body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_pushes_are_refused(world, method):
    reply = world.ask("/v2/shop/web/blobs/uploads/", method)
    assert (reply.status, reply.code, reply.headers["Allow"]) == (405, "UNSUPPORTED", "GET, HEAD")


def test_containerd_may_name_the_registry_it_means(world):
    assert world.ask("/v2/shop/web/manifests/1.0?ns=localhost:5000").body == world.web.manifest.raw


def test_references_are_only_ever_looked_up(world):
    assert Reference.parse(f"{world.address}/shop/web:1.0").repository.path == "shop/web"
    assert world.ask("/v2/shop/web/manifests/..%2F..%2Findex.json").status == 404
