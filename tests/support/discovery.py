"""Look for images in one text, as ``airgap discover`` does."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import PurePath

from airgap.discover.findings import Findings, Sheet
from airgap.discover.listing import Discovery, collect
from airgap.discover.search import find_in_text
from airgap.lists import Entry, merge_wishes, parse_list
from airgap.oci.reference import Reference

SHA = "sha256:" + "0123456789abcdef" * 4


def look(text: str, name: str = "x.yaml", values: Mapping[str, str] | None = None, include_possible: bool = False) -> Discovery:
    """What a file of this name and text is found to hold."""
    findings = Findings()
    find_in_text(textwrap.dedent(text), PurePath(name), lambda: values or {}, Sheet(name, findings))
    return collect(findings, 1, include_possible)


def images(found: Discovery) -> list[str]:
    """The sure ones, without Docker's default host and path."""
    return [short(image.reference) for image in found.images]


def possible(found: Discovery) -> list[str]:
    """The possible ones, likewise."""
    return [short(image.reference) for image in found.possible]


def unresolved(found: Discovery) -> list[tuple[int, str]]:
    """Line and text of what could not be resolved."""
    return [(remark.place.line, remark.got) for remark in found.unresolved]


def listed(text: str) -> list[Reference]:
    """The references of a list, as the commands that take lists read it."""
    return [wish.reference for wish in merge_wishes([parse_list(text.encode(), "list")]).wanted if isinstance(wish, Entry)]


def short(reference: object) -> str:
    return str(reference).removeprefix("docker.io/library/").removeprefix("docker.io/")
