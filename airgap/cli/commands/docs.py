"""``airgap docs``: the documents and samples that came with this airgap, also for a machine without a network."""

from __future__ import annotations

import contextlib
import shutil
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.fsio.reading import disk_errors
from airgap.toolkit.shared import DOCUMENTS, shared_files
from airgap.toolkit.wheel import package_directory


@grouped
def docs_command(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="A new directory to copy them to.", show_default=False)
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Show the site of the documents in a browser.")] = False,
    said: Said = Said(),
) -> None:
    """Show where the documents are, or copy them: all that came with this airgap, and samples.

    A release also has them as a site, whose first page is named, too: a browser shows it without a server or a network.

    Example: airgap docs --out airgap-docs

    Example: airgap docs --open
    """
    files = {
        name.removeprefix(f"{DOCUMENTS}/"): path for name, path in shared_files(package_directory()).items() if DOCUMENTS in name
    }
    if "README.md" not in files:
        hint = "install the wheel with pip, or copy them on another machine: airgap docs --out DIR"
        raise UsageError("this airgap was installed without its documents", hint=hint)
    documents = files["README.md"].parent
    if out is not None:
        _copy(files, out)
        documents = out
    page = out / "site/index.html" if out is not None else files.get("site/index.html", Path())
    there = page.is_file()
    facts = {"documents": str(documents), "page": str(page) if there else None}
    said.console().result(facts, [str(documents), *([str(page)] if there else [])])
    if opens:
        _show(page.absolute().as_uri() if there else None, documents)


def _show(page: str | None, documents: Path) -> None:
    if page is None:
        hint = f"read the Markdown in {documents}/docs; the wheel of a release has the site"
        raise UsageError("this airgap came without the site of its documents", hint=hint)
    try:
        shown = webbrowser.open(page)
    except webbrowser.Error:
        shown = False
    if not shown:
        raise UsageError("there is no browser here", hint=f"name one in the variable BROWSER, or open it elsewhere: {page}")


def _copy(files: Mapping[str, Path], out: Path) -> None:
    if out.exists():
        raise UsageError("the directory is there already", where=str(out), expected="a new one")
    with disk_errors("cannot write the documents", out), _undone(out):
        for name, source in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / name)


@contextlib.contextmanager
def _undone(out: Path) -> Iterator[None]:
    """Nothing half copied stays."""
    try:
        yield
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
