"""discover: what makes a cluster deploy something that is not in the files is told, so that no list is blessed without it."""

from __future__ import annotations

import pytest

from airgap.discover import discover
from tests.support.discovery import images, look, possible, unresolved


def resource(api: str, kind: str, spec: str) -> str:
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("api", "kind", "spec", "got"),
    [
        ("argoproj.io/v1alpha1", "Application", "{source: {repoURL: 'https://r.io/c', chart: web, targetRevision: 1.2}}",
         "https://r.io/c web 1.2"),
        ("argoproj.io/v1alpha1", "Application", "{sources: [{repoURL: 'https://g.io/x', path: prod}]}", "https://g.io/x prod"),
        ("argoproj.io/v1alpha1", "ApplicationSet", "{template: {spec: {source: {repoURL: 'https://g.io/x'}}}}", "https://g.io/x"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "{chart: {spec: {chart: web, version: 1.2}}}", "web 1.2"),
        ("source.toolkit.fluxcd.io/v1", "GitRepository", "{url: 'https://g.io/x'}", "https://g.io/x"),
        ("helm.cattle.io/v1", "HelmChart", "{chart: web, repo: 'https://r.io/c'}", "web https://r.io/c"),
        ("operators.coreos.com/v1alpha1", "Subscription", "{name: db, channel: stable}", "db stable"),
    ],
)  # fmt: skip
def test_what_is_deployed_from_elsewhere_is_unresolved(api, kind, spec, got):
    found = look(resource(api, kind, spec))
    assert [text for _, text in unresolved(found)] == [got]
    assert found.unresolved[0].hint


def test_charts_that_helmfile_or_a_chart_fetches_are_unresolved():
    text = "releases:\n  - {name: a, chart: r/web}\n  - {name: b, chart: ./own}\n"
    assert unresolved(look(text, "helmfile.yaml")) == [(2, "r/web")]
    text = "apiVersion: v2\nname: x\ndependencies:\n  - {name: redis, version: 1.0.0, repository: 'https://r.io/c'}\n"
    assert unresolved(look(text, "Chart.yaml")) == [(4, "https://r.io/c redis")]


def test_patches_and_files_of_a_kustomization_outside_of_the_tree_are_told(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("""\
patches: [{path: ../a.yaml}, {path: in.yaml}, {patch: "a: b\\nc: d"}]
configMapGenerator: [{name: x, files: [../b.conf, key=../c.conf]}]
generators: [../d.yaml]
patchesStrategicMerge: [../e.yaml, "a: b\\nc: d"]
""")
    (tmp_path / "in.yaml").write_text("apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'a:1'}]}\n")
    found = discover([str(tmp_path)], lambda limit: b"")
    assert images(found) == ["a:1"]
    assert [text for _, text in unresolved(found)] == ["../a.yaml", "../b.conf", "../c.conf", "../d.yaml", "../e.yaml"]


def test_ci_jobs_name_possible_images():
    gitlab = "test:\n  image: ruby:3.3\n  services: [postgres:16, {name: r.io/redis:7}]\n  script: [make]\n"
    assert possible(look(gitlab, "gitlab-ci.yml")) == ["postgres:16", "ruby:3.3", "r.io/redis:7"]
    github = "jobs:\n  a: {container: 'node:20', steps: [{uses: 'docker://alpine:3.20'}, {uses: actions/checkout@v4}]}\n"
    assert possible(look(github, "ci.yml")) == ["alpine:3.20", "node:20"]


def test_an_image_of_values_in_pieces_gets_its_tag_and_registry():
    text = "operator: {image: a/op, version: v1, registry: q.io}\nplain: {image: q.io/x, tag: '2'}\n"
    text += "other: {imageRepository: q.io/y, imageTag: '3'}\n"
    assert possible(look(text)) == ["q.io/a/op:v1", "q.io/x:2", "q.io/y:3"]


@pytest.mark.parametrize("image", ["q.io/Team/app:1", "q.io/app@sha256:abc"])
def test_an_image_under_its_key_that_is_no_valid_reference_is_told(image):
    assert [text for _, text in unresolved(look(f"web: {{image: '{image}'}}\n"))] == [image]


def test_comments_in_json_hide_no_image():
    found = look('{\n  // the base\n  "image": "q.io/dev:1",\n  "name": "x"\n}\n', "devcontainer.json")
    assert possible(found) == ["q.io/dev:1"]
