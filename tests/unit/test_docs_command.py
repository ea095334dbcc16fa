"""``airgap docs``: where the documents are, and a copy of them."""

from __future__ import annotations

import json
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from airgap.cli.commands import docs
from airgap.cli.main import run

ROOT = Path(__file__).parents[2]


@pytest.mark.smoke("docs")
def test_docs_shows_where_documents_and_samples_are_and_copies_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docs", "--json"]) == 0
    there = Path(json.loads(capsys.readouterr().out)["documents"])
    assert (there / "samples/layout/index.json").is_file()
    assert run(["docs", "--out", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/copy"
    assert (tmp_path / "copy/docs/format.md").read_bytes() == (ROOT / "docs/format.md").read_bytes()
    assert (tmp_path / "copy/samples/layout/oci-layout").is_file()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The documents of an airgap that has the site."""
    there = tmp_path / "share/doc/airgap"
    (there / "site").mkdir(parents=True)
    files = {f"share/doc/airgap/{name}": there / name for name in ("README.md", "site/index.html")}
    for path in files.values():
        path.write_text("a page")
    monkeypatch.setattr(docs, "shared_files", lambda _: files)
    return there


def test_docs_names_the_first_page_of_the_site_and_a_browser_shows_it(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = installed / "site/index.html"
    assert run(["docs"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(installed), str(page)]
    (tmp_path / "browser").write_text(f"#!/bin/sh\necho $1 >{tmp_path}/shown\n")
    (tmp_path / "browser").chmod(0o755)
    code = f"import sys; from pathlib import Path; from airgap.cli.commands import docs; docs._show({page.as_uri()!r}, Path())"
    subprocess.run([sys.executable, "-c", code], env={"BROWSER": f"{tmp_path}/browser %s"}, check=True)
    assert (tmp_path / "shown").read_text() == f"{page.as_uri()}\n"


def test_without_a_browser_the_page_is_named(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert run(["docs", "--open"]) == 2
    assert f"{(installed / 'site/index.html').as_uri()}" in capsys.readouterr().err
    (installed / "site/index.html").unlink()
    assert run(["docs", "--open"]) == 2
    assert "came without the site" in capsys.readouterr().err


def test_docs_writes_into_no_directory_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    assert run(["docs", "--out", str(tmp_path)]) == 2
    assert "expected: a new one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_docs_leaves_nothing_half_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert run(["docs", "--out", str(tmp_path / "file/below")]) == 6
    assert "where:" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
