"""Image lists: every kind is read, every mistake is named with its place, contradictions are refused."""

import json
from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.lists import MAX_ENTRIES, MAX_INPUT, Entry, merge_entries, merge_wishes, parse_list
from airgap.oci.descriptor import Platform
from airgap.oci.reference import Reference

ONE = "sha256:" + "1" * 64
TWO = "sha256:" + "2" * 64
AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"


def entries_of(text: str, name: str = "list") -> list[Entry]:
    return [wish for wish in parse_list(text.encode(), name).wanted if isinstance(wish, Entry)]


def references(text: str) -> list[str]:
    return [str(entry.reference) for entry in entries_of(text)]


def mistake(text: str | bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_list(text if isinstance(text, bytes) else text.encode(), "list.yaml")
    return caught.value


def entry(text: str, *platforms: Platform, origin: str = "") -> Entry:
    return Entry(Reference.parse(text), platforms, origin)


@pytest.mark.parametrize("line", ["[::1]:5000/a/b:1", "[2001:DB8::1]/a/b:1", "docker://[::1]:5000/a/b:1"])
def test_text_list_may_begin_with_an_ipv6_address(line: str) -> None:
    assert references(f"# ours\n{line}\nquay.io/c/d:2\n") == [str(Reference.parse(line.removeprefix("docker://"))), "quay.io/c/d:2"]


def test_text_list_takes_comments_blank_lines_and_transport_prefix() -> None:
    text = f"# ours\n\nnginx\n  docker://quay.io/a/b:1  # why\nlocalhost:5000/c@{ONE}\r\n"
    assert references(text) == ["docker.io/library/nginx:latest", "quay.io/a/b:1", f"localhost:5000/c@{ONE}"]


def test_yaml_list_takes_strings_and_mappings_with_default_platforms() -> None:
    text = """
# the platform
defaults:
  platforms: [linux/amd64]
images:
  - nginx:1.27
  - {name: quay.io/a/b, platforms: [linux/arm64, linux/arm/v7, linux/arm64]}
"""
    first, second = entries_of(text, "site.yaml")
    assert first == Entry(Reference.parse("nginx:1.27"), (AMD64,), "site.yaml:6")
    assert second.platforms == (ARM64, Platform("linux", "arm", "v7"))
    assert second.origin == "site.yaml:7"


def test_json_is_read_as_yaml() -> None:
    value = {"images": ["nginx:1", {"name": "redis:7", "platforms": ["linux/amd64"]}]}
    assert references(json.dumps(value, indent=2)) == ["docker.io/library/nginx:1", "docker.io/library/redis:7"]


@pytest.mark.parametrize(
    "text", ["images: [nginx]", "---\nimages: [nginx]", '"images": [nginx]', "{images: [nginx]}", "images:\n- nginx\n"]
)
def test_yaml_is_recognised_by_content(text: str) -> None:
    assert references(text) == ["docker.io/library/nginx:latest"]


@pytest.mark.parametrize(
    "text", ["nginx\r\nredis:7\r\n", "images:\r\n  - nginx\r\n  - redis:7\r\n", '{"images": ["nginx", "redis:7"]}']
)
def test_list_of_an_editor_that_writes_a_byte_order_mark_is_read(text: str) -> None:
    found = parse_list(text.encode("utf-8-sig"), "list").wanted
    assert [str(wish.reference) for wish in found if isinstance(wish, Entry)] == references(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named_and_said_once(encoding: str) -> None:
    error = mistake("images:\n  - nginx\n  - redis\n".encode(encoding))
    assert (error.what, error.expected) == ("the list is UTF-16 text", "UTF-8")
    assert "iconv" in error.hint


@pytest.mark.parametrize(
    ("text", "place", "got"),
    [
        ("nginx\nmy/Case:1\n", "2:1", "my/Case:1"),
        ("nginx\n  re dis\n", "2:3", "re dis"),
        (f"nginx@{ONE[:-1]}\n", "1:1", "nginx@sha256"),
        ("nginx\nredis\t# x\n", "2:6", "\\t"),
        ("nginx\nre\x1bdis\n", "2:3", "\\x1b"),
        ("nginx\nredis\u202e\n", "2:6", "\\u202e"),
        ("nginx\rredis\n", "1:6", "\\r"),
        (b"nginx\nr\xe9dis\n", "2:2", "e9"),
        ("nginx\n".encode("utf-16"), "1:1", "ff"),
        ("nginx\n".encode("utf-16-be"), "1:1", "00 6e 00 67"),
        (b"\xef\xbb\xbfnginx\nr\xe9dis\n", "2:2", "e9"),
        ("nginx\nre\ufeffdis\n", "2:3", "\\ufeff"),
        ("", "1:1", "no reference"),
        ("# nothing\n\n", "1:1", "no reference"),
        ("---\n", "1:1", "no reference"),
        ("images: []\n", "1:1", "no reference"),
        ("images:\n", "1:8", "nothing"),
        ("images: nginx\n", "1:9", "str 'nginx'"),
        ("image:\n  - nginx\n", "1:1", "image"),
        ("- nginx\n", "1:1", "a list"),
        ("images:\n  - nginx\nimages:\n  - redis\n", "3:1", "images"),
        ("images:\n  - 1.27\n", "2:5", "float '1.27'"),
        ("images:\n  - [nginx]\n", "2:5", "a list"),
        ("images:\n  - {name: nginx, platform: x}\n", "2:19", "platform"),
        ("images:\n  - {platforms: [linux/amd64]}\n", "2:5", "platforms"),
        ("images:\n  - {name: nginx, platforms: linux/amd64}\n", "2:30", "str 'linux/amd64'"),
        ("images:\n  - {name: nginx, platforms: []}\n", "2:30", "[]"),
        ("images:\n  - {name: nginx, platforms: [amd64]}\n", "2:31", "amd64"),
        ("images:\n  - {name: nginx, platforms: ['linux/amd64, linux/arm64']}\n", "2:31", "linux/amd64, linux/arm64"),
        ("defaults: [linux/amd64]\nimages: [nginx]\n", "1:11", "a list"),
        ("images:\n  - nginx\n - redis\n", "3:2", ""),
        ("images: [nginx\n", "2:1", ""),
        ("images: [nginx]\n---\nimages: [Redis]\n", "3:10", "Redis"),
        ("images:\n  - !!python/object/apply:os.system [ls]\n", "2:5", "a list"),
    ],
)
def test_mistake_names_its_line_and_column(text: str | bytes, place: str, got: str) -> None:
    error = mistake(text)
    assert error.where == f"list.yaml:{place}"
    assert got in error.got


def test_all_mistakes_of_a_file_are_reported_in_one_error() -> None:
    error = mistake("images:\n  - bad/Name\n  - nginx\n  - {name: x, what: y}\n  - 7\ntypo: 1\n")
    assert error.what == "4 mistakes in the image list"
    lines = error.got.split("\n")
    assert [line.split(": ")[0] for line in lines] == ["list.yaml:2:5", "list.yaml:4:15", "list.yaml:5:5", "list.yaml:6:1"]


def test_a_report_has_an_end() -> None:
    error = mistake("NO\n" * 150)
    assert error.what == "150 mistakes in the image list"
    assert len(error.got.split("\n")) == 101
    assert error.got.endswith("and 50 more")


def test_aliases_are_refused_so_that_a_small_file_stays_small() -> None:
    bomb = "a: &a [x, x]\nimages: [*a, *a]\n"
    assert mistake(bomb).where == "list.yaml:1:4"
    assert mistake("images: [*a]\n").where == "list.yaml:1:10"


def test_deep_nesting_is_refused() -> None:
    assert "deeper" in mistake("images: " + "[" * 100_000).got


def test_oversized_input_is_refused() -> None:
    assert mistake(b"#" * (MAX_INPUT + 1)).expected == f"at most {MAX_INPUT} bytes"


@pytest.mark.slow("a list of too many entries")
def test_too_many_entries_are_refused() -> None:
    error = mistake("nginx\n" * (MAX_ENTRIES + 1))
    assert error.where == f"list.yaml:{MAX_ENTRIES + 1}:1"
    assert error.expected == f"at most {MAX_ENTRIES} images"


def test_hostile_file_name_is_made_printable() -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(b"", "a\x1b[31mb")
    assert "\x1b" not in str(caught.value)


def test_exact_duplicates_collapse_to_the_first() -> None:
    merged = merge_entries([entry("nginx", origin="a:1"), entry("redis"), entry("docker.io/library/nginx:latest", origin="b:1")])
    assert [(str(found.reference), found.origin) for found in merged] == [
        ("docker.io/library/nginx:latest", "a:1"),
        ("docker.io/library/redis:latest", ""),
    ]


def test_order_of_platforms_is_no_difference() -> None:
    assert len(merge_entries([entry("nginx", AMD64, ARM64), entry("nginx", ARM64, AMD64)])) == 1


def test_tag_and_digest_of_one_repository_do_not_clash() -> None:
    assert len(merge_entries([entry("nginx:1"), entry(f"nginx@{ONE}"), entry(f"nginx:1@{ONE}"), entry(f"nginx@{TWO}")])) == 4


@pytest.mark.parametrize(
    "entries",
    [
        [entry(f"nginx:1@{ONE}", origin="a.txt:3"), entry(f"nginx:1@{TWO}", origin="b.yaml:7")],
        [entry("nginx:1", AMD64, origin="a.txt:3"), entry("nginx:1", origin="b.yaml:7")],
    ],
    ids=["two digests", "different platforms"],
)
def test_clash_names_both_origins(entries: list[Entry]) -> None:
    with pytest.raises(UsageError) as caught:
        merge_entries(entries)
    assert "docker.io/library/nginx:1" in caught.value.where
    assert "a.txt:3" in caught.value.where
    assert "b.yaml:7" in caught.value.where


def test_all_clashes_are_reported_at_once() -> None:
    entries = [entry(f"image{i}:1@{digest}") for i in range(3) for digest in (ONE, TWO)]
    with pytest.raises(UsageError) as caught:
        merge_entries(entries)
    assert len(caught.value.where.split("\n")) == 3


def test_shipped_lists_are_valid_and_do_not_clash() -> None:
    paths = sorted(MANIFESTS.glob("*.yaml"))
    assert [path.stem for path in paths] == ["edge-site", "kubernetes-platform", "monitoring"]
    merged = merge_wishes(parse_list(path.read_bytes(), path.name) for path in paths)
    assert len(merged.wanted) > 40


def test_edge_site_is_for_two_platforms() -> None:
    entries = entries_of((MANIFESTS / "edge-site.yaml").read_text())
    assert all(found.platforms == (AMD64, ARM64) for found in entries)
