"""Whatever the bytes of a list are: wishes or one clear error, and never much memory for a small file."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.lists import Wishes, merge_wishes, parse_list
from airgap.lists.parse import MAX_INPUT

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "samples/lists").iterdir())
WORDS = [
    "images", "defaults", "name", "platforms", "tags", "regex", "semver", "newest", "exclude", "attachments", "attachments-from",
    "registry", "kind", "apiVersion", "Images", "ImagesLock", "ImageSetConfiguration", "spec", "mirror", "additionalImages",
    "content.hauler.cattle.io/v1", "mirror.openshift.io/v2alpha1", "imgpkg.carvel.dev/v1alpha1", "metadata", "annotations",
    "hauler.dev/platform", "quay.io", "images-by-tag-regex", "images-by-semver", "credentials", "username", "password",
    "tls-verify", "cert-dir", "nginx:1", "a/b", "linux/amd64", "^1.2", "(", "true", "1.0", "",
]  # fmt: skip
WORD = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
VALUES = st.recursive(
    st.one_of(WORD, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORD, inner, max_size=5)),
    max_leaves=25,
)


def wishes_or_error(data: bytes) -> Wishes | None:
    """What a list asks for, or None when it was refused with a place."""
    try:
        found = parse_list(data, "list")
        merge_wishes([found, found])
    except UsageError as error:
        refused = error
    else:
        assert found.wanted
        return found
    assert refused.where.startswith("list:") or "contradict" in refused.what
    return None


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    wishes_or_error(data)


@given(st.lists(st.sampled_from([*":-[]{}&*!|>%@`\"'#,? \n", *WORDS]), max_size=60))
def test_any_text_that_looks_like_yaml(words: list[str]) -> None:
    wishes_or_error("".join(words).encode())


@given(VALUES)
def test_any_yaml(value: object) -> None:
    wishes_or_error(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(st.lists(VALUES, max_size=3))
def test_any_documents(values: list[object]) -> None:
    wishes_or_error("\n---\n".join(map(json.dumps, values)).encode())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@given(data=st.data())
def test_any_small_change_of_a_sample(path: Path, data: st.DataObject) -> None:
    raw = path.read_bytes()
    at = data.draw(st.integers(0, len(raw) - 1))
    wishes_or_error(raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + data.draw(st.integers(0, 20)) :])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: &a [x,x]\nb: &b [*a,*a]\nimages: [*b,*b]\n", "1:4"),
        ("quay.io: &q\n  images: {a: [x]}\nghcr.io: *q\n", "1:10"),
        ("images: [{<<: {name: a}}]\n", "1:11"),
        ("x: " + "{a: " * 20 + "}" * 20, "1:61"),
        ("quay.io: {images: " + "[" * 50_000, "1:33"),
        ("%YAML " + "9" * 5000 + ".1\n---\nimages: [a]\n", "1:1"),
        ('images: ["\\UFFFFFFFF"]\n', "1:1"),
        ("images: [a\ufffe]\n", "1:11"),
        ("images: [!!binary x]\n", "1:10"),
        ("? [images]\n: [a]\n", "1:3"),
        ("images: [a]\n---\n- &x b\n", "3:3"),
    ],
    ids=["bomb", "shared", "merge", "mappings", "lists", "version", "escape", "non-character", "tag", "key", "anchor"],
)
def test_yaml_that_wants_more_than_it_says_is_refused_where_it_begins(text: str, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(text.encode(), "list")
    error = caught.value
    lines = error.got.split("\n") if "mistakes" in error.what else [error.where]
    assert any(line.startswith(f"list:{place}") for line in lines), error


def test_size_is_capped_before_anything_is_read() -> None:
    with pytest.raises(UsageError):
        parse_list(b"quay.io: {images: {a: []}}\n" + b" " * MAX_INPUT, "list")
