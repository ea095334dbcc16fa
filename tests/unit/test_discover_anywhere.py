"""discover: a full reference is at least possible wherever it stands, and what is not read or does not parse is told."""

from __future__ import annotations

import base64

import pytest

from airgap.discover import discover
from tests.support.discovery import SHA, images, look, possible, unresolved

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\ndata:\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n    - image: a/op:1\n"


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CONFIG_MAP + "  provisioner: r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  plugin: 'r.io:5000/b:1'\n", "r.io:5000/b:1"),
        (CONFIG_MAP + f"  x: r.io/b@{SHA}\n", f"r.io/b@{SHA}"),
        (CONFIG_MAP + "  x: localhost:5000/b:1\n", "localhost:5000/b:1"),
        (CONFIG_MAP + '  x: "[::1]:5000/b:1"\n', "[::1]:5000/b:1"),
        (CONFIG_MAP + "  run.sh: |\n    podman run --rm r.io/a/b:1 true\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: a # r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: |\n    # r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: [\n# r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + '  x: "a\\nr.io/a/b:1"\n', "r.io/a/b:1"),
        (CONFIG_MAP + '  x: "r.io\\/a\\/b:1"\n', "r.io/a/b:1"),
        (CONFIG_MAP + '  x: "\\x72.io/a/b:1"\n', "r.io/a/b:1"),
        (CONFIG_MAP + '  x: "r.io/a/\\\n    b:1"\n', "r.io/a/b:1"),
        (CONFIG_MAP + "  x: '{\"deep\": \"{\\\"er\\\": \\\"r.io\\\\/a\\\\/b:1\\\"}\"}'\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: ${IMG:-r.io/a/b:1}\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: ${HOST:-r.io}/a/${NAME-b}:${TAG:=1}\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: docker://b/c:1\n", "b/c:1"),
        (CONFIG_MAP + "  x: oci://r.io/chart:1\n", "r.io/chart:1"),
        (CONFIG_MAP + "  x: r.io/a/b:1, see there\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: It is r.io/a/b:1.\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: 3.9=r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: linux/amd64:r.io/a/b:1\n", "r.io/a/b:1"),
        (CONFIG_MAP + "  x: udp:2.r.io/b:1\n", "2.r.io/b:1"),
        ("apiVersion: v1\nkind: Secret\nstringData: {x: r.io/a/b:1}\n", "r.io/a/b:1"),
        (f"apiVersion: v1\nkind: Secret\ndata: {{x: {encoded('a r.io/a/b:1')}}}\n", "r.io/a/b:1"),
        (f"apiVersion: v1\nkind: ConfigMap\nbinaryData: {{x: {encoded('r.io/a/b:1')}}}\n", "r.io/a/b:1"),
        ("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {default: r.io/a/b:1}\n", "r.io/a/b:1"),
        ("apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {pattern: r.io/a/b:1}\n", "r.io/a/b:1"),
        ("apiVersion: v1\nkind: Node\nstatus: {images: [{names: ['r.io/a/b:1']}]}\n", "r.io/a/b:1"),
        ("apiVersion: v1\nkind: X\nmetadata: {annotations: {x/y: '{\"z\":\"r.io/a/b:1\"}'}}\n", "r.io/a/b:1"),
        ("apiVersion: x.io/v1\nkind: Nobody\nspec: {r.io/a/b:1: key}\n", "r.io/a/b:1"),
        ("sets:\n  - {name: x, value: r.io/a/b:1}\n", "r.io/a/b:1"),
        ("broken: [\nr.io/a/b:1\n", "r.io/a/b:1"),
    ],
)  # fmt: skip
def test_no_full_reference_is_lost_whatever_its_key_document_or_wrapping(text, expected):
    found = look(text)
    assert possible(found) == [expected]
    assert not found.images


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compose.yaml", "services: {x: {image: 'a:1', labels: {run: r.io/a/b:1}}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', command: [run, r.io/a/b:1]}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', environment: [RUN=r.io/a/b:1]}}\n"),
        ("compose.yaml", "x-more: {a: r.io/a/b:1}\nservices: {x: {image: 'a:1'}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', labels: {run: '$HOST/a/b:${TAG}'}}}\n"),
        ("a.container", "[Container]\nImage=a:1\nExec=run r.io/a/b:1\n"),
        ("a.container", "[Container]\nImage=a:1\nLabel=x=r.io/a/b:1\n"),
        ("a.container", "[Container]\nImage=a:1\nPodmanArgs=--x r.io/a/b:1\n"),
        ("a.container", "[Container]\nImage=a:1\n[Service]\nExecStartPre=podman pull r.io/a/b:1\n"),
        ("a.pod", "[Pod]\nPodmanArgs=--infra-image=r.io/a/b:1\n[X]\nImage=a:1\n"),
        ("Containerfile", "FROM a:1\nARG B=r.io/a/b:1\n"),
        ("Containerfile", "FROM a:1\nENV B=r.io/a/b:1\n"),
        ("Containerfile", "FROM a:1\nARG HOST=r.io TAG=1\nENV B=$HOST/a/b:${TAG}\n"),
        ("Containerfile", "FROM a:1\nRUN <<E\npodman pull r.io/a/b:1\nE\n"),
        ("Containerfile", "FROM a:1\nLABEL x='r.io/a/b:1'\n"),
        ("run.sh", "podman run r.io/a/b:1 # a:1\n"),
        ("README", "Take r.io/a/b:1.\n"),
        ("x.service", "[Service]\nExecStart=/usr/bin/podman run r.io/a/b:1\n"),
        ("docker-bake.hcl", 'target "x" { contexts = { base = "docker-image://r.io/a/b:1" } }\n'),
        (".gitlab-ci.yml", "test: {script: [docker run r.io/a/b:1]}\n"),
        ("values.yaml", "runner: r.io/a/b:1\n"),
        ("x.yaml.tmpl", "a: r.io/a/b:1\nb: {{ .x }}\n"),
    ],
)
def test_no_full_reference_is_lost_in_files_of_any_kind(name, text):
    assert "r.io/a/b:1" in images_or_possible(look(text, name, {"HOST": "r.io", "TAG": "1"}))


