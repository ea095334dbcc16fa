"""The main job against the real registry: export, carry, verify, import; every digest is the same on both sides."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dockerregistry import DockerRegistry
from tests.support.platform import Published, publish_platform
from tests.support.site import Site
from tests.support.tools import require
from tests.support.walk import Contents, walk

pytestmark = pytest.mark.slow("carries one bundle through every step, against real registries")


@dataclass(frozen=True)
class Job:
    """One finished main job: the source, what was published there, the bundle, and the machine it was made on."""

    site: Site
    published: Published
    source: Contents
    bundle: Path
    work: Path


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("main-job")
    site = Site.make(work / "machine")
    with DockerRegistry(work / "source") as registry:
        published = publish_platform(registry.address, work / "build")
        bundle = site.export(published.list_file(work), work / "usb", "--volume-size", "50kB")
        yield Job(site, published, walk(registry.address), bundle, work)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "target") as registry:
        yield registry


def prefix(job: Job) -> str:
    return f"mirror/{job.published.address.replace(':', '-')}/"


def listed(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags but for those that keep what is wanted by digest alone (docs/targets.md)."""
    return {name: digest for name, digest in tags.items() if ":airgap-sha256-" not in name}


@pytest.mark.smoke("export", "verify", "import")
def test_everything_has_the_same_digest_in_an_empty_second_registry(job: Job, empty: DockerRegistry) -> None:
    job.site.import_(f"docker://{empty.address}/mirror", job.bundle, state="state-second")
    arrived = walk(empty.address).below(prefix(job))
    assert listed(arrived.tags) == job.source.tags
    assert arrived.manifests == job.source.manifests
    assert arrived.blobs == job.source.blobs


def test_the_list_has_what_the_main_job_is_about(job: Job) -> None:
    suffixes = sorted(name.rpartition(".")[2] for name in job.source.tags if name.endswith((".sig", ".att")))
    assert suffixes == ["att", "att", "sig", "sig"]
    fallback_tags = [name for name in job.source.tags if ":sha256-" in name and not name.endswith((".sig", ".att"))]
    assert len(fallback_tags) == 3
    catalog = json.loads((job.bundle / "catalog.json").read_bytes())
    kinds = [attachment["kind"] for image in catalog["images"] for attachment in image.get("attachments", [])]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "cosign-signature": 2,
        "cosign-attestation": 2,
        "referrer": 3,
        "referrers-tag": 3,
    }


def test_skopeo_reads_the_same_raw_manifests_from_both_registries(job: Job, empty: DockerRegistry) -> None:
    require("skopeo")
    job.site.import_(f"docker://{empty.address}/mirror", job.bundle, state="state-skopeo")
    for name in job.published.tags:
        raw = [
            subprocess.run(
                ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place}{name}"], capture_output=True, check=True
            ).stdout
            for place in (f"{job.published.address}/", f"{empty.address}/{prefix(job)}")
        ]
        assert raw[0] == raw[1]


def test_skopeo_copies_every_platform_from_the_target(job: Job, empty: DockerRegistry, tmp_path: Path) -> None:
    require("skopeo")
    job.site.import_(f"docker://{empty.address}/mirror", job.bundle, state="state-copy")
    source = f"docker://{empty.address}/{prefix(job)}shop/web:1.0"
    subprocess.run(
        ["skopeo", "copy", "--all", "--src-tls-verify=false", "--insecure-policy", "-q", source, f"dir:{tmp_path}/out"], check=True
    )
    index = (tmp_path / "out/manifest.json").read_bytes()
    assert len(json.loads(index)["manifests"]) == 3


def test_importing_the_same_bundle_again_does_nothing(job: Job, empty: DockerRegistry) -> None:
    target = f"docker://{empty.address}/mirror"
    first = job.site.import_(target, job.bundle, state="state-again")
    second = job.site.import_(target, job.bundle, state="state-again")
    assert not first["already_there"]
    assert second["already_there"]
    assert second["sent_bytes"] == 0


def test_a_wiped_target_is_loaded_again_although_the_state_remembers_it(job: Job, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "first") as registry:
        target = f"docker://{registry.address}/mirror"
        job.site.import_(target, job.bundle, state="state-wiped")
        registry.stop()
        shutil.rmtree(registry.root / "data")
        registry.restart()
        assert not job.site.import_(target, job.bundle, state="state-wiped")["already_there"]
        assert listed(walk(registry.address).below(prefix(job)).tags) == job.source.tags


def test_volumes_on_several_media_in_any_order(job: Job, empty: DockerRegistry, tmp_path: Path) -> None:
    media = [tmp_path / f"usb{number}" for number in range(3)]
    for number, directory in enumerate(media):
        directory.mkdir()
        for position, volume in enumerate(sorted(job.bundle.glob("volume-*.tar"))):
            if position % 3 == number:
                (directory / volume.name).write_bytes(volume.read_bytes())
    for companion in ("catalog.json", "SHA256SUMS", "CHECK.txt", *[path.name for path in job.bundle.glob("catalog.json.*")]):
        (media[1] / companion).write_bytes((job.bundle / companion).read_bytes())
    job.site.import_(f"docker://{empty.address}/mirror", media[2], media[0], media[1], state="state-media")
    assert listed(walk(empty.address).below(prefix(job)).tags) == job.source.tags


def test_import_into_a_layout_and_from_there_served_and_exported_again(job: Job, tmp_path: Path) -> None:
    store = tmp_path / "store"
    job.site.import_(f"oci:{store}", job.bundle, state="state-layout")
    index = json.loads((store / "index.json").read_bytes())
    names = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
        for entry in index["manifests"]
        if "annotations" in entry
    }
    for reference in job.published.references:
        assert reference in names
    blobs = {path.name for path in (store / "blobs/sha256").iterdir()}
    expected = {name.rpartition(":")[2] for name in job.source.manifests | job.source.blobs}
    assert blobs == expected


def test_one_platform_only_rebuilds_the_index_and_says_so(job: Job, empty: DockerRegistry) -> None:
    target = f"docker://{empty.address}/mirror"
    done = job.site.import_(target, job.bundle, options=("--platform", "linux/amd64", "--partial"), state="state-platform")
    web = job.published.references[0]
    assert web in done["rebuilt"]
    arrived = walk(empty.address).below(prefix(job))
    assert arrived.tags["shop/web:1.0"] != job.source.tags["shop/web:1.0"]
    kept = {name for name in arrived.manifests if name.startswith("shop/web@")}
    assert f"shop/web@{job.source.tags['shop/web:1.0']}" not in kept
