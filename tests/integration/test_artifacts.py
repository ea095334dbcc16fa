"""Files and charts, carried as artifacts: listed, exported, imported, and taken out again by airgap and by ORAS."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import oras.client  # type: ignore[import-untyped] # it comes without types
import pytest

from tests.support.cli import DAMAGED, REFUSED, USAGE
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site

CHART_YAML = "apiVersion: v2\nname: web\nversion: 1.4.0+1\n"


@dataclass(frozen=True)
class Carried:
    """A platform of two files and a chart, at the site's registry, in a layout and in its bundle."""

    site: Site
    work: Path
    bundle: Path
    registry: str

    def get(self, what: str, *options: object, check: bool = True) -> tuple[int, str]:
        done = self.site.run("get", what, *options, state="site-state", check=check)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    work = tmp_path_factory.mktemp("artifacts")
    site = Site.make(work / "machine")
    (work / "install.sh").write_text("#!/bin/sh\necho installed\n")
    (work / "tool.bin").write_bytes(bytes(range(256)) * 40)
    (work / "web").mkdir()
    (work / "web/Chart.yaml").write_text(CHART_YAML)
    with tarfile.open(work / "web-1.4.0+1.tgz", "w:gz") as archive:
        archive.add(work / "web", "web")
    (work / "web-1.4.0+1.tgz.prov").write_text("a signature")
    (work / "list.yaml").write_text(
        f"files: ['{work}/install.sh', {{path: '{work}/tool.bin', name: tools/tool, version: 2}}]\n"
        f"charts: ['{work}/web-1.4.0+1.tgz']\n"
    )
    bundle = site.export(work / "list.yaml", work / "usb")
    with DockerRegistry(work / "registry") as registry:
        site.import_(f"docker://{registry.address}/mirror", bundle)
        site.import_(f"oci:{work}/store", bundle)
        yield Carried(site, work, bundle, f"{registry.address}/mirror")


@pytest.mark.smoke("get")
def test_what_was_carried_is_taken_out_byte_for_byte(carried: Carried, tmp_path: Path) -> None:
    carried.get(f"{carried.registry}/airgap.local/files/install.sh:latest", "-o", tmp_path / "x")
    carried.get(f"docker://{carried.registry}/airgap.local/files/tools/tool:2", "-o", tmp_path)
    carried.get(f"oci:{carried.work}/store:airgap.local/charts/web:1.4.0_1", "-o", tmp_path)
    assert (tmp_path / "x").read_bytes() == (carried.work / "install.sh").read_bytes()
    for name in ("tool.bin", "web-1.4.0+1.tgz", "web-1.4.0+1.tgz.prov"):
        assert (tmp_path / name).read_bytes() == (carried.work / name).read_bytes()


def test_a_bundle_gives_its_files_when_the_policy_accepts_it(carried: Carried, tmp_path: Path) -> None:
    what = f"bundle:{carried.bundle}:airgap.local/files/install.sh:latest"
    done = carried.site.run("get", what, "-o", tmp_path / "x", "--json", "--policy", carried.site.policy, state="site-state")
    found = json.loads(done.stdout)
    assert [file["path"] for file in found["files"]] == [str(tmp_path / "x")]
    other = Site.make(tmp_path / "other")
    done = carried.site.run("get", what, "-o", tmp_path / "y", "--policy", other.policy, state="site-state", check=False)
    assert done.returncode == REFUSED
    assert not (tmp_path / "y").exists()


def test_oras_pulls_what_an_import_brought(carried: Carried, tmp_path: Path) -> None:
    client = oras.client.OrasClient(insecure=True)
    client.pull(target=f"{carried.registry}/airgap.local/files/tools/tool:2", outdir=str(tmp_path))
    assert (tmp_path / "tool.bin").read_bytes() == (carried.work / "tool.bin").read_bytes()


def test_a_file_that_is_there_is_not_replaced_unasked(carried: Carried, tmp_path: Path) -> None:
    (tmp_path / "install.sh").write_text("mine")
    what = f"{carried.registry}/airgap.local/files/install.sh:latest"
    code, said = carried.get(what, "-o", tmp_path, check=False)
    assert (code, (tmp_path / "install.sh").read_text()) == (USAGE, "mine")
    assert "--force" in said
    carried.get(what, "-o", tmp_path, "--force")
    assert (tmp_path / "install.sh").read_bytes() == (carried.work / "install.sh").read_bytes()


def test_several_files_need_a_directory(carried: Carried, tmp_path: Path) -> None:
    what = f"oci:{carried.work}/store:airgap.local/charts/web:1.4.0_1"
    code, said = carried.get(what, "-o", tmp_path / "none", check=False)
    assert code == USAGE
    assert "several files" in said


def test_a_blob_that_is_damaged_in_the_store_becomes_no_file(carried: Carried, tmp_path: Path) -> None:
    carried.site.import_(f"oci:{tmp_path}/store", carried.bundle)
    content = (carried.work / "tool.bin").read_bytes()
    blob = next(path for path in (tmp_path / "store/blobs/sha256").iterdir() if path.read_bytes() == content)
    blob.chmod(0o644)
    blob.write_bytes(content[:-1] + b"!")
    code, _ = carried.get(f"oci:{tmp_path}/store:airgap.local/files/tools/tool:2", "-o", tmp_path / "x", check=False)
    assert code == DAMAGED
    assert not (tmp_path / "x").exists()


def test_an_increment_carries_only_the_file_that_changed(carried: Carried, tmp_path: Path) -> None:
    for name in ("install.sh", "tool.bin"):
        (tmp_path / name).write_bytes((carried.work / name).read_bytes())
    (tmp_path / "install.sh").write_text("#!/bin/sh\necho newer\n")
    (tmp_path / "list.yaml").write_text(
        f"files: ['{tmp_path}/install.sh', {{path: '{tmp_path}/tool.bin', name: tools/tool, version: 2}}]\n"
    )
    plan = carried.site.json("plan", tmp_path / "list.yaml", "--since", carried.bundle)
    assert plan["held_bytes"] >= 256 * 40
    assert sum(image["new_bytes"] for image in plan["images"]) < 256 * 40
