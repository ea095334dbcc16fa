"""The site: the documents with the pages made from the code, checked for dead links, built by Zensical."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from airgap import __version__
from reference.pages import pages

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
_SHIM = re.compile(r'<script src="https://unpkg.com/iframe-worker/shim"[^>]*></script>')
#: Documents beside docs/, and what they are called in the site.
_BESIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}


def write_pages(root: Path, into: Path) -> list[str]:
    """Write every page of the site as Markdown, with the samples beside them.

    Args:
        root: the checkout.
        into: a directory; what is there is replaced.

    Returns:
        what is wrong: links that lead nowhere, pages that the navigation lacks or has in vain.
    """
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(root / "docs", into)
    for name, beside in _BESIDE.items():
        if not (into / beside).exists():  # SECURITY.md only points into docs/
            shutil.copy(root / name, into / beside)
    for name in ("samples", "manifests"):
        shutil.copytree(root / name, into / name)
    for name, text in pages(root):
        (into / "reference" / name).parent.mkdir(parents=True, exist_ok=True)
        (into / "reference" / name).write_text(text)
    for page in into.rglob("*.md"):
        page.write_text(_inside(page.read_text(), page.relative_to(into)))
    return [*_dead_links(into), *_navigation(root, into)]


def build(root: Path, pages_in: Path, out: Path) -> int:
    """Build the site with Zensical, with its warnings as errors.

    Args:
        root: the checkout.
        pages_in: what ``write_pages`` wrote; its directory is the one that Zensical works in.
        out: where the site goes; what is there is replaced.

    Returns:
        the exit code of Zensical.
    """
    work = pages_in.parent
    configuration = yaml.safe_load((root / "mkdocs.yml").read_text())
    configuration |= {"docs_dir": pages_in.name, "site_dir": "site", "copyright": _footer(configuration)}
    (work / "mkdocs.yml").write_text(yaml.safe_dump(configuration, allow_unicode=True, sort_keys=False))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(work / "mkdocs.yml")]
    done = subprocess.run(command, cwd=work, check=False)
    if done.returncode == 0:
        _bring_the_worker(work / "site")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(work / "site", out)
    return done.returncode


def _bring_the_worker(site: Path) -> None:
    """Take the search's shim from the site itself: Zensical's offline mode names another host for it.

    Raises:
        ValueError: a page does not ask for the shim, so that nobody knows whether its search works.
    """
    shutil.copy(Path(__file__).with_name("worker.js"), site / "assets/worker.js")
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        text, count = _SHIM.subn(f'<script src="{up}assets/worker.js"></script>', page.read_text())
        if count != 1 and page.name != "404.html":
            raise ValueError(f"{page}: expected one shim for the search, got {count}")
        page.write_text(text)


def _footer(configuration: dict[str, str]) -> str:
    return configuration["copyright"].replace("AIRGAP_VERSION", __version__)


def _inside(text: str, page: Path) -> str:
    """Links out of docs/ as links into the site."""
    up = "../" * (len(page.parts) - 1)
    for name, inside in {**_BESIDE, "README.md": "index.md"}.items():
        text = text.replace(f"]({up}../{name}", f"]({up}{inside}").replace(f"](docs/{name}", f"]({name}")
    if page.name in _BESIDE.values():
        for name, inside in _BESIDE.items():
            text = text.replace(f"]({name}", f"]({inside}")
        text = text.replace("](docs/", "](")
    if page.parts[0] in ("samples", "manifests"):
        text = text.replace("](../docs/", "](../")
    return re.sub(rf"\]\({re.escape(up)}\.\./(samples|manifests)\b", rf"]({up}\1", text)


def _dead_links(into: Path) -> Iterator[str]:
    anchors: dict[Path, set[str]] = {}
    for page in sorted(into.rglob("*.md")):
        for link in _LINK.findall(_FENCE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists():
                yield f"{page.relative_to(into)}: no such page: {link}"
            elif anchor and target.suffix == ".md":
                known = anchors.setdefault(
                    target, {_slug(heading) for heading in _HEADING.findall(_FENCE.sub("", target.read_text()))}
                )
                if anchor not in known:
                    yield f"{page.relative_to(into)}: no such heading: {link}"


def _slug(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    text = re.sub(r"[^\w\s-]", "", text).strip().lower()
    return re.sub(r"[-\s]+", "-", text)


def _navigation(root: Path, into: Path) -> Iterator[str]:
    named = set(_named(yaml.safe_load((root / "mkdocs.yml").read_text())["nav"]))
    yield from (f"mkdocs.yml: nav: no such page: {name}" for name in sorted(named) if not (into / name).is_file())
    linked = {"adr", "reference/commands", "samples", "manifests", "vectors", "zh"}  # reached from a page that the navigation has
    for page in sorted(into.rglob("*.md")):
        name = page.relative_to(into)
        if name.as_posix() not in named | set(_BESIDE.values()) and not linked & {parent.as_posix() for parent in name.parents}:
            yield f"{name}: not in the navigation of mkdocs.yml"


def _named(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for below in tree.values():
            yield from _named(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from _named(below)
