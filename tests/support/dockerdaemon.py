"""A small stand-in for the Docker daemon's socket: it answers ``GET /images/NAME/get`` with real docker archives."""

from __future__ import annotations

import http.server
import socketserver
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote


class DockerDaemon:
    """Serves archives on ``socket`` until the end of the block.

    Args:
        socket: its path; short, for the system allows only about a hundred characters.
        archives: name or id of an image -> its archive.
        chunked: without a length, as the real daemon sends.
        cut: send so many bytes and hang up.
    """

    def __init__(self, socket: Path, archives: dict[str, Path], *, chunked: bool = True, cut: int | None = None) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                name = unquote(self.path).removeprefix("/images/").removesuffix("/get")
                raw = archives[name].read_bytes() if name in archives else b'{"message":"No such image: \x1b[31m"}'
                self.send_response(200 if name in archives else 404 if name != "broken" else 500)
                self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(raw)))))
                self.end_headers()
                sent = raw if cut is None else raw[:cut]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent) if chunked else sent)
                if cut is None and chunked:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = True

            def address_string(self) -> str:
                return "socket"

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = socketserver.ThreadingUnixStreamServer(str(socket), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.host = f"unix://{socket}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
