"""Tutorials and how-tos are run as they stand, in a fresh home directory without a network; and the site is built."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, run_page
from tests.support.tools import require

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for name in ("tutorials", "howto", "zh") for path in (DOCS / name).glob("*.md"))
MIGRATING = Path("migrating.md")  # begins as the how-tos do

pytestmark = pytest.mark.slow("runs whole tutorials, and builds the site")


@pytest.mark.parametrize("page", [*PAGES, Path("install.md"), MIGRATING], ids=str)
def test_every_command_of_a_page_works_as_it_stands(page: Path, tmp_path: Path) -> None:
    for tool in ("docker-registry", "skopeo", "openssl", "xorriso", "unshare"):
        require(tool)
    begins = (page.parent.name == "howto" and page.stem != "index") or page == MIGRATING
    begun = "\n".join(blocks(DOCS / "howto/index.md")) if begins else ""
    done = run_page(DOCS / page, tmp_path, first=begun)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_with_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Page\n\n```sh\nairgap version\nairgap schema nothing\nairgap version\n```\n")
    done = run_page(tmp_path / "page.md", tmp_path)
    assert done.returncode == 2
    assert "failed: airgap schema nothing" in done.stderr


def test_chinese_pages_have_the_commands_of_the_english_ones() -> None:
    def commands(page: str) -> set[str]:
        lines = "\n".join(blocks(DOCS / page)).splitlines()
        return {line for line in lines if line.startswith("airgap") and "||" not in line and "--who" not in line}

    assert commands("zh/carrying.md") == commands("tutorials/carrying.md")
    assert commands("zh/site.md") <= commands("tutorials/site.md")


def test_the_site_is_built_without_a_warning_and_needs_no_other_host(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/docs", "--out", tmp_path / "site"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 100
    loaded = re.compile(r"""<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)=["']?(?:https?:)?//""")
    assert [page for page in pages if loaded.search(page.read_text())] == []
    assert (tmp_path / "site/search.js").is_file()  # the search works from a disk, too
