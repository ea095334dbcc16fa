"""discover: which files are read, which limits hold, and what the lists look like."""

from __future__ import annotations

import os

import pytest

from airgap.discover import SearchLimits, as_text, as_yaml, discover
from airgap.discover.findings import Findings, Sheet
from airgap.discover.listing import collect
from airgap.errors import UsageError
from tests.support.discovery import SHA, images, listed


def pod(image: str) -> str:
    return f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: {image}\n"


def search(*paths: object, stdin: bytes = b"", **limits: int):
    return discover([str(path) for path in paths], lambda limit: stdin[:limit], limits=SearchLimits(**limits))


def test_directories_are_walked_and_hidden_binary_and_foreign_files_are_not_read(tmp_path):
    for number, name in enumerate(
        ["a.yaml", "sub/b.yml", "sub/deep/c", ".git/d.yaml", ".e.yaml", "node_modules/f.yaml", "notes.md"]
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(pod(f"x:{number}") if name != "notes.md" else f"Text.\n\n{pod('x:9')}")
    (tmp_path / "g.yaml").write_bytes(pod("x:7").encode() + b"\0")
    os.mkfifo(tmp_path / "h.yaml")
    found = search(tmp_path)
    assert images(found) == ["x:0", "x:1", "x:2"]
    assert str(found.images[0].places[0]) == f"{tmp_path}/a.yaml:5"
    assert [(remark.place.file, remark.what) for remark in found.unresolved] == [(f"{tmp_path}/g.yaml", "binary data")]
    passed_over = {note.what: note.got.replace(f"{tmp_path}/", "") for note in found.notes}
    assert passed_over == {
        "hidden, so not searched (1 in all)": ".e.yaml",
        "dependencies and caches, not searched (1 in all)": "node_modules",
        "a device, socket or pipe, not read (1 in all)": "h.yaml",
        "of an unknown type, so searched only for complete references (1 in all)": "notes.md",
    }


def test_links_are_followed_inside_the_tree_only_and_no_file_is_read_twice(tmp_path):
    tree = tmp_path / "tree"
    (tree / ".data").mkdir(parents=True)
    (tree / ".data/a.yaml").write_text(pod("a:1"))
    (tree / "a.yaml").symlink_to(".data/a.yaml")
    (tree / "again.yaml").symlink_to("a.yaml")
    (tree / "loop").symlink_to(".")
    (tree / "gone.yaml").symlink_to("nothing")
    (tree / "itself.yaml").symlink_to("itself.yaml")
    (tmp_path / "out.yaml").write_text(pod("b:1"))
    (tree / "out.yaml").symlink_to("../out.yaml")
    found = search(tree, tree, tree / "a.yaml")
    assert images(found) == ["a:1"]
    assert len(found.images[0].places) == 1
    assert [remark.what for remark in found.unresolved] == ["a link that leads out of the tree is not followed"]
    assert {note.got.removeprefix(f"{tree}/") for note in found.notes} == {".data", f"gone.yaml, {tree}/itself.yaml"}
    assert images(search(tmp_path / "tree/out.yaml")) == ["b:1"]


@pytest.mark.parametrize(
    ("limits", "what"),
    [({"files": 2}, "too many files"), ({"depth": 1}, "nested too deep"), ({"total": 100}, "too much text to search")],
)
def test_limits_end_the_search_with_a_clear_error(tmp_path, limits, what):
    (tmp_path / "one/two").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"one/two/{number}.yaml").write_text(pod("a:1"))
    with pytest.raises(UsageError) as caught:
        search(tmp_path, **limits)
    assert caught.value.what == what
    assert caught.value.hint


def test_a_file_too_large_to_read_is_unresolved_when_it_could_matter(tmp_path):
    for name in ("big.yaml", "big.txt"):
        (tmp_path / name).write_text(pod("a:1") + "#" * 1000)
    (tmp_path / "small.yaml").write_text(pod("b:1"))
    found = search(tmp_path, size=500)
    assert images(found) == ["b:1"]
    assert [remark.place.file for remark in found.unresolved] == [f"{tmp_path}/big.yaml"]


