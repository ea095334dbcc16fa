"""Reading through mirrors: order, what a mirror lacks, what it gets wrong, and places that are never asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from airgap.errors import NotFound, Refused, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.registry import CredentialStore, MirroredSource, RegistryOptions, RegistryStore, load_rules
from tests.support import images
from tests.support.hostile import HANG_UP, Hostile, Reply, Request
from tests.support.origin import Origin

NAME = Repository("origin.example", "shop/web")
SMALL, LARGE = images.layer("small", 1000), images.layer("large", 1_500_000)
BUILT = images.image([SMALL, LARGE])


class World:
    """An origin called ``origin.example`` and mirrors of it, all in this process."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack
        self.said: list[str] = []
        self.origin = self.registry("hub")

    def registry(self, namespace: str = "shop", built: images.Built | None = BUILT) -> Hostile:
        """A registry that has the image as ``namespace/web:1``."""
        shelves = Origin()
        server = self._stack.enter_context(Hostile(shelves.answer))
        if built is not None:
            shelves.push(f"{server.address}/{namespace}/web:1", built)
        return server

    def rules(self, *mirrors: str, settings: str = "", each: str = "") -> str:
        """Rules that rename the origin's namespace and name mirrors."""
        lines = [f'[[registry]]\nprefix = "origin.example/shop"\nlocation = "{self.origin.address}/hub"\n{settings}\n']
        return "".join(lines + [f'[[registry.mirror]]\nlocation = "{mirror}/shop"\n{each}\n' for mirror in mirrors])

    def options(self, text: str) -> RegistryOptions:
        file = self._root / "registries.conf"
        file.write_text(text)
        return RegistryOptions(
            rules=load_rules(file, {}, self._root / "none"),
            credentials=CredentialStore(),
            say=self.said.append,
            sleep=lambda _: None,
            retries=1,
        )

    def source(self, *mirrors: Hostile | str, settings: str = "", each: str = "") -> MirroredSource:
        hosts = [mirror if isinstance(mirror, str) else mirror.address for mirror in mirrors]
        return self._stack.enter_context(MirroredSource(self.options(self.rules(*hosts, settings=settings, each=each))))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def read(source: MirroredSource, content: images.Content, offset: int = 0) -> bytes:
    descriptor = content.descriptor
    reader = source.open(NAME, descriptor, offset)
    if offset:
        return read_all(reader, descriptor.size, "test")
    return read_all(VerifiedReader(reader, descriptor, "test"), descriptor.size, "test")


def instead(server: Hostile, wrong: Callable[[Request], Reply | None]) -> None:
    """Let a registry answer some requests otherwise."""
    right = server.app
    server.app = lambda request: wrong(request) or right(request)


def with_tags(server: Hostile) -> None:
    """Let a registry list its one tag."""
    page = lambda request: b'{"tags":[]}' if "last" in request.query else b'{"tags":["1"]}'  # noqa: E731
    instead(server, lambda request: Reply(200, page(request)) if request.path.endswith("/tags/list") else None)


def blobs(server: Hostile) -> list[str]:
    return [path for path in server.seen("GET") if "/blobs/" in path]


def test_location_has_another_name_than_the_image(world: World) -> None:
    with_tags(world.origin)
    source = world.source()
    assert source.manifest(NAME, "1").digest == BUILT.digest
    assert read(source, LARGE) == LARGE.raw
    assert source.has(NAME, SMALL.descriptor)
    assert list(source.tags(NAME)) == ["1"]
    assert all("/hub/web/" in path for path in world.origin.seen("GET"))


def test_first_mirror_serves_and_the_location_is_left_alone(world: World) -> None:
    one, two = world.registry(), world.registry()
    source = world.source(one, two)
    assert source.manifest(NAME, "1").digest == BUILT.digest
    assert read(source, SMALL) == SMALL.raw
    assert read(source, LARGE) == LARGE.raw
    assert read(source, LARGE, 100_000) == LARGE.raw[100_000:]
    assert len(one.requests) == 4
    assert two.requests == world.origin.requests == []


def test_mirror_that_lacks_half_of_the_blobs_is_passed_over_for_those(world: World) -> None:
    mirror = world.registry()
    instead(mirror, lambda request: Reply(404) if request.path.endswith(SMALL.descriptor.digest) else None)
    source = world.source(mirror)
    assert source.manifest(NAME, BUILT.digest).digest == BUILT.digest
    assert (read(source, LARGE), read(source, SMALL)) == (LARGE.raw, SMALL.raw)
    assert source.has(NAME, SMALL.descriptor)
    assert blobs(world.origin) == [f"/v2/hub/web/blobs/{SMALL.descriptor.digest}"]
    assert world.said == []


def test_mirror_that_cannot_be_reached_is_said_once_and_not_asked_again(world: World) -> None:
    gone = world.registry()
    gone.stop()
    source = world.source(gone)
    for _ in range(3):
        assert read(source, LARGE) == LARGE.raw
    assert len(world.said) == 1
    assert f"mirror {gone.address} cannot be reached" in world.said[0]


def test_stream_that_breaks_for_good_goes_on_from_the_next_place(world: World) -> None:
    mirror = world.registry()
    calls = iter([Reply(200, LARGE.raw, cut=700_000)])
    instead(mirror, lambda request: next(calls, HANG_UP) if "/blobs/" in request.path else None)
    assert read(world.source(mirror), LARGE) == LARGE.raw
    assert world.origin.requests[-1].headers["Range"].startswith("bytes=")
    assert not world.origin.requests[-1].headers["Range"].startswith("bytes=0-")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_blob_of_another_size_is_taken_from_the_next_place(world: World, content: images.Content) -> None:
    mirror = world.registry()
    instead(mirror, lambda request: Reply(200, b"short") if "/blobs/" in request.path else None)
    assert read(world.source(mirror), content) == content.raw


