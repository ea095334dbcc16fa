"""Git repositories, and a server that offers them as ``git http-backend`` does behind any web server."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.tools import require

_WHEN = "2026-01-31T12:00:00Z"


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> Repository:
        """With three commits on ``main``: ``v1.0`` is the second, ``v1.1`` an annotated tag of the third."""
        path.mkdir(parents=True)
        made = cls(path)
        made.git("init", "--quiet", "--initial-branch", "main")
        for number in (1, 2, 3):
            made.commit(f"file{number}", "".join(f"line {line}\n" for line in range(number, 2000)))
            if number == 2:
                made.git("tag", "v1.0")
        made.git("tag", "--annotate", "--message", "release", "v1.1")
        return made

    def git(self, *arguments: object) -> str:
        """Run git here."""
        return git("-C", self.path, *arguments)

    def commit(self, name: str, content: str) -> str:
        """A commit with one more file; its name."""
        (self.path / name).write_text(content)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", name)
        return self.git("rev-parse", "HEAD")


def git(*arguments: object) -> str:
    """Run git without anybody's settings; what it prints."""
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "x"), ("EMAIL", "x@y"), ("DATE", _WHEN))
    }
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **who}
    command = [require("git"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def refs(repository: object) -> dict[str, str]:
    """All refs of a repository or bundle, each with its object."""
    lines = (line.split("\t") for line in git("ls-remote", repository).splitlines())
    return {name: found for found, name in lines if not name.endswith("^{}")}


@dataclass
class GitServer:
    """Repositories on a web server.

    Attributes:
        url: of the directory with all of them.
        user: ``NAME:PASSWORD`` that it asks for; ``""`` for none.
        moved: where all requests are redirected to.
        asked: path and ``Authorization`` of every request.
    """

    url: str = ""
    user: str = ""
    moved: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def git_server(root: Path, tls: tuple[Path, Path] | None = None) -> Iterator[GitServer]:
    """Serve the repositories below a directory on a port of this machine, over TLS with a certificate and its key."""
    program = Path(git("--exec-path")) / "git-http-backend"
    served = GitServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            served.asked.append((self.path, given))
            if served.user and given != "Basic " + base64.b64encode(served.user.encode()).decode():
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif served.moved:
                self.send_response(302)
                self.send_header("Location", served.moved + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        do_POST = do_GET  # noqa: N815

        def _answer(self, body: bytes) -> None:
            done = subprocess.run([program], env=self._environment(), input=body, capture_output=True, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _environment(self) -> Mapping[str, str]:
            path, _, query = self.path.partition("?")
            return {
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    served.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
