"""Finding a bundle on one or several media; nothing on them is trusted by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airgap.bundle.media import Media
from airgap.errors import Damaged, UsageError
from airgap.format.catalog import Catalog
from airgap.format.names import volume_name
from tests.support import images
from tests.support.bundles import Sender, catalog_of
from tests.support.origin import Origin


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    origin = Origin()
    references = [origin.push("docker.io/x/y:1", images.image([images.layer("y", 30_000)]))]
    return Sender.make(tmp_path / "sender").bundle(origin, references, tmp_path / "stick", volume_size=12_000)


def found(*paths: Path) -> tuple[Media, Catalog]:
    media = Media.find(paths)
    return media, Catalog.from_bytes(media.catalog_raw)


def test_a_bundle_directory_and_the_mount_point_above_it(bundle: Path) -> None:
    for path in (bundle, bundle.parent):
        media, catalog = found(path)
        assert media.directories == (bundle,)
        assert media.locate(catalog) == {n: bundle / volume_name(n) for n in range(1, len(catalog.volumes) + 1)}
        assert list(media.signatures) == [path.name for path in bundle.glob("*.sig")]


def test_volumes_spread_over_media_in_any_order(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-stick"
    other.mkdir()
    (bundle / volume_name(2)).rename(other / volume_name(2))
    for paths in ((bundle, other), (other, bundle)):
        media, catalog = found(*paths)
        assert media.locate(catalog)[2] == other / volume_name(2)
    with pytest.raises(Damaged) as caught:
        Media.find([other])
    assert caught.value.expected == "catalog.json"


def test_a_whole_copy_of_a_volume_stands_in_for_a_bad_one(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (bundle / volume_name(1)).write_bytes(b"short")
    media, catalog = found(bundle, copy)
    assert media.locate(catalog)[1] == copy / volume_name(1)


def test_partial_leaves_out_what_is_missing_but_needs_something(bundle: Path) -> None:
    catalog = catalog_of(bundle)
    (bundle / volume_name(2)).unlink()
    media = Media.find([bundle])
    assert set(media.locate(catalog, partial=True)) == set(range(1, len(catalog.volumes) + 1)) - {2}
    for number in range(1, len(catalog.volumes) + 1):
        (bundle / volume_name(number)).unlink(missing_ok=True)
    with pytest.raises(Damaged):
        media.locate(catalog, partial=True)


def test_copies_of_the_catalog_must_agree(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    assert len(Media.find([bundle, copy]).directories) == 2
    (copy / "catalog.json").write_bytes((copy / "catalog.json").read_bytes() + b"\n")
    with pytest.raises(Damaged):
        Media.find([bundle, copy])


def test_different_signatures_of_one_name_are_all_kept(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    next(copy.glob("*.sig")).write_bytes(b"garbage")
    assert sorted(len(content) > 7 for content in Media.find([bundle, copy]).signatures.values()) == [False, True]


def test_too_many_or_too_large_signature_files(bundle: Path) -> None:
    big = bundle / "catalog.json.big.sig"
    big.write_bytes(bytes(70_000))
    with pytest.raises(Damaged):
        Media.find([bundle])
    big.unlink()
    for number in range(130):
        (bundle / f"catalog.json.{number:x}.sig").write_bytes(b"x")
    with pytest.raises(Damaged):
        Media.find([bundle])


def test_no_media_at_all(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError):
            Media.find([path])


def test_a_linked_directory_on_a_medium_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    stick = tmp_path / "hostile-stick"
    stick.mkdir()
    (stick / "prod-0001").symlink_to(bundle)
    with pytest.raises(UsageError):
        Media.find([stick])
