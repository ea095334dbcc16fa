"""What several files of integration tests start from, as fixtures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.format import names
from tests.support import images
from tests.support.bundles import Sender
from tests.support.desks import Made, OperatorDesk, SiteDesk, make_bundles
from tests.support.dockerregistry import DockerRegistry
from tests.support.drops import Drop
from tests.support.hostile import Hostile
from tests.support.life import Life, publish
from tests.support.origin import Origin
from tests.support.tools import require


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_bundles(tmp_path_factory.mktemp("made"))


@pytest.fixture
def media(tmp_path: Path, made: Made) -> list[Path]:
    """The bundle on two media."""
    found = []
    for number, part in enumerate((("volume-0001.tar", "volume-0002.tar"), ("volume-0003.tar",)), 1):
        medium = tmp_path / f"usb{number}"
        medium.mkdir()
        for entry in made.bundle.iterdir():
            if not names.is_volume(entry.name) or entry.name in part:
                shutil.copy(entry, medium)
        found.append(medium)
    return found


@pytest.fixture
def drop(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Drop(tmp_path, made.sender)


@pytest.fixture
def site(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> SiteDesk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    bundle = tmp_path / "media" / made.bundle.name
    shutil.copytree(made.bundle, bundle)
    return SiteDesk(made, tmp_path, bundle)


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender.make(tmp_path_factory.mktemp("sender"))


@pytest.fixture
def operator(tmp_path: Path, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorDesk]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    origin = Origin()
    built = images.image([images.layer("web", 50_000)])
    with Hostile(origin.answer) as server:
        origin.push(f"{server.address}/shop/web:1", built)
        yield OperatorDesk(sender, origin, server, tmp_path, built)


@pytest.fixture(scope="module")
def module_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return publish(tmp_path_factory.mktemp("released"))


@pytest.fixture
def life(released: Life, tmp_path: Path) -> Life:
    """The same releases, with a state of one's own."""
    shutil.copytree(released.site.root, tmp_path / "site")
    return Life(type(released.site)(tmp_path / "site"), released.bundles, released.origin, released.images, released.attachments)
