"""manifests/: every list is read, says where its versions are from, and has what its parts start by themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.lists import listed

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
LISTS = sorted(MANIFESTS.glob("*.yaml"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_image_has_a_version_and_stands_in_a_group_whose_source_and_year_are_said(path: Path) -> None:
    references = listed(path.read_bytes(), path.name)
    assert len(references) > 10
    assert all(reference.tag and reference.tag != "latest" for reference in references)
    body = path.read_text().partition("images:\n")[2]
    groups = re.findall(r"((?:  #.*\n)+)((?:  (?:-|  ).*\n)+)", body)
    assert sum(len(re.findall(r"^  - ", images, re.MULTILINE)) for _, images in groups) == len(references)
    for comment, _ in groups:
        assert re.search(r"2026|kube-prometheus v0\.18\.0", comment), comment


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("kubernetes-platform", ["cert-manager-acmesolver", "frrouting/frr", "cilium-envoy"]),
        ("edge-site", ["rancher/kubectl", "rancher/k3s-upgrade", "klipper-helm"]),
        ("monitoring", ["prometheus-config-reloader", "kube-rbac-proxy", "configmap-reload"]),
    ],
)
def test_what_a_controller_starts_later_is_there(name: str, needed: list[str]) -> None:
    references = [str(one) for one in listed((MANIFESTS / f"{name}.yaml").read_bytes(), name)]
    assert [one for one in needed if not any(one in reference for reference in references)] == []


def test_the_job_that_upgrades_k3s_is_of_the_version_that_the_list_has() -> None:
    text = (MANIFESTS / "edge-site.yaml").read_text()
    [version] = set(re.findall(r"release (v[\d.]+\+k3s\d+)", text))
    assert f"rancher/k3s-upgrade:{version.replace('+', '-')}\n" in text
