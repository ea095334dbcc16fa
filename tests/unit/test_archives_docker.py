"""Docker archives, old and new, and hostile ones."""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.archives import DockerArchive, TarTree
from airgap.errors import AirgapError, Damaged, NotFound, UsageError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.oci.verify import VerifiedReader, read_all
from tests.support import images
from tests.support.archives import docker_archive, image_members, member, tar

NAME = "registry.example/app:1"
HERE = Repository("registry.example", "app")
LAYERS = [images.layer(seed) for seed in ("base", "app")]
BUILT = images.image(LAYERS)
PLAIN = [gzip.decompress(layer.raw) for layer in LAYERS]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[DockerArchive]:
    with contextlib.closing(TarTree(path)) as tree:
        yield DockerArchive(tree)


def made(path: Path, *tags: str, plain: bool = True, changes: Callable[[list[Any], dict[str, Any]], None] | None = None) -> Path:
    members, item = image_members(BUILT, tags=tags or (NAME,), plain=PLAIN if plain else ())
    if changes is not None:
        changes(members, item)
    return docker_archive(path / "app.tar", members, [item])


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "gzip"])
def test_layers_are_the_members_as_they_are(tmp_path: Path, plain: bool) -> None:
    with opened(made(tmp_path, plain=plain)) as archive:
        manifest = archive.pick("")
        for blob, raw in zip(manifest.layers, PLAIN if plain else [layer.raw for layer in LAYERS], strict=True):
            assert blob.digest == Digest.of(raw)
            assert archive.has(HERE, blob)
            assert read_all(VerifiedReader(archive.open(HERE, blob), blob, ""), 10**6, "") == raw
        assert manifest.config is not None
        assert manifest.config.digest == BUILT.blobs[0].descriptor.digest
        assert archive.manifest(HERE, manifest.digest) == archive.manifest(HERE, "1") == manifest
        assert read_all(archive.open(HERE, manifest.descriptor), 10**6, "") == manifest.raw


def test_layers_that_docker_save_links_to_each_other_are_one(tmp_path: Path) -> None:
    base = LAYERS[0]
    members, item = image_members(images.image([base, base]), tags=[NAME], plain=[PLAIN[0]] * 2)
    members[1] = member("1/layer.tar", kind=tarfile.SYMTYPE, link="../0/layer.tar")
    with opened(docker_archive(tmp_path / "app.tar", members, [item])) as archive:
        first, second = archive.pick(NAME).layers
        assert first == second
        assert read_all(archive.open(HERE, second), 10**6, "") == PLAIN[0]


def test_images_are_picked_by_any_of_their_names_or_by_number(tmp_path: Path) -> None:
    members, item = image_members(BUILT, tags=["app:1", "registry.example/app:new"], plain=PLAIN)
    other = images.image([LAYERS[0]])
    config = member(f"{other.blobs[0].descriptor.digest.hex}.json", data=other.blobs[0].raw)
    nameless = {"Config": config[0].name, "RepoTags": None, "Layers": ["0/layer.tar"]}
    with opened(docker_archive(tmp_path / "app.tar", [*members, config], [item, nameless])) as archive:
        assert archive.names() == ["docker.io/library/app:1", "registry.example/app:new"]
        first = archive.pick("registry.example/app:new")
        assert first == archive.pick("docker.io/library/app:1") == archive.pick("@0")
        assert len(archive.pick("@1").layers) == 1
        for name in ("", "@2", "@-1", "@x", "registry.example/app:old"):
            with pytest.raises(UsageError, match=r"app\.tar"):
                archive.pick(name)


