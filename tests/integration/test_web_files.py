"""Files behind URLs: pinned, streamed, continued, and refused when they are no longer what was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.cli import DAMAGED, NETWORK, USAGE
from tests.support.site import Site

CONTENT = bytes(range(256)) * 4000


@dataclass
class Shop:
    """A web server with one file, ``/tool-1.tgz``; others lead elsewhere.

    Attributes:
        url: of the file.
        content: what it has now.
        cut: how many bytes it sends of a first request before it hangs up; None: all.
        asked: method and range of every request.
    """

    url: str = ""
    content: bytes = CONTENT
    cut: int | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            shop.asked.append((self.command, wanted))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", shop.url)
                self.end_headers()
                return
            if self.path == "/none":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
            body = shop.content[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(shop.content) - 1}/{len(shop.content)}")
            self.end_headers()
            if self.command == "GET":
                cut = shop.cut if not wanted else None
                self.wfile.write(body[:cut])

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}/tool-1.tgz"
    yield shop
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("machine"))


def wanted(path: Path, **fields: str) -> Path:
    path.write_text(json.dumps({"files": [fields]}))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_with_its_digest_is_streamed_once_and_taken_out_at_the_site(site: Site, shop: Shop, tmp_path: Path) -> None:
    listed = wanted(tmp_path / "list.yaml", url=shop.url, sha256=sha256(CONTENT), name="tool", version="1")
    bundle = site.export(listed, tmp_path / "usb")
    assert [method for method, _ in shop.asked] == ["HEAD", "GET"]
    site.import_(f"oci:{tmp_path}/store", bundle)
    site.run("get", f"oci:{tmp_path}/store:airgap.local/files/tool:1", "-o", tmp_path, state="site-state")
    assert (tmp_path / "tool-1.tgz").read_bytes() == CONTENT


def test_a_connection_that_breaks_is_continued_where_it_broke(site: Site, shop: Shop, tmp_path: Path) -> None:
    shop.cut = 300_000
    site.export(wanted(tmp_path / "list.yaml", url=shop.url, sha256=sha256(CONTENT)), tmp_path / "usb")
    assert [range_ for method, range_ in shop.asked if method == "GET"] == ["", f"bytes=300000-{len(CONTENT) - 1}"]


def test_without_a_digest_the_lock_pins_it_and_this_is_said(site: Site, shop: Shop, tmp_path: Path) -> None:
    listed = wanted(tmp_path / "list.yaml", url=shop.url)
    done = site.run("resolve", listed, "--lock", tmp_path / "lock")
    assert f"pinned by what is there: sha256:{sha256(CONTENT)}" in done.stderr
    assert f"sha256={sha256(CONTENT)}&size={len(CONTENT)}" in (tmp_path / "lock").read_text()


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more", b""])
def test_another_file_under_the_url_of_a_lock_is_told_by_both_digests(
    site: Site, shop: Shop, tmp_path: Path, content: bytes
) -> None:
    site.run("resolve", wanted(tmp_path / "list.yaml", url=shop.url), "--lock", tmp_path / "lock")
    shop.content = content
    done = site.run("export", tmp_path / "lock", "--out", tmp_path / "usb", "--key", site.key, "--stream", "s", check=False)
    assert done.returncode == DAMAGED
    assert sha256(CONTENT) in done.stderr
    assert sha256(content) in done.stderr
    assert not list(tmp_path.glob("usb/*/catalog.json"))


def test_a_redirect_is_followed_and_the_name_is_that_of_the_list(site: Site, shop: Shop, tmp_path: Path) -> None:
    moved = shop.url.replace("tool-1.tgz", "moved")
    plan = site.json("plan", wanted(tmp_path / "list.yaml", url=moved, sha256=sha256(CONTENT), name="tool"))
    assert plan["images"][0]["reference"] == "airgap.local/files/tool:latest"


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"url": "ftp://a.example/x"}, USAGE, "not a valid file behind a URL"),
        ({"url": "https://user:pw@a.example/x"}, USAGE, "not a valid URL"),
        ({"url": "https://a.example/x", "sha256": "12"}, USAGE, "not a valid address of a file"),
        ({"url": "https://a.example/"}, USAGE, "next: "),
        ({"url": "https://a.example/..%2fx", "sha256": "0" * 64}, USAGE, "cannot be carried"),
        ({"url": "http://a.example/x"}, USAGE, "without TLS"),
    ],
)
def test_what_is_no_file_on_a_web_server_is_a_mistake(
    site: Site, tmp_path: Path, fields: dict[str, str], code: int, word: str
) -> None:
    done = site.run("plan", wanted(tmp_path / "list.yaml", **fields), check=False)
    assert done.returncode == code, done.stderr
    assert word in done.stderr


def test_a_file_that_is_not_there_is_the_network_s_failure(site: Site, shop: Shop, tmp_path: Path) -> None:
    done = site.run("plan", wanted(tmp_path / "list.yaml", url=shop.url.replace("tool-1.tgz", "none")), check=False)
    assert done.returncode == NETWORK, done.stderr
    assert "has no such file" in done.stderr


def test_files_of_hauler_are_carried(site: Site, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_text("x")
    (tmp_path / "list.yaml").write_text(
        "apiVersion: content.hauler.cattle.io/v1\nkind: Files\nmetadata: {name: x}\n"
        f"spec: {{files: [{{path: '{shop.url}', name: tool}}, {{path: '{tmp_path}/local.txt'}}]}}\n"
    )
    plan = site.json("plan", tmp_path / "list.yaml")
    names = [image["reference"] for image in plan["images"]]
    assert names == ["airgap.local/files/tool:latest", "airgap.local/files/local.txt:latest"]
