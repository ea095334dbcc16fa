"""Images that a container is told to run: flags and variables with ``image`` in their name, as operators use them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airgap.discover.findings import Sheet
from airgap.discover.written import is_full
from airgap.text import printable

_FLAG = re.compile(r"--?([A-Za-z0-9][A-Za-z0-9_.-]*+)(?:=(.*))?", re.ASCII | re.DOTALL)
# Flags and variables whose value is an image however short it is written.
_KNOWN_FLAGS = frozenset(("prometheus-config-reloader", "acme-http01-solver-image"))
_KNOWN_VARIABLES = re.compile(r"RELATED_IMAGES?_\w+|OPERAND_IMAGE_\w+", re.ASCII)
_BUILT_BY_KO = "ko://"  # before the package of a Go program, in sources of what is released with images in their place
_NAMES_ONE = re.compile(r".*image", re.IGNORECASE)


def find_in_arguments(arguments: Iterable[tuple[str, int]], sheet: Sheet) -> None:
    """Note the images that flags of a container name, as ``--flag=value`` or as two arguments, also within a shell's command line.

    Args:
        arguments: each with its line.
    """
    flag = ""
    for argument, line in arguments:
        for word in argument.split():
            found = _FLAG.fullmatch(word.lstrip("\"'"))
            name, value = (found[1], found[2] or "") if found else (flag, word)
            _setting(f"--{name}", value.strip("\"';,"), line, sheet, known=name in _KNOWN_FLAGS)
            flag = name if found and found[2] is None else ""


def find_in_variable(name: str, value: str, line: int, sheet: Sheet) -> None:
    """Note the image that a variable of a container's environment names."""
    _setting(name, value.strip(), line, sheet, known=bool(value and _KNOWN_VARIABLES.fullmatch(name)))


def _setting(name: str, value: str, line: int, sheet: Sheet, known: bool) -> None:
    if not value or not (known or "image" in name.lower()):
        return
    filled_in = ("$" in value or "{{" in value) and ("/" in value or _NAMES_ONE.fullmatch(name) is not None)
    if known or filled_in or is_full(value):
        sheet.image(value, line, remark=f"the value of {printable(name, 60)}", written=value)
    elif value.startswith(_BUILT_BY_KO):
        sheet.unresolved(line, "an image that ko builds", value, "render it with ko resolve, or use the release's manifests")
    elif "/" in value:
        sheet.image(value, line, sure=False, remark=f"the value of {printable(name, 60)}")
