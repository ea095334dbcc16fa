"""``images: discover``: the images that a chart names are carried with it, by helm template or by its annotations."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.chartyard import helm
from tests.support.cli import USAGE
from tests.support.site import Site

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
POD += "spec: {containers: [{name: web, image: '{{ required \"image\" .Values.image }}'}]}\n"
ANNOTATIONS = "annotations:\n  artifacthub.io/images: |\n    - {name: a, image: registry.example/shop/noted:1}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("machine"))


def chart(folder: Path, template: str = POD, annotations: str = "") -> Path:
    """A packaged chart."""
    path = folder / "web-1.0.0.tgz"
    metadata = f"apiVersion: v2\nname: web\nversion: 1.0.0\n{annotations}"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (("Chart.yaml", metadata), ("values.yaml", ""), ("templates/pod.yaml", template)):
            info = tarfile.TarInfo(f"web/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def discovered(site: Site, folder: Path, more: str = "", path: str = "") -> subprocess.CompletedProcess[str]:
    """What reading the list says; nothing is fetched, for the registry of the images does not exist."""
    (folder / "list.yaml").write_text(f"charts: [{{path: '{folder}/web-1.0.0.tgz', images: discover{more}}}]\n")
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(folder), "AIRGAP_STATE": str(folder / "state")}
    command = [sys.executable, "-m", "airgap", "resolve", str(folder / "list.yaml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_helm_renders_the_chart_with_the_values_of_the_list(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm(monkeypatch)
    chart(tmp_path, annotations=ANNOTATIONS)
    (tmp_path / "values.yaml").write_text("image: 127.0.0.1:1/shop/rendered:1\n")
    done = discovered(site, tmp_path, f", values: ['{tmp_path}/values.yaml']")
    assert "1 image by helm template" in done.stderr
    assert "127.0.0.1:1" in done.stderr  # it is asked for there
    assert "noted" not in done.stderr


def test_a_chart_that_helm_cannot_render_is_a_mistake(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm(monkeypatch)
    chart(tmp_path, annotations=ANNOTATIONS)
    done = discovered(site, tmp_path)
    assert done.returncode == USAGE
    assert "cannot render the chart" in done.stderr


def test_output_without_end_is_cut_off(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm(monkeypatch)
    chart(tmp_path, '{{ range untilStep 0 100 1 }}{{ repeat 1000000 "x" }}\n{{ end }}')
    done = discovered(site, tmp_path)
    assert done.returncode == USAGE
    assert "cannot render the chart" in done.stderr


def test_without_helm_the_annotations_count_and_it_is_said(site: Site, tmp_path: Path) -> None:
    chart(tmp_path, annotations=ANNOTATIONS.replace("registry.example", "127.0.0.1:1"))
    (tmp_path / "empty").mkdir()
    done = discovered(site, tmp_path, path=str(tmp_path / "empty"))
    assert "1 image by its annotation artifacthub.io/images; helm is not installed" in done.stderr
    assert "127.0.0.1:1" in done.stderr


def test_without_helm_and_annotations_nothing_is_missed_in_silence(site: Site, tmp_path: Path) -> None:
    chart(tmp_path)
    (tmp_path / "empty").mkdir()
    done = discovered(site, tmp_path, path=str(tmp_path / "empty"))
    assert done.returncode == USAGE
    assert "the images of a chart cannot be found" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("charts: [{repo: 'oci://a.example/b', name: web, version: 1.0.0, images: discover}]", "on disk and on web servers"),
        ("charts: [{path: x-1.0.0.tgz, images: all}]", "discover"),
        ("charts: [{path: FILE, values: [a]}]", "images: discover"),
    ],
)
def test_mistakes_are_told(site: Site, tmp_path: Path, text: str, said: str) -> None:
    chart(tmp_path)
    (tmp_path / "list.yaml").write_text(text.replace("FILE", f"{tmp_path}/web-1.0.0.tgz"))
    done = site.run("resolve", tmp_path / "list.yaml", check=False)
    assert done.returncode == USAGE
    assert said in done.stderr
