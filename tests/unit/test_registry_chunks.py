"""Blobs in pieces, and uploads that go on after they died, at a registry that keeps to the specification, and at one that lies."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from airgap.errors import Damaged, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import BytesReader, VerifiedReader
from airgap.registry.chunks import BodySizes
from tests.support.hostile import HANG_UP, Hostile, Reply, Request, client

DATA = bytes(range(256)) * 4000
BLOB = Descriptor(media.OCTETS, Digest.of(DATA), len(DATA))
LIMIT = 300_000


class Registry:
    """Takes one blob, by the specification ("Pushing a blob in chunks"); ``before`` may answer first.

    Attributes:
        claims: what the registry says about how far it is, from how far it really is.
        stored: the blob, once it is complete.
    """

    def __init__(self) -> None:
        self.before: Callable[[Request], Reply | None] = lambda _: None
        self.claims: Callable[[int], str] = lambda size: f"0-{max(size - 1, 0)}"
        self.session = b""
        self.stored = b""
        self.sessions = itertools.count(1)
        self.now = 0

    def answer(self, request: Request) -> Reply:
        own = self.before(request)
        if own is not None:
            return own
        if request.method == "POST":
            self.session, self.now = b"", next(self.sessions)
            return Reply(202, headers=self.head())
        if request.method == "HEAD":
            return Reply(404)
        if f"/{self.now}" not in request.path:
            return Reply(404)
        if request.method == "GET":
            return Reply(204, headers=self.head())
        if request.method == "PATCH" and int(request.headers["Content-Range"].partition("-")[0]) != len(self.session):
            return Reply(416, headers=self.head())
        self.session += request.body
        if request.method == "PATCH":
            return Reply(202, headers=self.head())
        if request.method == "PUT" and Digest.of(self.session) == request.query["digest"][0]:
            self.stored = self.session
            return Reply(201)
        return Reply(400)

    def head(self) -> dict[str, str]:
        return {"Location": f"/v2/x/blobs/uploads/{self.now}?state={len(self.session)}", "Range": self.claims(len(self.session))}


def opener(data: bytes = DATA) -> Callable[[], Reader]:
    return lambda: VerifiedReader(BytesReader(data), BLOB, "test")


def send(registry: Registry, **options: object) -> list[Request]:
    with Hostile(registry.answer) as server, client(**options) as store:
        store.write(Repository(server.address, "x"), BLOB, opener())
        assert registry.stored == DATA
        return list(server.requests)


def limited(request: Request) -> Reply | None:
    return Reply(413) if len(request.body) > LIMIT else None


def test_pieces_are_in_order_and_never_larger_than_what_passes() -> None:
    registry = Registry()
    registry.before = limited
    requests = send(registry)
    pieces = [one.headers["Content-Range"] for one in requests if one.method == "PATCH" and len(one.body) <= LIMIT]
    ends = [tuple(map(int, piece.split("-"))) for piece in pieces]
    assert ends[0][0] == 0
    assert ends[-1][1] == len(DATA) - 1
    assert all(first[1] + 1 == second[0] for first, second in itertools.pairwise(ends))
    assert [len(one.body) > LIMIT for one in requests].count(True) == 2


def test_what_was_learned_holds_for_the_next_blob() -> None:
    registry = Registry()
    registry.before = limited
    with Hostile(registry.answer) as server, client() as store:
        for _ in range(2):
            server.requests.clear()
            store.write(Repository(server.address, "x"), BLOB, opener())
        assert all(len(one.body) <= LIMIT for one in server.requests)


def test_an_upload_that_dies_goes_on_where_it_was() -> None:
    registry = Registry()

    def die_once(request: Request) -> Reply | None:
        if request.method == "PUT" and not registry.session:
            registry.session = request.body[:700_000]
            return HANG_UP
        return None

    registry.before = die_once
    requests = send(registry)
    assert [one.headers["Content-Range"] for one in requests if one.method == "PATCH"] == [f"700000-{len(DATA) - 1}"]
    assert [one.method for one in requests].count("POST") == 1


def test_pieces_that_die_go_on_where_they_were() -> None:
    registry = Registry()
    deaths = itertools.count()

    def die(request: Request) -> Reply | None:
        if request.method == "PATCH" and len(request.body) <= LIMIT and next(deaths) % 2:
            registry.session += request.body[: len(request.body) // 2]
            return HANG_UP
        return limited(request)

    registry.before = die
    requests = send(registry, retries=2)
    assert [one.method for one in requests].count("POST") == 2, "the first one was for a single request"


@pytest.mark.parametrize(
    "claims",
    [lambda _: "0-0", lambda _: "", lambda size: f"0-{size * 10 + 5}", lambda _: "bytes 5-9", lambda _: "0-" + "9" * 40],
    ids=["nothing", "silent", "ahead", "nonsense", "huge"],
)
def test_a_registry_that_lies_about_how_far_it_is(claims: Callable[[int], str]) -> None:
    registry = Registry()
    registry.claims = claims
    died = itertools.count()

    def die(request: Request) -> Reply | None:
        if request.method == "PATCH" and len(request.body) <= LIMIT and next(died) == 1:
            registry.session += request.body[:1000]
            return HANG_UP
        return limited(request)

    registry.before = die
    send(registry)


def test_a_registry_that_loses_what_it_acknowledged_gets_everything_again() -> None:
    registry = Registry()
    lost = itertools.count()

    def lose(request: Request) -> Reply | None:
        if request.method == "PATCH" and len(request.body) <= LIMIT and next(lost) == 2:
            registry.session = registry.session[:1000]
        return limited(request)

    registry.before = lose
    send(registry)


def test_a_limit_that_nothing_passes_is_an_error() -> None:
    registry = Registry()
    registry.before = lambda one: Reply(413, b"no") if one.body else None
    with Hostile(registry.answer) as server, client() as store, pytest.raises(RegistryError) as caught:
        store.write(Repository(server.address, "x"), BLOB, opener())
    assert re.search("413 .*no", caught.value.got)
    assert "limits the size" in caught.value.hint


def test_a_damaged_blob_is_never_finished() -> None:
    registry = Registry()
    registry.before = limited
    wrong = DATA[:-1] + b"x"
    with Hostile(registry.answer) as server, client() as store, pytest.raises(Damaged):
        store.write(Repository(server.address, "x"), BLOB, opener(wrong))
    assert registry.stored == b""
    assert server.seen("DELETE")  # the broken PUT may be noted after it: its thread waits for a body that does not come


def test_sizes_are_halved_to_a_floor_and_the_registrys_own_least() -> None:
    sizes = BodySizes()
    assert sizes.fits("a", 10**12)
    assert sizes.refused("a", 1_000_000)
    assert sizes.most("a") == 458_752
    assert sizes.refused("a", 131_072)
    assert not sizes.refused("a", 65_536)
    sizes.at_least("b", "5000000")
    assert sizes.refused("b", 100_000_000)
    assert sizes.refused("b", 8_000_000)
    assert (sizes.most("b"), sizes.refused("b", 5_000_000)) == (5_000_000, False)
    sizes.at_least("b", "nonsense")
