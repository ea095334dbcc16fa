"""Lists of every kind, from the file to the far registry: what the list means arrives, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.served import ask
from tests.support.site import Site
from tests.support.tools import require
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
VERSIONS = ("1.0.0", "1.1.0", "v1.2.0", "1.2.1-rc1", "1.10.0", "2.0.0", "latest")
SBOM = "application/spdx+json"


@dataclasses.dataclass(frozen=True)
class Shop:
    """A registry with the sample images and a repository of many versions; the site's registry; their machines."""

    origin: DockerRegistry
    far: DockerRegistry
    site: Site
    signature: images.Built
    versions: dict[str, images.Built]

    @property
    def prefix(self) -> str:
        """What stands before every path in the far registry."""
        return f"m/{self.origin.address.replace(':', '-')}/"

    def export(self, *lists: Path) -> None:
        """Export the lists, import the bundle."""
        self.site.run("export", *lists, "--out", self.site.root / "usb", "--stream", "prod", "--key", self.site.key)
        self.site.import_(f"docker://{self.far.address}/m", self.site.root / "usb/prod-0001")

    def carry(self, *lists: Path) -> dict[str, str]:
        """``path:tag`` -> digest of what the far registry has after that, without the prefix."""
        self.export(*lists)
        return {name.removeprefix(self.prefix): digest for name, digest in walk(self.far.address).tags.items()}

    def list(self, text: str, name: str = "list") -> Path:
        path = self.site.root / name
        path.write_text(text.replace("localhost:5000", self.origin.address))
        return path

    def sample(self, name: str) -> Path:
        return self.list((SAMPLES / name).read_text(), "no-hint-in-the-name")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DockerRegistry, images.Built, dict[str, images.Built]]]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("origin")
    versions = {version: images.multi_arch(version) for version in VERSIONS}
    signature = images.cosign_signature(b"payload", "c2lnbmF0dXJl")
    signed, elsewhere = versions["1.10.0"], Repository("localhost:5000", "shop/signatures")
    with DockerRegistry(work / "registry") as registry:
        with LayoutStore(work / "layout") as layout:
            for version, built in versions.items():
                images.publish(layout, f"localhost:5000/team/app:{version}", built)
            layout.commit()
            images.push_layout_to_registry(layout, registry.address)
        with LayoutStore(work / "elsewhere") as layout:
            images.publish(layout, f"{elsewhere}:copy", signed)
            images.publish_attachment(layout, elsewhere, signed.digest, ".sig", signature)
            images.attach(layout, elsewhere, signed, [images.artifact(signed, SBOM, b"{}")])
            layout.commit()
            images.push_layout_to_registry(layout, registry.address)
        images.push_layout_to_registry(LayoutStore(SAMPLES / "layout"), registry.address)
        yield registry, signature, versions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("site"))