def images_or_possible(found) -> set[str]:
    return {*images(found), *possible(found)}


@pytest.mark.parametrize(
    "text",
    [
        "https://r.io/path:8080", "http://r.io/a:1", "user@r.io/a:1", "git@r.io:22/a/b:1", "r.io:443/path", "/etc/conf.d/x:1",
        "./data.d/x:ro", "app.kubernetes.io/name: x", "node-role.kubernetes.io/master:NoSchedule",
        "kubernetes.io/os:linux", "x.io/key:NoExecute-", "r.io/a b:1", "12:30:00",
        "2024-01-01T10:00:00+01:00", "r.io/mod@v1.2.3", "k8s.io/client/reflector.go:105", "1.5/2:3", "10:0/0:0", "a/b:1", "r.io/a:",
        "tcp://r.io:80/x:y", "r.io/x:1/y", "quay.io/Team/App:1",
    ],
)  # fmt: skip
def test_what_only_resembles_a_reference_does_not_drown_the_operator(text):
    found = look(f"{CONFIG_MAP}  x: '{text}'\n")
    assert (found.images, found.possible, found.unresolved) == ((), (), ())


@pytest.mark.parametrize(
    "value", ["r.io/b:${TAG}", "r.io/${NAME}:1", "r.io/b:{{ .tag }}", "r.io/b:v1-$(ARCH)", f"r.io/b:1@{SHA[:-1]}", "r.io/b:1+2"]
)
def test_a_reference_with_a_hole_or_a_mistake_in_it_is_told(value):
    found = look(f"{CONFIG_MAP}  x: '{value}'\n")
    assert not found.possible
    assert [line for line, _ in unresolved(found)] == [4]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", f"{CONFIG_MAP}  # image: r.io/a/b:1\n"),
        ("a.container", "[Container]\nImage=a:1\n# Image=r.io/a/b:1\n"),
        ("a.container", "[Container]\n;Image=r.io/a/b:1\nImage=a:1\n"),
        ("a.container", "[Container]\nImage=r.io/a/b:1\nImage=a:1\n"),
        ("a.build", "[Build]\nImageTag=r.io/a/b:1\n"),
        ("Containerfile", "# FROM r.io/a/b:1\nFROM a:1\n"),
    ],
)
def test_what_a_comment_names_or_a_later_line_replaces_is_a_note_that_stops_nobody(name, text):
    found = look(text, name)
    assert "r.io/a/b:1" in [note.got for note in found.notes]
    assert (found.possible, found.unresolved) == ((), ())


def test_a_default_that_the_environment_file_overrides_is_no_image():
    found = look("services: {x: {image: '${R:-r.io}/b:1'}}\n", "compose.yaml", {"R": "q.io"})
    assert (images(found), found.possible) == (["q.io/b:1"], ())


