"""discover: Quadlet units."""

from __future__ import annotations

import pytest

from airgap.discover import discover
from tests.support.discovery import images, look, unresolved


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.container", "[Container]\nImage=a/b:1\n", ["a/b:1"]),
        ("a.container", "[Container]\n#Image=x:1\n;Image=y:1\n Image = a/b:1 \n", ["a/b:1"]),
        ("a.container", "[Container]\nImage=a:1\nImage=b:1\n", ["b:1"]),
        ("a.container", "[Container]\nExec=x \\\n# Image=c:1\n  Image=d:1\nImage=a:1\n", ["a:1"]),
        ("a.container", "[Container]\nImage=\\\n  a:1\n", ["a:1"]),
        ("a.container", "[Service]\nImage=x:1\n[Container]\nImage=a:1\n", ["a:1"]),
        ("a.container", "[Container]\nImage=docker://q.io/a:1\n", ["q.io/a:1"]),
        ("a.container", "[Container]\nImage=a:1\nMount=type=image,source=b:1,destination=/x\nMount=type=bind,source=/c,dst=/d",
         ["a:1", "b:1"]),
        ("a.image", "[Image]\nImage=a:1\n", ["a:1"]),
        ("a.volume", "[Volume]\nDriver=image\nImage=a:1\n", ["a:1"]),
        ("10-x.conf", "[Container]\nImage=a:1\n", ["a:1"]),
        ("", "[Unit]\nDescription=x\n[Container]\nImage=a:1\n", ["a:1"]),
    ],
)  # fmt: skip
def test_images_of_units_are_found(name, text, expected):
    found = look(text, name)
    assert images(found) == expected
    assert not found.unresolved


@pytest.mark.parametrize("image", ["a:%i", "${IMAGE}", "oci-archive:/x.tar", "https://x/y"])
def test_an_image_that_systemd_or_podman_makes_is_unresolved(image):
    assert unresolved(look(f"[Container]\nImage={image}\n", "a@.container")) == [(2, image)]


def test_an_image_of_this_machine_is_a_note():
    found = look("[Container]\nImage=localhost/own:1\n", "a.container")
    assert not found.images
    assert [(note.place.line, note.got) for note in found.notes] == [(2, "localhost/own:1")]


def test_units_and_yaml_that_a_unit_names_are_followed(tmp_path):
    (tmp_path / "a.container").write_text("[Container]\nImage=a.image\n")
    (tmp_path / "a.image").write_text("[Image]\nImage=a:1\n")
    (tmp_path / "k.kube").write_text("[Kube]\nYaml=sub/pod\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/pod").write_text("apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'b:1'}]}\n")
    for paths in ([tmp_path], [tmp_path / "a.container", tmp_path / "k.kube"]):
        found = discover([str(path) for path in paths], lambda limit: b"")
        assert images(found) == ["a:1", "b:1"]
        assert not found.unresolved


@pytest.mark.parametrize("name", ["none.yaml", "../above.yaml", "/etc/passwd", "https://example.com/x.yaml", "x" * 5000, "\udcff"])
def test_yaml_that_is_not_there_or_not_in_the_tree_is_unresolved_and_not_read(tmp_path, name):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "above.yaml").write_text("apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'b:1'}]}\n")
    (tree / "k.kube").write_bytes(b"[Kube]\nYaml=" + name.encode(errors="replace") + b"\n")
    found = discover([str(tree)], lambda limit: b"")
    assert not found.images
    assert [remark.place.line for remark in found.unresolved] == [2]
