"""A lock is a pin: what it pins is compared before it is written over."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.commands.connected.locking import LockFile
from airgap.errors import Refused, UsageError
from airgap.lists import Entry
from airgap.oci.descriptor import Platform
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from tests.support import images
from tests.support.origin import Origin

WEB, TOOL = "docker.io/shop/web:1", "docker.io/shop/tool:1"


class Shop:
    """An image with everything that can be lost, and another one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = Origin()
        self.web = images.multi_arch("web")
        self.origin.push(WEB, self.web)
        self.origin.push(TOOL, images.image([images.layer("tool")]))
        self.sign("one")

    def sign(self, *payloads: str) -> None:
        layers = [images.content(text.encode(), images.SIMPLE_SIGNING) for text in payloads]
        self.origin.push(f"docker.io/shop/web:{digest_tag(self.web.digest, '.sig')}", images.image(layers))

    def sbom(self, payload: bytes) -> images.Built:
        built = images.artifact(self.web, "application/spdx+json", payload)
        self.origin.push("docker.io/shop/web", built)
        return built

    def resolved(self, *names: str, platforms: tuple[str, ...] = ()) -> Lock:
        wanted = [Entry(Reference.parse(name), tuple(map(Platform.parse, platforms))) for name in names or (WEB, TOOL)]
        return resolve(wanted, self.origin, Silent())

    def pin(self, *names: str, platforms: tuple[str, ...] = ()) -> bytes:
        LockFile.find(str(self.path)).write(self.resolved(*names, platforms=platforms))
        return self.path.read_bytes()

    def refused(self, found: Lock, *says: str, **accepts: bool) -> None:
        """The lock is refused and stays as it is."""
        before = self.path.read_bytes()
        with pytest.raises(Refused) as caught:
            LockFile.find(str(self.path)).accept(found, **{"update": False, "allow_lost": False, **accepts})
        for fact in says:
            assert fact in f"{caught.value}"
        assert self.path.read_bytes() == before

    def taken(self, found: Lock, *, update: bool = False) -> dict[str, Any]:
        file = LockFile.find(str(self.path))
        difference = file.accept(found, update=update, allow_lost=False)
        file.write(found)
        assert self.path.read_bytes() == found.to_bytes()
        assert difference is not None
        return difference.facts()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "images.lock")


def test_a_moved_tag_does_not_move_a_pin_in_silence(shop: Shop) -> None:
    shop.pin()
    old, new = shop.origin.push(TOOL, images.image([images.layer("moved")])), shop.resolved()
    assert str(old) == TOOL
    shop.refused(new, f"{TOOL}: moved", new.images[1].root.digest, "--update")
    assert [change["reference"] for change in shop.taken(new, update=True)["moved"]] == [TOOL]


def test_an_image_that_is_no_longer_asked_for_is_not_dropped_from_a_pin_in_silence(shop: Shop) -> None:
    shop.pin()
    shop.refused(shop.resolved(WEB), TOOL, "no longer requested")
    shop.taken(shop.resolved(WEB), update=True)


def test_a_platform_that_is_no_longer_there_is_not_dropped_from_a_pin_in_silence(shop: Shop) -> None:
    shop.pin(WEB)
    shop.refused(shop.resolved(WEB, platforms=("linux/arm64",)), "platform linux/amd64 lost", "2 parts of the lock left out")


def test_a_signature_that_is_gone_is_not_dropped_from_a_pin_in_silence(shop: Shop) -> None:
    shop.pin()
    del shop.origin.shelves["docker.io/shop/web"].tags[digest_tag(shop.web.digest, ".sig")]
    shop.refused(shop.resolved(), "1 signature lost")
    shop.refused(shop.resolved(), "signatures in the last lock are gone", update=True)


def test_one_of_two_signatures_under_one_tag_is_not_lost_in_silence_not_even_with_an_update(shop: Shop) -> None:
    shop.sign("one", "two")
    shop.pin()
    shop.sign("two")
    shop.refused(shop.resolved(), "1 signature lost")
    shop.refused(shop.resolved(), "signatures in the last lock are gone", "1 signature lost", update=True)


def test_a_signature_that_is_replaced_is_not_replaced_in_a_pin_in_silence(shop: Shop) -> None:
    shop.pin()
    shop.sign("another")
    shop.refused(shop.resolved(), "cosign-signature replaced")


def test_an_sbom_that_is_gone_is_not_dropped_from_a_pin_in_silence(shop: Shop) -> None:
    sbom = shop.sbom(b"{}")
    shop.pin()
    del shop.origin.shelves["docker.io/shop/web"].manifests[sbom.digest]
    shop.refused(shop.resolved(), "lost 1 x referrer")
    shop.taken(shop.resolved(), update=True)


def test_what_is_new_is_added_and_told(shop: Shop) -> None:
    shop.pin(WEB)
    shop.sbom(b"{}")
    facts = shop.taken(shop.resolved())
    assert [entry["reference"] for entry in facts["added"]] == [TOOL]
    assert [change["gained"][0]["kind"] for change in facts["changed"]] == ["referrer"]


def test_a_second_run_finds_nothing_new_and_writes_nothing(shop: Shop) -> None:
    shop.pin()
    before = shop.path.stat()
    assert shop.taken(shop.resolved())["same"] is True
    assert (shop.path.stat().st_mtime_ns, shop.path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "content",
    [b"", b"docker.io/library/nginx:1\n", b'{"schema":"airgap.lock/1","images":[', b'{"schema":"airgap.lock/1"}', b"\0" * 100],
    ids=["empty", "list", "cut", "hollow", "zeros"],
)
def test_a_file_that_is_no_whole_lock_is_never_written_over(shop: Shop, content: bytes) -> None:
    shop.path.write_bytes(content)
    with pytest.raises(UsageError, match="left unchanged"):
        LockFile.find(str(shop.path))
    assert shop.path.read_bytes() == content


def test_a_lock_that_somebody_changes_meanwhile_is_not_written_over(shop: Shop) -> None:
    shop.pin()
    file = LockFile.find(str(shop.path))
    other = shop.pin(WEB)
    with pytest.raises(Refused, match="changed while"):
        file.write(shop.resolved(WEB, TOOL))
    assert shop.path.read_bytes() == other


def test_a_link_to_a_lock_stays_a_link(shop: Shop, tmp_path: Path) -> None:
    shop.pin(WEB)
    link = tmp_path / "link.lock"
    link.symlink_to(shop.path)
    file = LockFile.find(str(link))
    assert file.accept(shop.resolved(), update=False, allow_lost=False)
    file.write(shop.resolved())
    assert link.is_symlink()
    assert shop.path.read_bytes() == shop.resolved().to_bytes()


def test_what_remembers_nothing_has_no_lock_to_compare(shop: Shop, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for name in (None, "-", str(fifo), "/dev/null"):
        assert LockFile.find(name).last is None
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    LockFile.find(str(fifo)).write(shop.resolved())
    reader.join()
    assert got == [shop.resolved().to_bytes()]
