"""The one door: rungs are made nowhere else, flows cannot take less than they need, and nobody else trusts a catalog."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.admission import door
from airgap.bundle.media import Media
from airgap.oci.digest import Digest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in (ROOT / "airgap").rglob("*.py")}
RUNGS = ("Found", "Signed", "Admitted", "Whole", "Judged")

#: What turns bytes into trust, as ``module:name``.
HELD = (
    "airgap.trust.judge.bundles:check_catalog_signatures",
    "airgap.trust.judge.bundles:judge_stream",
    "airgap.admission.gate:admit",
    "airgap.admission.gate:check_times",
    "airgap.admission.judge:judge_images",
    "airgap.admission.closure:check_extraneous",
)


def uses(tree: ast.AST, held: str) -> bool:
    """Whether a module imports a name from where it is at home, or reaches for it there."""
    home, _, name = held.partition(":")
    short = home.rpartition(".")[2]
    return any(
        (isinstance(node, ast.ImportFrom) and node.module == home and name in {alias.name for alias in node.names})
        or (isinstance(node, ast.Attribute) and node.attr == name and ast.unparse(node.value).endswith(short))
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("held", HELD)
def test_nobody_but_the_door_verifies_or_judges_a_bundle(held: str) -> None:
    assert {path for path, tree in MODULES.items() if uses(tree, held)} == {"airgap/admission/door.py"}


def test_nobody_but_the_door_takes_the_bytes_of_a_catalog_for_a_catalog() -> None:
    """All others read ``Unverified``; the content key of an own encrypted bundle opens it for who made it."""
    readers = set()
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("outer.read", "Catalog.from_bytes", "sealed.unseal"):
                readers.add(path)
            if isinstance(node, ast.ImportFrom) and node.module == "airgap.format.outer":
                assert "read" not in {alias.name for alias in node.names}, path
    shown = {"airgap/cli/commands/carried/report.py", "airgap/cli/commands/site/inspect.py"}  # they open what they show, unverified
    assert readers - shown == {"airgap/admission/door.py", "airgap/format/outer.py", "airgap/format/sealed.py"}


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_is_made_by_the_door_alone(rung: str) -> None:
    kind = getattr(door, rung)
    fields = dict.fromkeys(kind.__dataclass_fields__)
    with pytest.raises(TypeError, match=f"only the door makes {rung}"):
        kind(**fields)


def test_whoever_made_one_rung_cannot_make_the_next_from_it() -> None:
    found = door.Found(Media((), b"{}", {}), Digest.of(b"{}"), door._DOOR)
    with pytest.raises(TypeError, match="only the door makes"):
        door.Signed(media=found.media, digest=found.digest, _made_by=object(), terms=None, catalog=None, verdict=None)  # type: ignore[arg-type]


def test_the_table_of_doors_in_the_documents_is_that_of_the_code() -> None:
    listed = re.findall(r"^\|[^|]*\| `([\w/]+\.py)` \| (\w+) \|", (ROOT / "docs/policy.md").read_text(), re.MULTILINE)
    doors: dict[str, set[str]] = {}
    for path, tree in MODULES.items():
        asked = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in ("airgap.admission.door", "airgap.format.outer")
            for alias in node.names
        }
        if asked & {"Found", "open_bundle", "UnverifiedBundle", "Unverified"} and not path.startswith("airgap/admission/"):
            doors[path] = asked
    assert {f"airgap/{path}" for path, _ in listed} == set(doors)
    for path, rung in listed:
        assert rung in doors[f"airgap/{path}"], path


@pytest.mark.slow("runs the type checker")
def test_the_type_checker_refuses_to_load_what_was_not_judged(tmp_path: Path) -> None:
    snippet = tmp_path / "flow.py"
    snippet.write_text(
        f"from airgap.admission.door import {', '.join(RUNGS)}\n"
        "from airgap.importer.run import examine\n"
        "from airgap.naming.mapping import TargetSpec\n\n"
        + "".join(f"def flow_{rung}(bundle: {rung}, spec: TargetSpec) -> None:\n    examine(bundle, spec)\n\n" for rung in RUNGS)
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", str(tmp_path / "cache"), str(snippet)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    refused = re.findall(r'has incompatible type "(\w+)"; expected "Judged"', said)
    assert (tuple(refused), "Found 4 errors" in said) == (RUNGS[:-1], True), said
