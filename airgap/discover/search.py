"""One search: every file of every path is read, recognised by its content and searched, and the files it names are followed."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from airgap import fsio
from airgap.discover.anywhere import find_anywhere
from airgap.discover.documents import Values, find_in_documents
from airgap.discover.findings import Findings, Sheet
from airgap.discover.kinds.containerfile import find_in_containerfile, is_containerfile
from airgap.discover.kinds.quadlet import find_in_quadlet, is_quadlet
from airgap.discover.listing import Discovery, collect
from airgap.discover.tree import SearchLimits, SearchTree, decode, root_of
from airgap.discover.variables import parse_env
from airgap.errors import Damaged, MediaError, UsageError
from airgap.text import printable

STDIN = "standard input"

_MAX_ENV = 1024 * 1024
_DOCUMENTS = frozenset((".yaml", ".yml", ".json"))
_IMAGE = re.compile("image", re.IGNORECASE)
# A file of another name is taken for a document only when its first words say so.
_BEGIN = re.compile(r"(?:(?:---[^\n]*|[ \t]*#[^\n]*|[ \t]*)\n)*(?:apiVersion|kind|services)[ \t]*:")


def discover(
    paths: Sequence[str],
    read_stdin: Callable[[int], bytes],
    *,
    include_possible: bool = False,
    ignore: Sequence[str] = (),
    limits: SearchLimits | None = None,
) -> Discovery:
    """Find the images that deployment files name.

    Args:
        paths: files and directories; ``-`` is standard input.
        read_stdin: reads at most the given number of bytes from standard input.
        include_possible: count what only looks like an image as one.
        ignore: shell patterns of possible images to ignore.

    Raises:
        UsageError: a path is not there, or there is more than the limits allow.
    """
    limits = limits or SearchLimits()
    findings = Findings()
    seen: set[str] = set()
    files = 0
    for name in paths:
        if name != "-" and not os.path.exists(name):  # noqa: PTH110 - Path.exists raises for names that cannot be
            raise UsageError("no such file or directory", where=printable(name))
        if name != "-" and not os.path.isfile(name) and not os.path.isdir(name):  # noqa: PTH112, PTH113 - as above
            raise UsageError(
                "neither a file nor a directory", where=printable(name), hint="pipe it in: COMMAND | airgap discover -"
            )
    roots = [root_of(Path(name)) for name in paths if name != "-"]
    for name in paths:
        if name == "-":
            files += 1
            _standard_input(read_stdin, limits, findings)
            continue
        files += _search(SearchTree(Path(name), limits, findings, seen, roots), findings)
    return collect(findings, files, include_possible, ignore)


def find_in_text(text: str, path: PurePath, values: Values, sheet: Sheet) -> None:
    """Recognise one text and note its images.

    Args:
        path: its name, a hint where the content leaves a doubt; empty for standard input.
        values: gives the variables of the ``.env`` file beside it.
    """
    if is_quadlet(path, text):
        find_in_quadlet(text, sheet)
    elif path.suffix.lower() in _DOCUMENTS:
        find_in_documents(text, path.name, values, sheet)
    elif is_containerfile(path.name, text):
        find_in_containerfile(text, sheet)
    elif not path.name or path.name == "Kustomization" or _BEGIN.match(text):
        find_in_documents(text, path.name, values, sheet)
    elif _DOCUMENTS.intersection(suffix.lower() for suffix in path.suffixes):
        find_in_documents(text, path.name, values, sheet)  # x.yaml.tmpl, x.yaml.j2
    else:
        find_anywhere(text, sheet, exact=False)
        if _IMAGE.search(text):
            sheet.findings.pass_over(sheet.file, "of an unknown type, so searched only for complete references")


def _search(tree: SearchTree, findings: Findings) -> int:
    """Look through one tree; how many files it had."""
    files = 0
    waiting = tree.walk()
    followed: list[tuple[Path, Sheet, str, int]] = []
    while True:
        for path in waiting:
            files += 1
            text = tree.read(path)
            if text is None:
                continue
            sheet = Sheet(printable(str(path)), findings)
            find_in_text(text, path, functools.partial(_environment, path, sheet), sheet)
            followed += [(path, sheet, name, line) for name, line in sheet.followed]
        if not followed:
            return files
        waiting = iter(_follow(tree, *followed.pop()))


def _follow(tree: SearchTree, path: Path, sheet: Sheet, name: str, line: int) -> list[Path]:
    """The files behind a name that a file gives; none, and a note, when it is not there or not in the tree."""
    target = Path(os.path.normpath(path.parent / name))
    if not os.path.exists(target):  # noqa: PTH110 - Path.exists raises for names that cannot be
        sheet.unresolved(line, "it names a file that is not here", name, "add the file and run discover on it too")
    elif not tree.inside(target):
        sheet.unresolved(line, "it names a file outside the searched directories", name, "give that file or its directory too")
    else:
        return list(tree.walk(target))
    return []


def _environment(path: Path, sheet: Sheet) -> Mapping[str, str]:
    """The variables of the ``.env`` file beside a Compose file."""
    try:
        data = fsio.read_if_there(path.parent / ".env", _MAX_ENV)
    except (Damaged, MediaError) as error:
        sheet.unresolved(1, f"the .env file next to it: {error.what}")
        return {}
    return parse_env((data or b"").decode(errors="replace").replace("\r\n", "\n"))


def _standard_input(read_stdin: Callable[[int], bytes], limits: SearchLimits, findings: Findings) -> None:
    data = read_stdin(limits.size + 1)
    if len(data) > limits.size:
        raise UsageError("the input is too large", where=STDIN, expected=f"at most {limits.size} bytes")
    text = decode(data)
    if text is None:
        raise UsageError("not UTF-8 text", where=STDIN, expected="output of helm template or kustomize build")
    sheet = Sheet(STDIN, findings)
    find_in_text(text, PurePath(), dict, sheet)
    for name, line in sheet.followed:
        sheet.unresolved(line, "it names a file next to it, but this is standard input", name, "discover the files instead")
