"""What the operator's archives can be: every one that is broken ends with a clear message and the right exit code."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.archives import member, skopeo, tar
from tests.support.site import Site

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

NAME = "vendor.example/app:1"
AS = "as site.example/app:1"
BUILT = images.multi_arch("app", [images.layer("base", 20_000)])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A machine with a layout ``origin`` and its archive ``app.tar``."""
    site = Site.make(tmp_path_factory.mktemp("operator"))
    with LayoutStore(site.root / "origin") as layout:
        images.publish(layout, NAME, BUILT)
        layout.commit()
    skopeo("copy", "-q", "--all", f"oci:{site.root}/origin:{NAME}", f"oci-archive:{site.root}/app.tar:{NAME}")
    return site


def refused(site: Site, line: str, code: int, *options: object) -> str:
    done = site.run("resolve", line, *options, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    return done.stderr


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The files of an archive, to be written again with changes."""
    with tarfile.open(path) as archive:
        return [(info, file.read()) for info in archive.getmembers() if info.isfile() and (file := archive.extractfile(info))]


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir", "bundle"])
@pytest.mark.parametrize(
    "make",
    [lambda path: None, os.mkfifo, Path.mkdir, lambda path: path.write_text("text"), lambda path: path.symlink_to("/dev/zero")],
    ids=["missing", "fifo", "empty directory", "text", "device"],
)
def test_what_is_nothing_of_the_kind_is_a_mistake_of_the_list(
    site: Site, tmp_path: Path, transport: str, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "x")
    message = refused(site, f"{transport}:{tmp_path}/x {AS}", 2, "--accept-unverified-bundles")
    assert f"{tmp_path}/x" in message


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_truncated_archive_is_damaged(site: Site, tmp_path: Path, part: float) -> None:
    raw = (site.root / "app.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(raw[: int(len(raw.rstrip(b"\0")) * part)])
    assert "truncated" in refused(site, f"oci-archive:{tmp_path}/x.tar {AS}", 4)


@pytest.mark.parametrize("lost", [blob.descriptor.digest.hex for blob in BUILT.children[1].blobs] + [BUILT.children[0].digest.hex])
def test_an_archive_that_lacks_a_blob_says_so_before_anything_is_written(site: Site, tmp_path: Path, lost: str) -> None:
    kept = [one for one in members(site.root / "app.tar") if lost not in one[0].name]
    path = tar(tmp_path / "x.tar", kept)
    (tmp_path / "images.txt").write_text(f"oci-archive:{path} {AS}\n")
    options = ("--out", tmp_path / "usb", "--stream", "s", "--key", site.key)
    done = site.run("export", tmp_path / "images.txt", *options, check=False)
    assert done.returncode == 4, done.stderr
    assert lost in done.stderr
    assert not (tmp_path / "usb").exists()


def test_a_layer_that_was_changed_never_enters_a_sealed_bundle(site: Site, tmp_path: Path) -> None:
    layer = BUILT.children[0].blobs[1]
    raw = (site.root / "app.tar").read_bytes()
    assert raw.count(layer.raw) == 1
    (tmp_path / "x.tar").write_bytes(raw.replace(layer.raw, layer.raw[:-1] + b"!"))
    (tmp_path / "images.txt").write_text(f"oci-archive:{tmp_path}/x.tar {AS}\n")
    options = ("--out", tmp_path / "usb", "--stream", "s", "--key", site.key)
    done = site.run("export", tmp_path / "images.txt", *options, check=False)
    assert done.returncode in (4, 5), done.stderr
    assert layer.descriptor.digest in done.stderr
    assert not (tmp_path / "usb/s-0001").exists()


def test_a_member_that_leads_out_is_refused(site: Site, tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [*members(site.root / "app.tar"), member("../../etc/cron.d/x", data=b"x")])
    assert "leads out" in refused(site, f"oci-archive:{path} {AS}", 4)


def test_a_compressed_archive_is_refused_with_the_command_that_helps(site: Site, tmp_path: Path) -> None:
    subprocess.run(["tar", "-czf", tmp_path / "x.tar.gz", "-C", site.root / "origin", "."], check=True)
    said = refused(site, f"oci-archive:{tmp_path}/x.tar.gz {AS}", 2)
    assert "gzip -dk" in said
    assert "--scratch DIR" in said


def test_an_archive_that_gnu_tar_made_is_taken(site: Site, tmp_path: Path) -> None:
    for form in ("gnu", "posix", "ustar"):
        path = tmp_path / f"{form}.tar"
        subprocess.run(["tar", f"--format={form}", "-cf", path, "-C", site.root / "origin", "."], check=True)
        (image,) = site.json("resolve", f"oci-archive:{path}")["images"]
        assert (image["reference"], image["digest"]) == (NAME, BUILT.digest)


def test_a_digest_that_the_list_pins_is_checked(site: Site) -> None:
    line = f"oci-archive:{site.root}/app.tar as site.example/app@sha256:{'0' * 64}"
    assert str(BUILT.digest) in refused(site, line, 2)


@pytest.mark.parametrize(
    "line", ["oci:{root}/origin:none", "oci-archive:{root}/app.tar:none", "docker-archive:{root}/app.tar", "dir:{root}/origin"]
)
def test_a_place_that_does_not_hold_the_image_is_a_mistake_of_the_list(site: Site, line: str) -> None:
    refused(site, line.format(root=site.root), 2)


def test_terminal_escapes_in_an_archive_stay_harmless(site: Site, tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [member("\x1b]0;owned\x07", data=b"x"), member("\x1b]0;owned\x07", data=b"y")])
    assert "\x1b" not in refused(site, f"oci-archive:{path} {AS}", 4)
