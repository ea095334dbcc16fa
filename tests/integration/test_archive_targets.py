"""What is written as archives, directories and into podman's storage is read by the real skopeo and podman."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.archives import ImageDirectory, TarTree
from airgap.errors import Damaged, MediaError, NotFound, UsageError
from airgap.layout import LayoutReader
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referring, Target
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.targets.archive import ArchiveTarget
from airgap.targets.collecting import Collecting
from airgap.targets.directory import DirTarget, StorageTarget
from tests.support import images
from tests.support.archives import own_storage, skopeo, skopeo_digest
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

HERE = Repository("registry.example", "shop/web")
BASE = images.layer("base", 9000)
WEB = images.index([images.image([BASE, images.layer(p)], platform=p) for p in images.PLATFORMS])
SINGLE = images.image([BASE, images.layer("single")])
DOCKER = images.image([BASE], docker=True)
SBOM = images.artifact(WEB, "application/spdx+json", b"{}")
SIGNATURE = images.cosign_signature(images.simple_signing(HERE, WEB.digest), "c2ln")
ARM = Platform.parse("linux/arm64")
AMD = images.image([BASE, images.layer("nested amd64")], platform="linux/amd64")
ARMS = [images.image([BASE, images.layer(f"nested {p}")], platform=p) for p in ("linux/arm64", "linux/arm/v7")]
PROOF = images.image([images.layer("attestation")])
PROOF = replace(PROOF, descriptor=replace(PROOF.descriptor, platform=Platform("unknown", "unknown")))
#: An index in an index in an index, which also lists one image twice, has an empty part, and an attestation.
NESTED = images.index([images.index([AMD, PROOF]), images.index([images.index([*ARMS]), images.index([AMD])]), images.index([])])


def fill(target: Target, *named: tuple[str, images.Built]) -> None:
    """What an import does, up to the names."""
    blobs = {blob.descriptor.digest: blob for _, built in named for part in built.everything() for blob in part.blobs}

    def send(blob: images.Content) -> None:
        target.write(HERE, blob.descriptor, lambda: VerifiedReader(BytesReader(blob.raw), blob.descriptor, "test"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, blobs.values()))
    for _, built in named:
        for part in built.everything():
            target.put_manifest(HERE, part.manifest)
    for name, built in named:
        if name:
            target.tag(Reference.parse(name), built.manifest)
        else:
            target.link_referrers(Referring(HERE, WEB.digest, [built.manifest.descriptor], None))


EVERYTHING = (
    (f"{HERE}:1", WEB),
    ("registry.example/single:1", SINGLE),
    ("registry.example/docker:1", DOCKER),
    (f"{HERE}:{digest_tag(WEB.digest, '.sig')}", SIGNATURE),
    ("", SBOM),
)


def test_skopeo_reads_every_image_of_an_oci_archive(tmp_path: Path) -> None:
    path = tmp_path / "new/app.tar"
    with ArchiveTarget(path) as target:
        fill(target, *EVERYTHING)
        assert not path.exists()
        target.commit()
    assert skopeo_digest(f"oci-archive:{path}:{HERE}:1") == WEB.digest
    skopeo("copy", "-q", "--all", f"oci-archive:{path}:{HERE}:1", f"dir:{tmp_path}/all")
    skopeo("copy", "-q", f"oci-archive:{path}:registry.example/single:1", f"dir:{tmp_path}/single")
    assert [entry.name for entry in path.parent.iterdir()] == ["app.tar"]
    subprocess.run(["tar", "-tf", path], check=True, capture_output=True)


def test_nothing_of_an_oci_archive_is_lost(tmp_path: Path) -> None:
    with ArchiveTarget(tmp_path / "app.tar") as target:
        fill(target, *EVERYTHING)
        target.commit()
    tree = TarTree(tmp_path / "app.tar")
    layout = LayoutReader(tmp_path / "app.tar", tree)
    assert layout.manifest(HERE, digest_tag(WEB.digest, ".sig")).digest == SIGNATURE.digest
    assert [found.digest for found in layout.referrers(HERE, WEB.digest).descriptors] == [SBOM.digest]
    for _, built in EVERYTHING:
        for part in built.everything():
            assert layout.find_manifest(part.digest).raw == part.manifest.raw
            for blob in part.blobs:
                assert read_all(layout.open(HERE, blob.descriptor), 10**6, "") == blob.raw
    tree.close()
    assert target.left_out == []


def test_podman_and_skopeo_load_a_docker_archive(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    with ArchiveTarget(path, docker=True, platform=ARM) as target:
        fill(
            target,
            (f"{HERE}:1", WEB),
            ("registry.example/other:2", images.image([BASE, images.layer("o")], platform="linux/arm64")),
        )
        target.commit()
    skopeo("copy", "-q", f"docker-archive:{path}:{HERE}:1", f"dir:{tmp_path}/out")
    config = json.loads((tmp_path / "out/manifest.json").read_text())["config"]["digest"]
    assert config == WEB.children[1].blobs[0].descriptor.digest
    layers = {Digest.of(gzip.decompress(blob.raw)) for blob in WEB.children[1].blobs[1:]}
    assert layers == {f"sha256:{entry.name}" for entry in (tmp_path / "out").iterdir()} & layers
    with own_storage() as storage:
        storage.podman("load", "-q", "-i", path)
        assert sorted(storage.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split())[-1] == f"{HERE}:1"


def test_a_docker_archive_needs_one_platform_of_an_index(tmp_path: Path) -> None:
    for platform in (None, Platform.parse("windows/amd64")):
        with ArchiveTarget(tmp_path / "app.tar", docker=True, platform=platform) as target, pytest.raises(UsageError):
            fill(target, (f"{HERE}:1", WEB))
    with ArchiveTarget(tmp_path / "app.tar", docker=True) as target:
        fill(target, (f"{HERE}:1", images.index([SINGLE])), (f"{HERE}@{DOCKER.digest}", DOCKER))
        target.commit()
    with tarfile.open(tmp_path / "app.tar") as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        assert [item["RepoTags"] for item in json.loads(file.read())] == [[f"{HERE}:1"], None]


def test_an_archive_for_k3s_names_images_only(tmp_path: Path) -> None:
    with ArchiveTarget(tmp_path / "images/app.tar", attachments=False) as target:
        fill(target, *EVERYTHING)
        target.commit()
    tree = TarTree(tmp_path / "images/app.tar")
    entries = json.loads(tree.read("index.json", 10**6))["manifests"]
    tree.close()
    names = [entry["annotations"]["io.containerd.image.name"] for entry in entries]
    assert names == ["registry.example/docker:1", f"{HERE}:1", "registry.example/single:1"]
    assert [name.partition(" ")[0] for name in target.left_out] == [f"{HERE}:{digest_tag(WEB.digest, '.sig')}", "referrer"]


@pytest.mark.parametrize("built", [WEB, SINGLE, DOCKER], ids=["index", "oci", "docker"])
def test_skopeo_reads_a_directory(tmp_path: Path, built: images.Built) -> None:
    with DirTarget(tmp_path / "d") as target:
        fill(target, (f"{HERE}:1", built))
        assert not (tmp_path / "d").exists()
        target.commit()
    assert skopeo_digest(f"dir:{tmp_path}/d") == built.digest
    skopeo("copy", "-q", "--all", f"dir:{tmp_path}/d", f"dir:{tmp_path}/again")
    ours, theirs = ({entry.name for entry in (tmp_path / name).iterdir()} for name in ("d", "again"))
    assert ours == theirs
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_a_directory_has_the_signatures_and_says_what_it_cannot_hold(tmp_path: Path) -> None:
    child = WEB.children[0].digest

    def signatures(repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        return (f"{repository} {digest}".encode(),) if digest in (WEB.digest, child) else ()

    with DirTarget(tmp_path / "d", signatures) as target:
        fill(target, (f"{HERE}:1", WEB), EVERYTHING[3], EVERYTHING[4])
        target.commit()
    directory = ImageDirectory(tmp_path / "d")
    for digest in (WEB.digest, child):
        assert directory.signatures(digest) == (f"{HERE} {digest}".encode(),)
    assert len(target.left_out) == 2
    assert not (tmp_path / "d" / SBOM.blobs[1].descriptor.digest.hex).exists()


def test_a_directory_holds_one_image(tmp_path: Path) -> None:
    with DirTarget(tmp_path / "d") as target, pytest.raises(UsageError, match="one image"):
        fill(target, (f"{HERE}:1", WEB), (f"{HERE}:2", SINGLE))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [ArchiveTarget, DirTarget])
def test_what_is_there_is_never_overwritten(tmp_path: Path, kind: Callable[[Path], Collecting]) -> None:
    (tmp_path / "x").write_text("precious")
    with pytest.raises(UsageError), kind(tmp_path / "x") as target:
        fill(target, (f"{HERE}:1", SINGLE))
    assert (tmp_path / "x").read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("kind", [ArchiveTarget, DirTarget])
def test_what_an_earlier_run_made_is_known_and_stays(tmp_path: Path, kind: Callable[[Path], Collecting]) -> None:
    for _ in range(2):
        with kind(tmp_path / "x") as target:
            if target.resolve(Reference.parse(f"{HERE}:1")) != SINGLE.digest:
                fill(target, (f"{HERE}:1", SINGLE))
                target.commit()
    with kind(tmp_path / "x") as target, pytest.raises(UsageError):
        fill(target, (f"{HERE}:1", WEB))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("kind", [ArchiveTarget, DirTarget])
def test_without_commit_nothing_is_left(tmp_path: Path, kind: Callable[[Path], Collecting]) -> None:
    with kind(tmp_path / "x") as target:
        fill(target, (f"{HERE}:1", SINGLE))
        blob = SINGLE.blobs[1]
        assert target.has(HERE, blob.descriptor)
        assert target.mount(Repository("other.example", "x"), blob.descriptor, HERE)
        assert read_all(target.open(HERE, blob.descriptor, 4), 10**6, "") == blob.raw[4:]
        assert target.manifest(HERE, "1").digest == target.manifest(HERE, SINGLE.digest).digest
        assert target.resolve(Reference.parse(f"{HERE}:1")) is None
        with pytest.raises(NotFound):
            target.manifest(HERE, "2")
        with pytest.raises(Damaged):
            target.tag(HERE.tagged("2"), WEB.manifest)
    assert list(tmp_path.iterdir()) == []


def test_a_blob_that_turns_out_wrong_leaves_nothing(tmp_path: Path) -> None:
    blob = SINGLE.blobs[1].descriptor
    for kind in (ArchiveTarget, DirTarget):
        with kind(tmp_path / "x") as target, pytest.raises(Damaged):
            target.write(HERE, blob, lambda: VerifiedReader(BytesReader(b"x" * blob.size), blob, "test"))
    assert list(tmp_path.iterdir()) == []


def test_podman_has_what_was_put_into_its_storage(tmp_path: Path) -> None:
    with own_storage() as storage:
        with StorageTarget(tmp_path / "scratch", storage.name, ARM) as target:
            fill(target, *EVERYTHING)
            target.commit()
        shown = storage.podman("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "--no-trunc").splitlines()
    ids = {"registry.example/single:1": SINGLE, "registry.example/docker:1": DOCKER, f"{HERE}:1": WEB.children[1]}
    assert dict(line.split() for line in shown) == {name: str(built.blobs[0].descriptor.digest) for name, built in ids.items()}
    assert list((tmp_path / "scratch").iterdir()) == []
    assert len(target.left_out) == 2


def test_a_storage_that_does_not_take_an_image_is_a_failure(tmp_path: Path) -> None:
    require("skopeo")
    with (
        StorageTarget(tmp_path / "scratch", "[nonsense@/]") as target,
        pytest.raises(MediaError, match=r"registry\.example/single:1"),
    ):
        fill(target, ("registry.example/single:1", SINGLE))
        target.commit()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "built"), [("linux/amd64", AMD), ("linux/arm64", ARMS[0]), ("linux/arm", ARMS[1])], ids=["amd64", "arm64", "arm"]
)
def test_the_platform_is_chosen_through_indexes_within_indexes(tmp_path: Path, platform: str, built: images.Built) -> None:
    with ArchiveTarget(tmp_path / "app.tar", docker=True, platform=Platform.parse(platform)) as target:
        fill(target, (f"{HERE}:1", NESTED))
        target.commit()
    skopeo("copy", "-q", f"docker-archive:{tmp_path}/app.tar:{HERE}:1", f"dir:{tmp_path}/out")
    config = built.blobs[0].descriptor.digest
    assert json.loads((tmp_path / "out/manifest.json").read_text())["config"]["digest"] == config
    with own_storage() as storage:
        with StorageTarget(tmp_path / "scratch", storage.name, Platform.parse(platform)) as stored:
            fill(stored, (f"{HERE}:1", NESTED), ("registry.example/single:1", SINGLE))
            stored.commit()
        shown = storage.podman("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "--no-trunc").splitlines()
    ids = {f"{HERE}:1": str(config), "registry.example/single:1": str(SINGLE.blobs[0].descriptor.digest)}
    assert dict(line.split() for line in shown) == ids


def test_an_index_within_an_index_that_does_not_tell_is_a_mistake_before_anything_is_stored(tmp_path: Path) -> None:
    for platform in (None, Platform.parse("windows/amd64")):
        with (
            ArchiveTarget(tmp_path / "app.tar", docker=True, platform=platform) as target,
            pytest.raises(UsageError, match="a docker archive holds one platform") as caught,
        ):
            fill(target, (f"{HERE}:1", NESTED))
        assert sorted(str(caught.value.got).split(", ")) == ["linux/amd64", "linux/arm/v7", "linux/arm64"]
        with own_storage() as storage:
            with StorageTarget(tmp_path / "scratch", storage.name, platform) as stored, pytest.raises(UsageError):
                fill(stored, ("registry.example/single:1", SINGLE), (f"{HERE}:1", NESTED))
            assert not storage.podman("images", "-q")
    one = images.index([images.index([AMD, PROOF]), images.index([])])
    with ArchiveTarget(tmp_path / "app.tar", docker=True) as target:
        fill(target, (f"{HERE}:1", one))
        target.commit()
    with tarfile.open(tmp_path / "app.tar") as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        assert AMD.blobs[0].descriptor.digest.hex in json.loads(file.read())[0]["Config"]


def test_an_index_that_lists_the_same_again_and_again_is_walked_once(tmp_path: Path) -> None:
    """A hundred times a hundred times a hundred times a hundred: nobody could wait for it otherwise."""
    parts = [AMD]
    for _ in range(4):
        parts.append(images.index([parts[-1]] * 100))
    for target in (ArchiveTarget(tmp_path / "app.tar", docker=True), DirTarget(tmp_path / "d")):
        with target:
            fill(target)
            for part in parts:
                target.put_manifest(HERE, part.manifest)
            target.tag(HERE.tagged("1"), parts[-1].manifest)
            target.commit()
    assert len(list((tmp_path / "d").glob("*manifest.json"))) == len(parts)
