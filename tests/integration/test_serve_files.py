"""``/files/`` of ``airgap serve``, as curl and wget see it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from airgap.archives import chart_artifact, file_artifact
from airgap.archives.made import MadeArtifact
from airgap.layout import LayoutStore
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.server import Catalogue, RegistryServer
from tests.support import images
from tests.support.served import Reply, ask
from tests.support.tools import require
from tests.unit.test_archives_made import CHART_YAML, chart

CONTENT = bytes(range(256)) * 400
HOSTILE = ("../x", "/etc/x", "a\r\nSet-Cookie: x=1", "..", "a\0b")


def put(store: LayoutStore, name: str, made: MadeArtifact) -> None:
    reference = Reference.parse(name)
    for blob in made.root.blobs():
        store.write(reference.repository, blob, partial(made.open, reference.repository, blob))
    store.put_manifest(reference.repository, made.root)
    store.tag(reference, made.root)


def titled(media_type: str, *titles: str) -> MadeArtifact:
    """An artifact of files with these titles, which no list of ours makes."""
    parts = {Digest.of(title.encode()): title.encode() for title in titles}
    layers = [Descriptor(media_type, digest, len(raw), annotations={media.TITLE: raw.decode()}) for digest, raw in parts.items()]
    empty = Descriptor(media.OCI_EMPTY, Digest.of(media.EMPTY), len(media.EMPTY))
    value = {
        "schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "artifactType": "application/x.test", "config": empty.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }  # fmt: skip
    root = Manifest.parse(strictjson.canonical(value), media.OCI_MANIFEST, "a test")
    return MadeArtifact(root, {}, {**parts, empty.digest: media.EMPTY}, Path())


@dataclass
class Files:
    """A served store of files."""

    address: str
    store: Path
    log: list[str]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return ask(self.address, path, method, **headers)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    work = tmp_path_factory.mktemp("files")
    (work / "tools.tar.gz").write_bytes(CONTENT)
    (work / 'i "b" é.sh').write_text("#!/bin/sh\n")
    with LayoutStore(work / "store") as store:
        put(store, "airgap.local/files/tools:2.1", file_artifact(work / "tools.tar.gz"))
        put(store, "airgap.local/files/install:1", file_artifact(work / 'i "b" é.sh'))
        put(store, "airgap.local/charts/web:1.4.0", chart_artifact(chart(work / "web-1.4.0.tgz", ("web/Chart.yaml", CHART_YAML))))
        put(store, "ghcr.io/shop/pages:1", titled("text/html", "<b>.html", "two.html"))
        for number, title in enumerate(HOSTILE):
            put(store, f"ghcr.io/shop/hostile:{number}", titled(media.OCTETS, title, "good"))
        put(store, "ghcr.io/shop/oddtype:1", titled("text/html\r\nX-Evil: 1", "odd"))
        images.publish(store, "docker.io/library/plain:1", images.image([images.layer("plain")]))
        store.commit()
    log: list[str] = []
    with RegistryServer(Catalogue(LayoutStore(work / "store")), "127.0.0.1", 0, log.append) as server:
        yield Files(server.address, work / "store", log)


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_curl_saves_a_file_by_its_name_and_continues_one(files: Files, tmp_path: Path) -> None:
    curl, url = require("curl"), f"http://{files.address}/files/tools:2.1"
    run(curl, "-fsSOJ", "--output-dir", tmp_path, url)
    assert (tmp_path / "tools.tar.gz").read_bytes() == CONTENT
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    run(curl, "-fsS", "-C", "-", "-o", tmp_path / "part", f"{url}/tools.tar.gz")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_wget_follows_the_index_and_continues_a_file(files: Files, tmp_path: Path) -> None:
    wget = require("wget")
    run(wget, "-q", "-r", "-np", "-nd", "-A", "*.tgz,*.tar.gz", "-P", tmp_path, f"http://{files.address}/files/")
    assert {path.name for path in tmp_path.iterdir()} == {"tools.tar.gz", "web-1.4.0.tgz"}
    (tmp_path / "tools.tar.gz").write_bytes(CONTENT[:1000])
    run(wget, "-q", "-c", "-P", tmp_path, f"http://{files.address}/files/tools:2.1/tools.tar.gz")
    assert (tmp_path / "tools.tar.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=102390-", 206, CONTENT[102390:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=0-1,5-6", 200, CONTENT),
        ("bytes=999999-", 416, None),
    ],
)
def test_ranges(files: Files, asked: str, status: int, body: bytes | None) -> None:
    reply = files.ask("/files/tools:2.1/tools.tar.gz", Range=asked)
    assert reply.status == status
    assert body is None or reply.body == body
    if status == 416:
        assert reply.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_a_range_of_another_file_is_the_whole_one(files: Files) -> None:
    path = "/files/tools:2.1/tools.tar.gz"
    etag = files.ask(path, "HEAD").headers["ETag"]
    assert etag == f'"{Digest.of(CONTENT)}"'
    assert files.ask(path, Range="bytes=0-9", If_Range=etag).status == 206
    assert files.ask(path, Range="bytes=0-9", If_Range='"other"').body == CONTENT


def test_head_says_name_type_and_size(files: Files) -> None:
    reply = files.ask("/files/airgap.local/files/tools:2.1/tools.tar.gz", "HEAD")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
    assert reply.headers["Content-Type"] == "application/gzip"
    assert reply.headers["Content-Disposition"] == "attachment; filename=\"tools.tar.gz\"; filename*=UTF-8''tools.tar.gz"
    odd = files.ask("/files/install:1", "HEAD").headers["Content-Disposition"]
    assert odd == "attachment; filename=\"i _b_ _.sh\"; filename*=UTF-8''i%20%22b%22%20%C3%A9.sh"


def test_a_page_among_the_files_is_no_page_of_the_server(files: Files) -> None:
    reply = files.ask("/files/ghcr.io/shop/pages:1/%3Cb%3E.html")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"<b>.html", "text/html")
    assert reply.headers["Content-Disposition"].startswith("attachment;")
    assert (reply.headers["X-Content-Type-Options"], "sandbox" in reply.headers["Content-Security-Policy"]) == ("nosniff", True)
    index = files.ask("/files/").body.decode()
    assert "<b>.html" not in index
    assert "&lt;b&gt;.html" in index
    assert files.ask("/files/ghcr.io/shop/oddtype:1", "HEAD").headers["Content-Type"] == media.OCTETS


def test_the_index_has_files_and_no_images_and_no_hostile_names(files: Files) -> None:
    found = files.ask("/files/index.json").json
    assert [one["path"] for one in found["files"]] == [
        "/files/charts/web:1.4.0/web-1.4.0.tgz", "/files/install:1/i%20%22b%22%20%C3%A9.sh", "/files/tools:2.1/tools.tar.gz",
        "/files/ghcr.io/shop/oddtype:1/odd", "/files/ghcr.io/shop/pages:1/%3Cb%3E.html", "/files/ghcr.io/shop/pages:1/two.html",
    ]  # fmt: skip
    assert found["not_offered"] == len(HOSTILE)
    for one in found["files"]:
        assert Digest.of(files.ask(one["path"]).body) == one["digest"]


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "tools:2.1/../tools.tar.gz", "tools:2.1/", "ghcr.io/shop/hostile:0/..%2fx",
                                  "ghcr.io/shop/pages:1", "docker.io/library/plain:1", "tools:9/tools.tar.gz"])  # fmt: skip
def test_what_is_no_file_is_not_found(files: Files, path: str) -> None:
    assert files.ask(f"/files/{path}").status == 404


def test_a_damaged_file_is_broken_off_and_said(files: Files, tmp_path: Path) -> None:
    digest = Digest.of(b"two.html")
    blob = files.store / "blobs/sha256" / digest.hex
    blob.chmod(0o644)
    blob.write_bytes(b"twx.html")
    try:
        curl = require("curl")
        url = f"http://{files.address}/files/ghcr.io/shop/pages:1/two.html"
        done = subprocess.run([curl, "-fsS", "-o", tmp_path / "x", url], capture_output=True, check=False)
        assert done.returncode == 18  # a partial file
        assert any("two.html" in line for line in files.log)
    finally:
        blob.write_bytes(b"two.html")