def test_small_blob_with_wrong_bytes_is_taken_from_the_next_place(world: World) -> None:
    mirror = world.registry()
    instead(mirror, lambda request: Reply(200, b"x" * len(SMALL.raw)) if "/blobs/" in request.path else None)
    assert read(world.source(mirror), SMALL) == SMALL.raw


def test_large_blob_with_wrong_bytes_is_an_error_that_names_the_mirror_and_then_comes_from_the_location(world: World) -> None:
    mirror = world.registry()
    instead(mirror, lambda request: Reply(200, b"x" * len(LARGE.raw)) if "/blobs/" in request.path else None)
    source = world.source(mirror)
    with pytest.raises(RegistryError) as caught:
        read(source, LARGE)
    assert caught.value.where == f"{mirror.address}/shop/web"
    assert caught.value.expected == LARGE.descriptor.digest
    assert read(source, LARGE) == LARGE.raw


def test_manifest_with_wrong_bytes_is_taken_from_the_next_place(world: World) -> None:
    mirror = world.registry()
    other = images.image([images.layer("other")]).manifest
    instead(
        mirror, lambda request: Reply(200, other.raw, {"Content-Type": other.media_type}) if "/manifests/" in request.path else None
    )
    source = world.source(mirror)
    assert source.manifest(NAME, BUILT.digest).digest == BUILT.digest
    assert read_all(source.open(NAME, BUILT.manifest.descriptor), 10**6, "test") == BUILT.manifest.raw


def test_tag_means_what_the_first_place_that_knows_it_says(world: World) -> None:
    newer = images.image([images.layer("newer")])
    ahead, without = world.registry(built=newer), world.registry(built=None)
    assert world.source(without, ahead).manifest(NAME, "1").digest == newer.digest
    assert world.source(ahead, each='pull-from-mirror = "digest-only"').manifest(NAME, "1").digest == BUILT.digest
    assert world.source(ahead, settings="mirror-by-digest-only = true").manifest(NAME, "1").digest == BUILT.digest


def test_what_no_place_has_is_not_found_by_the_locations_word(world: World) -> None:
    mirror = world.registry(built=None)
    source = world.source(mirror)
    with pytest.raises(NotFound) as caught:
        source.manifest(NAME, "none")
    assert str(mirror.address) in caught.value.got
    missing = Descriptor(media.OCI_LAYER, Digest.of(b"nowhere"), 7)
    assert not source.has(NAME, missing)
    with pytest.raises(NotFound):
        source.open(NAME, missing)


def test_what_a_mirror_lacks_is_not_believed_missing_while_the_location_is_away(world: World) -> None:
    mirror = world.registry()
    source = world.source(mirror)
    world.origin.stop()
    assert source.manifest(NAME, "1").digest == BUILT.digest
    for ask in (lambda: source.manifest(NAME, "sha256-0.sig"), lambda: source.referrers(NAME, BUILT.digest)):
        with pytest.raises(RegistryError) as caught:
            ask()
        assert not isinstance(caught.value, NotFound)
        assert "blocked = true" in caught.value.hint


def test_mirrors_of_a_blocked_location_are_believed_and_it_is_never_asked(world: World) -> None:
    mirror = world.registry()
    source = world.source(mirror, settings="blocked = true")
    assert read(source, LARGE) == LARGE.raw
    assert source.referrers(NAME, BUILT.digest).descriptors == ()
    with pytest.raises(NotFound):
        source.manifest(NAME, "sha256-0.sig")
    assert world.origin.requests == []


def test_one_mirror_that_fails_leaves_it_open_whether_something_is_missing(world: World) -> None:
    mirror, gone = world.registry(), world.registry()
    gone.stop()
    source = world.source(gone, mirror, settings="blocked = true")
    assert read(source, LARGE) == LARGE.raw
    for _ in range(2):
        with pytest.raises(RegistryError) as caught:
            source.manifest(NAME, "sha256-0.sig")
        assert not isinstance(caught.value, NotFound)


def test_lists_come_from_the_location(world: World) -> None:
    subject = images.image([images.layer("subject")])
    mirror = world.registry(built=subject)
    with_tags(world.origin)
    source = world.source(mirror)
    assert list(source.tags(NAME)) == ["1"]
    source.referrers(NAME, BUILT.digest)
    assert mirror.requests == []


def test_blocked_registry_gets_no_request_to_read_or_to_write(world: World) -> None:
    options = world.options(f'[[registry]]\nlocation = "{world.origin.address}"\nblocked = true\n')
    repository = Repository(world.origin.address, "hub/web")
    with MirroredSource(options) as source, pytest.raises(Refused):
        source.manifest(repository, "1")
    with RegistryStore(options) as store:
        with pytest.raises(Refused):
            store.write(repository, SMALL.descriptor, lambda: BytesReader(SMALL.raw))
        with pytest.raises(Refused):
            list(store.tags(repository))
    assert world.origin.requests == []


def test_target_is_written_under_its_own_name_whatever_mirrors_it_has(world: World) -> None:
    mirror = world.registry()
    options = world.options(
        f'[[registry]]\nlocation = "{world.origin.address}"\n[[registry.mirror]]\nlocation = "{mirror.address}"\n'
    )
    with RegistryStore(options) as store:
        assert store.has(Repository(world.origin.address, "hub/web"), SMALL.descriptor)
    assert mirror.requests == []
