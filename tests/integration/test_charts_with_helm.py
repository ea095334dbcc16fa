"""The real helm at both ends: what it packs, signs and indexes is carried, and what it pulls from the site is the same."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Reference
from airgap.registry import RegistryStore
from tests.support import images
from tests.support.chartyard import WebFolder, helm, web_folder
from tests.support.dockerregistry import DockerRegistry
from tests.support.gityard import Repository, git
from tests.support.site import Site
from tests.support.trustkit import gpg_home

VALUES = "image: registry.example/shop/web:1\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: '{{ .Values.image }}'}]}\n"


@dataclass(frozen=True)
class Publisher:
    """Who packs charts with helm, signs them and offers them on a web server."""

    work: Path
    program: str
    keyring: Path
    web: WebFolder

    def helm(self, *arguments: object, cwd: Path | None = None) -> str:
        """Run helm with a home of its own."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work), "KUBECONFIG": os.devnull}
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def publish(self, version: str, values: str = VALUES) -> Path:
        """Pack and sign a version of the chart, and index the repository anew."""
        chart = self.work / "web"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: web\nversion: {version}\n")
        (chart / "values.yaml").write_text(values)
        (chart / "templates/pod.yaml").write_text(POD)
        signing = ("--sign", "--key", "vendor", "--keyring", self.work / "secret.gpg")
        self.helm("package", *signing, "-d", self.web.folder, chart)
        self.helm("repo", "index", self.web.folder)
        return self.web.folder / f"web-{version}.tgz"


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    program = helm(monkeypatch)
    (tmp_path / "repository").mkdir()
    with gpg_home() as home, web_folder(tmp_path / "repository") as web:
        key = home.new_key("vendor", algorithm="rsa3072")
        (tmp_path / "secret.gpg").write_bytes(home.run("--export-secret-keys", key))
        (tmp_path / "keys.gpg").write_bytes(home.export(key, armor=False))
        yield Publisher(tmp_path, program, tmp_path / "keys.gpg", web)


def test_helm_installs_from_the_sites_registry_what_its_publisher_signed(publisher: Publisher, tmp_path: Path) -> None:
    packed = publisher.publish("1.4.0+7")
    site = Site.make(tmp_path / "machine")
    wanted = tmp_path / "list.yaml"
    wanted.write_text(f"charts: [{{repo: '{publisher.web.url}', name: web, version: ^1.4, keyring: '{publisher.keyring}'}}]\n")
    bundle = site.export(wanted, tmp_path / "usb")
    with DockerRegistry(tmp_path / "registry") as registry:
        site.import_(f"docker://{registry.address}/mirror", bundle)
        where = f"oci://{registry.address}/mirror/{publisher.web.address.replace(':', '-')}/web"
        (tmp_path / "pulled").mkdir()
        pull = ("pull", where, "--version", "1.4.0+7", "--plain-http", "-d", tmp_path / "pulled")
        publisher.helm(*pull, "--verify", "--keyring", publisher.keyring)
        pulled = next((tmp_path / "pulled").glob("*.tgz"))
        assert pulled.read_bytes() == packed.read_bytes()
        assert Path(f"{pulled}.prov").read_bytes() == Path(f"{packed}.prov").read_bytes()
        said = publisher.helm("template", "x", where, "--version", "1.4.0+7", "--plain-http")
        assert "image: 'registry.example/shop/web:1'" in said
        what = f"{registry.address}/mirror/{publisher.web.address.replace(':', '-')}/web:1.4.0_7"
        (tmp_path / "got").mkdir()
        site.run("get", what, "-o", tmp_path / "got", state="site-state")
        said = publisher.helm("verify", "--keyring", publisher.keyring, tmp_path / "got" / packed.name)
        assert "Chart Hash Verified" in said


