"""Bundles that leave out what the far side has: whatever they were made since, the far side is the source afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.format.checktxt import scripts as scripts_of_every_bundle
from tests.support.cli import DAMAGED, failed, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.versions import Far, Stream, blobs_of, make_stream, size_of
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("incremental")
    with pytest.MonkeyPatch.context() as patch, DockerRegistry(work / "source") as source:
        patch.setenv("HOME", str(work / "home"))
        yield make_stream(work, source)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def template(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry and a state that have taken the first bundle."""
    work = tmp_path_factory.mktemp("template")
    with DockerRegistry(work / "registry") as registry:
        Far(stream, registry, work / "state").takes(stream.chain[1])
    return work


@pytest.fixture
def far(stream: Stream, template: Path, tmp_path: Path) -> Iterator[Far]:
    """A far side that has version 1."""
    shutil.copytree(template / "registry/data", tmp_path / "far/data")
    shutil.copytree(template / "state", tmp_path / "state")
    with DockerRegistry(tmp_path / "far") as registry:
        yield Far(stream, registry, tmp_path / "state")


@pytest.fixture
def empty(stream: Stream, tmp_path: Path) -> Iterator[Far]:
    with DockerRegistry(tmp_path / "empty") as registry:
        yield Far(stream, registry, tmp_path / "state")


def receipt(far: Far, out: Path, target: str = "") -> Path:
    """A receipt signed by the site (here with the sender's key)."""
    signed = ("--site", "plant-7", "--key", far.stream.sender.key, "--state", far.state)
    done = here("receipt", target or far.target, "-o", out, *signed)
    assert done.returncode == 0, done.stderr
    return out


BASES: dict[str, Callable[[Far, Path], list[object]]] = {
    "bundle": lambda far, _: [far.stream.chain[1]],
    "catalog": lambda far, work: [shutil.copy(far.stream.chain[1] / "catalog.json", work / "some.json")],
    "receipt": lambda far, work: [receipt(far, work / "r"), "--since-key", far.stream.sender.root / "sender.pub"],
    "registry": lambda far, _: [far.target],
    "whole registry": lambda far, _: [f"docker://{far.registry.address}"],
    "several": lambda far, work: [far.stream.chain[1], "--since", receipt(far, work / "r"), "--since", far.target],
}


@pytest.mark.parametrize("kind", BASES)
def test_whatever_a_bundle_is_made_since_the_far_side_is_the_source_afterwards(far: Far, tmp_path: Path, kind: str) -> None:
    stream = far.stream
    bundle, facts = stream.exported(2, tmp_path / "usb", "--since", *BASES[kind](far, tmp_path))
    assert facts["held_blobs"] == 1  # the base layer; what patches are made from does not count
    assert facts["patched_blobs"] == 3
    assert size_of(bundle) < size_of(stream.chain[1]) / 3
    catalog = json.loads((bundle / "catalog.json").read_bytes())
    assert len(catalog["base"]) == (3 if kind == "several" else 1)
    done = far.takes(bundle)
    assert far.contents() == stream.sources[2]
    assert done["rebuilt_blobs"] == 3
    assert far.takes(bundle)["already_there"]


def uploads(registry: DockerRegistry) -> str:
    """The lines of the registry's log that tell of a blob that was sent."""
    return "\n".join(line for line in registry.log.read_text().splitlines() if '"PUT /v2/' in line and "/blobs/uploads/" in line)


def test_skopeo_reads_the_same_manifests_and_layers_from_both_sides(far: Far, tmp_path: Path) -> None:
    require("skopeo")
    stream = far.stream
    far.takes(stream.chain[2])
    for name in stream.sources[2].tags:
        raw = [
            subprocess.run(
                ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place}{name}"], capture_output=True, check=True
            ).stdout
            for place in (f"{stream.source.address}/", f"{far.registry.address}/{far.prefix}/{stream.path}")
            if name != "tool:stable"  # the source has moved on
        ]
        assert len(set(raw)) <= 1
    source = f"docker://{far.registry.address}/{far.prefix}/{stream.path}shop/web:2"
    copy = ["skopeo", "copy", "--all", "--src-tls-verify=false", "--insecure-policy", "-q", source, f"dir:{tmp_path}/out"]
    subprocess.run(copy, check=True)  # skopeo checks every digest that it copies


