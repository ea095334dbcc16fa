"""A registry for comparisons with skopeo: every repository has one manifest under every name, and its config."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.policycases import CONFIG, MANIFEST

_KIND = "application/vnd.docker.distribution.manifest.v2+json"


@contextlib.contextmanager
def one_image(signed: Mapping[str, tuple[str, bytes]] | None = None) -> Iterator[int]:
    """Serve it on a port of this machine.

    Args:
        signed: type and content of other names, looked up when they are asked for; without them there is no ``.sig`` tag.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def do_GET(self) -> None:
            status, kind, body = self._find()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

        def _find(self) -> tuple[int, str, bytes]:
            name = self.path.rpartition("/")[2]
            if signed is not None and name in signed:
                return 200, *signed[name]
            if signed is not None and name.endswith(".sig"):
                return 404, _KIND, b"{}"
            return 200, _KIND, CONFIG if "/blobs/" in self.path else MANIFEST if "/manifests/" in self.path else b"{}"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
