"""``airgap import --to`` everything that is not a registry: what comes out is read by the real skopeo and podman."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.archives import ImageDirectory
from airgap.layout import LayoutStore
from tests.support import images
from tests.support.archives import own_storage, skopeo, skopeo_digest
from tests.support.cli import USAGE, failed, here
from tests.support.desks import TOOL, WEB, Made, SiteDesk
from tests.support.pulling import PLATFORMS, Yard, yard
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")


def imported(site: SiteDesk, to: str, *options: object, bundle: Path | None = None) -> dict[str, Any]:
    done = site.import_(*options, to=to, bundle=bundle)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def digest(made: Made, name: str) -> str:
    repository, _, tag = name.rpartition(":")
    reference = next(reference for reference in made.references if str(reference) == f"{repository}:{tag}")
    return str(made.origin.manifest(reference.repository, tag).digest)


def test_an_oci_archive_holds_every_image_with_its_digest(site: SiteDesk, made: Made, tmp_path: Path) -> None:
    archive = tmp_path / "app.tar"
    facts = imported(site, f"oci-archive:{archive}")
    for name in (WEB, TOOL):
        assert skopeo_digest(f"oci-archive:{archive}:{name}") == digest(made, name)
        skopeo("copy", "-q", "--all", f"oci-archive:{archive}:{name}", f"dir:{tmp_path / name.replace('/', '-')}")
    assert facts["not_held"] == []
    assert imported(site, f"oci-archive:{archive}")["already_there"] is True


def test_an_archive_that_is_there_is_not_touched(site: SiteDesk, tmp_path: Path) -> None:
    (tmp_path / "app.tar").write_text("precious")
    failed(site.import_(to=f"oci-archive:{tmp_path / 'app.tar'}"), USAGE, "the archive already exists")
    assert (tmp_path / "app.tar").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_docker_archive_needs_a_platform_before_anything_is_written(site: SiteDesk, tmp_path: Path) -> None:
    failed(site.import_(to=f"docker-archive:{tmp_path / 'app.tar'}"), USAGE, "holds one platform", "linux/arm64")
    assert not (tmp_path / "app.tar").exists()


def test_podman_loads_a_docker_archive_of_one_platform(site: SiteDesk, tmp_path: Path) -> None:
    archive = tmp_path / "app.tar"
    facts = imported(site, f"docker-archive:{archive}", "--platform", "linux/amd64")
    assert facts["rebuilt"] == [WEB]
    skopeo("copy", "-q", f"docker-archive:{archive}:{WEB}", f"dir:{tmp_path / 'web'}")
    with own_storage() as storage:
        storage.podman("load", "-q", "-i", archive)
        assert set(storage.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()) >= {WEB, TOOL}


def test_what_a_format_has_no_place_for_is_said_to_people_and_machines(site: SiteDesk, tmp_path: Path) -> None:
    facts = imported(site, f"k3s:{tmp_path / 'images'}")
    assert [str(name).partition(" ")[0] for name in facts["not_held"]] == ["referrer"]
    fixed = ("--policy", site.made.sender.policy, "--state", tmp_path / "other-state")
    done = here("import", site.bundle, "--to", f"k3s:{tmp_path / 'more'}", *fixed)
    assert "not held     referrer sha256:" in done.stdout


def test_every_bundle_becomes_one_archive_in_the_directory_of_k3s(site: SiteDesk, made: Made, tmp_path: Path) -> None:
    images = tmp_path / "agent/images"
    imported(site, f"k3s:{images}")
    imported(site, f"k3s:{images}", bundle=made.newer)
    assert sorted(path.name for path in images.iterdir()) == ["prod-0001.tar", "prod-0002.tar"]
    assert skopeo_digest(f"oci-archive:{images / 'prod-0002.tar'}:{WEB}") == digest(made, WEB)
    assert imported(site, f"k3s:{images}", bundle=made.newer)["already_there"] is True


def test_podman_has_what_was_imported_into_its_storage(site: SiteDesk, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    with own_storage() as storage:
        imported(site, f"containers-storage:{storage.name}", "--scratch", scratch, "--platform", "linux/amd64")
        assert set(storage.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()) == {WEB, TOOL}
    assert list(scratch.iterdir()) == []


def test_a_directory_takes_one_image_only(site: SiteDesk, made: Made, tmp_path: Path) -> None:
    failed(site.import_(to=f"dir:{tmp_path / 'd'}"), USAGE, "holds exactly one image")
    assert not (tmp_path / "d").exists()
    imported(site, f"dir:{tmp_path / 'd'}", bundle=made.newer)
    assert skopeo_digest(f"dir:{tmp_path / 'd'}") == digest(made, WEB)
    assert imported(site, f"dir:{tmp_path / 'd'}", bundle=made.newer)["already_there"] is True


@pytest.mark.parametrize("to", ["dir:/d", "oci-archive:/x.tar", "k3s:/images"])
def test_names_are_mapped_for_registries_only(site: SiteDesk, to: str) -> None:
    failed(site.import_("--map", "strip-host", to=to), USAGE, "--map is only for registries")


@pytest.mark.parametrize("command", ["receipt", "mirror-config"])
def test_what_is_new_every_time_cannot_be_asked_what_it_holds(tmp_path: Path, command: str) -> None:
    options = ["-o", tmp_path / "r"] if command == "receipt" else ["--format", "policy", "--out", tmp_path / "o", "--to"]
    failed(here(command, *options, "oci-archive:/x.tar"), USAGE, hint=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("pulling")) as found:
        yield found


def test_a_directory_has_the_vendors_and_the_sites_signatures_which_skopeo_enforces(place: Yard, tmp_path: Path) -> None:
    built = place.publish("team/app")
    place.sign("team/app", *built.everything())
    bundle = place.export("team/app")
    for _ in range(2):
        place.site.import_(f"dir:{tmp_path / 'd'}", bundle, options=("--sign-by", f"gpg:{place.site_key}"))
    for part in built.everything():
        assert len(ImageDirectory(tmp_path / "d").signatures(part.digest)) == 2
    for key, name in (("vendor", place.original("team/app")), ("site", place.original("team/app"))):
        identity = {"type": "exactReference", "dockerReference": name}
        wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(place.root / f"{key}.gpg"), "signedIdentity": identity}
        policy = tmp_path / f"{key}.json"
        policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"dir": {"": [wanted]}}}))
        for platform in PLATFORMS:
            arch = ["--override-os", "linux", "--override-arch", platform.partition("/")[2]]
            out = f"dir:{tmp_path / f'{key}-{arch[-1]}'}"
            command: list[str | Path] = [require("skopeo"), "--policy", policy, *arch, "copy", "-q", f"dir:{tmp_path / 'd'}", out]
            subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def nested(tmp_path: Path) -> tuple[Site, Path]:
    """A bundle with an index of indexes, one for each architecture, and the site that exported it."""
    built = [images.image([images.layer(one)], platform=one) for one in ("linux/amd64", "linux/arm64")]
    with LayoutStore(tmp_path / "layout") as layout:
        images.publish(layout, "example.com/team/app:1", images.index([images.index([one]) for one in built]))
        layout.commit()
    site = Site.make(tmp_path / "site")
    (tmp_path / "images.txt").write_text(f"oci:{tmp_path / 'layout'}\n")
    return site, site.export(tmp_path / "images.txt", tmp_path / "out")


@pytest.mark.parametrize("form", ["docker-archive", "containers-storage"])
def test_of_indexes_within_an_index_the_import_takes_the_platform_that_is_asked_for(
    nested: tuple[Site, Path], form: str, tmp_path: Path
) -> None:
    (site, bundle), archive = nested, tmp_path / "app.tar"
    with own_storage() as storage:
        to = f"docker-archive:{archive}" if form == "docker-archive" else f"containers-storage:{storage.name}"
        several = site.run("import", bundle, "--to", to, "--policy", site.policy, "--scratch", tmp_path / "scratch", check=False)
        assert several.returncode == USAGE
        assert "holds one platform of an image" in several.stderr
        assert not (tmp_path / "scratch").exists(), "said before anything is written"
        site.import_(to, bundle, options=("--platform", "linux/arm64", "--scratch", tmp_path / "scratch"))
        if form == "docker-archive":
            storage.podman("load", "-q", "-i", archive)
        assert storage.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split() == ["example.com/team/app:1"]
        shown = storage.podman("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "example.com/team/app:1")
    assert shown.strip() == "linux/arm64"