@pytest.fixture
def shop(origin: tuple[DockerRegistry, images.Built, dict[str, images.Built]], made: Site, tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(made.root, tmp_path / "site")
    with DockerRegistry(tmp_path / "far") as far:
        yield Shop(origin[0], far, Site(tmp_path / "site"), *origin[1:])


def named(tags: dict[str, str]) -> list[str]:
    """The names but for those of attachments and those that keep what is wanted by digest alone."""
    return sorted(name for name in tags if ":sha256-" not in name and ":airgap-sha256-" not in name)


@pytest.mark.parametrize(
    ("sample", "tags"),
    [
        ("images.txt", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0", "tools/migrate:3.4"]),
        ("images.yaml", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0", "tools/migrate:3.4"]),
        ("lists/rules.yaml", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0", "tools/migrate:3.4"]),
        ("lists/skopeo-sync.yaml", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0", "tools/migrate:3.4"]),
        ("lists/hauler.yaml", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0"]),
        ("lists/imageset-config.yaml", ["shop/web:1.0", "tools/migrate:3.4"]),
        ("lists/imageset-config-v1.yaml", ["shop/api:2.1"]),
        ("lists/regsync.yml", ["shop/api:2.1", "shop/web:1.0"]),
        ("lists/gitlab-ci.yml", ["edge/agent:0.9", "shop/api:2.1", "shop/web:1.0"]),
    ],
)
def test_the_sample_of_each_kind_arrives(shop: Shop, sample: str, tags: list[str]) -> None:
    arrived = shop.carry(shop.sample(sample))
    assert named(arrived) == tags
    wanted = {name.path + ":" + name.tag: name.descriptor.digest for name in LayoutStore(SAMPLES / "layout").names() if name.tag}
    whole = {name for name in tags if name.partition(":")[0] in ("shop/web", "edge/agent", "tools/migrate")}
    assert {name: arrived[name] for name in whole} == {f"{name}": wanted[f"localhost:5000/{name}"] for name in whole}


def test_the_sample_of_an_images_lock_arrives_by_digest(shop: Shop) -> None:
    path = shop.sample("lists/images-lock.yaml")
    shop.export(path)
    for line in path.read_text().splitlines():
        if line.startswith("  image: "):
            name, _, digest = line.removeprefix(f"  image: {shop.origin.address}/").partition("@")
            assert ask(shop.far.address, f"/v2/{shop.prefix}{name}/manifests/{digest}", Accept=media.ACCEPT_MANIFESTS).status == 200


def test_skopeo_yaml_with_regex_and_semver_carries_what_skopeo_would(shop: Shop) -> None:
    path = shop.list(
        "localhost:5000:\n  images-by-tag-regex: {team/app: '^v1|^la'}\n  images-by-semver: {team/app: '>= 1.1, < 2'}\n"
    )
    assert shop.carry(path) == {
        f"team/app:{version}": shop.versions[version].digest for version in ("latest", "v1.2.0", "1.10.0", "1.1.0")
    }


def test_our_yaml_with_newest_exclusions_and_attachments_from_elsewhere(shop: Shop) -> None:
    rule = "{semver: ^1.0, newest: 2, exclude: [v1.2.0]}"
    text = (
        f"defaults: {{registry: localhost:5000}}\nimages: [{{name: team/app, tags: {rule}, attachments-from: shop/signatures}}]\n"
    )
    arrived = shop.carry(shop.list(text))
    newest = shop.versions["1.10.0"]
    assert named(arrived) == ["team/app:1.1.0", "team/app:1.10.0"]
    assert arrived[f"team/app:{digest_tag(newest.digest, '.sig')}"] == shop.signature.digest
    assert f"team/app:{digest_tag(newest.digest)}" in arrived, "the registry has no referrers API: its fallback tag was made"


def test_lists_of_several_kinds_at_once_are_one_bundle(shop: Shop) -> None:
    ours = shop.list("images: ['localhost:5000/team/app:2.0.0']", "a")
    text = shop.list("localhost:5000/team/app:1.0.0\nlocalhost:5000/team/app:2.0.0\n", "b")
    skopeo = shop.list("localhost:5000: {images: {team/app: [latest]}}", "c")
    assert named(shop.carry(ours, text, skopeo)) == ["team/app:1.0.0", "team/app:2.0.0", "team/app:latest"]


def test_a_lock_made_from_rules_is_exported_as_it_was_resolved(shop: Shop) -> None:
    path = shop.list("images: [{name: 'localhost:5000/team/app', tags: {semver: '*', newest: 1}}]")
    lock = shop.site.root / "lock"
    shop.site.run("resolve", path, "--lock", lock)
    assert [image["reference"].rpartition(":")[2] for image in json.loads(lock.read_bytes())["images"]] == ["2.0.0"]
    assert named(shop.carry(lock)) == ["team/app:2.0.0"]


def test_what_a_foreign_list_asks_for_in_vain_is_said(shop: Shop) -> None:
    done = shop.site.run("resolve", shop.sample("lists/hauler.yaml"))
    assert "no-hint-in-the-name:10: key: is not used here" in done.stderr


def test_a_list_of_any_kind_may_come_from_standard_input(shop: Shop) -> None:
    text = (SAMPLES / "lists/skopeo-sync.yaml").read_bytes().replace(b"localhost:5000", shop.origin.address.encode())
    command = [sys.executable, "-m", "airgap", "resolve", "-", "--json"]
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    assert len(json.loads(done.stdout)["images"]) == 5


def test_credentials_of_a_list_reach_its_registry_and_nothing_else(made: Site, tmp_path: Path) -> None:
    built, root = images.image([images.layer("secret")]), tmp_path / "private"
    with DockerRegistry(root) as registry, LayoutStore(tmp_path / "layout") as layout:
        images.publish(layout, "localhost:5000/team/app:1.0", built)
        layout.commit()
        images.push_layout_to_registry(layout, registry.address)
    shutil.copytree(made.root, tmp_path / "site")
    site = Site(tmp_path / "site")
    path, lock = tmp_path / "list", tmp_path / "lock"
    with DockerRegistry(root, htpasswd(tmp_path / "auth")) as registry:
        wish = f"{registry.address}:\n  images-by-semver: {{team/app: '*'}}\n"
        path.write_text(wish + f"  credentials: {{username: {USER}, password: {PASSWORD}}}\n")
        good = site.run("resolve", path, "--lock", lock, "-v")
        site.run("export", path, "--out", tmp_path / "usb", "--stream", "prod", "--key", site.key, "-v")
        path.write_text(wish + f"  credentials: {{username: {USER}, password: {PASSWORD}-wrong}}\n")
        bad = site.run("resolve", path, "-v", check=False)
    assert bad.returncode == 5
    told = good.stdout + good.stderr + bad.stdout + bad.stderr
    assert built.digest in lock.read_text()
    assert PASSWORD not in told
    kept = [file for place in ("usb", "site", "lock") for file in (tmp_path / place).rglob("*")] + [lock]
    assert not any(PASSWORD.encode() in file.read_bytes() for file in kept if file.is_file())
