"""In which world an export finds itself: each is made by real runs, and told from what they left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from airgap.errors import MediaError, RegistryError, UsageError
from airgap.exporter.export import export
from airgap.exporter.request import ExportRequest
from airgap.exporter.worlds import Fresh, NamedBundle, There, Unfinished, Unnamed, Untold, find
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.reference import Repository
from airgap.progress import Silent
from airgap.state import State
from tests.support import images
from tests.support.bundles import Sender, asking
from tests.support.confidential import Reader
from tests.support.origin import Origin

WEB = "origin.example/shop/web:1"


class Cut(Origin):
    """Loses the connection as long as a test wants."""

    cut = False

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> images.BytesReader:
        """As ``Source.open``."""
        if self.cut and "config" not in descriptor.media_type:
            raise RegistryError("the connection broke")
        return super().open(repository, descriptor, offset)


class Desk:
    """Asks for the same bundle again and again."""

    def __init__(self, root: Path, state: State) -> None:
        self.root, self.state = root, state
        self.sender, self.origin, self.site = Sender.make(root / "sender"), Cut(), Reader.make(root / "site").site
        self.entry = Entry(self.origin.push(WEB, images.image([images.layer("one")])))

    def request(self, encrypted: bool, signed: bool = True, **options: object) -> ExportRequest:
        sites: Sequence[object] = [self.site] if encrypted else ()
        signers = [self.sender.signer] if signed else []
        return asking([self.entry], self.origin, self.root / "out", signers, recipients=sites, **options)

    def run(self, request: ExportRequest) -> None:
        with export(request, self.state, Silent()).held:
            pass


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with State(tmp_path / "state") as state:
        yield Desk(tmp_path, state)


@pytest.mark.parametrize("encrypted", [False, True], ids=["readable", "encrypted"])
def test_the_worlds_follow_on_each_other(desk: Desk, tmp_path: Path, encrypted: bool) -> None:
    request = desk.request(encrypted)
    world = find(request, desk.state)
    assert (type(world), world.paths.serial) == (Fresh, 1)

    desk.origin.cut = True
    with pytest.raises(RegistryError):
        desk.run(request)
    desk.origin.cut = False
    world = find(request, desk.state)
    assert (type(world), world.paths.serial) == (Unfinished, 1)
    assert type(find(desk.request(encrypted, restart=True), desk.state)) is Fresh
    with pytest.raises(UsageError, match="encrypted already exists"):
        find(desk.request(not encrypted), desk.state)

    (tmp_path / "state/catalogs").write_bytes(b"")  # nothing can be kept there
    with pytest.raises(MediaError):
        desk.run(request)
    world = find(request, desk.state)
    assert isinstance(world, Unnamed)
    assert (world.paths.serial, world.own) == (1, True)
    other = find(desk.request(encrypted, created="2026-02-01T00:00:00Z"), desk.state)
    assert isinstance(other, Unnamed)
    assert not other.own

    (tmp_path / "state/catalogs").unlink()
    desk.run(request)
    world = find(request, desk.state)
    assert isinstance(world, Untold)
    assert world.catalog.name == world.paths.final.name == "prod-0001"

    desk.state.intents.settle("prod", 1)
    again = find(desk.request(encrypted, serial=1), desk.state)
    assert isinstance(again, There)
    assert again.raw == world.raw
    following = find(request, desk.state)
    assert (type(following), following.paths.serial) == (Fresh, 2)


def test_to_find_out_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    request = desk.request(encrypted=False)
    desk.run(request)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert isinstance(find(request, desk.state), NamedBundle)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
