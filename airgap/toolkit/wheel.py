"""airgap itself as a wheel, made again from the files that run: from an installed package as well as from a checkout.

A wheel is a zip file with a list of its content (packaging.python.org, "Binary distribution format"). The compiled extensions of
this machine go into it, and are left aside by Python where they do not fit: everything works without them, layers are only rebuilt
more slowly. So one wheel is right for every machine.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import airgap
from airgap import fsio
from airgap.errors import UsageError
from airgap.text import printable
from airgap.toolkit.shared import DISTRIBUTION, shared_files

#: The package that is imported, and the command.
NAME = "airgap"
_FILE_NAME = DISTRIBUTION.replace("-", "_")
_TAG = "py3-none-any"
_MAX_FILE = 64 * 1024 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = (".c", ".h", ".pyc")


@dataclass(frozen=True)
class Package:
    """What is known about the running airgap: its requirements as pip writes them, and the files of its metadata by name."""

    requires: tuple[str, ...]
    metadata: Mapping[str, bytes]


def package_directory() -> Path:
    """Where the running airgap lies."""
    return Path(airgap.__file__).resolve().parent


def running_package() -> Package:
    """The metadata of the running airgap: of a checkout by its pyproject.toml, else as it was installed.

    Raises:
        UsageError: it is neither in a checkout nor installed.
    """
    project = package_directory().parent / "pyproject.toml"
    if project.is_file():
        described = tomllib.loads(fsio.read_input(project, _MAX_FILE, "project file").decode()).get("project", {})
        if described.get("name") == DISTRIBUTION:
            return _described(described)
    try:
        found = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            "this airgap is neither installed nor a checkout, so it cannot be packed",
            where=printable(str(package_directory())),
            hint="install it with pip, then run the command again",
        ) from error
    texts = {name: found.read_text(name) for name in ("METADATA", "entry_points.txt")}
    return Package(tuple(found.requires or ()), {name: text.encode() for name, text in texts.items() if text})


def own_wheel(directory: Path, package: Package) -> Path:
    """Write the wheel, with man pages and documents, into a directory; its path. The same files always give the same bytes."""
    root = package_directory()
    files = {
        f"{NAME}/{path.relative_to(root).as_posix()}": fsio.read_input(path, _MAX_FILE, "package file")
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in _LEFT_OUT and "__pycache__" not in path.parts
    }
    shared = f"{_FILE_NAME}-{airgap.__version__}.data/data"
    for name, source in sorted(shared_files(root).items()):
        files[f"{shared}/{name}"] = fsio.read_input(source, _MAX_FILE, "package file")
    path = directory / f"{_FILE_NAME}-{airgap.__version__}-{_TAG}.whl"
    fsio.write_durable(path, pack(_FILE_NAME, airgap.__version__, files, package.metadata, [_TAG]))
    return path


def pack(name: str, version: str, files: Mapping[str, bytes], metadata: Mapping[str, bytes], tags: Iterable[str]) -> bytes:
    """A wheel.

    Args:
        name, version: of the distribution.
        files: content by path.
        metadata: the files of its dist-info directory by name; ``WHEEL`` and ``RECORD`` are made.
        tags: what it runs on.
    """
    info = f"{name}-{version}.dist-info"
    about = "".join(["Wheel-Version: 1.0\nGenerator: airgap\nRoot-Is-Purelib: true\n", *(f"Tag: {tag}\n" for tag in tags)])
    content = {**files, **{f"{info}/{one}": data for one, data in metadata.items()}, f"{info}/WHEEL": about.encode()}
    record = [f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in content.items()]
    content[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    return archive(content)


def archive(content: Mapping[str, bytes]) -> bytes:
    """A zip file with fixed times and modes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path, data in content.items():
            member = zipfile.ZipInfo(path, _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o100644 << 16
            zipped.writestr(member, data)
    return made.getvalue()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _described(project: Mapping[str, object]) -> Package:
    listed, scripts = project.get("dependencies"), project.get("scripts")
    requires = tuple(str(one) for one in listed) if isinstance(listed, list) else ()
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {DISTRIBUTION}",
        f"Version: {airgap.__version__}",
        f"Summary: {project.get('description')}",
    ]
    lines += [f"Requires-Python: {project.get('requires-python')}", *(f"Requires-Dist: {one}" for one in requires)]
    commands = scripts.items() if isinstance(scripts, dict) else ()
    points = ["[console_scripts]", *(f"{command} = {place}" for command, place in commands)]
    return Package(requires, {"METADATA": "\n".join([*lines, ""]).encode(), "entry_points.txt": "\n".join([*points, ""]).encode()})
