"""discover: Compose files, variables, .env files."""

from __future__ import annotations

import pytest

from airgap.discover.variables import expand, parse_env
from tests.support.discovery import images, look, possible, unresolved


def service(image: str) -> str:
    return f"services:\n  web:\n    image: {image}\n"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx:1", "nginx:1"),
        ("nginx:${TAG}", "nginx:7"),
        ("nginx:$TAG", "nginx:7"),
        ("nginx:${NONE:-8}", "nginx:8"),
        ("nginx:${EMPTY:-8}", "nginx:8"),
        ("nginx${EMPTY-8}:1", "nginx:1"),
        ("nginx:${TAG:?must be}", "nginx:7"),
        ("nginx:1${TAG:+.2}", "nginx:1.2"),
        ("nginx:1${NONE:+.2}", "nginx:1"),
        ("${A:-${B:-r.io}}/x:1", "r.io/x:1"),
    ],
)
def test_variables_take_values_and_defaults(image, expected):
    found = look(service(image), "compose.yaml", {"TAG": "7", "EMPTY": ""})
    assert images(found) == [expected]
    assert not found.unresolved


@pytest.mark.parametrize(
    "image", ["a:${NONE}", "a:$NONE", "a:${NONE:?set it}", "a:${NONE", "a:${}", "a:${NONE/x/y}", "a:$", '"a:$$x"']
)
def test_a_variable_without_value_is_unresolved_with_its_line_and_never_dropped(image):
    found = look(service(image), "compose.yaml")
    assert not found.images
    assert unresolved(found) == [(3, image.strip('"'))]


def test_what_env_holds_is_not_shown_where_it_makes_no_image():
    found = look(service("${PASSWORD}"), "compose.yaml", {"PASSWORD": "Canary!"})
    assert unresolved(found) == [(3, "${PASSWORD}")]


def test_anchors_and_merge_keys_work():
    found = look(
        "x-a: &a\n  image: a/b:1\nservices:\n  one: *a\n  two:\n    <<: *a\n    restart: always\n  three: {<<: [*a], image: c:1}\n"
    )
    assert images(found) == ["a/b:1", "c:1"]
    assert [str(place) for place in found.images[0].places] == ["x.yaml:2"]


def test_services_that_are_built_are_notes_and_their_names_possible():
    text = """
        services:
          one: {build: ./one}
          two: {build: {context: two}, image: "r.io/two:1"}
          three: {image: "r.io/three:1", pull_policy: never}
    """
    found = look(text)
    assert not found.images
    assert not found.unresolved
    assert possible(found) == ["r.io/three:1", "r.io/two:1"]
    assert [(note.place.line, note.got) for note in found.notes] == [(3, "./one"), (4, "two")]


def test_what_a_build_and_a_volume_take_is_found():
    text = """
        services:
          one:
            build:
              additional_contexts: ["base=docker-image://a/base:1", "src=../src"]
              dockerfile_inline: |
                FROM a/b:1
                COPY --from=a/c:1 /x /x
            volumes: [{type: image, source: "a/data:1"}, {type: bind, source: /x}, "named:/y"]
    """
    found = look(text)
    assert images(found) == ["a/b:1", "a/base:1", "a/c:1", "a/data:1"]
    assert {short.places[0].line for short in found.images} == {5, 7, 8, 9}


def test_services_of_something_else_are_not_taken_for_compose():
    found = look("services:\n  App\\Thing: {class: x, arguments: ['@image']}\n")
    assert (found.images, found.possible, found.unresolved) == ((), (), ())


def test_env_files_are_read_as_compose_reads_them():
    text = '# c\nA=1\nexport B=two # c\nC=\'a $A #x\'\nD="q \\" $A"\nE=$A${B:-}\nA=3\nnonsense\nF=\nG: y\nH=a#b\n'
    values = parse_env(text)
    assert values == {"A": "3", "B": "two", "C": "a $A #x", "D": 'q \\" 1', "E": "1two", "F": "", "G": "y", "H": "a#b"}


def test_values_cannot_grow_without_end():
    lines = ["A0=" + "x" * 100, *(f"A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60))]
    assert all(len(value) <= 4096 for value in parse_env("\n".join(lines)).values())
    assert expand("${A:-" * 5000 + "}" * 5000, {}).missing
