"""The receipt as a document: what goes in comes out, in one form only, compact; everything else is damage."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import SCHEMA, Receipt, Taken, check_site
from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_RECEIPT
from airgap.oci.digest import Digest

ROOT = Digest.of(b"root")
LAYER = Digest.of(b"layer")
LONG = Digest.of(b"layer", "sha512")
REPOSITORIES = ("mirror/docker.io/library/nginx", "mirror/ghcr.io/team/app")


def receipt(held: Holdings, **changes: Any) -> Receipt:
    facts: dict[str, Any] = {
        "site": "plant-7",
        "created": "2026-01-31T12:00:00Z",
        "tool": "airgap 1",
        "target": "docker://registry.site:5000/mirror",
        "streams": {"prod": Taken(7, Digest.of(b"catalog"))},
        "holdings": held,
    }
    return Receipt(**{**facts, **changes})


def small() -> Receipt:
    blobs = {
        ROOT: Held(500, REPOSITORIES),
        LAYER: Held(123_456_789, REPOSITORIES),
        LONG: Held(0, REPOSITORIES[:1]),
        Digest.of(b"other"): Held(2**53 - 1, REPOSITORIES[1:]),
        Digest.of(b"store"): Held(127),
    }
    images = {f"{REPOSITORIES[0]}:1.27": ROOT, f"{REPOSITORIES[1]}:latest": ROOT}
    return receipt(Holdings(blobs, images, frozenset([ROOT])))


def test_what_goes_in_comes_out() -> None:
    assert Receipt.from_bytes(small().to_bytes()) == small()


def test_a_receipt_of_nothing() -> None:
    empty = receipt(Holdings({}), streams={})
    assert Receipt.from_bytes(empty.to_bytes()) == empty


def test_a_person_can_read_its_head() -> None:
    raw = small().to_bytes()
    head = raw.decode().splitlines()
    assert head[1:6] == [
        '"schema":"airgap.receipt/1",',
        '"site":"plant-7",',
        '"created":"2026-01-31T12:00:00Z",',
        '"tool":"airgap 1",',
        '"target":"docker://registry.site:5000/mirror",',
    ]
    top = json.loads(raw)
    assert top["images"][REPOSITORIES[0]] == {"1.27": ROOT}
    assert top["streams"] == {"prod": {"serial": 7, "catalog": Digest.of(b"catalog")}}


def test_the_rows_can_be_read_by_somebody_else() -> None:
    """With nothing but the description in docs/receipts.md."""
    top = json.loads(small().to_bytes())
    found = {}
    for row in (*top["manifests"], *top["blobs"]):
        name = "sha256" if "sha256" in row else "sha512"
        width = hashlib.new(name).digest_size
        digests, packed = base64.b64decode(row[name]), base64.b64decode(row["sizes"])
        size, number, shift, i = 0, 0, 0, 0
        for byte in packed:
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                size += number
                places = tuple(top["repositories"][n] for n in row["repositories"])
                found[f"{name}:{digests[i * width : (i + 1) * width].hex()}"] = (size, places)
                number, shift, i = 0, 0, i + 1
    assert found == {digest: (held.size, held.repositories) for digest, held in small().holdings.blobs.items()}


def test_order_of_making_does_not_matter() -> None:
    held = small().holdings
    turned = Holdings(
        dict(reversed(list(held.blobs.items()))),
        dict(reversed(list(held.images.items()))),
        held.manifests,
    )
    assert receipt(turned).to_bytes() == small().to_bytes()


@pytest.mark.slow("a hundred thousand blobs")
def test_hundred_thousand_blobs_take_at_most_48_bytes_each() -> None:
    """As in a registry with 400 repositories: half small (configs, manifests), half layers, some shared by several repositories."""
    chance = random.Random(1)
    repositories = [f"mirror/registry.example/team-{number % 40}/application-{number}" for number in range(400)]
    blobs, manifests, images = {}, set(), {}
    for number in range(100_000):
        digest = Digest.of(number.to_bytes(4, "big"))
        kind = number % 4
        size = chance.randint(400, 3000) if kind == 0 else chance.randint(1000, 12_000) if kind == 1 else _layer_size(chance)
        home = number % 400
        shared = {home} if chance.random() < 0.97 else {home, (home + 1) % 400, (home + 2) % 400}
        blobs[digest] = Held(size, tuple(sorted(repositories[one] for one in shared)))
        if kind == 0:
            manifests.add(digest)
    for number, digest in zip(range(400), sorted(manifests), strict=False):
        images[f"{repositories[number]}:v1"] = digest
    made = receipt(Holdings(blobs, images, frozenset(manifests)))
    raw = made.to_bytes()
    assert len(raw) / len(blobs) <= 48
    assert Receipt.from_bytes(raw) == made


def _layer_size(chance: random.Random) -> int:
    return int(10 ** chance.uniform(2.5, 8))


DIGESTS = st.builds(lambda raw, name: Digest.of(raw, name), st.binary(max_size=8), st.sampled_from(["sha256", "sha512"]))
PATHS = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True)
NAMES = PATHS | st.builds(lambda path: f"localhost:5000/{path}", PATHS) | st.builds(lambda path: f"docker.io/{path}", PATHS)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_receipt_comes_back_the_same(data: st.DataObject) -> None:
    names = data.draw(st.lists(NAMES, unique=True, max_size=5))
    places = st.lists(st.sampled_from(names), unique=True).map(lambda found: tuple(sorted(found))) if names else st.just(())
    blobs = data.draw(st.dictionaries(DIGESTS, st.builds(Held, st.integers(0, 2**53 - 1), places), max_size=30))
    manifests = frozenset(data.draw(st.sets(st.sampled_from(sorted(blobs))))) if blobs else frozenset()
    images = {}
    if manifests and names:
        named = st.builds(lambda name, tag: f"{name}:{tag}", st.sampled_from(names), TAGS)
        images = data.draw(st.dictionaries(named, st.sampled_from(sorted(manifests)), max_size=5))
    made = receipt(Holdings(blobs, images, manifests))
    raw = made.to_bytes()
    assert Receipt.from_bytes(raw) == made
    assert Receipt.from_bytes(raw).to_bytes() == raw


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_random_damage_is_damage_or_another_whole_receipt(data: st.DataObject) -> None:
    """Whatever is read is exactly what the bytes say: nothing in them is overlooked."""
    raw = bytearray(small().to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Receipt.from_bytes(bytes(raw))
    except Damaged:
        return
    assert found.to_bytes() == raw


def _row(top: dict[str, Any], **changes: Any) -> None:
    top["blobs"][0].update(changes)


def _zeros(count: int) -> str:
    return base64.b64encode(bytes(count)).decode()


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda top: top.update(schema="airgap.receipt/2"),
    "a catalog": lambda top: top.update(schema="airgap.catalog/1"),
    "no schema": lambda top: top.pop("schema"),
    "an entry missing": lambda top: top.pop("tool"),
    "an entry more": lambda top: top.update(extra=1),
    "an entry in capitals": lambda top: top.update(Site="x"),
    "site not a name": lambda top: top.update(site="Plant 7"),
    "site not text": lambda top: top.update(site=7),
    "no time": lambda top: top.update(created="yesterday"),
    "empty tool": lambda top: top.update(tool=""),
    "escapes in the tool": lambda top: top.update(tool="airgap \u001b[2J"),
    "a long target": lambda top: top.update(target="x" * 5000),
    "credentials in the target": lambda top: top.update(target="docker://user:secret@registry.site"),
    "a stream that is none": lambda top: top.update(streams={"Prod": {"serial": 1, "catalog": ROOT}}),
    "a serial that is none": lambda top: top.update(streams={"prod": {"serial": -1, "catalog": ROOT}}),
    "a stream's catalog that is none": lambda top: top.update(streams={"prod": {"serial": 1, "catalog": "sha256:0"}}),
    "a stream with more": lambda top: top["streams"]["prod"].update(more=1),
    "repositories out of order": lambda top: top["repositories"].reverse(),
    "a repository twice": lambda top: top["repositories"].append(top["repositories"][-1]),
    "a repository unused": lambda top: top["repositories"].append("zzz"),
    "a repository that is none": lambda top: top["repositories"].append("../../etc"),
    "an image that is none": lambda top: top["images"].update({"a//b": {"x": ROOT}}),
    "a tag that is none": lambda top: top["images"][REPOSITORIES[0]].update({"a/b": ROOT}),
    "an image without tags": lambda top: top["images"].update({"a": {}}),
    "an image whose manifest is not there": lambda top: top["images"][REPOSITORIES[0]].update(x=LAYER),
    "an image without a digest": lambda top: top["images"][REPOSITORIES[0]].update(x=None),
    "rows that are none": lambda top: top.update(blobs={}),
    "a row that is none": lambda top: top["blobs"].append(7),
    "a row with more": lambda top: _row(top, more=1),
    "a row with two algorithms": lambda top: _row(top, sha256="", sha512=""),
    "a row without digests": lambda top: top["blobs"][0].pop("sha256"),
    "an empty row": lambda top: top["blobs"].append({"repositories": [], "sha256": "", "sizes": ""}),
    "a row twice": lambda top: top["blobs"].append(dict(top["blobs"][0])),
    "rows out of order": lambda top: top["blobs"].reverse(),
    "a blob that is a manifest, too": lambda top: top["blobs"].append(dict(top["manifests"][0])),
    "a repository beyond the end": lambda top: _row(top, repositories=[2]),
    "a repository before the beginning": lambda top: _row(top, repositories=[-1]),
    "repositories of a row out of order": lambda top: top["manifests"][0].update(repositories=[1, 0]),
    "not base64": lambda top: _row(top, sha256="!" * 44),
    "base64 outside ASCII": lambda top: _row(top, sha256="ü" * 44),
    "a digest cut": lambda top: _row(top, sha256=_zeros(31)),
    "a digest too many": lambda top: _row(top, sha256=_zeros(64)),
    "a size too many": lambda top: _row(top, sizes=_zeros(2)),
    "a size cut": lambda top: _row(top, sizes=base64.b64encode(b"\x80").decode()),
    "a size in a longer form": lambda top: _row(top, sizes=base64.b64encode(b"\x81\x00").decode()),
    "a size from 2^53": lambda top: _row(top, sizes=base64.b64encode(b"\x80" * 7 + b"\x10").decode()),
    "a size without end": lambda top: _row(top, sizes=base64.b64encode(b"\xff" * 100).decode()),
}  # fmt: skip


@pytest.mark.parametrize("edit", DAMAGE.values(), ids=DAMAGE)
def test_a_receipt_with(edit: Callable[[dict[str, Any]], object]) -> None:
    top = json.loads(small().to_bytes())
    edit(top)
    with pytest.raises(Damaged) as caught:
        Receipt.from_bytes(_in_our_form(top), "plant-7.receipt")
    assert "plant-7.receipt" in caught.value.where
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


def _in_our_form(top: dict[str, Any]) -> bytes:
    """As our own writer lays it out, so that only the change can be what is wrong."""
    lines = []
    for key, value in top.items():
        rows = [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in value] if key in ("manifests", "blobs") else []
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        lines.append(f'"{key}":' + ("[\n" + ",\n".join(rows) + "\n]" if rows else text))
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def test_the_form_of_these_tests_is_ours() -> None:
    assert _in_our_form(json.loads(small().to_bytes())) == small().to_bytes()


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"\xff", b"{}" * 2, b'{"schema":"a","schema":"b"}', b"[" * 100_000, small().to_bytes() + b" "],
    ids=lambda raw: repr(raw[:12]),
)
def test_what_is_no_receipt_at_all(raw: bytes) -> None:
    with pytest.raises(Damaged):
        Receipt.from_bytes(raw)


def test_a_receipt_cut_anywhere_is_damage() -> None:
    raw = small().to_bytes()
    for length in range(0, len(raw), 7):
        with pytest.raises(Damaged):
            Receipt.from_bytes(raw[:length])


def test_a_receipt_that_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(Damaged) as caught:
        Receipt.from_bytes(b" " * (MAX_RECEIPT + 1))
    assert "too large" in caught.value.what


def test_a_receipt_that_becomes_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.documents.receipt.MAX_RECEIPT", 100)
    with pytest.raises(UsageError) as caught:
        small().to_bytes()
    assert "--repository" in caught.value.hint


@pytest.mark.parametrize("name", ["", "Plant", "a b", "-a", "a--b", "x" * 49, "ü", "a\n"])
def test_what_is_no_site(name: str) -> None:
    with pytest.raises(UsageError):
        check_site(name)


def test_schema_is_the_documented_one() -> None:
    assert SCHEMA == "airgap.receipt/1"
