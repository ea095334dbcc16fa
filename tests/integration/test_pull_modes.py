"""After an import the real skopeo pulls under ``default: reject`` in all three ways, with the files that airgap wrote, and only
what is signed (docs/pulling.md)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.lookaside import write_signatures
from tests.support.images import Built
from tests.support.pulling import PLATFORMS, PREFIX, Yard, flip, yard

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

MODES = ("original", "internal", "site")
#: Which signature of the destination's lookaside decides: the vendor's is first, the site's second.
DECIDES = {"original": 1, "internal": 1, "site": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("pulling")) as found:
        yield found


@pytest.fixture(scope="module")
def app(place: Yard) -> Built:
    """An image that was signed wholly, imported and signed by the site; and one beside it that nobody signed."""
    built = place.publish("team/app")
    place.sign("team/app", *built.everything())
    place.carry("team/app")
    unsigned = place.publish("team/unsigned")
    place.push(unsigned, f"{PREFIX}/{place.host}/team/unsigned", place.registry.address)
    return built


@pytest.fixture
def lookaside(place: Yard, app: Built, tmp_path: Path) -> Path:
    """The signatures at the destination, a copy of the test's own."""
    return shutil.copytree(place.signatures, tmp_path / "signatures")


@pytest.fixture(scope="module")
def configs(place: Yard) -> dict[str, Path]:
    """The files for every mode, for the site's own signatures."""
    found = {mode: place.root / "config" / mode for mode in MODES}
    for mode, path in found.items():
        place.mirror_config(mode, place.signatures, path)
    return found


def directory(place: Yard, lookaside: Path, path: str, built: Built) -> Path:
    return lookaside / f"{PREFIX}/{place.host}/{path}@sha256={built.digest.hex}"


@pytest.mark.parametrize("mode", MODES)
def test_skopeo_pulls_what_was_imported_and_only_that(place: Yard, app: Built, lookaside: Path, tmp_path: Path, mode: str) -> None:
    config = tmp_path / "config"
    assert place.mirror_config(mode, lookaside, config)["warnings"] == []
    assert json.loads((config / "policy.json").read_text())["default"] == [{"type": "reject"}]
    name = place.name(mode, "team/app")
    for platform in PLATFORMS:
        assert place.skopeo(config, name, platform=platform)
    assert place.skopeo(config, name, "--all")
    assert not place.skopeo(config, place.name(mode, "team/unsigned"))
    other_name = place.internal("team/app") if mode == "original" else place.original("team/app")
    assert not place.skopeo(config, other_name, "--src-tls-verify=false")


@pytest.mark.parametrize("mode", MODES)
def test_skopeo_refuses_the_instance_whose_signature_is_corrupted(
    place: Yard, app: Built, lookaside: Path, tmp_path: Path, mode: str
) -> None:
    config = tmp_path / "config"
    place.mirror_config(mode, lookaside, config)
    name = place.name(mode, "team/app")
    flip(directory(place, lookaside, "team/app", app.children[0]) / f"signature-{DECIDES[mode]}")
    assert not place.skopeo(config, name, platform=PLATFORMS[0])
    assert place.skopeo(config, name, platform=PLATFORMS[1])
    assert not place.skopeo(config, name, "--all")


@pytest.mark.parametrize("mode", ["original", "internal"])
def test_with_a_site_key_the_vendor_and_the_site_must_both_have_signed(
    place: Yard, app: Built, lookaside: Path, tmp_path: Path, mode: str
) -> None:
    config = tmp_path / "config"
    place.mirror_config(mode, lookaside, config, site_key=True)
    name = place.name(mode, "team/app")
    assert place.skopeo(config, name, "--all")
    for number in DECIDES.values():
        signature = directory(place, lookaside, "team/app", app.children[0]) / f"signature-{number}"
        flip(signature)
        assert not place.skopeo(config, name)
        flip(signature)
    assert place.skopeo(config, name)


@pytest.mark.parametrize("mode", MODES)
def test_signatures_for_another_name_do_not_count(place: Yard, app: Built, lookaside: Path, tmp_path: Path, mode: str) -> None:
    """The registry serves the signed image under a name that nobody signed, with all its signatures beside it."""
    config = tmp_path / "config"
    place.mirror_config(mode, lookaside, config)
    place.push(app, f"{PREFIX}/{place.host}/team/other", place.registry.address)
    for built in app.everything():
        source = directory(place, lookaside, "team/app", built)
        shutil.copytree(source, directory(place, lookaside, "team/other", built))
    assert not place.skopeo(config, place.name(mode, "team/other"))


