"""Images in the stores of container engines, copied into a directory of their own before they can be read.

``containers-storage:`` (podman, buildah, CRI-O) keeps layers unpacked, in a form that only its own code reads: ``skopeo copy``
puts the image into a ``dir:``, or ``podman push`` where there is no skopeo. ``docker-daemon:`` is asked over its socket, as
``docker save`` does. Both are the one exception from "each byte is written once": the copy is as large as the image unpacked.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from airgap import fsio, programs
from airgap.errors import RegistryError, UsageError
from airgap.limits import MAX_SAID
from airgap.oci.verify import CHUNK
from airgap.pace import PacedResponse, Pacing
from airgap.text import printable

_SOCKET = "/var/run/docker.sock"
#: Seconds without a byte before a daemon counts as dead; it packs the layers before the first one comes.
_PATIENCE = 600
_MAX_ANSWER = 64 * 1024


def copy_from_storage(name: str, directory: Path) -> None:
    """Copy an image out of containers-storage into a new ``dir:``, its layers plain as the storage has them.

    Args:
        name: what follows ``containers-storage:``, also with ``[driver@root+runroot]`` before it (skopeo only).
        directory: made here; holds the image afterwards.

    Raises:
        UsageError: neither skopeo nor podman is installed, or the storage has no such image.
    """
    command = _copy_command(name, directory)
    try:
        done = programs.run(command, output=False)
    except OSError as error:
        raise UsageError(
            f"cannot run {command[0]}: {error.strerror}", where=f"containers-storage:{printable(name, 200)}"
        ) from error
    if done.returncode:
        raise UsageError(
            f"{command[0]} cannot copy the image out of its storage",
            where=f"containers-storage:{printable(name, 200)}",
            got=printable(done.stderr[-MAX_SAID:].decode("utf-8", "replace").strip(), MAX_SAID),
            hint="see: podman images --all",
        )


def save_from_daemon(name: str, file: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Save an image of a Docker daemon as a docker archive.

    Args:
        name: a reference, or an image id.
        file: made here.
        environment: where DOCKER_HOST may name another ``unix://`` socket.

    Raises:
        UsageError: DOCKER_HOST names no socket, or the daemon has no such image.
        RegistryError: the daemon cannot be reached or fails.
        MediaError: the disk cannot take the archive.
    """
    path = _socket_path(environment.get("DOCKER_HOST", ""))
    with contextlib.closing(_SocketConnection(path)) as connection:
        try:
            connection.request("GET", f"/images/{quote(name, safe='/')}/get")
            answer = connection.getresponse()
            if answer.status != 200:
                raise _refusal(answer, name, path)
            _spool(answer, file)
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(
                "cannot get the image from the Docker daemon",
                where=printable(path),
                got=printable(str(error) or type(error).__name__, 200),
                hint="check that the daemon runs and that this user may access its socket (DOCKER_HOST names another)",
            ) from error


def _copy_command(name: str, directory: Path) -> list[str]:
    skopeo, podman = shutil.which("skopeo"), shutil.which("podman")
    if skopeo:
        # what is trusted is decided at the import; without root the storage is visible only in podman's user namespace
        inside = [podman, "unshare"] if podman and os.geteuid() else []
        return [*inside, skopeo, "--insecure-policy", "copy", "--quiet", f"containers-storage:{name}", f"dir:{directory}"]
    if podman and not name.startswith("["):
        return [podman, "push", "--quiet", "--", name, f"dir:{directory}"]
    raise UsageError(
        "neither skopeo nor podman is installed to read containers-storage" if not podman else "skopeo is not installed",
        where=f"containers-storage:{printable(name, 200)}",
        hint="install skopeo, or save the image with podman: podman save --format oci-archive -o FILE IMAGE",
    )


def _socket_path(host: str) -> str:
    parts = urlsplit(host or f"unix://{_SOCKET}")
    if parts.scheme != "unix" or parts.netloc or not parts.path.startswith("/"):
        raise UsageError(
            "only a Docker daemon on this machine can be used",
            where="DOCKER_HOST",
            expected="unix:///path/of/the.sock",
            got=printable(f"{parts.scheme}:", 40),
            hint="run docker save there, and list the file as docker-archive:FILE",
        )
    return parts.path


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self.response_class = functools.partial(PacedResponse, Pacing(idle=_PATIENCE))  # type: ignore[assignment]
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _refusal(answer: http.client.HTTPResponse, name: str, path: str) -> UsageError | RegistryError:
    got = printable(answer.read(_MAX_ANSWER).decode("utf-8", "replace").strip(), 300)
    if answer.status == 404:
        return UsageError(
            "the Docker daemon has no such image", where=f"docker-daemon:{printable(name, 200)}", got=got, hint="see: docker images"
        )
    return RegistryError("the Docker daemon refuses", where=printable(path), expected="status 200", got=f"{answer.status}: {got}")


def _spool(answer: http.client.HTTPResponse, file: Path) -> None:
    with fsio.new_file(file) as fd:
        for position, part in _parts(answer):
            with fsio.disk_errors("cannot write", file):
                fsio.write_at(fd, part, position)


def _parts(answer: http.client.HTTPResponse) -> Iterator[tuple[int, memoryview]]:
    buffer, position = memoryview(bytearray(CHUNK)), 0
    while count := answer.readinto(buffer):
        yield position, buffer[:count]
        position += count
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
