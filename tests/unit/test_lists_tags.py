"""Rules over tags: what they choose, in which order, and what they never choose."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.lists import tags
from airgap.lists.semver import Range
from airgap.lists.tags import MAX_PATTERN, Chooser, Pattern, TagRule


def chosen(rule: TagRule, *offered: str) -> list[str]:
    chooser = Chooser(rule)
    for tag in offered:
        chooser.offer(tag)
    return chooser.chosen()


def rule(*patterns: str, semver: str = "", newest: int | None = None, exclude: str = "", exclude_regex: str = "") -> TagRule:
    versions = Range.parse(semver) if semver else None
    excluded = (Pattern.parse(exclude_regex),) if exclude_regex else ()
    return TagRule(tuple(map(Pattern.parse, patterns)), versions, newest, frozenset(exclude.split()), excluded)


def test_a_pattern_matches_anywhere_unless_it_is_bound() -> None:
    assert chosen(rule("1[.]3"), "1.3", "2-1.3-x", "1-3") == ["2-1.3-x", "1.3"]
    assert chosen(rule("^1[.]3$"), "1.3", "2-1.3-x") == ["1.3"]
    assert chosen(rule("^a", "b$"), "ax", "xb", "x") == ["xb", "ax"]


def test_pattern_range_and_exclusions_must_all_hold() -> None:
    wanted = rule("^v", semver="^1.2", exclude="v1.4.0", exclude_regex="[.]9$")
    assert chosen(wanted, "v1.2.0", "1.3.0", "v1.4.0", "v1.3.9", "v2.0.0", "v1.5.0") == ["v1.5.0", "v1.2.0"]


def test_the_newest_by_precedence_of_versions() -> None:
    assert chosen(rule(semver="*", newest=3), "1.9.0", "1.10.0", "v1.10.0", "latest", "1.2.0") == ["v1.10.0", "1.10.0", "1.9.0"]
    assert chosen(rule(semver=">=1-0", newest=2), "1.0.0-rc.2", "1.0.0", "1.0.0-rc.10") == ["1.0.0", "1.0.0-rc.10"]


def test_the_newest_in_natural_order_without_a_range() -> None:
    assert chosen(rule("", newest=4), "r9", "r10", "r10-alpine", "stable", "r1") == ["stable", "r10-alpine", "r10", "r9"]
    assert chosen(rule("^2024", newest=1), "2024-9-1", "2024-10-1", "2024-1-30") == ["2024-10-1"]


def test_tags_that_stand_for_digests_are_never_chosen() -> None:
    digest = "sha256-" + "a" * 64
    attached = [digest, f"{digest}.sig", f"{digest}.att", f"{digest}.sbom", f"{digest}.cosign.bundle", "sha512-" + "b" * 64]
    assert chosen(TagRule(), *attached, "sha256-short", "1") == ["sha256-short", "1"]


def test_what_was_chosen_does_not_depend_on_the_order_or_on_repetition() -> None:
    offered = [f"1.{minor}.{patch}" for minor in range(40) for patch in range(40)] * 2
    for seed in range(3):
        random.Random(seed).shuffle(offered)
        assert chosen(rule(semver="*", newest=3), *offered) == ["1.39.39", "1.39.38", "1.39.37"]


def test_a_rule_that_chooses_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_CHOSEN", 10)
    with pytest.raises(UsageError) as caught:
        chosen(rule("^t"), *(f"t{i}" for i in range(11)))
    assert "narrower" in caught.value.hint


@pytest.mark.parametrize("text", ["(", "[a", "(?<=a)b", "a**", "(?P<n", "\\", "(a{1000}){1000}", "x" * (MAX_PATTERN + 1), "\ud800"])
def test_a_text_that_is_no_pattern(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Pattern.parse(text)
    assert "RE2" in caught.value.expected
    assert capfd.readouterr() == ("", ""), "the library keeps silent"


def test_a_pattern_that_would_never_end_elsewhere_ends() -> None:
    assert not Pattern.parse("^(a+)+$").found_in("a" * 127 + "!")


@given(st.text(max_size=30), st.text(alphabet="ab1.-_", max_size=20))
def test_any_text_is_a_pattern_or_a_usage_error(text: str, tag: str) -> None:
    try:
        pattern = Pattern.parse(text)
    except UsageError:
        return
    assert pattern.found_in(tag) in (True, False)


def test_a_rule_says_what_it_is() -> None:
    assert str(rule("^v", semver="^1", newest=2, exclude="v1.2 v1.1", exclude_regex="rc")) == (
        "regex ^v; semver ^1; newest 2; exclude v1.1, v1.2; exclude-regex rc"
    )
    assert str(TagRule()) == "any tag"
