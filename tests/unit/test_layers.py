"""The import rule of docs/architecture.md: lower ranks or one's own package, third-party libraries behind one package each."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AIRGAP = ROOT / "airgap"
MODULES = sorted(path.relative_to(ROOT) for path in AIRGAP.rglob("*.py"))
SOURCES = sorted(path.relative_to(ROOT) for folder in ("airgap", "tests", "scripts") for path in (ROOT / folder).rglob("*.py"))

PICTURE = re.search(r"```\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)


def places_of(picture: str) -> dict[str, tuple[int, int, int]]:
    """Every room of the picture: its line from the top, the pillar in it, and how high in that, from the top."""
    found: dict[str, tuple[int, int, int]] = {}
    for storey, line in enumerate(picture.splitlines()):
        for pillar, rooms in enumerate(re.split(r" {2,}", line)[1:]):
            for height, names in enumerate(rooms.split(" > ")):
                found |= dict.fromkeys(names.split(), (storey, pillar, height))
    return found


PLACES = places_of(PICTURE[1] if PICTURE else "")


def may_import(own: str, other: str) -> bool:
    """Lower lines, and what the room stands on in its own line."""
    here, there = PLACES[own], PLACES[other]
    return own == other or there[0] > here[0] or (there[:2] == here[:2] and there[2] > here[2])


#: Where each third-party library may be imported.
HOMES = {
    "urllib3": ("registry",), "certifi": ("registry",),
    "typer": ("cli",), "click": ("cli",), "rich": ("cli",),
    "yaml": ("yamlnodes",),
    "cryptography": ("trust", "cipher"), "nacl": ("trust",), "tuf": ("trust",), "rfc3161_client": ("trust",),
    "backports": ("patch",),
    "re2": ("lists",),
    "zfec": ("format",), "segno": ("html",),
    "distributed": ("crew",),
    "boto3": ("buckets",), "botocore": ("buckets",),
    "bcrypt": ("server",), "prometheus_client": ("server",),
}  # fmt: skip

#: Who makes threads, and why it is not ``airgap/work.py`` that does.
THREADS = {
    "airgap/cli/terminal/console.py": "a ticker shows how far a stage is, however long its thread is in one call",
    "airgap/work.py": "the one place for work that is divided among threads",
    "airgap/exporter/digests.py": "three followers, each with a part of its own, who work beside the pool that they follow",
    "airgap/registry/settings/credentials.py": "a timer ends a helper that hangs",
    "airgap/registry/lease.py": "the keeper renews the lease beside whatever the flow does",
    "airgap/server/http.py": "connections outlive what is done for one of them, and one that fails must not end the others",
    "airgap/server/watched.py": "the watch looks at files beside the server",
}
#: Circles of files, and folders with more files than 15, that are still there.


def part_of(path: Path) -> str:
    """``airgap/oci/digest.py`` -> ``oci``, ``airgap/trust/keys/pem.py`` -> ``trust.keys``, ``airgap/__init__.py`` -> ``""``."""
    name = ".".join(path.with_suffix("").parts[1:])
    # `python -m airgap` is the command line under another name
    return {"__init__": "", "__main__": "cli"}.get(name, room_of(name))


def room_of(name: str) -> str:
    """The room of a dotted name below airgap: the longest one that is known."""
    parts = name.split(".")
    return next((room for end in (2, 1) if (room := ".".join(parts[:end])) in PLACES), parts[0])


def imports_of(source: str, path: Path) -> Iterator[str]:
    """The dotted names of all modules a source file imports, wherever in it and however written; with what it takes of them."""
    package = path.parts[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # "from airgap import text" names a module by its alias
            yield from (f"{module}.{alias.name}" for alias in node.names)


def violations(source: str, path: Path) -> list[str]:
    """What a file imports that it may not."""
    own = part_of(path)
    found = []
    for name in imports_of(source, path):
        top, _, rest = name.partition(".")
        part = room_of(rest)
        if top != "airgap":
            if top not in sys.stdlib_module_names and own.partition(".")[0] not in HOMES.get(top, ()):
                found.append(name)
        elif part in PLACES and not (own in PLACES and may_import(own, part)):
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_lower_ranks_and_its_own_package(path: Path) -> None:
    assert part_of(path) in (*PLACES, "", "trust"), f"{path} has no place in the picture of docs/architecture.md"
    assert violations((ROOT / path).read_text(), path) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("airgap/layout/index.py", "from airgap.registry import client"),
        ("airgap/layout/index.py", "from airgap import bundle"),
        ("airgap/layout/index.py", "from ..bundle import frame"),
        ("airgap/layout/index.py", "def f():\n    import airgap.cli.main"),
        ("airgap/text.py", "from airgap.pace import Pacing"),
        ("airgap/__init__.py", "from airgap.errors import AirgapError"),
        ("airgap/exporter/fill.py", "import urllib3"),
        ("airgap/cli/main.py", "import yaml"),
        ("airgap/trust/keys/signers.py", "import numpy"),
    ],
)
def test_rule_notices_a_forbidden_import(path: str, source: str) -> None:
    assert violations(source, Path(path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "airgap/layout/index.py",
            "from airgap.layout.reading import x\nfrom . import writing\nfrom airgap import fsio, __version__",
        ),
        ("airgap/registry/client.py", "import json, certifi\nfrom urllib3.util import Retry"),
        ("airgap/exporter/seal.py", "from airgap.trust import keys"),
    ],
)
def test_rule_lets_an_allowed_import_pass(path: str, source: str) -> None:
    assert violations(source, Path(path)) == []


def test_threads_are_made_in_one_place() -> None:
    makers = set()
    for path in MODULES:
        source = (ROOT / path).read_text()
        names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)} | {
            name.rpartition(".")[2] for name in imports_of(source, path)
        }
        if names & {"Thread", "Timer", "ThreadPoolExecutor", "ProcessPoolExecutor", "futures"}:
            makers.add(str(path))
    assert makers == THREADS.keys()


def test_caps_that_packages_share_stand_in_one_table() -> None:
    for path in MODULES:
        caps = {name for name in imports_of((ROOT / path).read_text(), path) if ".MAX_" in name}
        assert {name for name in caps if not name.startswith((f"airgap.{part_of(path)}.", "airgap.limits."))} == set(), path


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules in which each imports each, be it by way of others."""
    reach = {name: set(found) for name, found in imports.items()}
    for through in reach:
        for found in reach.values():
            if through in found:
                found |= reach[through]
    groups = {frozenset(other for other in found if name in reach[other]) for name, found in reach.items()}
    return [set(group) for group in groups if group]


