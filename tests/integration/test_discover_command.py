"""airgap discover as people run it: the samples, files and standard input, and its list resolved against a real registry."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import USAGE, failed, here
from tests.support.discovery import listed, short
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TREES = SAMPLES / "discover"


def found(*arguments: object) -> dict[str, list[str]]:
    """The references of ``discover --json``, and what it could not resolve."""
    done = here("discover", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    names = {kind: [short(image["reference"]) for image in facts[kind]] for kind in ("images", "possible")}
    return {**names, "unresolved": [remark["got"] for remark in facts["unresolved"]]}


@pytest.mark.parametrize(
    ("tree", "count", "some", "unresolved"),
    [
        ("kubernetes", 34, ["busybox:latest", "ghcr.io/cloudnative-pg/postgresql:16.3", "valkey/valkey:8.0"], ["$(params.PUSHER)"]),
        ("compose", 6, ["ghcr.io/example/app:4.2", "postgres:16.3"], ["registry.example.com/proxy:${PROXY_TAG:?set it}"]),
        ("quadlet", 5, ["mariadb:11.4", "nginx:1.27", "quay.io/podman/hello:v1"], []),
        ("containers", 3, ["golang:1.22", "golangci/golangci-lint:v1.59", "node:20"], ["${BASE}"]),
        ("kustomize", 3, ["registry.example.com/shop:1.4"], ["https://github.com/example/monitoring//deploy?ref=v1.0.0"]),
        ("rendered.yaml", 2, ["ghcr.io/example/example:2.1"], []),
    ],
)
def test_samples_hold_what_their_readme_says(tree, count, some, unresolved):
    facts = found(TREES / tree)
    assert len(facts["images"]) == count
    assert set(some) <= set(facts["images"])
    assert facts["unresolved"] == unresolved


def test_a_chart_that_is_not_rendered_says_so_and_offers_what_is_possible():
    failed(
        here("discover", TREES / "chart"), USAGE, "no image found", "helm template", "--include-possible", "node-exporter:v1.8.1"
    )
    facts = found(TREES / "chart", "--include-possible")
    assert len(facts["images"]) == 3
    assert facts["unresolved"] == [""]


@pytest.mark.parametrize("form", ["text", "yaml"])
def test_the_list_of_all_samples_is_a_list(form, tmp_path):
    out = tmp_path / "images"
    done = here("discover", TREES, "--format", form, "-o", out, "--include-possible")
    assert done.returncode == 0, done.stderr
    assert f"list         {out}" in done.stdout
    assert "not resolved: " in done.stderr
    facts = found(TREES, "--include-possible")
    assert [short(reference) for reference in listed(out.read_text())] == facts["images"]
    assert here("discover", TREES, "--format", form, "--include-possible").stdout == out.read_text()


def test_strict_writes_nothing_and_says_every_place(tmp_path):
    out = tmp_path / "images.txt"
    done = here("discover", TREES / "compose", TREES / "containers", "-o", out, "--strict")
    failed(
        done,
        USAGE,
        "2 unresolved places",
        "compose.yaml:14: no value for PROXY_TAG",
        "Containerfile:17: no value for BASE",
    )
    assert not out.exists()
    assert here("discover", TREES / "quadlet", "-o", out, "--strict").returncode == 0
    assert out.exists()


def test_what_is_not_there_or_empty_is_an_error(tmp_path):
    failed(here("discover", tmp_path / "nothing"), USAGE, "no such file or directory")
    failed(here("discover", tmp_path, "--json"), USAGE, "no image found in 0 files")


@pytest.mark.smoke("discover")
def test_standard_input_can_be_what_helm_template_prints():
    command = [sys.executable, "-m", "airgap", "discover", "-"]
    with (TREES / "rendered.yaml").open() as rendered:
        done = subprocess.run(command, stdin=rendered, capture_output=True, text=True, check=True)
    assert "# standard input:12 (example/templates/deployment.yaml)\nghcr.io/example/example:2.1\n" in done.stdout
    assert done.stderr == ""


def test_hostile_names_and_contents_reach_no_terminal(tmp_path):
    (tmp_path / "\x1b[31mred\n.yaml").write_text(
        'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "\\e[31m${X}\\u202e"}, {image: a}]}\n'
    )
    done = here("discover", tmp_path, "-v")
    assert done.returncode == 0
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())


def test_a_list_from_compose_quadlet_and_kubernetes_resolves_against_a_real_registry(tmp_path):
    require("docker-registry")
    tree = tmp_path / "shop"
    shutil.copytree(TREES / "shop", tree)
    site = Site(tmp_path)
    with DockerRegistry(tmp_path / "registry") as registry:
        images.push_layout_to_registry(LayoutStore(SAMPLES / "layout"), registry.address)
        (tree / ".env").write_text(f"REGISTRY={registry.address}\n")
        for name in ("agent.container", "migrate.yaml"):
            (tree / name).write_text((tree / name).read_text().replace("localhost:5000", registry.address))
        site.run("discover", tree, "-o", tmp_path / "images.txt", "--strict")
        lock = site.json("resolve", tmp_path / "images.txt", "--lock", tmp_path / "images.lock")
        wanted = [f"{registry.address}/{name}" for name in ("edge/agent:0.9", "shop/api:2.1", "shop/web:1.0", "tools/migrate:3.4")]
        assert sorted(image["reference"] for image in lock["images"]) == wanted


def test_json_and_strict_lose_no_fact_when_nothing_is_certain(tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\ndata: {provisioner: 'r.io/csi:1', other: 'r.io/b:${TAG}'}\n")
    for strict in ([], ["--strict"]):
        done = here("discover", tmp_path, "--json", *strict)
        failed(done, USAGE)
        facts = json.loads(done.stdout)
        assert [image["reference"] for image in facts["possible"]] == ["r.io/csi:1"]
        assert [remark["got"] for remark in facts["unresolved"]] == ["r.io/b:${TAG}"]
        assert (facts["images"], facts["list"], facts["exit_code"]) == ([], None, USAGE)
        assert facts["error"]


def test_strict_never_blesses_a_list_while_something_is_only_possible(tmp_path):
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'r.io/op:1'}]}\n")
    (tmp_path / "config.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\ndata: {provisioner: 'r.io/csi:1', docs: 'docs.r.io/x:1'}\n"
    )
    out = tmp_path / "out"
    failed(
        here("discover", tmp_path, "--strict", "-o", out),
        USAGE,
        "2 possible images",
        "config.yaml:3: possible: r.io/csi:1",
        "--ignore",
    )
    failed(here("discover", tmp_path, "--strict", "-o", out, "--ignore", "docs.r.io/*"), USAGE, "not allow 1 possible image")
    assert not out.exists()
    done = here("discover", tmp_path, "--strict", "-o", out, "--ignore", "docs.r.io/*", "--include-possible")
    assert done.returncode == 0, done.stderr
    assert [str(reference) for reference in listed(out.read_text())] == ["r.io/csi:1", "r.io/op:1"]
    assert "ignored because of --ignore: docs.r.io/x:1" in out.read_text()
