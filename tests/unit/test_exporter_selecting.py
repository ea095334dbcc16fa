"""Rules over tags become entries: in place, once for a repository, and never silently nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.errors import NotFound, RegistryError, UsageError
from airgap.lists import Wish, parse_list
from airgap.oci.reference import Repository
from airgap.planning.selecting import expand
from airgap.progress import Silent


class Shelves:
    """Tags by repository; counts how often each is listed."""

    def __init__(self, **tags: list[str]) -> None:
        self.shelves = {f"quay.io/{name}": listed for name, listed in tags.items()}
        self.asked: list[str] = []

    def tags(self, repository: Repository) -> Iterator[str]:
        """As ``Tags.tags``."""
        self.asked.append(str(repository))
        if str(repository) not in self.shelves:
            raise NotFound("no such repository", got="404")
        return iter(self.shelves[str(repository)])


def wishes(text: str) -> tuple[Wish, ...]:
    return parse_list(text.encode(), "list.yaml").wanted


def names(shelves: Shelves, text: str) -> list[str]:
    return [str(entry.reference).removeprefix("quay.io/") for entry in expand(wishes(text), shelves, Silent())]


def test_what_is_chosen_takes_the_place_of_the_rule_newest_first() -> None:
    shelves = Shelves(a=["1.0", "1.2", "latest", "1.10", "sha256-" + "0" * 64 + ".sig"])
    text = "images: [quay.io/x:1, {name: quay.io/a, tags: {semver: '*', newest: 2}}, quay.io/y:1]"
    assert names(shelves, text) == ["x:1", "a:1.10", "a:1.2", "y:1"]
    assert names(shelves, "quay.io: {images: {a: []}}") == ["a:latest", "a:1.10", "a:1.2", "a:1.0"]


def test_each_repository_is_listed_once_for_all_its_rules() -> None:
    shelves = Shelves(a=["1.0", "2.0", "x"], b=["1"])
    text = "quay.io: {images: {b: []}, images-by-semver: {a: ^1}, images-by-tag-regex: {a: '^[1x]'}}"
    assert names(shelves, text) == ["b:1", "a:x", "a:1.0"]
    assert sorted(shelves.asked) == ["quay.io/a", "quay.io/b"]


def test_nothing_is_asked_where_there_is_no_rule() -> None:
    shelves = Shelves()
    assert names(shelves, "images: [quay.io/a:1]") == ["a:1"]
    assert shelves.asked == []


def test_entries_get_the_choices_and_the_origin_of_their_rule() -> None:
    choices = "platforms: [linux/arm64], attachments: no, attachments-from: quay.io/s"
    text = f"images:\n- {{name: quay.io/a, tags: {{regex: x}}, {choices}}}\n"
    (entry,) = expand(wishes(text), Shelves(a=["x"]), Silent())
    assert (entry.origin, entry.attachments, *map(str, entry.platforms)) == ("list.yaml:2", frozenset(), "linux/arm64")
    assert entry.attachment_repositories == (Repository("quay.io", "s"),)


def test_rules_that_choose_nothing_are_all_named_with_line_rule_and_what_is_there() -> None:
    rules = (("a", "semver: ^9"), ("b", "regex: ^v"), ("a", "regex: ^1"))
    text = "images:\n" + "".join(f"- {{name: quay.io/{name}, tags: {{{rule}}}}}\n" for name, rule in rules)
    with pytest.raises(UsageError) as caught:
        expand(wishes(text), Shelves(a=["1.0", "x\x1b[31m"], b=[]), Silent())
    assert caught.value.what == "2 rules of the image list choose no tag"
    first, second = caught.value.where.split("\n")
    assert first == "list.yaml:2: quay.io/a: semver ^9: there are 2 tags, such as 1.0, x\\x1b[31m"
    assert second == "list.yaml:3: quay.io/b: regex ^v: there are 0 tags"


def test_a_repository_that_is_not_there_is_named_with_its_line() -> None:
    with pytest.raises(NotFound) as caught:
        expand(wishes("quay.io:\n  images:\n    nowhere: []\n"), Shelves(), Silent())
    assert caught.value.where == "quay.io/nowhere (list.yaml:3)"


def test_a_registry_that_lists_what_cannot_be_a_tag_is_not_believed() -> None:
    with pytest.raises(RegistryError):
        expand(wishes("quay.io: {images: {a: []}}"), Shelves(a=["../../etc"]), Silent())


def test_a_rule_and_an_entry_that_contradict_each_other_are_refused() -> None:
    text = "images:\n- quay.io/a:1\n- {name: quay.io/a, platforms: [linux/amd64], tags: {semver: '*'}}\n"
    with pytest.raises(UsageError) as caught:
        expand(wishes(text), Shelves(a=["1"]), Silent())
    assert "list.yaml:2" in caught.value.where
    assert "list.yaml:3" in caught.value.where


def test_a_source_without_tags_takes_entries_only() -> None:
    assert len(expand(wishes("images: [quay.io/a:1]"), None, Silent())) == 1
    with pytest.raises(UsageError) as caught:
        expand(wishes("images: [{name: quay.io/a, tags: {semver: '*'}}]"), None, Silent())
    assert caught.value.where == "list.yaml:1"
