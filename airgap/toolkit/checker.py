"""``airgap-check.pyz``: one file that a plain Python runs, made of the same modules as ``airgap media check``.

Which modules those are is found out from their imports, so that it cannot fall behind. All they need is the standard library; a
third-party import among them is a bug.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from airgap import fsio
from airgap.toolkit.wheel import NAME, archive, package_directory

#: The file's name.
CHECKER = "airgap-check.pyz"
_MAX_SOURCE = 4 * 1024 * 1024
_DATA = "format/stock"
_OPTIONAL = ("TYPE_CHECKING", "suppress(ImportError)")
_SHEBANG = b"#!/usr/bin/env python3\n"
#: It must be understood by every Python that somebody may have, to say which one is needed.
_START = """# Checks the volumes of a bundle. Nothing but Python 3.11 or newer is needed.
import os
import sys

if sys.version_info < (3, 11) or os.name != "posix":
    sys.stderr.write(
        "airgap-check: error: this needs Python 3.11 or newer on Linux or another POSIX system; this is Python %d.%d on %s\\n"
        "  next:     check with the script for this machine on the medium: check.sh, check.ps1 or check.cmd\\n"
        % (sys.version_info[0], sys.version_info[1], sys.platform)
    )
    sys.exit(2)

from ENTRY import main

sys.exit(main(sys.argv[1:]))
"""


def checker(entry: str) -> bytes:
    """The file.

    Args:
        entry: the module whose ``main`` takes the arguments and gives the exit code.
    """
    root = package_directory().parent
    content = {"__main__.py": _START.replace("ENTRY", entry).encode()}
    for path in sorted(modules(entry).values()):
        content[path.relative_to(root).as_posix()] = fsio.read_input(path, _MAX_SOURCE, "module")
    for path in sorted((package_directory() / _DATA).iterdir()):
        if path.is_file():
            content[path.relative_to(root).as_posix()] = fsio.read_input(path, _MAX_SOURCE, "file")
    return _SHEBANG + archive(content)


def modules(entry: str) -> dict[str, Path]:
    """A module and every module of ours that it imports, however far away, with their files.

    Raises:
        ImportError: one of them imports what is not in the standard library.
    """
    found: dict[str, Path] = {}
    todo = [entry]
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        todo.append(name.rpartition(".")[0])
        for imported in _imports(path):
            top = imported.partition(".")[0]
            if top == NAME:
                todo.append(imported)
            elif top not in sys.stdlib_module_names:
                raise ImportError(f"{name} imports {imported}, which is not in the standard library")
    return found


def _imports(path: Path) -> Iterator[str]:
    """The imports that a module needs; those for type checkers only, or whose absence it tolerates, are left out."""
    todo: list[ast.AST] = [ast.parse(fsio.read_input(path, _MAX_SOURCE, "module"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If | ast.With) and any(word in ast.unparse(_head(node)) for word in _OPTIONAL):
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _head(node: ast.If | ast.With) -> ast.expr:
    return node.test if isinstance(node, ast.If) else node.items[0].context_expr


def _file(name: str) -> Path | None:
    if not name:
        return None
    place = package_directory().parent.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
