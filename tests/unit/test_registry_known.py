"""No question is asked twice: manifests by digest, and tags that a list shows not to be there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from airgap.errors import NotFound, RegistryError
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.registry import CredentialStore, MirroredSource, RegistryOptions
from airgap.registry.known import KnownTags, Once
from tests.support import images
from tests.support.hostile import Hostile, Reply, Request

IMAGE = images.image([images.layer("x")])
RAW, TYPE = IMAGE.manifest.raw, IMAGE.descriptor.media_type
SUBJECT = Digest.of(b"subject")
TAG = f"sha256-{SUBJECT.hex}"
SIGNED = f"{TAG}.sig"


def registry(tags: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """Answers every manifest with the image but those of digest tags, referrers with an empty list, and lists as told."""

    def answer(request: Request) -> Reply:
        if request.path.endswith("/tags/list"):
            return tags(request)
        if "/referrers/" in request.path:
            index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
            return Reply(200, json.dumps(index).encode(), {"Content-Type": "application/vnd.oci.image.index.v1+json"})
        if TAG in request.path and not request.path.endswith(".sig"):
            return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return Reply(200, RAW, {"Content-Type": TYPE})

    return answer


def source_of(sleep: Callable[[float], None] = lambda _: None) -> MirroredSource:
    return MirroredSource(RegistryOptions(sleep=sleep, credentials=CredentialStore(), timeout=10.0))


def listed(*names: str) -> Callable[[Request], Reply]:
    return lambda request: Reply(200, json.dumps({"tags": [] if "last" in request.query else list(names)}).encode())


def asked(server: Hostile, what: str) -> int:
    return sum(what in request.path for request in server.requests)


def test_a_digest_is_asked_for_once_and_a_tag_every_time() -> None:
    with Hostile(registry(listed("1"))) as server, source_of() as source:
        place = Repository(server.address, "a")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: source.manifest(place, IMAGE.digest), range(40)))
        assert {manifest.raw for manifest in found} == {RAW}
        assert asked(server, f"/manifests/{IMAGE.digest}") == 1
        for _ in range(2):
            source.manifest(place, "1")
        assert asked(server, "/manifests/1") == 2
        source.manifest(Repository(server.address, "b"), IMAGE.digest)
        assert asked(server, "/v2/b/manifests/") == 1, "another repository may not have it"


def test_a_tag_of_a_digest_that_the_list_lacks_is_not_asked_for() -> None:
    with Hostile(registry(listed("1", "2"))) as server, source_of() as source:
        place = Repository(server.address, "a")
        for suffix in ("", ".sig", ".att", ".sbom"):
            with pytest.raises(NotFound):
                source.manifest(place, f"{TAG}{suffix}")
        assert source.referrers(place, SUBJECT).tagged == ()
        assert (asked(server, "/manifests/"), asked(server, "/tags/list"), asked(server, "/referrers/")) == (0, 1, 1)
        assert source.manifest(place, "never-listed").raw == RAW, "of other tags the registry is asked whatever its list says"


def test_a_tag_that_the_list_has_is_asked_for() -> None:
    with Hostile(registry(listed("1", SIGNED))) as server, source_of() as source:
        assert source.manifest(Repository(server.address, "a"), SIGNED).raw == RAW


def cutting(page: int) -> Callable[[Request], Reply]:
    """Has 60 tags and one of a digest, of which it shows so many at a time, without a link."""
    names = [*(f"a{number:03d}" for number in range(60)), SIGNED]

    def answer(request: Request) -> Reply:
        last = request.query.get("last", [""])[0]
        return Reply(200, json.dumps({"tags": [name for name in names if name > last][:page]}).encode())

    return answer


def test_a_longer_list_without_a_link_is_asked_for_its_rest() -> None:
    with Hostile(registry(cutting(50))) as server, source_of() as source:
        place = Repository(server.address, "a")
        assert source.manifest(place, SIGNED).raw == RAW, "it is on the second page"
        with pytest.raises(NotFound):
            source.manifest(place, f"{TAG}.att")
        assert asked(server, "/tags/list") == 3


@pytest.mark.parametrize(("status", "lists"), [(500, 2), (503, 2), (429, 6)])
def test_a_list_that_fails_is_given_up_soon_and_one_that_is_refused_for_now_is_waited_for(status: int, lists: int) -> None:
    waits: list[float] = []
    with Hostile(registry(lambda _: Reply(status))) as server, source_of(waits.append) as source:
        place = Repository(server.address, "a")
        for _ in range(2):
            assert source.manifest(place, SIGNED).raw == RAW
        assert asked(server, "/tags/list") == lists
        assert len(waits) == lists - 1
        assert sum(waits) < 1 or status == 429


def paged(pages: int) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        number = int(request.query.get("page", ["1"])[0])
        link = {"Link": f'</v2/a/tags/list?page={number + 1}>; rel="next"'} if number < pages else {}
        return Reply(200, json.dumps({"tags": [f"v{number}"]}).encode(), link)

    return answer


@pytest.mark.parametrize(
    "tags",
    [lambda _: Reply(404), lambda _: Reply(403), lambda _: Reply(401), lambda _: Reply(200, b"<html>"), paged(3), paged(10_000)],
    ids=["404", "403", "401", "nonsense", "three pages", "without an end"],
)
def test_a_list_that_is_refused_nonsense_or_long_says_nothing(tags: Callable[[Request], Reply]) -> None:
    with Hostile(registry(tags)) as server, source_of() as source:
        place = Repository(server.address, "a")
        for _ in range(3):
            assert source.manifest(place, SIGNED).raw == RAW
        assert asked(server, "/tags/list") <= 3, "it is read once"


def test_two_pages_are_read_to_their_end() -> None:
    with Hostile(registry(paged(2))) as server, source_of() as source:
        with pytest.raises(NotFound):
            source.manifest(Repository(server.address, "a"), SIGNED)
        assert asked(server, "/tags/list") == 2


def test_a_list_that_was_read_for_a_rule_is_not_read_again() -> None:
    with Hostile(registry(paged(7))) as server, source_of() as source:
        place = Repository(server.address, "a")
        assert len(list(source.tags(place))) == 7
        with pytest.raises(NotFound):
            source.manifest(place, SIGNED)
        assert asked(server, "/tags/list") == 7


def test_a_list_that_was_read_in_part_says_nothing() -> None:
    known = KnownTags(lambda _: None)
    place = Repository("registry.example", "a")
    assert next(known.heard(place, ["1", "2"])) == "1"
    assert not known.lacks(place, SIGNED)


def test_who_waits_for_an_answer_that_fails_asks_for_himself() -> None:
    once: Once[str, int] = Once()
    waiting, failing = threading.Event(), threading.Event()

    def fail() -> int:
        waiting.set()
        assert failing.wait(30)
        raise RegistryError("not this time")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.get, "a", fail)
        assert waiting.wait(30)
        second = pool.submit(once.get, "a", lambda: 7)
        failing.set()
        with pytest.raises(RegistryError):
            first.result()
        assert second.result() == 7
