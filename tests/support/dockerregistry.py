"""A real docker-registry (Debian's docker/distribution 2.8) as a process of its own, for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

BINARY = shutil.which("docker-registry")
_ATTEMPTS = 5

#: Who may enter a registry with ``htpasswd``; the password is a canary, not to be seen anywhere.
USER, PASSWORD = "site", "site-password"
_HTPASSWD = f"{USER}:$2b$04$F2v6drUc0zCfD9PU5QnJAeDrntRVzZsl/cY8joLa4z8rg5bp.5sRu\n"  # bcrypt, cheap on purpose

_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {root}/data}}
  delete: {{enabled: {delete}}}
  maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {readonly}}}}}
http: {{addr: "{address}", secret: not-a-secret{http}}}
{auth}"""


class DockerRegistry:
    """Serves ``root/data`` on a free loopback port from construction until ``stop``; a context manager.

    Args:
        root: a directory of the test; ``root/registry.log`` gets what the registry says.
        auth: further lines of its configuration, for instance an ``auth:`` section.
        tls: the fields of ``http.tls``, for instance ``certificate: FILE, key: FILE``.
        delete: whether manifests can be deleted.
        readonly: whether nothing can be pushed.
        at: the address of this machine to listen at, as URLs have it.
    """

    def __init__(
        self, root: Path, auth: str = "", tls: str = "", delete: bool = True, readonly: bool = False, at: str = "127.0.0.1"
    ) -> None:
        if BINARY is None:
            raise FileNotFoundError("docker-registry is not installed")
        self.root = root
        self.log = root / "registry.log"
        self.address = ""
        self._config = root / "config.yml"
        self._process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(_ATTEMPTS):
            self.address = f"{at}:{_free_port()}"
            http = f", tls: {{{tls}}}" if tls else ""
            settings = {"root": root, "address": self.address, "auth": auth, "http": http}
            settings |= {"delete": str(delete).lower(), "readonly": str(readonly).lower()}
            self._config.write_text(_CONFIG.format(**settings))
            try:
                self._start()
            except RuntimeError as error:  # the free port was taken in between
                if "address already in use" not in str(error) or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def __enter__(self) -> DockerRegistry:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; what it stored stays. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start again on the same port and data."""
        self.stop()
        self._start()

    def blob_path(self, digest: str) -> Path:
        """Where the registry keeps the bytes of a blob or manifest."""
        algorithm, _, encoded = digest.partition(":")
        return self.root / "data/docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"

    def _start(self) -> None:
        assert BINARY is not None
        known = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "serve", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env={"PATH": "/usr/bin"},
            )
        # Its own word for it: an answer on the port could come from somebody else's server who was faster.
        while f"listening on {self.address}".encode() not in self.log.read_bytes()[known:]:
            if self._process.poll() is not None:
                self._process = None
                raise RuntimeError(f"docker-registry ended: {self.log.read_text()[-2000:]}")
            time.sleep(0.005)


def htpasswd(directory: Path) -> str:
    """The configuration (``auth``) of a registry that wants ``USER`` and ``PASSWORD``."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "htpasswd").write_text(_HTPASSWD)
    return f"auth: {{htpasswd: {{realm: site, path: {directory}/htpasswd}}}}\n"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
