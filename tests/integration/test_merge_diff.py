"""One bundle out of a chain for a site that starts late, and what is different between two: with real bundles and registries."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import CREATED, Sender, flip
from tests.support.cli import DAMAGED, REFUSED, USAGE, failed, here, tree
from tests.support.crash import crasher
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.versions import Far, Stream, blobs_of, make_stream, size_of

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """Three versions: a full bundle, and two with patches, each since the one before."""
    require("docker-registry")
    work = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch, DockerRegistry(work / "source") as source:
        patch.setenv("HOME", str(work / "home"))
        made = make_stream(work, source)
        for number in (2, 3):
            assert any("patch" in blob for blob in blobs_of(made.chain[number]).values())
        yield made


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def site(stream: Stream, tmp_path: Path) -> Iterator[Callable[[str], Far]]:
    """Makes far sides that have nothing."""
    registries: list[DockerRegistry] = []

    def make(name: str) -> Far:
        registries.append(DockerRegistry(tmp_path / name))
        return Far(stream, registries[-1], tmp_path / f"{name}-state")

    yield make
    for registry in registries:
        registry.stop()


def state_of(stream: Stream, tmp_path: Path) -> Path:
    """A copy of the state that the stream was exported with, so that every test goes on from bundle 3."""
    if not (tmp_path / "state").exists():
        shutil.copytree(stream.work / "state", tmp_path / "state")
    return tmp_path / "state"


def command(stream: Stream, tmp_path: Path, *bundles: object, state: Path | None = None) -> list[object]:
    out = ["--out", tmp_path / "merged", "--stream", "prod", "--created", CREATED, "--key", stream.sender.key]
    return ["merge", *bundles, *out, "--state", state or state_of(stream, tmp_path), "--policy", stream.sender.policy]


def merge(stream: Stream, tmp_path: Path, *bundles: object, state: Path | None = None) -> tuple[Path, dict[str, Any]]:
    done = here(*command(stream, tmp_path, *bundles, state=state), "--json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return Path(facts["path"]), facts


def catalog(bundle: Path) -> dict[str, Any]:
    top: dict[str, Any] = json.loads((bundle / "catalog.json").read_bytes())
    return top


def chain(stream: Stream) -> list[Path]:
    return [stream.chain[number] for number in (3, 1, 2)]  # the order on the command line does not matter


def test_a_merged_chain_is_what_all_of_it_makes_in_order(stream: Stream, site: Callable[[str], Far], tmp_path: Path) -> None:
    stream.source.stop()  # nothing is fetched
    bundle, facts = merge(stream, tmp_path, *chain(stream))
    stream.source.restart()
    assert facts["merged"] == ["prod-0001", "prod-0002", "prod-0003"]
    assert (facts["held_blobs"], facts["patched_blobs"], facts["notes"]) == (0, 0, [])
    late, early = site("late"), site("early")
    late.takes(bundle)
    for number in (1, 2, 3):
        early.takes(stream.chain[number])
    assert late.contents() == early.contents() == stream.sources[3]


@pytest.mark.smoke("merge")
def test_it_is_the_next_bundle_of_the_stream_and_later_ones_follow(
    stream: Stream, site: Callable[[str], Far], tmp_path: Path
) -> None:
    bundle, _ = merge(stream, tmp_path, *chain(stream))
    top = catalog(bundle)
    raw = (stream.chain[3] / "catalog.json").read_bytes()
    assert (top["serial"], top["base"]) == (4, [])
    assert top["previous"] == digest_of(raw)
    fifth = stream.export(2, tmp_path / "usb", "--since", bundle, serial=5, state=state_of(stream, tmp_path))
    late, early = site("late"), site("early")
    late.takes(bundle)
    late.takes(fifth)
    for number in (1, 2, 3):
        early.takes(stream.chain[number])
    early.takes(fifth)  # it never had the merged one
    assert late.contents() == early.contents()


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def test_a_machine_that_never_exported_the_stream_goes_on_after_the_chain(stream: Stream, tmp_path: Path) -> None:
    bundle, _ = merge(stream, tmp_path, *chain(stream), state=tmp_path / "other-state")
    assert bundle.name == "prod-0004"
    assert catalog(bundle)["previous"] == digest_of((stream.chain[3] / "catalog.json").read_bytes())


def test_the_same_chain_makes_the_same_bytes_and_volumes_are_bounded(
    stream: Stream, site: Callable[[str], Far], tmp_path: Path
) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(merge(stream, tmp_path / name, *chain(stream), "--volume-size", "200kB")[0])
    assert tree(made[0]).keys() == tree(made[1]).keys()
    for path in made[0].glob("*"):
        if not path.name.endswith(".sig"):  # an ECDSA signature holds a random number
            assert path.read_bytes() == (made[1] / path.name).read_bytes()
    assert len(list(made[0].glob("volume-*.tar"))) > 1
    late = site("late")
    late.takes(made[0])
    assert late.contents() == stream.sources[3]
    media = on_two_media(made[0], tmp_path)
    again, facts = merge(stream, tmp_path / "one", media[0], *chain(stream), media[1])
    assert facts["merged"][-1] == "prod-0004"
    assert diff(again, made[0])["same"]


def on_two_media(bundle: Path, work: Path) -> list[Path]:
    """The volumes of a bundle by turns in two directories, the catalog in both."""
    media = [work / "medium-0", work / "medium-1"]
    for number, medium in enumerate(media):
        shutil.copytree(bundle, medium)
        for volume in sorted(medium.glob("volume-*.tar"))[1 - number :: 2]:
            volume.unlink()
    return media


def test_merged_since_the_first_it_brings_a_site_that_has_it_up_to_date(
    stream: Stream, site: Callable[[str], Far], tmp_path: Path
) -> None:
    bundle, facts = merge(stream, tmp_path, stream.chain[2], stream.chain[3], "--since", stream.chain[1])
    assert catalog(bundle)["base"] == [digest_of((stream.chain[1] / "catalog.json").read_bytes())]
    assert facts["patched_blobs"] >= 2
    assert size_of(bundle, volumes=True) < size_of(stream.chain[1], volumes=True) / 2
    far = site("far")
    failed(here(*far.command(bundle)), DAMAGED, "the target lacks")
    far.takes(stream.chain[1])
    far.takes(bundle)
    assert far.contents() == stream.sources[3]


def test_what_only_the_base_of_the_first_has_stays_held(stream: Stream, site: Callable[[str], Far], tmp_path: Path) -> None:
    second = stream.export(2, tmp_path / "usb", "--since", stream.chain[1], state=tmp_path / "own")
    third = stream.export(3, tmp_path / "usb", "--since", second, "--patch", "never", state=tmp_path / "own")
    bundle, facts = merge(stream, tmp_path, second, third, state=tmp_path / "own")
    assert catalog(bundle)["base"] == [digest_of((stream.chain[1] / "catalog.json").read_bytes())]
    assert facts["held_blobs"] >= 1
    patched = {digest: blob["patch"] for digest, blob in blobs_of(bundle).items() if "patch" in blob}
    assert patched  # carried on as they are: what they apply to is at the site only
    assert {digest: blobs_of(second)[digest]["patch"] for digest in patched} == patched
    far = site("far")
    far.takes(stream.chain[1])
    far.takes(bundle)
    assert far.contents() == stream.sources[3]


def test_a_patch_of_a_patch_needs_what_the_first_builds_on(stream: Stream, tmp_path: Path) -> None:
    done = here(*command(stream, tmp_path, stream.chain[2], stream.chain[3]), "--json")
    facts = failed(done, DAMAGED, "a blob is in none of the bundles", "prod-0003: ", "--since BUNDLE")
    first = digest_of((stream.chain[1] / "catalog.json").read_bytes())
    assert f"the bundle before prod-0002 (catalog {first})" in facts["next"]
    assert facts["expected"].startswith("blob sha256:")
    assert not (tmp_path / "merged").exists()


def test_a_missing_link_is_refused(stream: Stream, tmp_path: Path) -> None:
    done = here(*command(stream, tmp_path, stream.chain[1], stream.chain[3]))
    failed(done, USAGE, "a bundle is missing from the chain", "prod-0001 and prod-0003")
    failed(here(*command(stream, tmp_path, *chain(stream), "--serial", 3)), USAGE, "more than 3")
    assert not (tmp_path / "merged").exists()


def test_two_histories_are_refused(stream: Stream, tmp_path: Path) -> None:
    first = stream.export(1, tmp_path / "usb", "--expires", "90d", state=tmp_path / "own")
    second = stream.export(2, tmp_path / "usb", "--since", first, state=tmp_path / "own")
    done = here(*command(stream, tmp_path, stream.chain[1], second))
    failed(done, USAGE, "two bundles continue different histories")
    done = here(*command(stream, tmp_path, stream.chain[1], first, stream.chain[2]))
    failed(done, USAGE, "two different bundles have the same serial")
    failed(here(*command(stream, tmp_path, first, second)), USAGE, "not the one that was exported here")
    merge(stream, tmp_path, first, second, state=tmp_path / "own")


def test_another_stream_is_refused(stream: Stream, tmp_path: Path) -> None:
    failed(here(*command(stream, tmp_path, *chain(stream)), "--stream", "test"), USAGE, "the bundle belongs to another stream")
    other = tmp_path / "other/test-0004"
    shutil.copytree(stream.chain[3], other)
    stream.sender.resign(other, lambda top: top.update(stream="test", serial=4))
    failed(here(*command(stream, tmp_path, *chain(stream), other)), USAGE, "the bundle belongs to another stream", "test-0004")


def test_only_bundles_that_somebody_vouches_for(stream: Stream, site: Callable[[str], Far], tmp_path: Path) -> None:
    stranger = Sender.make(tmp_path / "stranger")
    arguments = command(stream, tmp_path, *chain(stream))
    asked = arguments[: arguments.index("--policy")]
    failed(here(*asked), REFUSED, "no policy says which bundles to trust")
    failed(here(*asked, "--policy", stranger.policy), REFUSED)
    done = here(*asked, "--accept-unverified-bundles")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("signature not verified") == 3


@pytest.mark.parametrize("where", ["blob", "patch", "frame", "catalog"])
def test_a_damaged_bundle_is_refused(stream: Stream, tmp_path: Path, where: str) -> None:
    bundle = tmp_path / "damaged/prod-0002"
    shutil.copytree(stream.chain[2], bundle)
    blobs = blobs_of(bundle)
    if where == "patch":
        digest = next(blob["patch"]["blob"] for blob in blobs.values() if "patch" in blob)
        flip(bundle / "volume-0001.tar", blobs[digest]["extents"][0][1] + blobs[digest]["size"] // 2)
    elif where == "blob":
        _, offset, length = min(blob["extents"][0] for blob in blobs.values() if "extents" in blob)
        flip(bundle / "volume-0001.tar", offset + length // 2)
    else:
        flip(bundle / ("volume-0001.tar" if where == "frame" else "catalog.json"), 300)
    done = here(*command(stream, tmp_path, stream.chain[1], bundle, stream.chain[3]))
    failed(done, REFUSED if where == "catalog" else DAMAGED)
    assert not (tmp_path / "merged/prod-0004").exists()
    if where == "patch":  # the very same command goes on with the good bundle
        shutil.rmtree(bundle)
        shutil.copytree(stream.chain[2], bundle)
        again = here(*command(stream, tmp_path, stream.chain[1], bundle, stream.chain[3]))
        assert again.returncode == 0, again.stderr
        assert "resuming the unfinished prod-0004" in again.stderr


def test_an_interrupted_merge_goes_on(stream: Stream, tmp_path: Path) -> None:
    whole, _ = merge(stream, tmp_path, *chain(stream))
    with crasher(tmp_path / "crash-home") as crash:
        for number, at in enumerate(("after note #9", "inside write volume-0001.tar #40", "before rename catalog.json #1")):
            work = tmp_path / f"killed-{number}"
            work.mkdir()
            arguments = command(stream, work, *chain(stream))
            assert crash.crash(at, *arguments).killed
            assert not (work / "merged/prod-0004").exists()
            done = crash.run(*arguments)
            assert done.returncode == 0, done.stderr
            assert "resuming the unfinished prod-0004" in done.stderr
            for path in whole.glob("volume-*.tar"):
                assert (work / "merged/prod-0004" / path.name).read_bytes() == path.read_bytes()
            assert (work / "merged/prod-0004/catalog.json").read_bytes() == (whole / "catalog.json").read_bytes()


def test_a_second_merge_says_that_it_takes_sites_back(stream: Stream, tmp_path: Path) -> None:
    merge(stream, tmp_path, *chain(stream))
    bundle, facts = merge(stream, tmp_path, *chain(stream))
    assert bundle.name == "prod-0005"
    assert "serial 4 of the stream was exported here after prod-0003" in facts["notes"][0]


def diff(*sides: object) -> dict[str, Any]:
    done = here("diff", *sides, "--json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.mark.smoke("diff")
def test_diff_tells_images_blobs_and_bytes(stream: Stream, tmp_path: Path) -> None:
    facts = diff(stream.chain[1], stream.chain[2] / "catalog.json")
    place = stream.source.address
    assert (facts["same"], facts["verified"]) == (False, False)
    assert [entry["reference"] for entry in facts["added"]] == [f"{place}/shop/web:2"]
    assert [entry["reference"] for entry in facts["removed"]] == [f"{place}/shop/web:1"]
    assert [change["reference"] for change in facts["moved"]] == [f"{place}/tool:stable"]
    assert facts["b"]["bytes"] == sum(path.stat().st_size for path in stream.chain[2].glob("volume-*"))
    assert facts["b"]["patched_blobs"] == 3
    assert facts["b"]["full_bytes"] > 2 * facts["b"]["bytes"]
    held = {digest for digest, blob in blobs_of(stream.chain[2]).items() if "held" in blob}
    assert held <= set(blobs_of(stream.chain[1]))
    shown = here("diff", stream.chain[1], stream.chain[2]).stdout
    assert "moved        " in shown
    assert "diff verifies nothing" in shown


def test_diff_of_the_same_content_carried_differently(stream: Stream, tmp_path: Path) -> None:
    assert diff(stream.chain[2], stream.locks[2])["same"]
    full = stream.export(2, tmp_path / "usb")
    facts = diff(full, stream.chain[2])
    assert facts["same"]
    assert facts["compared_blobs"]["only_a"]["count"] == 0
    assert facts["a"]["full_bytes"] == facts["b"]["full_bytes"]


def test_diff_of_receipts(stream: Stream, site: Callable[[str], Far], tmp_path: Path) -> None:
    far = site("far")
    for number in (1, 2):
        far.takes(stream.chain[number])
        assert here("receipt", far.target, "-o", tmp_path / f"{number}", "--site", "plant-7").returncode == 0
    facts = diff(tmp_path / "1", tmp_path / "2")
    assert [change["reference"].rpartition("/")[2] for change in facts["moved"]] == ["tool:stable"]
    assert any(entry["is_signature"] for entry in facts["added"])
    facts = diff(tmp_path / "2", tmp_path / "1")
    assert "SIGNATURE LOST" in here("diff", tmp_path / "2", tmp_path / "1").stdout


def test_diff_refuses_what_is_none_of_these(stream: Stream, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("nginx:1\n")
    failed(here("diff", stream.chain[1], tmp_path / "list.txt"), USAGE, "cannot compare")
    failed(here("diff", tmp_path / "missing", stream.chain[1]), USAGE)