def test_what_it_does_not_hold_is_not_found(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as archive:
        archive.pick("")
        stranger = images.content(b"other", "x/y").descriptor
        assert not archive.has(HERE, stranger)
        assert archive.referrers(HERE, stranger.digest).descriptors == ()
        for attempt in (lambda: archive.manifest(HERE, stranger.digest), lambda: archive.manifest(HERE, "2")):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(NotFound):
            archive.open(HERE, stranger)


def _no_config(members: list[Any], item: dict[str, Any]) -> None:
    del members[-1]


def _other_config(members: list[Any], item: dict[str, Any]) -> None:
    members[-1] = member(item["Config"], data=BUILT.blobs[0].raw + b" ")


def _no_layer(members: list[Any], item: dict[str, Any]) -> None:
    del members[0]


def _more_layers(members: list[Any], item: dict[str, Any]) -> None:
    item["Layers"].append("0/layer.tar")


def _outside(members: list[Any], item: dict[str, Any]) -> None:
    item["Layers"][0] = "../../etc/passwd"


def _lookalike(members: list[Any], item: dict[str, Any]) -> None:
    item["layers"] = []


def _bad_tag(members: list[Any], item: dict[str, Any]) -> None:
    item["RepoTags"] = ["registry.example/APP:1"]


def _bad_types(members: list[Any], item: dict[str, Any]) -> None:
    item["Layers"] = "0/layer.tar"


def _no_diff_ids(members: list[Any], item: dict[str, Any]) -> None:
    _config(members, item, b'{"rootfs":{}}')


def _bad_diff_ids(members: list[Any], item: dict[str, Any]) -> None:
    _config(members, item, b'{"rootfs":{"diff_ids":["sha256:1","md5:2"]}}')


def _no_rootfs(members: list[Any], item: dict[str, Any]) -> None:
    _config(members, item, b"[]")


def _config(members: list[Any], item: dict[str, Any], raw: bytes) -> None:
    item["Config"] = "config.json"
    members[-1] = member("config.json", data=raw)


HOSTILE = [
    _no_config, _other_config, _no_layer, _more_layers, _outside, _lookalike, _bad_tag, _bad_types, _no_diff_ids, _bad_diff_ids,
    _no_rootfs,
]  # fmt: skip


@pytest.mark.parametrize("changes", HOSTILE, ids=[changes.__name__.strip("_") for changes in HOSTILE])
def test_contradictions_are_damage(tmp_path: Path, changes: Callable[[list[Any], dict[str, Any]], None]) -> None:
    path = made(tmp_path, changes=changes)
    with pytest.raises(Damaged, match=r"app\.tar"), opened(path) as archive:
        archive.pick("")


@pytest.mark.parametrize("start", [b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_layers_in_other_compressions_are_refused_with_advice(tmp_path: Path, start: bytes) -> None:
    members, item = image_members(BUILT, plain=[start + bytes(9), PLAIN[1]])
    path = docker_archive(tmp_path / "app.tar", members, [item])
    with opened(path) as archive, pytest.raises(UsageError) as caught:
        archive.pick("@0")
    assert "oci-archive" in caught.value.hint


def test_a_plain_layer_that_is_not_what_the_config_says_is_found_while_reading(tmp_path: Path) -> None:
    members, item = image_members(BUILT, plain=[PLAIN[0][:-1] + b"x", PLAIN[1]])
    with opened(docker_archive(tmp_path / "app.tar", members, [item])) as archive:
        layer = archive.pick("@0").layers[0]
        with pytest.raises(Damaged, match="wrong digest"):
            read_all(VerifiedReader(archive.open(HERE, layer), layer, ""), 10**6, "")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"[[]]", b"[{}]", b"null", b'[{"Config":1}]', b"[" * 5000, b"\xff"])
def test_a_malformed_list_of_images_is_damage(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(Damaged), opened(tar(tmp_path / "app.tar", [member("manifest.json", data=raw)])):
        pass


def test_another_tar_is_not_a_docker_archive(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught, opened(tar(tmp_path / "app.tar", [member("index.json", data=b"{}")])):
        pass
    assert "oci-archive:" in caught.value.hint


def test_the_manifest_is_the_same_for_the_same_archive(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    found = []
    for directory in (first, second):
        directory.mkdir()
        with opened(made(directory)) as archive:
            found.append(archive.pick("").raw)
    assert found[0] == found[1]
    assert list(json.loads(found[0])) == ["schemaVersion", "mediaType", "config", "layers"]


def test_names_are_checked_before_they_are_believed(tmp_path: Path) -> None:
    with opened(made(tmp_path, "app", "localhost:5000/x@sha256:" + "0" * 64)) as archive:
        assert [str(Reference.parse(name)) for name in archive.names()] == archive.names()
    with pytest.raises(AirgapError), opened(made(tmp_path, "a b")):
        pass
