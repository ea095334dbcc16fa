"""discover: YAML that is broken, hostile, templated or large; kustomizations; what never happens whatever the text."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.discover import as_text, as_yaml
from airgap.yamlnodes.nodes import MAX_DEPTH, Fields, compose, split_documents
from tests.support.discovery import images, listed, look, possible, unresolved

POD = 'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "a:1"}]}\n'
BOMB = "a0: &a0 [image]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 15))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("image: {{ .Values.x }}\n", 1),
        ("image: [\n", 2),
        ("image:\n\t- x\n", 2),
        (f"image: {'[' * 5000}\n", 1),
        ("image:\n" + "".join(f"{' ' * n}a:\n" for n in range(300)), MAX_DEPTH + 2),
        (BOMB, 5),
        ("image: &a [*a]\n", 1),
        ("image: *nobody\n", 1),
        ("x: &a0 image\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300)), MAX_DEPTH),
        ("image: a/b:1\nimage: c/d:1\n", 2),
        ("image: \x07\n", 1),
    ],
    ids=["template", "open", "tab", "deep", "deep-block", "bomb", "cycle", "alias", "chain", "twice", "control"],
)
def test_a_mistake_is_told_with_its_line_and_hides_no_other_document(text, line):
    before, after = POD, POD.replace("a:1", "b:1")
    found = look(f"{before}---\n{text}---\n{after}")
    assert images(found) == ["a:1", "b:1"]
    assert [remark.place.line - 4 for remark in found.unresolved] == [line]
    assert all(remark.hint for remark in found.unresolved)


def test_the_parser_without_its_c_library_finds_the_same(monkeypatch):
    texts = [POD, BOMB, f"{POD}---\nimage: [\n---\n{POD}", "a: &a {image: a/b:1}\nb: {<<: *a, x: |\n  y\n  }\n", "image: \x07\n"]
    with_library = [look(text) for text in texts]
    monkeypatch.setattr("airgap.yamlnodes.nodes._LOADER", yaml.SafeLoader)
    for text, expected in zip(texts, with_library, strict=True):
        found = look(text)
        assert (found.images, found.possible) == (expected.images, expected.possible)
        assert [remark.place for remark in found.unresolved] == [remark.place for remark in expected.unresolved]


def test_a_key_that_is_there_twice_hides_neither_value():
    assert possible(look("image: a/b:1\nimage: c/d:1\n")) == ["a/b:1", "c/d:1"]


def test_templates_that_are_not_rendered_are_told_once_a_file_with_what_to_do():
    text = "kind: {{ .x }}\nimage: a\n---\nimage: {{ include . }}\n---\n" + POD
    found = look(text)
    assert images(found) == ["a:1"]
    assert [remark.hint for remark in found.unresolved] == ["render it first: helm template RELEASE CHART | airgap discover -"]


def test_documents_without_a_word_about_images_are_not_judged():
    assert look("a: [\n---\nb: {{ x }}\n").unresolved == ()


def test_documents_are_split_at_their_markers_only():
    text = '%YAML 1.2\n---\na: |\n  ---\n  b\n--- # c\nd: "x\n  ---"\n---e: 1\n'
    assert [line for line, _ in split_documents(text)] == [1, 2, 6]
    assert images(look(f"%YAML 1.1\n# image list\n---\n{POD}...\n---\n")) == ["a:1"]


def test_merge_keys_bring_in_what_is_not_there_already():
    [root], problems = compose("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 0}\n")
    assert not problems
    assert isinstance(root, Fields)
    merged = root.get("c")
    assert isinstance(merged, Fields)
    assert {name: merged.text(name) for name, _ in merged.entries} == {"x": "0", "y": "1", "z": "2"}


def test_kustomizations_say_what_they_put_in_place_of_what():
    text = """\
resources: [https://github.com/x/y, "github.com/x/z?ref=v1"]
helmCharts: [{name: x}]
images:
  - {name: a, newTag: "2"}
  - {name: b, newName: r.io/b}
  - {name: c, newName: r.io/c, digest: "sha256:00"}
"""
    pods = '---\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: "b:7"}, {image: "a:1"}]}\n'
    found = look(text + pods, "kustomization.yaml")
    assert images(found) == ["a:1", "a:2", "b:7"]
    assert possible(found) == ["r.io/b:7"]
    assert found.images[0].remarks == ("kustomization.yaml:4 replaces it with a:2",)
    assert [line for line, _ in unresolved(found)] == [1, 1, 1, 6]


def test_flux_kustomizations_have_images_below_spec():
    head = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  images: "
    assert images(look(head + '[{name: a, newName: r.io/a, newTag: "3"}]\n')) == ["r.io/a:3"]


WORDS = st.sampled_from([
    "apiVersion: v1", "kind: Pod", "kind: List", "spec:", "containers:", "image: a/b:1", "- image: ${X:-y}", "- ", "  ",
    "\n", "---\n", "{{ .x }}", "&a", "*a", "<<: *a", "[", "]", "{", "}", "services:", "FROM a:1", "RUN <<E", "\\\n",
    "[Container]", "Image=x", ": |", "data:", "$(params.x)", "\u2028", "\ud7ff", "'", '"', "# ", "items:",
    "repository: a/b", "tag: 1", "images:", "name: x", "newName: y",
])  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=40).map("\n  ".join), st.lists(WORDS, max_size=40).map("\n".join)),
    st.sampled_from(["x.yaml", "kustomization.yaml", "compose.yml", "Dockerfile", "a.container", "x.json", "", "README"]),
)
def test_no_text_makes_it_fail_and_what_it_finds_is_a_list(text, name):
    found = look(text, name, include_possible=True)
    if found.images:
        wanted = {str(image.reference) for image in found.images}
        for form in (as_text, as_yaml):
            assert {str(reference) for reference in listed(form(found))} == wanted


def test_a_container_in_values_may_name_an_image_by_its_short_name():
    text = "core:\n  initContainers:\n  - {name: wait, image: busybox}\n  extraContainers: [{image: redis}]\nimage: plain\n"
    found = look(text, "values.yaml")
    assert possible(found) == ["busybox:latest", "redis:latest"]
