"""``airgap serve`` as real clients see it. Tests of single endpoints name the section of distribution-spec."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.errors import Damaged, UsageError
from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader
from airgap.server import Catalogue, RegistryServer
from tests.support import images

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed (apt-get install skopeo)")

REPOSITORY = Repository("localhost:5000", "shop/web")
PATHS = ("shop/web", "localhost-5000/shop/web")
UNKNOWN = "sha256:" + "0" * 64


@dataclass
class World:
    """A served layout with everything in it."""

    address: str
    layout: Path
    web: images.Built
    sbom: images.Built
    sbom_signature: images.Built
    plain: images.Built
    log: list[str]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["errors"][0]["code"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that only ask."""
    yield from made(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """For tests that change it or look at its log."""
    yield from made(tmp_path)


def made(tmp_path: Path) -> Iterator[World]:
    web = images.index([images.multi_arch("web", [images.layer("base", 5000)]), images.image([images.layer("base", 5000)])])
    sbom = images.artifact(web, "application/spdx+json", b'{"spdx": 1}', annotations={"org.example.made": "yes"})
    sbom_signature = images.artifact(sbom, "application/vnd.example.signature", b"signature")
    plain = images.image([images.layer("plain")], docker=True)
    path = tmp_path / "store"
    with LayoutStore(path) as store:
        images.publish(store, f"{REPOSITORY}:1.0", web)
        images.publish(store, f"{REPOSITORY}:1.0-slim", web.children[1])
        images.publish(store, f"{REPOSITORY}:flat", web.children[0])
        signature = images.cosign_signature(b"payload", "c2ln")
        images.publish_attachment(store, REPOSITORY, web.digest, ".sig", signature)
        images.attach(store, REPOSITORY, web, [sbom], images.fallback_index([sbom]))
        images.attach(store, REPOSITORY, sbom, [sbom_signature])
        images.publish(store, "docker.io/library/plain:latest", plain)
        store.commit()
    log: list[str] = []
    with RegistryServer(Catalogue(LayoutStore(path)), "127.0.0.1", 0, log.append) as server:
        yield World(server.address, path, web, sbom, sbom_signature, plain, log)


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_skopeo
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


@needs_skopeo
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


def raw_exchange(address: str, request: bytes) -> bytes:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_request_bodies_malformed_and_oversized_requests_are_refused_and_the_connection_closed(world):
    body = raw_exchange(world.address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /v2/ HTTP/1.1\r\n\r\n")
    assert body.startswith(b"HTTP/1.1 400 ")
    assert body.count(b"HTTP/1.1") == 1
    assert raw_exchange(world.address, b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    assert b" 400 " in raw_exchange(world.address, b"nonsense here and there\r\n\r\n").splitlines()[0]
    many = b"".join(b"X-%d: y\r\n" % i for i in range(200))
    assert raw_exchange(world.address, b"GET /v2/ HTTP/1.1\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert raw_exchange(world.address, b"BREW /v2/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 501 ")


def test_several_requests_use_one_connection(world):
    connection = http.client.HTTPConnection(world.address, timeout=20)
    try:
        used = set()
        for path in ("/v2/", "/v2/no/such/tags/list", f"/v2/shop/web/manifests/{world.web.digest}", "/v2/_catalog"):
            connection.request("GET", path)
            connection.getresponse().read()
            used.add(connection.sock.getsockname())
        assert len(used) == 1
    finally:
        connection.close()


def test_a_client_that_goes_away_is_no_error(own_world):
    host, _, port = own_world.address.partition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"GET /v2/shop/web/manifests/{own_world.web.digest} HTTP/1.1\r\n\r\n".encode())
    assert own_world.ask("/v2/").status == 200
    assert not [line for line in own_world.log if "failed" in line or "Traceback" in line]


def test_requests_are_logged_in_one_harmless_line(own_world):
    raw_exchange(own_world.address, b"GET /v2/\x1b]0;evil\x07 HTTP/1.1\r\n\r\n")
    assert len(own_world.log) == 1
    assert own_world.log[0].isprintable()


def test_damage_in_the_store_is_a_500_and_not_the_wrong_bytes(own_world):
    file = own_world.layout / "blobs" / "sha256" / own_world.web.digest.hex
    file.write_bytes(b"x" * file.stat().st_size)
    reply = own_world.ask("/v2/shop/web/manifests/1.0")
    assert (reply.status, reply.code) == (500, "UNKNOWN")


def test_containerd_may_name_the_registry_it_means(world):
    assert world.ask("/v2/shop/web/manifests/1.0?ns=localhost:5000").body == world.web.manifest.raw


def served(path: Path, names: dict[str, images.Built]) -> Catalogue:
    with LayoutStore(path) as store:
        for name, built in names.items():
            images.publish(store, name, built)
        store.commit()
    return Catalogue(LayoutStore(path))


def test_two_hosts_that_agree_share_the_bare_path_and_two_that_differ_do_not(tmp_path):
    one, two = images.image([images.layer(1)]), images.image([images.layer(2)])
    same = {"docker.io/library/a:1": one, "quay.io/library/a:1": one, "quay.io/library/a:2": two}
    differ = {"docker.io/library/b:1": one, "quay.io/library/b:1": two}
    catalogue = served(tmp_path / "s", {**same, **differ})
    assert catalogue.repository("library/a").tags == {"1": one.digest, "2": two.digest}
    assert catalogue.repository("library/b") is None
    assert catalogue.ambiguous == {"library/b": ["docker.io/library/b", "quay.io/library/b"]}
    assert catalogue.repository("quay.io/library/b").tags == {"1": two.digest}
    assert catalogue.repository("library/b", "docker.io").tags == {"1": one.digest}


def test_a_sparse_index_is_served_without_what_is_not_there(tmp_path):
    web = images.multi_arch("web")
    served(tmp_path / "s", {"quay.io/a/b:1": web})
    (tmp_path / "s" / "blobs" / "sha256" / web.children[0].digest.hex).unlink()
    repository = Catalogue(LayoutStore(tmp_path / "s")).repository("a/b")
    assert web.children[0].digest not in repository.manifests
    assert {web.digest, web.children[1].digest} <= set(repository.manifests)


def test_indexes_nested_too_deeply_are_refused(tmp_path):
    built = images.image([images.layer("x")])
    for _ in range(4):
        built = images.index([built])
    served(tmp_path / "four", {"quay.io/a/b:1": built})
    with pytest.raises(Damaged):
        served(tmp_path / "five", {"quay.io/a/b:1": images.index([built])})


def test_a_taken_port_is_a_usage_error(world):
    host, _, port = world.address.partition(":")
    with pytest.raises(UsageError):
        RegistryServer(Catalogue(LayoutStore(world.layout)), host, int(port), print)


class Slow(LayoutStore):
    """A store whose blobs are not plain files, as those of a bundle in several volumes."""

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:
        with_range = super().open_blob(digest, offset)

        class Plain:
            readinto = with_range.readinto
            close = with_range.close

        return Plain()


def test_blobs_that_are_not_plain_files_are_copied(own_world):
    blob = own_world.plain.blobs[1]
    with RegistryServer(Catalogue(Slow(own_world.layout)), "127.0.0.1", 0, print) as server:
        own_world.address = server.address
        path = f"/v2/library/plain/blobs/{blob.descriptor.digest}"
        assert own_world.ask(path).body == blob.raw
        assert own_world.ask(path, Range="bytes=5-9").body == blob.raw[5:10]


def test_a_large_blob_arrives_whole_by_way_of_many_writes(tmp_path):
    big = images.tar_layer({"big": images.seeded("big", 12_000_000)})
    with LayoutStore(tmp_path / "s") as store:
        images.publish(store, "quay.io/big/one:1", images.image([big]))
        store.commit()
    with RegistryServer(Catalogue(LayoutStore(tmp_path / "s")), "127.0.0.1", 0, print) as server:
        connection = http.client.HTTPConnection(server.address, timeout=20)
        connection.request("GET", f"/v2/big/one/blobs/{big.descriptor.digest}")
        assert connection.getresponse().read() == big.raw
        connection.close()


def test_a_server_that_never_served_shuts_down(tmp_path):
    catalogue = served(tmp_path / "s", {"quay.io/a/b:1": images.image([images.layer("x")])})
    RegistryServer(catalogue, "127.0.0.1", 0, print).shutdown()


def test_references_are_only_ever_looked_up(world):
    assert Reference.parse(f"{world.address}/shop/web:1.0").repository.path == "shop/web"
    assert world.ask("/v2/shop/web/manifests/..%2F..%2Findex.json").status == 404
