"""Archives for tests: tars built member by member, docker archives as old and new Dockers save them, and the real skopeo."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.oci.digest import Digest
from tests.support.images import Built
from tests.support.tools import require


def skopeo(*words: object) -> str:
    """Run the real skopeo; what it printed."""
    done = subprocess.run([require("skopeo"), "--insecure-policy", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo_digest(image: object) -> str:
    """The digest of an image as skopeo sees it."""
    command = [require("skopeo"), "inspect", "--raw", str(image)]
    done = subprocess.run(command, capture_output=True, check=True)
    return str(Digest.of(done.stdout))


@dataclass(frozen=True)
class Storage:
    """A storage of podman of one's own, with the driver that works everywhere."""

    root: Path

    @property
    def name(self) -> str:
        """What skopeo puts between the transport and the name of an image."""
        return f"[vfs@{self.root}/root+{self.root}/run]"

    @property
    def options(self) -> list[str]:
        """What tells podman."""
        return ["--root", f"{self.root}/root", "--runroot", f"{self.root}/run", "--storage-driver", "vfs"]

    def podman(self, *words: object) -> str:
        """Run the real podman on it; what it printed."""
        done = subprocess.run([require("podman"), *self.options, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def own_storage() -> Iterator[Storage]:
    """An empty storage; in a place of its own because podman takes no long paths."""
    require("skopeo")
    if os.geteuid():
        pytest.skip("a storage of one's own needs root here")
    with tempfile.TemporaryDirectory(prefix="airgap-") as directory:
        yield Storage(Path(directory))


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int | None = None, data: bytes = b"") -> Any:
    """One member for :func:`tar`; with ``size`` its header lies about its data."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if size is None else size
    return info, data


def tar(path: Path, members: Sequence[Any], *, form: int = tarfile.GNU_FORMAT, end: bytes = bytes(1024)) -> Path:
    """Write members as they are, whatever they say about themselves."""
    with path.open("wb") as file:
        for info, data in members:
            file.write(info.tobuf(form))
            file.write(data + bytes(-len(data) % 512))
        file.write(end)
    return path


def image_members(built: Built, *, tags: Sequence[str] = (), plain: Sequence[bytes] = ()) -> tuple[list[Any], dict[str, Any]]:
    """The members of one image and its entry in manifest.json, with layers compressed as they are, or ``plain``."""
    config, *layers = [blob.raw for blob in built.blobs]
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    members = [member(name, data=raw) for name, raw in zip(names, plain or layers, strict=True)]
    config_name = f"{Digest.of(config).hex}.json"
    members.append(member(config_name, data=config))
    return members, {"Config": config_name, "RepoTags": list(tags) or None, "Layers": names}


def docker_archive(path: Path, members: Sequence[Any], items: Sequence[dict[str, Any]]) -> Path:
    """A docker archive of these members, with a manifest.json that lists these images."""
    return tar(path, [*members, member("manifest.json", data=json.dumps(items).encode())])
