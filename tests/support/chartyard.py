"""Charts, and a web server that offers them as ``helm repo`` servers do."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import os
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.tools import require

_EXTRA = b"+an extra field"


@dataclass
class WebFolder:
    """A directory on a web server.

    Attributes:
        address: ``HOST:PORT``.
        folder: what it serves.
        user: ``NAME:PASSWORD`` that it asks for; ``""`` for none.
        moved: where a path is redirected to.
        asked: path and ``Authorization`` header of every request.
    """

    address: str
    folder: Path
    user: str = ""
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@contextlib.contextmanager
def web_folder(folder: Path, user: str = "") -> Iterator[WebFolder]:
    """Serve a directory on a port of this machine."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            served.asked.append((self.path, given))
            if served.user and given != "Basic " + base64.b64encode(served.user.encode()).decode():
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path in served.moved:
                self.send_response(302)
                self.send_header("Location", served.moved[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(folder)))
    served = WebFolder(f"127.0.0.1:{server.server_address[1]}", folder, user)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def packed(name: str, version: str, values: bytes = b"a: 1\n") -> bytes:
    """A packaged chart; the same bytes for the same content, with an extra field in the head of its gzip as Helm writes one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for path, content in (
            ("Chart.yaml", f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()),
            ("values.yaml", values),
        ):
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    zipped = gzip.compress(buffer.getvalue(), mtime=0)
    return zipped[:3] + b"\x04" + zipped[4:10] + len(_EXTRA).to_bytes(2, "little") + _EXTRA + zipped[10:]


def offer(folder: Path, *charts: tuple[str, str], base: str = "", digest: bool = True) -> None:
    """Put charts and their index into a folder, as ``helm repo index`` does.

    Args:
        folder: of the server.
        charts: name and version of each.
        base: what their URLs begin with; ``""`` for relative ones.
        digest: whether the index states digests.
    """
    lines = ["apiVersion: v1", "entries:"]
    for name in dict.fromkeys(name for name, _ in charts):
        lines.append(f"  {name}:")
        for version in (version for other, version in charts if other == name):
            content = packed(name, version)
            (folder / f"{name}-{version}.tgz").write_bytes(content)
            lines += [f"  - name: {name}", f"    version: {version}", "    urls:", f"    - {base}{name}-{version}.tgz"]
            lines += [f"    digest: {hashlib.sha256(content).hexdigest()}"] if digest else []
    (folder / "index.yaml").write_text("\n".join([*lines, 'generated: "2026-01-01T00:00:00Z"', ""]))


def helm(monkeypatch: pytest.MonkeyPatch) -> str:
    """The real helm, where scripts/test put it or on the path."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return require("helm")
