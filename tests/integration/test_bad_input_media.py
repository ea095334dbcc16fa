"""Media that were damaged, mixed up or tampered with: verify and import say what is wrong and where, and nothing gets a name."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.format import frame, names
from tests.support import images
from tests.support.bundles import catalog_of, flip
from tests.support.cli import DAMAGED, REFUSED, USAGE, failed, here
from tests.support.desks import VOLUME_SIZE, SiteDesk
from tests.support.dockerregistry import DockerRegistry
from tests.support.origin import Origin

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")


def tags(address: str, prefix: str) -> list[str]:
    """Every tag in the repositories below a prefix that the bundle's images would get."""
    connection = http.client.HTTPConnection(address, timeout=60)
    found: list[str] = []
    try:
        for path in ("docker.io/shop/web", "quay.io/tools/tool"):
            connection.request("GET", f"/v2/{prefix}/{path}/tags/list")
            response = connection.getresponse()
            found += json.loads(response.read()).get("tags") or [] if response.status == 200 else []
            response.read()
    finally:
        connection.close()
    return found


# one byte flipped


def places(bundle: Path) -> Iterator[tuple[str, Path, int]]:
    """One place in every stretch of every volume (its kind, file, position), and many in every other file."""
    catalog = catalog_of(bundle)
    for number, step in enumerate(frame.walk(catalog.members(), catalog.volume_size)):
        if step.extent.length:
            kind = "blob" if step.content is None else step.member.name or "end"
            at = step.extent.offset + (step.extent.length - 1, 0, step.extent.length // 2)[number % 3]
            yield kind, bundle / names.volume_name(step.extent.volume), at
    for path in sorted(bundle.iterdir()):
        if not names.is_volume(path.name):
            size = path.stat().st_size
            yield from (("file", path, at) for at in sorted({0, size - 1, *range(0, size, max(1, size // 8))}))


def test_one_byte_flipped_anywhere_is_found_by_verify(site: SiteDesk) -> None:
    kinds = set()
    for number, (kind, path, position) in enumerate(places(site.bundle)):
        kinds.add(kind.partition("/")[0])
        flip(path, position, 1 << number % 8)
        facts = failed(site.verify(), REFUSED if path.name.startswith(names.CATALOG) else DAMAGED)
        assert path.name.startswith(names.CATALOG) or path.name in facts["error"] + facts["where"], (path, position, facts)
        flip(path, position, 1 << number % 8)
    assert kinds == {"oci-layout", "index.json", "blobs", "blob", "end", "file"}
    assert site.verify().returncode == 0


def test_every_byte_of_the_signature_file_counts(site: SiteDesk) -> None:
    signature = next(site.bundle.glob("*.sig"))
    for position in range(signature.stat().st_size):
        for bit in (position % 8,) if position + 4 < signature.stat().st_size else range(8):
            flip(signature, position, 1 << bit)
            assert site.verify().returncode == REFUSED, (position, bit)
            flip(signature, position, 1 << bit)
    assert site.verify().returncode == 0


def test_one_byte_flipped_anywhere_leaves_a_registry_without_a_tag(site: SiteDesk, module_registry: DockerRegistry) -> None:
    """One place of every kind in every file; each time into repositories of its own, so that nothing is there already."""
    seen = set()
    for number, (kind, path, position) in enumerate(places(site.bundle)):
        if (kind if kind == "file" else (kind == "blob", kind[:5]), path) in seen:
            continue
        seen.add((kind if kind == "file" else (kind == "blob", kind[:5]), path))
        flip(path, position, 1 << number % 8)
        prefix = f"flip{number}"
        code = REFUSED if path.name.startswith(names.CATALOG) else DAMAGED
        facts = failed(site.import_(to=f"docker://{module_registry.address}/{prefix}"), code)
        assert code == REFUSED or path.name in facts["error"] + facts["where"]
        assert tags(module_registry.address, prefix) == []
        flip(path, position, 1 << number % 8)
    assert {path for _, path in seen} == set(site.bundle.iterdir())
    done = site.import_(to=f"docker://{module_registry.address}/whole")
    assert done.returncode == 0, done.stderr
    assert "1" in tags(module_registry.address, "whole")


def test_one_byte_flipped_in_a_blob_leaves_the_names_of_a_store_as_they_were(site: SiteDesk) -> None:
    site.is_taken()
    before = (site.store / "index.json").read_bytes()
    shutil.rmtree(site.bundle)
    shutil.copytree(site.made.newer, site.bundle)
    for kind, path, position in places(site.bundle):
        if kind == "blob":
            shutil.rmtree(site.store / "blobs/sha256", ignore_errors=True)  # what the store has already is not read
            flip(path, position)
            failed(site.import_(), DAMAGED, path.name)
            assert (site.store / "index.json").read_bytes() == before
            flip(path, position)
    site.is_taken()
    assert (site.store / "index.json").read_bytes() == before


# volumes that are not what they should be


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_volume_is_named_with_the_images_that_it_costs(site: SiteDesk, number: int) -> None:
    site.volume(number).unlink()
    facts = site.refused(
        DAMAGED, f"volume {number} of 3", "is missing", "give the directories of the other media", "airgap media repair"
    )
    needing = [str(image.reference) for image in catalog_of(site.bundle).images if number in image.volumes]
    assert needing
    assert [name in facts["got"] for name in needing] == [True] * len(needing)


def test_a_directory_with_the_catalog_alone(site: SiteDesk) -> None:
    for number in (1, 2, 3):
        site.volume(number).unlink()
    site.refused(DAMAGED, "volume 1 of 3", "volume 2 of 3", "volume 3 of 3")


def test_volumes_without_a_catalog(site: SiteDesk) -> None:
    (site.bundle / names.CATALOG).unlink()
    site.refused(DAMAGED, "the catalog is missing")


def test_nothing_of_a_bundle_at_all(site: SiteDesk) -> None:
    shutil.rmtree(site.bundle)
    site.refused(USAGE, "no such directory")
    site.bundle.mkdir()
    site.refused(USAGE, "no bundle here")
    (site.bundle.parent / "prod-0001.partial").mkdir()
    site.bundle.rmdir()
    failed(here("verify", site.bundle.parent, "--policy", site.made.sender.policy, "--json"), USAGE, "run the same command again")


def cut(path: Path, count: int) -> None:
    os.truncate(path, path.stat().st_size - count)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.parent.parent / "moved-away")
    make(path)


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte short": (lambda p: cut(p, 1), "is truncated"),
    "cut in the middle": (lambda p: cut(p, p.stat().st_size // 2), "is truncated"),
    "empty": (lambda p: os.truncate(p, 0), "is truncated"),
    "a byte long": (lambda p: append(p, b"\0"), "is too long"),
    "another archive behind it": (lambda p: append(p, p.read_bytes()), "is too long"),
    "a link to it": (lambda p: replaced(p, lambda q: q.symlink_to(q.parent.parent / "moved-away")), "instead of a file"),
    "a dangling link": (lambda p: replaced(p, lambda q: q.symlink_to("/nowhere")), "instead of a file"),
    "a link to itself": (lambda p: replaced(p, lambda q: q.symlink_to(q.name)), "instead of a file"),
    "a FIFO": (lambda p: replaced(p, os.mkfifo), "instead of a file"),
    "a directory": (lambda p: replaced(p, Path.mkdir), "instead of a file"),
    "a socket": (lambda p: replaced(p, lambda q: os.mknod(q, 0o140644)), "instead of a file"),
}


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("number", [1, 3])
def test_a_volume_that_is(site: SiteDesk, spoil: str, number: int) -> None:
    make, says = SPOILERS[spoil]
    make(site.volume(number))
    site.refused(DAMAGED, names.volume_name(number), says)


@pytest.mark.parametrize("name", [names.CATALOG, names.SUMS, names.CHECK, "signature"])
@pytest.mark.parametrize("spoil", ["a link to it", "a dangling link", "a FIFO", "a directory"])
def test_another_file_that_is(site: SiteDesk, name: str, spoil: str) -> None:
    path = next(site.bundle.glob("*.sig")) if name == "signature" else site.bundle / name
    SPOILERS[spoil][0](path)
    site.refused(DAMAGED, "not a regular file", path.name)


def test_a_volume_of_another_bundle_with_the_right_size(site: SiteDesk) -> None:
    other = images.image([images.layer("other", 100_000)])
    origin = Origin()
    stranger = site.made.sender.bundle(
        origin, [origin.push("docker.io/other/image:1", other)], site.work / "else", serial=9, volume_size=VOLUME_SIZE
    )
    assert (stranger / site.volume(2).name).stat().st_size == site.volume(2).stat().st_size
    shutil.copy(stranger / site.volume(2).name, site.volume(2))
    site.refused(DAMAGED, site.volume(2).name, "again from the original")


def test_two_volumes_in_each_others_place(site: SiteDesk) -> None:
    site.volume(1).rename(site.work / "one")
    site.volume(2).rename(site.volume(1))
    (site.work / "one").rename(site.volume(2))
    site.refused(DAMAGED, site.volume(1).name)


def test_a_volume_too_many(site: SiteDesk) -> None:
    shutil.copy(site.volume(3), site.volume(4))
    site.refused(DAMAGED, "volume-0004.tar", "does not belong", "move it away")


def test_media_of_two_bundles_at_once(site: SiteDesk) -> None:
    arguments = ["verify", site.bundle, site.made.newer, "--policy", site.made.sender.policy, "--json"]
    done = here(*arguments)
    assert (done.returncode, [one["bundle"] for one in json.loads(done.stdout)["bundles"]]) == (0, ["prod-0001", "prod-0002"])


def test_a_bundle_on_two_media_without_the_second_one(site: SiteDesk) -> None:
    second = site.work / "second"
    second.mkdir()
    for number in (2, 3):
        site.volume(number).rename(second / site.volume(number).name)
    site.refused(DAMAGED, "volume 2 of 3", "volume 3 of 3")
    done = here("verify", site.bundle, second, "--policy", site.made.sender.policy)
    assert done.returncode == 0, done.stderr