def test_a_hole_that_a_reader_fills_is_not_told():
    found = look("services: {x: {image: 'r.io/b:${TAG}'}}\n", "compose.yaml", {"TAG": "1"})
    assert (images(found), found.unresolved) == (["r.io/b:1"], ())
    task = (
        "apiVersion: tekton.dev/v1\nkind: Task\nspec: {params: [{name: T, default: '1'}], steps: [{image: 'r.io/b:$(params.T)'}]}\n"
    )
    assert (images(look(task)), look(task).unresolved) == (["r.io/b:1"], ())
    found = look("ARG T=1\nFROM r.io/b:$T\n", "Containerfile")
    assert (images(found), found.unresolved) == (["r.io/b:1"], ())


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .x }}\ncontainers:\n- image: '{{ .image }}'\n{{- end }}\n",
        "containers:\n- image: '{{ .image }}'\n",
        "containers:\n- name: {{ .name }}\n  image: busybox:1.28\n",
        "image: [\n",
        "image: ${IMAGE}\n",
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_text_that_is_a_template_or_does_not_parse_is_told_and_never_blessed(text, deep):
    if deep:
        text = _nested(text)
    found = look(CONFIG_MAP + "  pod: |\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    assert len(found.unresolved) == 1
    assert found.unresolved[0].place.line >= 5


def _nested(text: str) -> str:
    return "inner: |\n" + "".join(f"  {line}\n" for line in text.splitlines())


def test_short_names_in_a_text_that_does_not_parse_are_possible():
    found = look(CONFIG_MAP + "  pod: |\n    {{ if .x }}\n    - image: busybox:1.28\n")
    assert possible(found) == ["busybox:1.28"]
    assert found.possible[0].places[0].line == 6
    assert possible(look("image: [\nb:\n  image: busybox:1.28\n")) == ["busybox:1.28"]


def test_texts_in_texts_too_deep_to_follow_are_told():
    text = "image: a/b:1\n"
    for _ in range(5):
        text = _nested(text).replace("inner", "image")
    assert any("deep" in remark.what for remark in look(text).unresolved)


@pytest.mark.parametrize(
    ("part", "sure"),
    [
        ("env: [{name: CSI_IMAGE, value: r.io/b:1}]", True),
        ("env: [{name: IMAGE, value: r.io/b:1}]", True),
        ("env: [{name: sidecarImage, value: r.io/b:1}]", True),
        ("env: [{name: CSI, value: r.io/b:1}]", False),
        ("args: [--csi-image=r.io/b:1]", True),
        ("args: [--csi-image, r.io/b:1]", True),
        ("args: ['-image=r.io/b:1']", True),
        ("command: [sh, -c, 'exec op --csi-image=\"r.io/b:1\"; true']", True),
        ("args: [--csi, r.io/b:1]", False),
        ("args: [r.io/b:1]", False),
    ],
)
def test_full_references_in_image_flags_and_variables_of_a_container_are_sure(part, sure):
    found = look(f"{POD}      {part}\n")
    assert ("r.io/b:1" in images(found), "r.io/b:1" in possible(found)) == (sure, not sure)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compose.yaml", "services: {x: {image: 'a:1', environment: {X_IMAGE: r.io/b:1}}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', environment: ['X_IMAGE=${H}/b:1']}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', command: run --x-image=r.io/b:1}}\n"),
        ("compose.yaml", "services: {x: {image: 'a:1', entrypoint: [run, --x-image, r.io/b:1]}}\n"),
        ("a.container", "[Container]\nImage=a:1\nEnvironment=A=1 X_IMAGE=r.io/b:1\n"),
        ("a.container", "[Container]\nImage=a:1\nExec=run --x-image=r.io/b:1\n"),
    ],
)
def test_the_same_holds_in_compose_and_quadlet(name, text):
    assert "r.io/b:1" in images(look(text, name, {"H": "r.io"}))


def test_a_variable_in_an_image_setting_of_a_container_is_told():
    for part in ("env: [{name: X_IMAGE, value: $(OTHER)}]", "args: ['--x-image=$(REG)/b:1']"):
        assert [line for line, _ in unresolved(look(f"{POD}      {part}\n"))] == [7]


def search(*paths: object):
    return discover([str(path) for path in paths], lambda limit: b"")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_no_encoding_that_yaml_allows_hides_images(tmp_path, encoding):
    (tmp_path / "a.yaml").write_bytes((POD + "      env: [{value: r.io/b:1}]\n").replace("\n", "\r\n").encode(encoding))
    found = search(tmp_path)
    assert (images(found), possible(found), found.unresolved) == (["a/op:1"], ["r.io/b:1"], ())


def test_data_of_a_secret_is_never_shown_and_what_is_no_text_is_noted():
    binary, text = encoded(b"\0\xff"), encoded("canary: canary/secret:1")
    found = look(f"apiVersion: v1\nkind: Secret\ndata:\n  a: {binary}\n  b: {text}\n")
    assert (found.images, found.possible, found.unresolved) == ((), (), ())
    assert [(note.place.line, note.got) for note in found.notes] == [(4, "a")]


def test_what_one_path_names_below_another_is_followed(tmp_path):
    for name in ("base", "prod"):
        (tmp_path / name).mkdir()
    (tmp_path / "base/pod").write_text(POD)
    (tmp_path / "prod/kustomization.yaml").write_text("resources: [../base/pod]\n")
    (tmp_path / "prod/link.yaml").symlink_to("../base/pod")
    assert len(search(tmp_path / "prod").unresolved) == 2
    assert not search(tmp_path / "prod", tmp_path / "base").unresolved


def test_a_link_to_a_hidden_directory_of_the_tree_is_followed(tmp_path):
    (tmp_path / ".releases/5").mkdir(parents=True)
    (tmp_path / ".releases/5/a.yaml").write_text(POD)
    (tmp_path / "current").symlink_to(".releases/5")
    (tmp_path / "up").symlink_to(".")
    assert images(search(tmp_path)) == ["a/op:1"]
