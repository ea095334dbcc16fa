"""Our YAML list beyond names: defaults, attachments, tags; what it says and every mistake in it."""

import pytest

from airgap.errors import UsageError
from airgap.lists import Entry, Selection, Wishes, merge_wishes, parse_list
from airgap.oci.descriptor import Platform
from airgap.oci.reference import Reference, Repository

ALL = """
defaults:
  registry: quay.io
  platforms: [linux/amd64]
  attachments: [cosign-signature, referrer]
  attachments-from: [team/signatures]
images:
  - team/app:1
  - docker.io/library/nginx
  - name: team/tool
    platforms: [linux/arm64]
    attachments: true
    attachments-from: [ghcr.io/x/y, docker.io/z/s]
    tags: {regex: ['^v1', '^v2'], semver: '>=1 <3', newest: 2, exclude: v1.5, exclude-regex: ['-rc', beta]}
  - name: team/two
    tags: ["1.0", latest]
    attachments: no
"""


def parsed(text: str) -> Wishes:
    return parse_list(text.encode(), "list.yaml")


def mistake(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    return caught.value


def rule_of(text: str) -> Selection:
    (wish,) = parsed(text).wanted
    assert isinstance(wish, Selection)
    return wish


def test_defaults_count_where_an_image_says_nothing_else() -> None:
    app, nginx, tool, *two = parsed(ALL).wanted
    signatures = (Repository("quay.io", "team/signatures"),)
    kinds = frozenset({"cosign-signature", "referrer", "referrers-tag"})
    assert app == Entry(Reference.parse("quay.io/team/app:1"), (Platform("linux", "amd64"),), "list.yaml:8", kinds, signatures)
    assert isinstance(nginx, Entry)
    assert str(nginx.reference) == "docker.io/library/nginx:latest"
    assert isinstance(tool, Selection)
    assert tool.repository == Repository("quay.io", "team/tool")
    assert tool.attachments is None
    assert list(map(str, tool.attachment_repositories)) == ["ghcr.io/x/y", "docker.io/z/s"]
    assert [(str(one.reference), one.attachments, one.origin) for one in two if isinstance(one, Entry)] == [
        ("quay.io/team/two:1.0", frozenset(), "list.yaml:16"),
        ("quay.io/team/two:latest", frozenset(), "list.yaml:16"),
    ]


def test_a_rule_has_everything_that_was_written() -> None:
    tool = parsed(ALL).wanted[2]
    assert isinstance(tool, Selection)
    assert tool.rule.facts() == {
        "regex": ["^v1", "^v2"],
        "semver": ">=1 <3",
        "newest": 2,
        "exclude": ["v1.5"],
        "exclude-regex": ["-rc", "beta"],
    }
    assert tool.platforms == (Platform("linux", "arm64"),)


def test_a_default_registry_may_have_a_port_and_a_path() -> None:
    found = parsed("defaults: {registry: 'mirror.example:5000/hub'}\nimages: [library/nginx:1, localhost/x, docker.io/a/b]\n")
    assert [str(one.reference) for one in found.wanted if isinstance(one, Entry)] == [
        "mirror.example:5000/hub/library/nginx:1",
        "localhost/x:latest",
        "docker.io/a/b:latest",
    ]


def test_platforms_of_the_command_line_count_where_the_list_says_none() -> None:
    arm = (Platform("linux", "arm64"),)
    found = parsed("images:\n- a\n- {name: b, platforms: [linux/amd64]}\n- {name: c, tags: {semver: '*'}}\n").for_platforms(arm)
    assert [wish.platforms for wish in found.wanted] == [arm, (Platform("linux", "amd64"),), arm]


@pytest.mark.parametrize(
    ("image", "place", "expected", "got"),
    [
        ("name: a:1\n    tags: {semver: '*'}", "2:11", "without tag", "a:1"),
        ("name: a\n    tags: 1.0", "3:11", "a list of tags", "float"),
        ("name: a\n    tags: {}", "3:11", "regex: or semver:", "nothing"),
        ("name: a\n    tags: {newest: 2}", "3:11", "regex: or semver:", "newest"),
        ("name: a\n    tags: {semver: 'x y'}", "3:20", ">=1.2 <2", "x y"),
        ("name: a\n    tags: {semver: 1.2}", "3:20", "quoted if", "float '1.2'"),
        ("name: a\n    tags: {regex: '('}", "3:19", "RE2", "missing )"),
        ("name: a\n    tags: {regex: []}", "3:19", "at least one", "[]"),
        ("name: a\n    tags: {semver: '*', newest: 0}", "3:33", "from 1", "int '0'"),
        ("name: a\n    tags: {semver: '*', newest: many}", "3:33", "from 1", "many"),
        ("name: a\n    tags: {semver: '*', exclude-regex: ['[']}", "3:41", "RE2", "missing ]"),
        ("name: a\n    tags: {semver: '*', excluded: [x]}", "3:25", "exclude", "excluded"),
        ("name: a\n    tags: ['no tag']", "3:12", "letters", "no tag"),
        ("name: a\n    tags: []", "3:11", "at least one", "[]"),
        ("name: a\n    attachments: some", "3:18", "true or false", "some"),
        ("name: a\n    attachments: [signature]", "3:19", "cosign-signature", "signature"),
        ("name: a\n    attachments: []", "3:18", "at least one", "[]"),
        ("name: a\n    attachments-from: [a/b:1]", "3:24", "without tag", "a/b:1"),
        ("name: a\n    attachments-from: {a: b}", "3:23", "a list", "a mapping"),
    ],
)
def test_a_mistake_in_an_image_names_its_place(image: str, place: str, expected: str, got: str) -> None:
    error = mistake(f"images:\n  - {image}\n")
    assert error.where == f"list.yaml:{place}"
    assert expected in error.expected
    assert got in error.got


@pytest.mark.parametrize("registry", ["quay", "quay.io/", "quay.io/Team", "https://quay.io", "quay.io:tag", "5"])
def test_a_default_registry_that_is_none(registry: str) -> None:
    assert mistake(f"defaults: {{registry: '{registry}'}}\nimages: [a]\n").where == "list.yaml:1:22"


def test_all_mistakes_of_all_documents_are_told_at_once() -> None:
    error = mistake(
        "defaults: {registry: x}\nimages:\n- {name: A}\n- {name: b, tags: {regex: '(', semver: '', newest: -1}}\n---\nimages: 7\n"
    )
    places = [line.split(": ")[0] for line in error.got.split("\n")]
    assert places == [f"list.yaml:{place}" for place in ("1:22", "3:10", "4:27", "4:40", "4:52", "6:9")]


def test_equal_rules_are_one_and_other_rules_are_others() -> None:
    one, other = parsed("images: [{name: a, tags: {semver: '*'}}]"), parsed("\nimages: [{name: a, tags: {semver: '*'}}]")
    third = parsed("images: [{name: a, tags: {semver: '^1'}}]")
    assert [wish.origin for wish in merge_wishes([one, other, third]).wanted] == ["list.yaml:1", "list.yaml:1"]
    assert one.wanted[0].facts() == other.wanted[0].facts() != third.wanted[0].facts()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("attachments: false", "attachments: true"),
        ("attachments: [referrer]", "attachments: no"),
        ("attachments-from: x/y", "platforms: [linux/s390x]"),
    ],
)
def test_one_image_with_two_choices_is_refused_with_both_places(one: str, other: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_wishes([parsed(f"images: [{{name: a, {one}}}]"), parsed(f"\nimages: [{{name: a, {other}}}]")])
    assert "list.yaml:1 says" in caught.value.where
    assert "list.yaml:2 says" in caught.value.where


def test_every_choice_is_in_the_facts_that_decide_about_a_resume() -> None:
    plain = "name: a, platforms: [linux/amd64]"
    variants = [
        plain,
        "name: a",
        "name: b",
        f"{plain}, attachments: false",
        f"{plain}, attachments: [referrer]",
        f"{plain}, attachments-from: x/y",
        "name: a, tags: {semver: '*'}",
        "name: a, tags: {semver: '*', newest: 1}",
        "name: a, tags: {semver: '*', exclude: x}",
        "name: a, tags: {semver: '*', exclude-regex: x}",
        "name: a, tags: {regex: x}",
    ]
    facts = [str(parsed(f"images: [{{{variant}}}]").wanted[0].facts()) for variant in variants]
    assert len(set(facts)) == len(variants)
