"""A repository of 10,000 tags: one pass over its pages, and manifests only of the tags that the list means."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.lists import Selection, parse_list
from airgap.planning.selecting import expand
from airgap.progress import Silent
from tests.support import images
from tests.support.cli import USAGE, failed, here
from tests.support.hostile import Hostile, client
from tests.support.taglist import ManyTags, manifests_asked

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

TAGS = [f"{major}.{minor}.{patch}" for major in range(10) for minor in range(25) for patch in range(20)]
TAGS += [f"{tag}-alpine" for tag in TAGS[:4000]] + [f"sha256-{number:064x}.sig" for number in range(1000)]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(TAGS) == 10_000
    with Hostile(ManyTags(TAGS, images.image([images.layer("x")])).answer) as running:
        yield running


def resolved(server: Hostile, work: Path, rule: str) -> list[str]:
    path = work / "list.yaml"
    path.write_text(f"images:\n- name: {server.address}/shop/web\n  tags: {rule}\n")
    done = here("resolve", path, "--json")
    assert done.returncode == 0, done.stderr
    return [image["reference"].rpartition(":")[2] for image in json.loads(done.stdout)["images"]]


@pytest.mark.parametrize(
    ("rule", "tags"),
    [
        ("{semver: '~7.3', newest: 3}", ["7.3.19", "7.3.18", "7.3.17"]),
        ("{semver: '*', newest: 1}", ["9.24.19"]),
        (
            "{regex: '^3[.]1[.]1.-alpine$', exclude-regex: ['1[3-9]-'], exclude: [3.1.10-alpine]}",
            ["3.1.12-alpine", "3.1.11-alpine"],
        ),
    ],
)
def test_only_the_tags_that_are_meant_are_resolved(server: Hostile, tmp_path: Path, rule: str, tags: list[str]) -> None:
    assert resolved(server, tmp_path, rule) == tags
    assert sorted(set(manifests_asked(server))) == sorted(tags)
    pages = [request for request in server.requests if request.path.endswith("/tags/list")]
    assert len(pages) == len(TAGS) / 250, "each page once"


def test_memory_is_bounded_by_what_is_chosen(server: Hostile) -> None:
    text = f"images: [{{name: {server.address}/shop/web, tags: {{semver: '*', newest: 5}}}}]"
    wanted = parse_list(text.encode(), "list").wanted
    with client() as source:
        first = wanted[0]
        assert isinstance(first, Selection)
        list(source.tags(first.repository))  # what is kept for good is there now
        tracemalloc.start()
        try:
            chosen = expand(wanted, source, Silent())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(chosen) == 5
    assert peak < 1_000_000, "bytes; all tags at once would be more than twice that"


def test_a_rule_that_means_none_of_them_asks_for_no_manifest(server: Hostile, tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(f"{server.address}:\n  images-by-semver:\n    shop/web: '>=10'\n")
    facts = failed(here("resolve", path, "--json"), USAGE, "chooses no tag", "there are 10000 tags")
    assert facts["where"].startswith(f"{path}:3: {server.address}/shop/web: semver >=10")
    assert manifests_asked(server) == []
