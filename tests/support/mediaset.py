"""Bundles of several volumes, and media they are spread over by hand: what people carry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airgap.format import names
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.origin import Origin

VOLUME_SIZE = 20_000


def make_bundle(work: Path, *, serial: int = 1, seed: str = "a", layers: int = 6, **options: Any) -> Path:
    """A signed bundle of two images and several volumes of 20 kB."""
    origin = Origin()
    references = pushed(origin, seed, layers)
    sender = Sender(work / "sender", Sender.make(work / "sender").signer)
    return sender.bundle(origin, references, work / "out", serial=serial, **({"volume_size": VOLUME_SIZE} | options))


def pushed(origin: Origin, seed: str, layers: int = 6) -> list[Reference]:
    """Two images with layers that are nearly a volume large each."""
    one = images.image([images.layer(f"{seed}{n}", 14_000) for n in range(layers // 2)])
    two = images.image([images.layer(f"{seed}{n}", 14_000) for n in range(layers // 2, layers)])
    return [origin.push("docker.io/shop/web:1", one), origin.push("docker.io/shop/db:2", two)]


def companions(bundle: Path) -> list[Path]:
    """Everything but volumes and parity files."""
    return [path for path in bundle.iterdir() if not (names.is_volume(path.name) or names.is_parity(path.name))]


def deal(bundle: Path, media: Sequence[Path]) -> list[Path]:
    """Copy the volumes in turn to the media, each with catalog and signatures; the bundle directories on them."""
    homes = []
    for medium in media:
        home = medium / bundle.name
        home.mkdir(parents=True)
        for path in companions(bundle):
            shutil.copy(path, home)
        homes.append(home)
    for number, path in enumerate(sorted([*bundle.glob("volume-*.tar"), *bundle.glob("parity-*.bin")])):
        shutil.copy(path, homes[number % len(homes)])
    return homes


def checked(*arguments: object) -> tuple[int, dict[str, Any]]:
    """``airgap media check --json``: its exit code and its document."""
    done = here("media", "check", *arguments, "--json")
    return done.returncode, json.loads(done.stdout)


def said(*arguments: object) -> str:
    """What ``airgap media check`` tells people."""
    done = here("media", "check", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout
