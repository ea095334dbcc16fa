"""The companion files for people without our software."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle import companions
from airgap.delta.bases import of_catalog
from airgap.format import checktxt
from airgap.format.catalog import Catalog
from tests.support import images
from tests.support.bundles import Sender, catalog_of
from tests.support.origin import Origin


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    origin = Origin()
    references = [origin.push("docker.io/x/y:1", images.multi_arch("y"))]
    return Sender.make(tmp_path / "sender").bundle(origin, references, tmp_path / "stick", volume_size=12_000)


def test_both_are_functions_of_the_catalog(bundle: Path) -> None:
    raw = (bundle / "catalog.json").read_bytes()
    assert (bundle / "SHA256SUMS").read_bytes() == checktxt.sha256sums(catalog_of(bundle), raw)
    assert (bundle / "CHECK.txt").read_bytes() == checktxt.check_txt(catalog_of(bundle), raw)


def test_stock_sha256sum_accepts_the_sums_and_notices_a_change(bundle: Path) -> None:
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    assert subprocess.run(command, cwd=bundle, capture_output=True, check=False).returncode == 0
    (bundle / "volume-0001.tar").write_bytes(b"changed")
    assert subprocess.run(command, cwd=bundle, capture_output=True, check=False).returncode == 1


def test_check_txt_names_everything_a_person_needs(bundle: Path) -> None:
    text = (bundle / "CHECK.txt").read_bytes().decode()
    catalog = catalog_of(bundle)
    assert text.count("\r\n") == text.count("\n")
    for needed in (catalog.name, "sha256sum -c SHA256SUMS", "shasum", "certutil", "openssl", "gpg --verify", "tar -xMf"):
        assert needed in text
    for volume in catalog.volumes:
        assert f"{volume.name}" in text
        assert volume.sha256 in text
    assert all(str(image.reference) in text for image in catalog.images)


def test_check_txt_of_an_incremental_bundle_names_what_it_builds_on_and_promises_no_whole_layout(tmp_path: Path) -> None:
    origin, sender = Origin(), Sender.make(tmp_path / "sender")
    old = origin.push("docker.io/x/y:1", images.image([images.layer("old")]))
    first = sender.bundle(origin, [old], tmp_path / "stick")
    raw = (first / "catalog.json").read_bytes()
    bases = [of_catalog("the first", raw, catalog_of(first), None)]
    new = origin.push("docker.io/x/y:2", images.image([images.layer("old"), images.layer("new")]))
    second = sender.bundle(origin, [old, new], tmp_path / "stick", serial=2, bases=bases, patch="never")
    whole, part = ((one / "CHECK.txt").read_bytes().decode().replace("\r\n", "\n") for one in (first, second))
    assert "which together hold one OCI image layout" in whole
    assert "incremental" not in whole
    assert "together hold one OCI image layout" not in part
    assert "hold a part of one OCI image layout" in part
    [row] = [line.strip() for line in whole.splitlines() if line.startswith("  catalog ")]
    named = part.index("the bundle before serial 2 of stream prod")
    assert row.removeprefix("catalog").strip() in part[named:]  # the line by which the base is found among several bundles
    other = replace(catalog_of(second), previous=None)
    assert "a receipt of the site, or a bundle of stream prod before serial 2" in checktxt.check_txt(other, b"").decode()


def test_what_a_registry_called_a_platform_cannot_forge_lines_or_drive_a_terminal(bundle: Path) -> None:
    catalog = catalog_of(bundle)
    hostile = replace(catalog.images[0], platforms=("linux/amd64\r\nwindows/x", "\x1b[2J", "\u202ecod.exe"))
    forged: Catalog = replace(catalog, images=(hostile,))
    text = checktxt.check_txt(forged, b"").decode()
    assert len(text.splitlines()) == len(checktxt.check_txt(catalog, b"").decode().splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_texts_of_another_version_of_airgap_are_not_compared_but_the_digests_are(bundle: Path) -> None:
    catalog, raw = catalog_of(bundle), (bundle / "catalog.json").read_bytes()
    assert companions.contradicting(bundle, catalog, raw) == {}
    (bundle / "CHECK.txt").write_text("in other words")
    (bundle / "check.sh").write_text("echo in another way")
    sums = (bundle / "SHA256SUMS").read_text()
    other = "0" * 64
    (bundle / "SHA256SUMS").write_text(
        "".join(f"{other}  check.sh\n" if "check.sh" in line else line for line in sums.splitlines(True))
    )
    ours = companions.contradicting(bundle, catalog, raw)
    assert sorted(path.name for path in ours) == ["CHECK.txt", "SHA256SUMS", "check.sh"]
    older = replace(catalog, tool="airgap 0.0.1")
    assert companions.contradicting(bundle, older, raw) == {}
    (bundle / "SHA256SUMS").write_text(f"{other}  volume-0001.tar\n")
    assert [path.name for path in companions.contradicting(bundle, older, raw)] == ["SHA256SUMS"]