def test_site_signs_every_instance_and_the_index_beside_the_vendor(place: Yard, app: Built, lookaside: Path) -> None:
    for built in app.everything():
        found = sorted(path.name for path in directory(place, lookaside, "team/app", built).iterdir())
        assert found == ["signature-1", "signature-2"]
        first = directory(place, lookaside, "team/app", built) / "signature-1"
        assert first.read_bytes() == (place.sources / f"team/app@sha256={built.digest.hex}/signature-1").read_bytes()


def test_same_bundle_again_changes_nothing(place: Yard, app: Built) -> None:
    before = contents(place.signatures)
    assert place.carry("team/app")["already_there"]
    assert contents(place.signatures) == before
    # A site that has lost its memory does the work again, and finds its own signatures.
    assert not place.carry("team/app", state="forgetful")["already_there"]
    assert contents(place.signatures) == before


def test_new_serial_with_the_same_image_adds_no_second_site_signature(place: Yard, app: Built) -> None:
    before = contents(place.signatures)
    assert place.carry("team/app", serial=2, state="second-site")["serial"] == 2
    assert contents(place.signatures) == before


def test_import_into_another_lookaside_is_no_repetition(place: Yard, app: Built, tmp_path: Path) -> None:
    options = ("--lookaside", tmp_path / "elsewhere")
    assert not place.site.import_(place.target, place.export("team/app"), options=options)["already_there"]
    assert len(contents(tmp_path / "elsewhere")) == len(list(app.everything()))


def test_index_signed_alone_is_refused(place: Yard) -> None:
    built = place.publish("team/by-index")
    place.sign("team/by-index", built)
    assert "the policy does not accept 2 of 2 image instances" in place.refusal("team/by-index")
    assert not directory(place, place.signatures, "team/by-index", built).exists()


def test_instances_signed_alone_are_accepted(place: Yard, configs: dict[str, Path]) -> None:
    built = place.publish("team/by-instance")
    place.sign("team/by-instance", *built.children)
    assert pulled(place, "team/by-instance", configs) == MODES


@pytest.mark.parametrize("garbage_first", [True, False], ids=["garbage-first", "garbage-last"])
def test_garbage_beside_a_good_signature_is_dropped_on_the_way(place: Yard, configs: dict[str, Path], garbage_first: bool) -> None:
    """At the vendor it keeps skopeo from pulling; what comes out on the far side is clean."""
    path = f"team/garbage-{'first' if garbage_first else 'last'}"
    built = place.publish(path)
    place.sign(path, *built.everything())
    for part in built.everything():
        first = place.sources / f"{path}@sha256={part.digest.hex}/signature-1"
        garbage = first.with_name("signature-2")
        if garbage_first:
            first.rename(garbage)
            first, garbage = garbage, first
        garbage.write_bytes(b"<html>not a signature</html>")
    assert pulled(place, path, configs) == MODES
    for part in built.everything():
        found = contents(directory(place, place.signatures, path, part))
        assert sorted(found) == ["signature-1", "signature-2"]
        assert not any(b"<html>" in content for content in found.values())


def test_wrong_signatures_beside_a_good_one_do_no_harm(place: Yard, configs: dict[str, Path]) -> None:
    built = place.publish("team/mixed")
    for part in built.everything():
        broken = bytearray(place.message("team/mixed", part))
        broken[-20] ^= 1
        stranger = place.message("team/mixed", part, place.site_key)
        good = place.message("team/mixed", part)
        write_signatures(place.sources, "team/mixed", part.digest, [bytes(broken), stranger, good])
    assert pulled(place, "team/mixed", configs) == MODES


def test_signature_behind_a_gap_in_the_numbers_is_no_signature(place: Yard) -> None:
    built = place.publish("team/gap")
    place.sign("team/gap", *built.everything())
    first = place.sources / f"team/gap@sha256={built.children[1].digest.hex}/signature-1"
    first.rename(first.with_name("signature-2"))
    assert "linux/arm64: " in place.refusal("team/gap")


def test_what_is_behind_a_gap_does_no_harm(place: Yard, configs: dict[str, Path]) -> None:
    built = place.publish("team/behind")
    place.sign("team/behind", *built.everything())
    (place.sources / f"team/behind@sha256={built.children[1].digest.hex}/signature-3").write_bytes(b"never reached")
    assert pulled(place, "team/behind", configs) == MODES


def pulled(place: Yard, path: str, configs: dict[str, Path]) -> tuple[str, ...]:
    """Carry an image to the site; the modes in which skopeo then pulls all of it."""
    place.carry(path)
    return tuple(mode for mode in MODES if place.skopeo(configs[mode], place.name(mode, path), "--all"))


def contents(tree: Path) -> dict[str, bytes]:
    """Every file of a tree."""
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
