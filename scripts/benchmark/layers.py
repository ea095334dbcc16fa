"""Layers: packages merged into one deterministic tar, gzipped, named by digest. Nothing is unpacked on the disk."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast

_SITE_PACKAGES = "usr/local/lib/python3.11/site-packages"


@dataclass(frozen=True)
class Layer:
    """A finished layer: where its gzipped bytes are, their digest and size, and the digest of the tar inside."""

    path: str
    digest: str
    size: int
    diff_id: str


class _Squeeze:
    """A writer that gzips (level 6, no time stamp) and takes both digests on the way."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file
        self._zip = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.inside = hashlib.sha256()
        self.outside = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.inside.update(data)
        self._emit(self._zip.compress(data))
        return len(data)

    def finish(self) -> None:
        self._emit(self._zip.flush())

    def _emit(self, data: bytes) -> None:
        self.outside.update(data)
        self.size += len(data)
        self._file.write(data)


def build(directory: Path, sources: list[Path], text: str = "") -> Layer:
    """Make the layer of some .deb and .whl files, or of one small text file; a layer made before is taken as it is."""
    recipe = "\n".join([text, *(f"{path.name} {path.stat().st_size}" for path in sources)])
    name = hashlib.sha256(recipe.encode()).hexdigest()[:32]
    path, note = directory / f"{name}.tar.gz", directory / f"{name}.json"
    if note.exists():
        return Layer(**json.loads(note.read_text()))
    directory.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        squeeze = _Squeeze(file)
        _write_tar(squeeze, sources, text)
        squeeze.finish()
    layer = Layer(str(path), f"sha256:{squeeze.outside.hexdigest()}", squeeze.size, f"sha256:{squeeze.inside.hexdigest()}")
    note.write_text(json.dumps(asdict(layer)))
    return layer


def _write_tar(file: _Squeeze, sources: list[Path], text: str) -> None:
    seen: set[str] = set()
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar:
        if text:
            info = tarfile.TarInfo("etc/app.conf")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for path in sources:
            members = _deb_members(path) if path.suffix == ".deb" else _wheel_members(path)
            for info, content in members:
                if info.name not in seen:
                    seen.add(info.name)
                    tar.addfile(info, content)


def _deb_members(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|", bufsize=1 << 20) as tar:
            for info in tar:
                info.name = info.name.removeprefix("./")
                if info.islnk():
                    info.linkname = info.linkname.removeprefix("./")
                if info.name not in (".", ""):
                    yield info, tar.extractfile(info) if info.isreg() else None
        if process.stdout:
            while process.stdout.read(1 << 16):
                pass
    if process.returncode:
        raise SystemExit(f"bench: dpkg-deb cannot read {path}")


def _wheel_members(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with zipfile.ZipFile(path) as wheel:
        for member in sorted(wheel.infolist(), key=lambda member: member.filename):
            if not member.is_dir():
                info = tarfile.TarInfo(f"{_SITE_PACKAGES}/{member.filename}")
                info.size = member.file_size
                with wheel.open(member) as content:
                    yield info, content
