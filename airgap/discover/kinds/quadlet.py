"""Quadlet units (podman-systemd.unit(5)): the images of containers, volumes, image units and what ``.kube`` units play."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from airgap.discover.anywhere import find_anywhere
from airgap.discover.findings import Sheet
from airgap.discover.settings import find_in_arguments, find_in_variable

_SUFFIXES = frozenset(("container", "image", "volume", "kube", "build", "artifact", "pod", "network"))
_IMAGE_KEYS = frozenset((("Container", "Image"), ("Image", "Image"), ("Volume", "Image"), ("Artifact", "Artifact")))
_HEADING = re.compile(r"\[([A-Za-z0-9 _-]+)\]")
_CONTENT = re.compile(r"^\[(Container|Image|Volume|Kube|Artifact|Pod|Build)\][ \t]*$", re.MULTILINE)
_KEYS = re.compile(r"^[ \t]*(Image|Yaml|Artifact|PodmanArgs|ImageTag)[ \t]*=", re.MULTILINE)
_BUILT = ("Build", "ImageTag")
_MOUNT = re.compile(r"(?:^|,)(?:source|src)=([^,]+)")
_MOUNTED = re.compile(r"(?:^|,)type=(image|artifact)(?:,|$)")
_ARTIFACT = "an OCI artifact"
# What a unit takes from files beside it.
_FILES = frozenset((("Kube", "Yaml"), ("Kube", "ConfigMap")))


@dataclass(frozen=True)
class _Setting:
    section: str
    key: str
    value: str
    line: int


def is_quadlet(path: PurePath, text: str) -> bool:
    """By its name (also that of a drop-in), or because it has a quadlet's sections and keys."""
    if path.suffix.removeprefix(".") in _SUFFIXES:
        return _HEADING.search(text) is not None
    return _CONTENT.search(text) is not None and _KEYS.search(text) is not None


def find_in_quadlet(text: str, sheet: Sheet) -> None:
    """Note the images of one unit; of a key that is set several times the last one counts, as in systemd."""
    find_anywhere(text, sheet, comments=True)
    last: dict[tuple[str, str], _Setting] = {}
    for setting in _settings(text):
        key = (setting.section, setting.key)
        if key in _IMAGE_KEYS or key == _BUILT:
            _replaced(last.get(key), setting, sheet)
            last[key] = setting
        else:
            _setting(setting, sheet)
    for key, setting in last.items():
        if key == _BUILT:
            sheet.note(setting.line, "an image that is built here, not pulled", setting.value)
            sheet.explain(setting.value, setting.line)
        else:
            _image(setting, sheet, _ARTIFACT if setting.key == "Artifact" else "")


def _replaced(before: _Setting | None, setting: _Setting, sheet: Sheet) -> None:
    if before is not None and before.value:
        sheet.note(before.line, f"an image that line {setting.line} replaces with another", before.value)
        sheet.explain(before.value, before.line)


def _setting(setting: _Setting, sheet: Sheet) -> None:
    """What another key of a unit names: files, mounts, a command line, an environment."""
    if (setting.section, setting.key) in _FILES and setting.value:
        _file(setting, sheet)
    elif setting.key == "Mount":
        _mount(setting, sheet)
    elif setting.key in ("Exec", "Entrypoint", "PodmanArgs"):
        find_in_arguments([(setting.value, setting.line)], sheet)
    elif setting.key == "Environment":
        for word in setting.value.split():
            name, _, value = word.strip("\"'").partition("=")
            find_in_variable(name, value, setting.line, sheet)


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


def _image(setting: _Setting, sheet: Sheet, remark: str = "") -> None:
    name = setting.value.strip("\"'")
    if "/" not in name and name.endswith((".image", ".build", ".artifact")):
        sheet.follow(name, setting.line)  # another unit, which says it
    elif name:
        sheet.image(name, setting.line, remark=remark)


def _mount(setting: _Setting, sheet: Sheet) -> None:
    options = setting.value.strip("\"'")
    kind, source = _MOUNTED.search(options), _MOUNT.search(options)
    if kind is not None and source is not None:
        remark = _ARTIFACT if kind[1] == "artifact" else ""
        _image(_Setting(setting.section, setting.key, source[1], setting.line), sheet, remark)


def _file(setting: _Setting, sheet: Sheet) -> None:
    name = setting.value.strip("\"'")
    if "://" in name:
        sheet.unresolved(setting.line, "a remote file", name, "fetch it and run discover on it too")
    else:
        sheet.follow(name, setting.line)
