"""Parity end to end with the real command line: told early, made at export, repaired from by people without keys, imported."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.format.names import parity_name, volume_name
from airgap.layout import LayoutStore
from airgap.oci import media
from tests.support import images
from tests.support.mounts import small_disk
from tests.support.paritybundles import spoil
from tests.support.site import CREATED, Site

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

NAME = "prod-0001"
FIXED = ("--stream", "prod", "--created", CREATED, "--volume-size", "20kB")


@dataclass(frozen=True)
class World:
    """Images to export, somebody who exports them, and a bundle with two parity files that nobody changes."""

    root: Path
    site: Site
    source: str
    original: Path

    def export(self, out: Path, *options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Export into ``out``, with a state of its own."""
        fixed = ("--out", out, *FIXED, "--key", self.site.key)
        return self.site.run("export", self.source, *fixed, *options, state=f"{out}-state", check=check)

    def media(self, work: Path) -> tuple[Path, Path]:
        """The bundle spread over two media: volumes with odd numbers, and all else."""
        one, two = work / "one", work / "two"
        for medium in (one, two):
            medium.mkdir()
        for path in self.original.iterdir():
            odd = path.name.startswith("volume") and int(path.stem[-1]) % 2
            both = not path.name.startswith(("volume", "parity"))
            for medium in (one, two):
                if both or (medium == one) == bool(odd):
                    shutil.copy(path, medium)
        return one, two

    def imported(self, work: Path, *media: Path) -> None:
        """Import from these media into an empty store, and see that all of it is there."""
        self.site.run("import", *media, "--to", f"oci:{work / 'store'}", "--policy", self.site.policy, state=f"{work}/state")
        index = json.loads((work / "store/index.json").read_bytes())
        assert len(index["manifests"]) == 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("parity")
    with LayoutStore(root / "origin") as layout:
        for name, sizes in (("web", (30_000, 42_000)), ("db", (25_000,))):
            layers = [images.content(images.seeded(f"{name}{size}", size), media.OCI_LAYER) for size in sizes]
            images.publish(layout, f"origin.example/shop/{name}:1", images.image(layers))
        layout.commit()
    made = World(root, Site.make(root / "site"), f"oci:{root / 'origin'}", root / "out" / NAME)
    made.export(root / "out", "--parity", 2)
    return made


def catalog(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "catalog.json").read_bytes())
    return found


def test_plan_tells_the_bytes_of_parity(world: World) -> None:
    facts = json.loads(world.site.run("plan", world.source, "--volume-size", "20kB", "--parity", 2, "--json").stdout)
    sizes = [volume["size"] for volume in facts["volumes"]]
    assert facts["parity"] == [{"name": parity_name(n), "size": max(sizes)} for n in (1, 2)]
    assert facts["parity_bytes"] == 2 * max(sizes)
    assert sizes == [volume["size"] for volume in catalog(world.original)["volumes"]]
    table = world.site.run("plan", world.source, "--volume-size", "20kB", "--parity", 2).stdout
    assert "2 parity files, 39.9 kB: any 2 lost volumes can be rebuilt" in table


def test_stock_sha256sum_checks_parity_files(world: World) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=world.original, capture_output=True, text=True, check=True)
    assert f"{parity_name(2)}: OK" in done.stdout


def test_the_same_export_makes_the_same_bytes_and_is_there_already(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "again", "--parity", 2)
    for path in world.original.iterdir():
        if not path.name.endswith(".sig"):
            assert (tmp_path / "again" / NAME / path.name).read_bytes() == path.read_bytes()
    facts = json.loads(world.export(tmp_path / "again", "--parity", 2, "--serial", 1, "--json").stdout)
    assert (facts["already_there"], facts["parity_count"]) == (True, 2)
    other = world.export(tmp_path / "again", "--parity", 1, "--serial", 1, check=False)
    assert other.returncode == 2
    assert "different content" in other.stderr


def test_parity_does_not_change_the_volumes_and_is_not_needed(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "plain")
    assert catalog(tmp_path / "plain" / NAME)["parity"] == []
    assert catalog(tmp_path / "plain" / NAME)["volumes"] == catalog(world.original)["volumes"]
    one, two = world.media(tmp_path)
    for number in (1, 2):
        (two / parity_name(number)).unlink()
    (two / parity_name(7)).write_bytes(b"nobody asks")
    world.imported(tmp_path, two, one)


def test_more_files_than_the_code_has_are_refused_before_anything_is_fetched(world: World, tmp_path: Path) -> None:
    many = ("--volume-size", "10240", "--parity", 250)
    done = world.export(tmp_path / "out", *many, check=False)
    assert done.returncode == 2
    assert "256 volumes and parity files at most" in done.stderr
    assert not (tmp_path / "out").exists()
    advised = done.stderr.partition("--volume-size ")[2].split()[0]
    world.export(tmp_path / "out", "--volume-size", advised, "--parity", 250)
    assert len(catalog(tmp_path / "out" / NAME)["parity"]) == 250


def test_of_one_volume_parity_is_a_copy_and_is_said_to_be(world: World, tmp_path: Path) -> None:
    done = world.export(tmp_path / "out", "--volume-size", "1GB", "--parity", 1)
    assert "each a copy of the volume" in done.stdout
    bundle = tmp_path / "out" / NAME
    assert (bundle / parity_name(1)).read_bytes() == (bundle / volume_name(1)).read_bytes()
    (bundle / volume_name(1)).unlink()
    world.site.run("media", "repair", bundle, "--out", tmp_path / "repaired")
    world.imported(tmp_path, bundle, tmp_path / "repaired")