def test_a_blob_that_another_repository_has_is_mounted_and_not_sent(far: Far) -> None:
    stream = far.stream
    web = [blob for name, blob in _layers(stream, "shop/web")]
    shared = next(blob for name, blob in _layers(stream, "tool") if blob in web)
    known = uploads(far.registry)
    done = far.takes(stream.chain[2])
    assert done["mounted_blobs"] == 1
    assert shared not in uploads(far.registry).removeprefix(known)
    sizes = {digest: blob["size"] for digest, blob in blobs_of(stream.chain[2]).items()}
    before = {name.partition("@")[2] for name in stream.sources[1].blobs}
    new = {name.partition("@")[2] for name in stream.sources[2].blobs} - before
    assert done["sent_bytes"] <= sum(sizes[digest] for digest in new) + 2  # the empty config, where it was not before
    assert far.contents() == stream.sources[2]


def _layers(stream: Stream, path: str) -> list[tuple[str, str]]:
    """The blobs of a repository at version 2."""
    return [(name, name.partition("@")[2]) for name in sorted(stream.sources[2].blobs) if name.startswith(f"{path}@")]


def test_a_list_that_did_not_change_makes_a_bundle_of_a_few_kilobytes(far: Far, tmp_path: Path) -> None:
    stream = far.stream
    bundle, facts = stream.exported(1, tmp_path / "usb", "--since", stream.chain[1], serial=2)
    blobs = blobs_of(bundle)
    carried = {digest: blob for digest, blob in blobs.items() if "extents" in blob}
    manifests = {name.partition("@")[2] for name in stream.sources[1].manifests}
    attached = 3000 + 600  # the SBOM, the signature's payload
    assert sum(blob["size"] for digest, blob in carried.items() if digest not in manifests) < attached
    assert facts["patched_blobs"] == 0
    # a manifest costs its own bytes, 512 of tar and what rounds it up, and a line in the catalog; what is fixed is below 10 kB
    # and the scripts that check it
    scripts = sum(map(len, scripts_of_every_bundle().values()))
    assert size_of(bundle) < 10_000 + scripts + sum(blob["size"] + 1300 for blob in carried.values())
    assert size_of(bundle) - scripts < size_of(stream.chain[1]) / 10
    far.takes(bundle)
    assert far.contents() == stream.sources[1]


def test_one_after_the_other(far: Far) -> None:
    for number in (2, 3):
        far.takes(far.stream.chain[number])
        assert far.contents() == far.stream.sources[number]


def without_second(stream: Stream) -> dict[str, str]:
    """The tags of version 3 without those that only version 2 brought."""
    first, second, third = (stream.sources[number].tags for number in (1, 2, 3))
    return {name: digest for name, digest in third.items() if name not in second or name in first}


def test_a_bundle_may_be_left_out_when_the_next_one_does_not_build_on_it(far: Far, tmp_path: Path) -> None:
    stream = far.stream
    third = stream.export(3, tmp_path / "usb", "--since", stream.chain[1])
    far.takes(third)
    assert far.contents().tags == without_second(stream)


def refused(far: Far, bundle: Path, *options: object) -> set[str]:
    """Import is refused with exit code 4 and changes nothing; the blobs that are said to be missing."""
    before = far.stored()
    facts = failed(here(*far.command(bundle, *options)), DAMAGED, "the target lacks", "receipt")
    assert 5 + facts["got"].count("\n") <= 10
    assert far.stored() == before
    return {line.split()[0] for line in facts["got"].splitlines() if line.strip()}


def test_without_what_it_builds_on_a_bundle_is_refused_with_every_blob_that_is_missing(far: Far) -> None:
    stream = far.stream
    there = {name.partition("@")[2] for name in far.contents().blobs}
    held = {digest for digest, blob in blobs_of(stream.chain[3]).items() if "held" in blob}
    assert refused(far, stream.chain[3]) == held - there != set()
    far.takes(stream.chain[2])
    far.takes(stream.chain[3])
    assert far.contents() == stream.sources[3]


