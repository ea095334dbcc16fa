"""Versions and ranges: the language of docs/lists.md, line by line."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.lists.semver import MAX_RANGE, Range, Version

_TAGS = "1 1.2 v1.2.0 1.2.3-rc1 1.2.3 1.3-alpine 1.3.0 2.0.0-rc1 2.0.0 0.0.3 0.0.4 0.2.5 0.3 latest 1.2.3.4 1.2_3"
TAGS = _TAGS.split()


def taken(text: str) -> list[str]:
    wanted = Range.parse(text)
    return [tag for tag in TAGS if (version := Version.parse(tag)) is not None and wanted.holds(version)]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("1.2", "1.2 v1.2.0 1.2.3"),
        ("1.2.x", "1.2 v1.2.0 1.2.3"),
        ("=1.2.*", "1.2 v1.2.0 1.2.3"),
        ("1.X", "1 1.2 v1.2.0 1.2.3 1.3.0"),
        ("v1.2", "1.2 v1.2.0 1.2.3"),
        ("!=1", "2.0.0 0.0.3 0.0.4 0.2.5 0.3"),
        (">1.2.3", "1.3.0 2.0.0"),
        (">1.2", "1.3.0 2.0.0"),
        (">1", "2.0.0"),
        (">= 1.3", "1.3.0 2.0.0"),
        ("=>1.3", "1.3.0 2.0.0"),
        ("<0.2", "0.0.3 0.0.4"),
        ("<=0.2", "0.0.3 0.0.4 0.2.5"),
        ("=<0.0.3", "0.0.3"),
        ("~1.2.3", "1.2.3"),
        ("~>1.2", "1.2 v1.2.0 1.2.3"),
        ("~1", "1 1.2 v1.2.0 1.2.3 1.3.0"),
        ("^1.2.3", "1.2.3 1.3.0"),
        ("^0.2.3", "0.2.5"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.3 0.0.4"),
        ("^0", "0.0.3 0.0.4 0.2.5 0.3"),
        ("1.2.1 - 1.3", "1.2.3 1.3.0"),
        ("*", "1 1.2 v1.2.0 1.2.3 1.3.0 2.0.0 0.0.3 0.0.4 0.2.5 0.3"),
        (">=1.2 <1.3", "1.2 v1.2.0 1.2.3"),
        (">=1.2, <1.3", "1.2 v1.2.0 1.2.3"),
        (">=1.2,<1.3", "1.2 v1.2.0 1.2.3"),
        ("0.0.3 || ^2", "2.0.0 0.0.3"),
        ("1.2.3-rc1", "1.2.3-rc1"),
        (">=1.2.3-0 <2.0.0-0", "1.2.3-rc1 1.2.3 1.3-alpine 1.3.0"),
        ("~1.2.0-0", "v1.2.0 1.2 1.2.3-rc1 1.2.3"),
    ],
)
def test_a_range_takes_what_the_documentation_says(text: str, tags: str) -> None:
    assert sorted(taken(text)) == sorted(tags.split())


def test_precedence_is_that_of_semver_org() -> None:
    ordered = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.1 2"
    versions = [Version.parse(text) for text in ordered.split()]
    assert all(one and other and one < other for one, other in itertools.pairwise(versions))


@pytest.mark.parametrize("text", ["latest", "1.2.3.4", "1.", ".1", "1..2", "v", "1.2_3", "1.2.3-", "1.2.3-a..b", "", "١.٢"])
def test_a_tag_that_is_no_version(text: str) -> None:
    assert Version.parse(text) is None


@pytest.mark.parametrize(
    "text",
    ["", " ", ">", "1.2 ||", "|| 1", "foo", "1.2.3.4", "1.x.3", "a - b", ">=1.2<2", ",1", "1,,2", "1 -2", "=>=1", "1.x-rc", "١"],
)
def test_a_text_that_is_no_range(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Range.parse(text)
    assert "^1.2" in caught.value.expected


def test_a_range_has_a_limit() -> None:
    with pytest.raises(UsageError):
        Range.parse("1 " * MAX_RANGE)


@given(st.text(alphabet="0123456789.xX*v-+abc<>=!~^|, ", max_size=40), st.sampled_from(TAGS))
def test_any_text_is_a_range_or_a_usage_error(text: str, tag: str) -> None:
    version = Version.parse(tag)
    try:
        wanted = Range.parse(text)
    except UsageError:
        return
    assert version is None or wanted.holds(version) in (True, False)


@given(st.tuples(*[st.integers(0, 5)] * 3), st.tuples(*[st.integers(0, 5)] * 3))
def test_tilde_and_caret_agree_with_their_bounds(low: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    text, version = ".".join(map(str, low)), Version.parse(".".join(map(str, other)))
    assert version is not None
    major, minor, patch = low
    above = (major + 1, 0, 0) if major else (0, minor + 1, 0) if minor else (0, 0, patch + 1)
    assert Range.parse(f"^{text}").holds(version) == (low <= other < above)
    assert Range.parse(f"~{text}").holds(version) == (low <= other < (major, minor + 1, 0))
