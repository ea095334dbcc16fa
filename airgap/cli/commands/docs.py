"""``airgap docs``: the documents and samples that came with this airgap, also for a machine without a network."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import airgap
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.fsio.reading import disk_errors

_DISTRIBUTION = "airgap-bundles"
_INSTALLED = "share/doc/airgap/README.md"
#: What a copy contains, where it is there.
_PARTS = ("README.md", "CHANGELOG.md", "LICENSE", "docs", "samples", "manifests", "site")


@grouped
def docs_command(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="A new directory to copy them to.", show_default=False)
    ] = None,
    said: Said = Said(),
) -> None:
    """Show where the documents are, or copy them: all that came with this airgap, and samples.

    A release also has them as a site: open site/index.html in a browser, no server is needed.

    Example: airgap docs --out airgap-docs
    """
    documents = _documents()
    if out is not None:
        _copy(documents, out)
        documents = out
    page = documents / "site/index.html"
    facts = {"documents": str(documents), "page": str(page) if page.is_file() else None}
    said.console().result(facts, [str(documents)])


def _documents() -> Path:
    """The directory with README.md, docs/ and samples/: of the installed package, or of the checkout."""
    checkout = Path(airgap.__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "docs").is_dir():
        return checkout
    try:
        files = importlib.metadata.files(_DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.as_posix().endswith(_INSTALLED):
            return Path(str(file.locate())).resolve().parent
    hint = "install the wheel with pip, or read them on another machine: airgap docs --out DIR"
    raise UsageError("this airgap was installed without its documents", hint=hint)


def _copy(documents: Path, out: Path) -> None:
    if out.exists():
        raise UsageError("the directory is there already", where=str(out), expected="a new one")
    with disk_errors("write the documents", out), _undone(out):
        out.mkdir(parents=True)
        for name in _PARTS:
            source = documents / name
            if source.is_dir():
                shutil.copytree(source, out / name)
            elif source.is_file():
                shutil.copyfile(source, out / name)


@contextlib.contextmanager
def _undone(out: Path) -> Iterator[None]:
    """Nothing half copied stays."""
    try:
        yield
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