def test_no_files_import_each_other_in_a_circle() -> None:
    named = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}
    imports: dict[str, set[str]] = {}
    for module, path in named.items():
        wanted = imports_of((ROOT / path).read_text(), path)
        imports[module] = {name if name in named else name.rpartition(".")[0] for name in wanted} & named.keys() - {module}
    assert circles(imports) == []


def test_rule_notices_a_circle() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_folder_has_more_than_15_files() -> None:
    counts = Counter(str(path.parent) for path in MODULES)
    assert {folder for folder, count in counts.items() if count > 15} == set()


def test_package_that_says_that_it_alone_imports_a_library_does() -> None:
    said = [
        (part_of(path), name)
        for path in MODULES
        for name in re.findall(r"only package that imports `+(\w+)`+", (ROOT / path).read_text())
    ]
    assert said
    assert [(part, name) for part, name in said if HOMES[name] != (part,)] == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_source_file_has_at_most_400_lines(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= 400


@pytest.mark.parametrize("document", ["architecture.md", "flows.md", "policy.md"])
def test_every_module_that_the_documents_name_is_there(document: str) -> None:
    named = re.findall(r"`(?:airgap/)?(\w+(?:/\w+)+)(?:\.py|/)?(?:\.[A-Z]\w+)?`", (ROOT / "docs" / document).read_text())
    ours = [name for name in named if name.partition("/")[0] in {part.partition(".")[0] for part in (*PLACES, "trust")}]
    assert ours
    assert not [name for name in ours if not (AIRGAP / f"{name}.py").exists() and not (AIRGAP / name).is_dir()]


def test_the_picture_shows_every_room_and_no_other() -> None:
    rooms = {part_of(path) for path in MODULES} - {"", "trust"}
    assert rooms == set(PLACES)
