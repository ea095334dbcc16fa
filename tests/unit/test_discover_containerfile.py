"""discover: Containerfiles, with stages, ARGs, continuations and here-documents."""

from __future__ import annotations

import pytest

from tests.support.discovery import SHA, images, look, possible, unresolved


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a/b:1", ["a/b:1"]),
        ("from a/b:1 as x\ncopy --from=x / /", ["a/b:1"]),
        ("FROM --platform=linux/arm64 a/b:1", ["a/b:1"]),
        (f"FROM a/b:1@{SHA}", [f"a/b:1@{SHA}"]),
        ("FROM scratch\nCOPY x /", []),
        ("FROM a:1 AS Build\nFROM build\nCOPY --from=BUILD x /\nCOPY --from=0 y /", ["a:1"]),
        ("FROM a:1\nCOPY --chown=1 --from=b:2 x /", ["a:1", "b:2"]),
        ("FROM a:1\nRUN --mount=type=bind,from=b:2,target=/x true", ["a:1", "b:2"]),
        ("FROM a:1\nRUN --mount=type=cache,target=/x --mount=from=c:3,target=/y true --from=d:4", ["a:1", "c:3"]),
        ("ARG V=2\nFROM a:${V}", ["a:2"]),
        ("ARG V=2\nFROM a:${V:-3}", ["a:2"]),
        ("FROM a:${V:-3}", ["a:3"]),
        ("ARG B=a\nARG V='1'\nARG I=$B:$V\nFROM $I", ["a:1"]),
        ("ARG V=1\nFROM a:1\nARG V\nCOPY --from=b:$V x /", ["a:1", "b:1"]),
        ("FROM a:1 AS base-amd64\nFROM b:1 AS base-arm64\nFROM base-${TARGETARCH}", ["a:1", "b:1"]),
        ("FROM \\\n  # why\n\n  a:1 \\\n  AS x", ["a:1"]),
        ("# escape=`\nFROM `\n  a:1", ["a:1"]),
        ("FROM a:1\nRUN <<EOF cat <<-'END'\nFROM b:1\nEOF\nFROM c:1\n\tEND\nFROM d:1", ["a:1", "d:1"]),
        ("FROM a:1\nRUN cat <<<word\nFROM b:1", ["a:1", "b:1"]),
        ("FROM a:1\nONBUILD COPY --from=b:1 x /", ["a:1", "b:1"]),
        ("FROM docker://q.io/a:1", ["q.io/a:1"]),
        ("FROM a:1\r\nCOPY --from=b:1 x /\r\n", ["a:1", "b:1"]),
    ],
)  # fmt: skip
def test_images_are_found_and_stages_are_none(text, expected):
    found = look(text.replace("\r\n", "\n"), "Containerfile")
    assert images(found) == expected
    assert not found.unresolved


def test_a_name_of_many_platforms_is_compared_with_stages_without_going_back():
    stage = "a" * 60
    text = f"FROM a:1 AS {stage}\nFROM {'${TARGETARCH}' * 40}b\n"
    assert [line for line, _ in unresolved(look(text, "Dockerfile"))] == [2]
    assert images(look("FROM a:1 AS x-amd64-y\nFROM x-${TARGETARCH}-y\n", "Dockerfile")) == ["a:1"]


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("FROM a:$V", 1, "a:$V"),
        ("ARG V\nFROM a:$V", 2, "a:$V"),
        ("FROM a:1\nARG V=2\nFROM b:$V", 3, "b:$V"),
        ("FROM a-${TARGETARCH}:1", 1, "a-${TARGETARCH}:1"),
        ("FROM ${X#y}", 1, "${X#y}"),
        ("FROM", 1, ""),
        ("FROM a:1\nRUN <<EOF\nFROM b:1", 2, "<<EOF"),
        ("FROM oci-archive:x.tar", 1, "oci-archive:x.tar"),
    ],
)
def test_what_has_no_value_is_unresolved_with_its_line(text, line, got):
    assert unresolved(look(text, "Dockerfile")) == [(line, got)]


def test_what_reads_the_file_is_possible():
    assert possible(look("# syntax=docker/dockerfile:1.7\nFROM a:1", "Dockerfile")) == ["docker/dockerfile:1.7"]


@pytest.mark.parametrize("name", ["Dockerfile", "dockerfile.prod", "Containerfile", "web.Dockerfile", "Dockerfile-alpine"])
def test_files_are_known_by_their_names(name):
    assert images(look("FROM a:1", name)) == ["a:1"]


def test_a_file_of_another_name_is_known_by_its_content():
    assert images(look("# build\nARG V=1\nFROM a:$V\nRUN true\n", "build.txt")) == ["a:1"]
    assert images(look("# build\nFROM a:1\nRUN true\n", "")) == ["a:1"]


@pytest.mark.parametrize("name", ["dockerfile.py", "Dockerfile.dockerignore", "containerfile.md"])
def test_what_is_about_containerfiles_is_none(name):
    found = look('"""Doc."""\nfrom nowhere import nothing\nFROM a:1\n', name)
    assert (found.images, found.unresolved, found.notes) == ((), (), ())


@pytest.mark.parametrize("text", ["From somebody@example.com Mon Jan 1", "FROM table WHERE x\nRUN it", "FROM nothing else", ""])
def test_other_texts_are_left_alone(text):
    found = look(text, "notes.txt")
    assert (found.images, found.unresolved, found.notes) == ((), (), ())
