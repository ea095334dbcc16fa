"""A wheel house without a network: what is installed here, packed into wheels again."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

from airgap.toolkit.wheel import pack

_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json")


def wheel_house(directory: Path, requires: Iterable[str]) -> Path:
    """Put everything that the requirements need, and pip, into a directory."""
    directory.mkdir(parents=True)
    todo, done = [*requires, "pip"], set()
    while todo:
        name = re.split(r"[^A-Za-z0-9._-]", todo.pop())[0]
        canonical = re.sub(r"[-_.]+", "-", name).lower()
        if canonical in done:
            continue
        done.add(canonical)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # needed on other systems only
            continue
        _pack(found, directory)
        todo += [one for one in found.requires or () if "extra" not in one]
    return directory


def _pack(found: importlib.metadata.Distribution, directory: Path) -> None:
    files, metadata = {}, {}
    for path in found.files or ():
        parts, here = path.parts, Path(path.locate())
        if parts[0] == ".." or "__pycache__" in parts or not here.is_file():
            continue
        if not parts[0].endswith(".dist-info"):
            files[path.as_posix()] = here.read_bytes()
        elif parts[-1] not in _LEFT_OUT:
            metadata["/".join(parts[1:])] = here.read_bytes()
    name = re.sub(r"[-.]+", "_", found.metadata["Name"])
    tags = re.findall(r"^Tag: (\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    python, abi, _ = tags[0].split("-")
    pythons = ".".join(dict.fromkeys(tag.split("-")[0] for tag in tags)) if abi == "none" else python
    platforms = ".".join(dict.fromkeys(tag.split("-")[2] for tag in tags))
    data = pack(name, found.version, files, metadata, tags)
    (directory / f"{name}-{found.version}-{pythons}-{abi}-{platforms}.whl").write_bytes(data)