def test_text_that_is_not_utf8_is_unresolved_and_a_byte_order_mark_is_no_matter(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + pod("a:1").replace("\n", "\r\n").encode())
    (tmp_path / "b.yaml").write_bytes(b"# caf\xe9\n" + pod("b:1").encode())
    found = search(tmp_path)
    assert images(found) == ["a:1"]
    assert [remark.what for remark in found.unresolved] == ["not UTF-8 text"]


def test_env_files_count_beside_their_compose_file_only(tmp_path):
    for name, tag in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".env").write_text(f"TAG={tag}\n")
        (tmp_path / name / "compose.yaml").write_text("services: {x: {image: 'x:${TAG}'}}\n")
    (tmp_path / "compose.yaml").write_text("include: [one/compose.yaml, {path: ../up.yaml}]\nservices: {x: {image: 'x:${TAG}'}}\n")
    found = search(tmp_path)
    assert images(found) == ["x:1", "x:2"]
    assert sorted(remark.what for remark in found.unresolved) == ["it names a file that is not here", "no value for TAG"]


def test_overlays_reach_their_base_when_it_is_in_the_tree(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "prod").mkdir()
    (tmp_path / "base/pod.yaml").write_text(pod("a:1"))
    (tmp_path / "prod/kustomization.yaml").write_text("resources: [../base]\n")
    assert not search(tmp_path).unresolved
    assert [remark.got for remark in search(tmp_path / "prod").unresolved] == ["../base"]


def test_standard_input_is_read_and_limited(tmp_path):
    found = search("-", stdin=pod("a:1").encode())
    assert str(found.images[0].places[0]) == "standard input:5"
    assert [r.line for r in [remark.place for remark in search("-", stdin=b"[Kube]\nYaml=x.yaml\n").unresolved]] == [2]
    for stdin, limits in ((b"#" * 101, {"size": 100}), (b"\xff", {})):
        with pytest.raises(UsageError):
            search("-", stdin=stdin, **limits)


def test_a_pipe_is_refused_with_the_way_to_give_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError) as caught:
        search(tmp_path / "pipe")
    assert caught.value.hint == "pipe it in: COMMAND | airgap discover -"


@pytest.mark.parametrize("name", ["nothing", "x" * 5000, "a\0b"])
def test_a_path_that_is_not_there_is_an_error(name):
    with pytest.raises(UsageError) as caught:
        search(name)
    assert caught.value.what == "no such file or directory"


def made(*texts: str, file: str = "f.yaml"):
    findings = Findings()
    for line, text in enumerate(texts, 1):
        Sheet(file, findings).image(text, line)
    return collect(findings, 1)


def test_the_list_says_where_each_image_comes_from_and_is_taken_as_a_list():
    found = made("b/x:1", "a", "[::1]:5000/c:1", *["b/x:1"] * 5, "bad//image", "${T}")
    text, yaml = as_text(found), as_yaml(found)
    assert "# f.yaml:1; f.yaml:4; f.yaml:5 and 3 more places\ndocker.io/b/x:1\n" in text
    assert "# f.yaml:2 - no tag, so latest\ndocker.io/library/a:latest\n" in text
    assert "#   f.yaml:10: no value for T: ${T}\n" in text
    for form in (text, yaml):
        assert listed(form) == [image.reference for image in found.images]


def test_hostile_names_stay_in_their_comment():
    found = made("a:1", "evil\u202e\n-x ${}", file="f\n\u2028\x1b[31m.yaml")
    for form in (as_text(found), as_yaml(found)):
        assert len(listed(form)) == 1


def test_a_tag_with_two_digests_loses_the_tag_so_that_the_list_holds():
    other = "sha256:" + "f" * 64
    found = made(f"a:1@{SHA}", f"a:1@{other}", "a:1", f"b:1@{SHA}", f"a@{other}")
    assert images(found) == ["a:1", f"a@{SHA}", f"a@{other}", f"b:1@{SHA}"]
    assert len(found.images[2].places) == 2
    assert "has a different digest elsewhere" in found.images[1].remarks[0]
    assert len(listed(as_text(found))) == 4


def test_too_many_findings_are_refused(monkeypatch):
    monkeypatch.setattr("airgap.discover.findings.MAX_FINDINGS", 10)
    with pytest.raises(UsageError, match="too many findings"):
        made(*["a:1"] * 11)
