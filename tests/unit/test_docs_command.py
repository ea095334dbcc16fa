"""``airgap docs``: where the documents are, and a copy of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airgap.cli.main import run

ROOT = Path(__file__).parents[2]


@pytest.mark.smoke("docs")
def test_docs_shows_where_documents_and_samples_are_and_copies_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docs", "--json"]) == 0
    there = Path(json.loads(capsys.readouterr().out)["documents"])
    assert (there / "samples/layout/index.json").is_file()
    assert run(["docs", "--out", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/copy\n"
    assert (tmp_path / "copy/docs/format.md").read_bytes() == (ROOT / "docs/format.md").read_bytes()
    assert (tmp_path / "copy/samples/layout/oci-layout").is_file()


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
