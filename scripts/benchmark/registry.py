"""docker-registry processes on loopback, and what they answer."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

_CONFIGURATION = """\
version: 0.1
log:
  level: error
  accesslog: {{disabled: true}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  cache: {{blobdescriptor: inmemory}}
  maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {readonly}}}}}
http:
  addr: 127.0.0.1:{port}
"""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ACCEPT = f"application/vnd.oci.image.index.v1+json, {_MANIFEST}"


class Registry:
    """A running docker-registry over a storage directory; stopped at the end of the ``with`` block.

    Args:
        work: where its configuration and log are written.
        storage: its root directory, made when missing.
        readonly: refuse pushes.
    """

    def __init__(self, work: Path, storage: Path, *, readonly: bool = False) -> None:
        storage.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{_free_port()}"
        configuration = work / f"registry-{self.address.partition(':')[2]}.yaml"
        port = self.address.partition(":")[2]
        configuration.write_text(_CONFIGURATION.format(storage=storage, readonly=str(readonly).lower(), port=port))
        with configuration.with_suffix(".log").open("wb") as log:
            command = ["docker-registry", "serve", str(configuration)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Registry:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5):
                    return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self._process.kill()
        raise SystemExit(f"bench: docker-registry does not answer on {self.address}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def digest(self, name: str) -> str:
        """The digest a ``repository:tag`` stands for, or the registry's complaint."""
        repository, _, tag = name.rpartition(":")
        url = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        request = urllib.request.Request(url, method="HEAD", headers={"Accept": _ACCEPT})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except OSError as error:
            return f"none ({error})"

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a repository answers for a blob."""
        request = urllib.request.Request(f"http://{self.address}/v2/{repository}/blobs/{digest}", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=30):
                return True
        except OSError:
            return False

    def put_blob(self, repository: str, data: bytes) -> str:
        """Push a small blob; its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        begin = urllib.request.Request(f"http://{self.address}/v2/{repository}/blobs/uploads/", method="POST")
        with urllib.request.urlopen(begin, timeout=30) as answer:
            place = answer.headers["Location"]
        self._put(f"{place}{'&' if '?' in place else '?'}digest={digest}", data, "application/octet-stream")
        return digest

    def put_manifest(self, repository: str, tag: str, data: bytes) -> None:
        """Push an image manifest under a tag."""
        self._put(f"http://{self.address}/v2/{repository}/manifests/{tag}", data, _MANIFEST)

    def _put(self, url: str, data: bytes, kind: str) -> None:
        request = urllib.request.Request(url, data, {"Content-Type": kind}, method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