def test_a_platform_of_a_chart_its_image_two_files_and_a_repository_is_installed_from_the_registry_alone(
    publisher: Publisher, tmp_path: Path
) -> None:
    site = Site.make(tmp_path / "machine")
    built = images.image([images.layer("web")])
    with DockerRegistry(tmp_path / "vendor") as vendor, DockerRegistry(tmp_path / "registry") as registry:
        image = f"{vendor.address}/shop/web:1"
        with contextlib.closing(LayoutStore(tmp_path / "layout")) as layout:
            images.publish(layout, "registry.example/shop/web:1", built)
            layout.commit()
            images.push_layout_to_registry(layout, vendor.address)
        packed = publisher.publish("1.4.0", f"image: {image}\n")
        (tmp_path / "install.sh").write_text("#!/bin/sh\necho installed\n")
        (tmp_path / "tool.bin").write_bytes(bytes(range(256)) * 40)
        deploy = Repository.make(tmp_path / "deploy")
        wanted = tmp_path / "list.yaml"
        wanted.write_text(
            f"files: ['{tmp_path}/install.sh', '{tmp_path}/tool.bin']\n"
            f"gits: [{{path: '{deploy.path}', refs: [main, v1.1]}}]\n"
            f"charts: [{{repo: '{publisher.web.url}', name: web, keyring: '{publisher.keyring}', images: discover}}]\n"
        )
        bundle = site.export(wanted, tmp_path / "usb")
        site.import_(f"docker://{registry.address}/mirror", bundle)
        mirror = f"{registry.address}/mirror"
        (tmp_path / "got").mkdir()
        for name in ("install.sh", "tool.bin"):
            site.run("get", f"{mirror}/airgap.local/files/{name}:latest", "-o", tmp_path / "got", state="site-state")
            assert (tmp_path / "got" / name).read_bytes() == (tmp_path / name).read_bytes()
        site.run("get", f"{mirror}/airgap.local/gits/deploy:latest", "-o", tmp_path / "got", state="site-state")
        git("clone", "--quiet", tmp_path / "got/deploy.bundle", tmp_path / "clone")
        assert git("-C", tmp_path / "clone", "rev-parse", "HEAD", "v1.1") == deploy.git("rev-parse", "main", "v1.1")
        there = f"{mirror}/{vendor.address.replace(':', '-')}/shop/web:1"
        where = f"oci://{mirror}/{publisher.web.address.replace(':', '-')}/web"
        said = publisher.helm("template", "x", where, "--plain-http", "--set", f"image={there}")
        assert f"image: '{there}'" in said
        with RegistryStore() as store:
            assert store.manifest(Reference.parse(there).repository, "1").digest == built.digest
        pull = ("pull", where, "--plain-http", "-d", tmp_path / "got", "--verify", "--keyring", publisher.keyring)
        publisher.helm(*pull)
        assert (tmp_path / "got" / packed.name).read_bytes() == packed.read_bytes()


def test_the_next_version_of_a_chart_is_a_small_bundle(publisher: Publisher, tmp_path: Path) -> None:
    filler = "".join(f"# {n} {n * 7919 % 100_003} {n * 104_729 % 99_991}\n" for n in range(20_000))
    publisher.publish("1.4.0", VALUES + filler)
    site = Site.make(tmp_path / "machine")
    wanted = tmp_path / "list.yaml"
    wanted.write_text(f"charts: [{{repo: '{publisher.web.url}', name: web, version: ^1.4}}]\n")
    first = site.export(wanted, tmp_path / "usb")
    publisher.publish("1.5.0", VALUES + filler + "more: 1\n")
    plan = site.json("plan", wanted, "--since", first)
    assert [image["reference"] for image in plan["images"]] == [f"{publisher.web.address}/web:1.5.0"]
    second = site.export(wanted, tmp_path / "usb2", "--since", first, serial=2)
    sizes = [sum(file.stat().st_size for file in bundle.glob("volume-*")) for bundle in (first, second)]
    assert sizes[1] < sizes[0] / 4, sizes
    with DockerRegistry(tmp_path / "registry") as registry:
        site.import_(f"docker://{registry.address}/mirror", first)
        site.import_(f"docker://{registry.address}/mirror", second)
        (tmp_path / "got").mkdir()
        what = f"{registry.address}/mirror/{publisher.web.address.replace(':', '-')}/web:1.5.0"
        site.run("get", what, "-o", tmp_path / "got", state="site-state")
        assert (tmp_path / "got/web-1.5.0.tgz").read_bytes() == (publisher.web.folder / "web-1.5.0.tgz").read_bytes()