def test_a_disk_that_parity_does_not_fit_on_is_refused_before_anything_is_written(world: World, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        done = world.export(disk / "out", "--parity", 9, check=False)
        assert done.returncode == 6
        assert "less --parity" in done.stderr
        assert not (disk / "out").exists()


@pytest.mark.smoke("media copy", "media repair", "media check")
def test_two_lost_volumes_of_a_spread_bundle(world: World, tmp_path: Path) -> None:
    one, two = world.media(tmp_path)
    (one / volume_name(3)).unlink()
    (two / volume_name(2)).unlink()
    repaired = tmp_path / "repaired"
    done = world.site.run("media", "repair", one, two, "--out", repaired)
    assert "volume 3 of 6 (volume-0003.tar) is lost: 1 block rebuilt" in done.stdout
    assert "one more damaged block could not have been repaired" in done.stdout
    for number in (2, 3):
        assert (repaired / volume_name(number)).read_bytes() == (world.original / volume_name(number)).read_bytes()
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=repaired, check=True)
    world.imported(tmp_path, repaired, one, two)


@pytest.mark.parametrize("first", [True, False])
def test_the_damaged_medium_and_the_repaired_file_together_in_any_order(world: World, tmp_path: Path, first: bool) -> None:
    one, two = world.media(tmp_path)
    spoil(one / volume_name(3), 0, 9000)
    repaired = tmp_path / "repaired"
    world.site.run("media", "repair", tmp_path, "--out", repaired)
    world.imported(tmp_path, *((repaired, one, two) if first else (one, two, repaired)))


def test_nothing_to_repair_is_said_and_nothing_written(world: World, tmp_path: Path) -> None:
    done = world.site.run("media", "repair", world.original, "--out", tmp_path / "repaired", "--json")
    facts = json.loads(done.stdout)
    assert (facts["repaired"], facts["spare_blocks"], facts["request"]) == ([], 2, None)
    assert not (tmp_path / "repaired").exists()


def test_what_parity_cannot_heal_is_asked_for_and_the_answer_completes_the_import(world: World, tmp_path: Path) -> None:
    one, two = world.media(tmp_path)
    for number in (1, 3):
        (one / volume_name(number)).unlink()
    spoil(two / volume_name(4), 0, 77)
    repaired = tmp_path / "repaired"
    done = world.site.run("media", "repair", one, two, "--out", repaired, "--json", check=False)
    assert done.returncode == 4
    facts = json.loads(done.stdout)
    assert (facts["spare_blocks"], facts["request"]) == (-1, str(repaired / f"{NAME}.request.json"))
    answer = world.site.run("export", "--resend", facts["request"], world.original, "--out", tmp_path / "answer", "--json")
    world.imported(tmp_path, one, two, Path(json.loads(answer.stdout)["supplement"]))


@pytest.mark.parametrize("options", [(), ("--out", "MEDIUM"), ("--out", "OTHER")])
def test_a_place_that_cannot_take_repaired_files_is_a_wrong_argument(
    world: World, tmp_path: Path, options: tuple[str, ...]
) -> None:
    one, two = world.media(tmp_path)
    world.export(tmp_path / "other", "--serial", 2)
    places = {"MEDIUM": one, "OTHER": tmp_path / "other"}
    (one / volume_name(1)).unlink()
    done = world.site.run("media", "repair", one, two, *(places.get(option, option) for option in options), check=False)
    assert done.returncode in (2, 4)
    assert "Traceback" not in done.stderr
    assert not (one / volume_name(1)).exists()


def test_merged_bundles_have_parity_too(world: World, tmp_path: Path) -> None:
    common, state = (*FIXED, "--key", world.site.key), f"{world.original.parent}-state"
    second = ("--since", world.original, "--since-key", world.site.public, "--out", tmp_path / "out")
    world.site.run("export", world.source, *second, *common, "--parity", 1, state=state)
    both, policy = (world.original, tmp_path / "out/prod-0002"), ("--policy", world.site.policy)
    world.site.run("merge", *both, "--out", tmp_path / "merged", *common, *policy, "--parity", 3, state=state)
    merged = next((tmp_path / "merged").iterdir())
    assert len(catalog(merged)["parity"]) == 3
    assert catalog(merged)["volumes"] == catalog(world.original)["volumes"]


def test_encrypted_volumes_are_repaired_without_a_key(world: World, tmp_path: Path) -> None:
    world.site.run("keys", "generate", "--no-passphrase", "--out", tmp_path / "far", "--type", "x25519")
    world.export(tmp_path / "secret", "--parity", 1, "--encrypt-to", tmp_path / "far/airgap.pub")
    bundle = tmp_path / "secret" / NAME
    lost = (bundle / volume_name(2)).read_bytes()
    (bundle / volume_name(2)).unlink()
    world.site.run("media", "repair", bundle, "--out", tmp_path / "repaired")
    assert (tmp_path / "repaired" / volume_name(2)).read_bytes() == lost
    key = ("--decrypt-key", tmp_path / "far/airgap.key", "--policy", world.site.policy)
    media = (bundle, tmp_path / "repaired")
    world.site.run("import", *media, "--to", f"oci:{tmp_path / 'store'}", *key, state=f"{tmp_path}/state")


@pytest.mark.smoke("inspect")
def test_inspect_shows_parity_files(world: World) -> None:
    assert f"parity       {parity_name(2)}" in world.site.run("inspect", world.original).stdout