def test_a_held_blob_that_was_lost_is_missing_and_a_new_receipt_makes_it_good(far: Far, tmp_path: Path) -> None:
    stream = far.stream
    held = {digest: blob for digest, blob in blobs_of(stream.chain[2]).items() if "held" in blob}
    base = {blob["patch"]["base"] for blob in blobs_of(stream.chain[2]).values() if "patch" in blob}
    as_part, as_base = next(d for d in held if d not in base and held[d]["size"] > 30_000), min(base)
    for digest in (as_part, as_base):
        far.forget(digest)
    assert refused(far, stream.chain[2]) == {as_part, as_base}
    bundle = stream.export(2, tmp_path / "usb", "--since", receipt(far, tmp_path / "r"))
    assert as_part not in {digest for digest, blob in blobs_of(bundle).items() if "held" in blob}
    far.takes(bundle)
    web = {name for name in stream.sources[2].manifests if name.startswith("shop/web@")}
    assert web - stream.sources[1].manifests <= far_manifests(far)


def test_a_blob_that_was_lost_comes_back_with_the_bundle_that_brought_it(empty: Far) -> None:
    """The state remembers that bundle, and every name still stands for what it brought."""
    stream = empty.stream
    empty.takes(stream.chain[1])
    assert empty.takes(stream.chain[1])["already_there"]
    lost = next(digest for digest, blob in blobs_of(stream.chain[2]).items() if "held" in blob)
    empty.forget(lost)
    assert refused(empty, stream.chain[2]) == {lost}
    again = empty.takes(stream.chain[1])
    assert (again["already_there"], again["sent_blobs"]) == (False, 1)
    empty.takes(stream.chain[2])
    assert empty.contents() == stream.sources[2]


def far_manifests(far: Far) -> set[str]:
    """Manifests that are reachable from ``shop/web:2``; the first version has lost a layer and cannot be walked."""
    path = f"{far.prefix}/{far.stream.path}shop/web"
    root = far.registry.root / f"data/docker/registry/v2/repositories/{path}/_manifests/revisions/sha256"
    return {f"shop/web@sha256:{entry.name}" for entry in root.iterdir()}


def test_what_lies_under_an_old_name_is_found_by_what_the_receipt_says(empty: Far, tmp_path: Path) -> None:
    stream = empty.stream
    empty.takes(stream.chain[1], to=f"docker://{empty.registry.address}/old")
    bundle = stream.export(2, tmp_path / "usb", "--since", receipt(empty, tmp_path / "r", f"docker://{empty.registry.address}"))
    known = uploads(empty.registry)
    done = empty.takes(bundle, to=f"docker://{empty.registry.address}/new")
    assert done["mounted_blobs"] == 2  # the base layer, for both images
    assert done["rebuilt_blobs"] == 3
    sent = uploads(empty.registry).removeprefix(known)
    assert not [digest for digest, blob in blobs_of(bundle).items() if "held" in blob and digest in sent]
    arrived = empty.contents("new")
    gone = {name for name in stream.sources[1].tags if name != "tool:stable"}
    assert arrived.tags == {name: digest for name, digest in stream.sources[2].tags.items() if name not in gone}


def test_names_without_the_source_host(empty: Far) -> None:
    stream = empty.stream
    for number in (1, 2):
        empty.takes(stream.chain[number], "--map", "strip-host")
    assert walk(empty.registry.address).below(f"{empty.prefix}/") == stream.sources[2]


def test_a_store_is_a_base_and_a_destination(stream: Stream, empty: Far, tmp_path: Path) -> None:
    store = tmp_path / "store"
    empty.takes(stream.chain[1], to=f"oci:{store}")
    bundle, facts = stream.exported(2, tmp_path / "usb", "--since", f"oci:{store}")
    assert facts["patched_blobs"] == 3
    done = empty.takes(bundle, to=f"oci:{store}")
    assert done["rebuilt_blobs"] == 3
    expected = {name.rpartition(":")[2] for n in (1, 2) for name in stream.sources[n].manifests | stream.sources[n].blobs}
    assert {path.name for path in (store / "blobs/sha256").iterdir()} == expected
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in (store / "blobs/sha256").iterdir())
    shutil.rmtree(store)
    failed(here(*empty.command(bundle, "--allow-older", to=f"oci:{store}")), DAMAGED, "the target lacks")
    assert not store.exists()


def test_only_what_the_platforms_need_must_be_there(empty: Far) -> None:
    stream, single = empty.stream, ("--platform", "linux/amd64")
    empty.takes(stream.chain[1], *single)
    empty.takes(stream.chain[2], *single)
    missing = refused(empty, stream.chain[2])
    assert len(missing) >= 1
    assert missing <= {digest for digest, blob in blobs_of(stream.chain[2]).items() if "held" in blob}
