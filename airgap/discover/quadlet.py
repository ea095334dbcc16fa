"""Quadlet units (podman-systemd.unit(5)): the images of containers, volumes, image units and what ``.kube`` units play."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from airgap.discover.findings import Sheet

_SECTIONS = {"container": "Container", "image": "Image", "volume": "Volume", "kube": "Kube", "build": "Build"}
_HEADING = re.compile(r"\[([A-Za-z0-9 _-]+)\]")
_CONTENT = re.compile(r"^\[(Container|Image|Volume|Kube)\][ \t]*$", re.MULTILINE)
_KEYS = re.compile(r"^[ \t]*(Image|Yaml)[ \t]*=", re.MULTILINE)
_MOUNT = re.compile(r"(?:^|,)(?:source|src)=([^,]+)")


@dataclass(frozen=True)
class _Setting:
    section: str
    key: str
    value: str
    line: int


def is_quadlet(path: PurePath, text: str) -> bool:
    """By its name (also that of a drop-in), or because it has a quadlet's sections and keys."""
    if path.suffix.removeprefix(".") in (*_SECTIONS, "pod", "network"):
        return _HEADING.search(text) is not None
    return _CONTENT.search(text) is not None and _KEYS.search(text) is not None


def find_in_quadlet(text: str, sheet: Sheet) -> None:
    """Note the images of one unit; of a key that is set several times the last one counts, as in systemd."""
    last: dict[tuple[str, str], _Setting] = {}
    for setting in _settings(text):
        last[setting.section, setting.key] = setting
        if setting.section == "Kube" and setting.key == "Yaml" and setting.value:
            _yaml(setting, sheet)
        elif setting.section == "Container" and setting.key == "Mount":
            _mount(setting, sheet)
    for (section, key), setting in last.items():
        if key == "Image" and section in ("Container", "Image", "Volume"):
            _image(setting, sheet)
        elif section == "Build" and key == "ImageTag":
            sheet.note(setting.line, "an image that is built here, not fetched", setting.value)


def _settings(text: str) -> Iterator[_Setting]:
    """The assignments of a unit: continuations joined, comments skipped, also those between continued lines (systemd.syntax(7))."""
    section = ""
    numbered = iter(enumerate(text.split("\n"), 1))
    for number, line in numbered:
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        parts = []
        while line.endswith("\\"):
            parts.append(line[:-1].strip())
            line = next((other.strip() for _, other in numbered if other.strip()[:1] not in ("#", ";")), "")
        line = " ".join([*parts, line])
        heading = _HEADING.fullmatch(line)
        if heading is not None:
            section = heading[1]
        else:
            key, equals, value = line.partition("=")
            if equals:
                yield _Setting(section, key.strip(), value.strip(), number)


def _image(setting: _Setting, sheet: Sheet) -> None:
    name = setting.value.strip("\"'")
    if "/" not in name and name.endswith((".image", ".build")):
        sheet.follow(name, setting.line)  # another unit, which says it
    elif name:
        sheet.image(name, setting.line)


def _mount(setting: _Setting, sheet: Sheet) -> None:
    source = _MOUNT.search(setting.value)
    if "type=image" in setting.value.split(",") and source is not None:
        _image(_Setting(setting.section, setting.key, source[1], setting.line), sheet)


def _yaml(setting: _Setting, sheet: Sheet) -> None:
    name = setting.value.strip("\"'")
    if "://" in name:
        sheet.unresolved(setting.line, "YAML that is fetched from elsewhere", name, "fetch it and discover it too")
    else:
        sheet.follow(name, setting.line)
