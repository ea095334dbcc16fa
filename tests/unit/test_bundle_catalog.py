"""The catalog: strict both ways, and its frame follows from it. What a signed but wrong one does is in test_bad_input_import."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import Damaged, UsageError
from airgap.format import frame, names
from airgap.format.catalog import SCHEMA, Blob, Catalog, Patch, Volume, layout_members, savings
from airgap.format.times import format_time, parse_time
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, Attachment, Image
from airgap.oci.reference import Reference


def make(sizes: list[int], volume_size: int | None, serial: int = 7, expires: str | None = None) -> Catalog:
    """A catalog whose extents and volume sizes are the canonical ones, over content that does not exist."""
    blobs = [(Digest.of(f"blob {i}".encode()), size) for i, size in enumerate(sizes)]
    root = Descriptor(media.OCI_MANIFEST, *blobs[0])
    sbom = Attachment(REFERRER, root.digest, Descriptor(media.OCI_MANIFEST, Digest.of(b"sbom"), 3))
    image = Image(Reference.parse("shop/web:1"), root, ("linux/amd64",), attachments=(sbom,), volumes=(1,))
    measured = frame.measure(layout_members([image], blobs), volume_size)
    volumes = tuple(
        Volume(names.volume_name(i), size, "0" * 64, ("1" * 64,) * -(-size // names.BLOCK_SIZE))
        for i, size in enumerate(measured.sizes, 1)
    )
    return Catalog(
        stream="prod-site",
        serial=serial,
        created="2026-01-31T12:00:00Z",
        expires=expires,
        tool="airgap 1",
        previous=Digest.of(b"previous"),
        base=(),
        volume_size=volume_size,
        images=(replace(image, volumes=tuple(range(1, len(volumes) + 1))),),
        blobs={digest: Blob(size, measured.extents[names.blob_path(digest)]) for digest, size in blobs},
        volumes=volumes,
    )


catalogs = st.builds(
    make,
    st.lists(st.integers(0, 60_000), min_size=1, max_size=8),
    st.none() | st.integers(names.MIN_VOLUME, 50_000),
    st.integers(1, names.MAX_SERIAL),
    st.none() | st.just("2027-01-01T00:00:00Z"),
)


@settings(max_examples=40, deadline=None)
@given(catalogs)
def test_a_catalog_reads_as_it_was_written_and_its_frame_is_canonical(catalog: Catalog) -> None:
    raw = catalog.to_bytes()
    again = Catalog.from_bytes(raw)
    assert again == catalog
    assert again.to_bytes() == raw
    again.check_frame()
    assert again.members() == catalog.members()


def test_the_bytes_are_one_top_level_entry_a_line_with_sorted_keys() -> None:
    raw = make([100, 0, 5], None).to_bytes()
    lines = raw.decode().splitlines()
    keys = [line.partition(":")[0].strip('"') for line in lines[1:-1]]
    assert keys == sorted(keys)
    assert json.loads(raw)["schema"] == SCHEMA
    assert raw.endswith(b"}\n")
    assert make([100], None).name == "prod-site-0007"


WHOLE, ALONE, ON_CARRIED, ON_HELD, TWICE, HELD = (Digest.of(name.encode()) for name in ("w", "alone", "c", "h", "twice", "held"))
FIRST = Digest.of(b"blob 0")


def saving(sizes: list[int], hints: list[str], codec: str = "deflate-tokens/1") -> Catalog:
    """A catalog with a held blob, and with patches of every permitted kind; the carried blobs are the patches."""
    made = make([100, *sizes], None)
    patch = Digest.of(f"blob {len(sizes)}".encode())
    more = {
        HELD: Blob(2**53 - 1, held=True, repositories=tuple(hints)),
        ALONE: Blob(5, patch=Patch(codec, None, patch)),
        ON_CARRIED: Blob(0, patch=Patch(codec, FIRST, patch)),
        ON_HELD: Blob(7, patch=Patch("bytes/1", HELD, patch)),
        TWICE: Blob(8, patch=Patch(codec, ALONE, patch)),
    }
    return replace(made, base=(FIRST, HELD), blobs={**made.blobs, **more})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=4), st.lists(st.text(max_size=30), max_size=4))
def test_what_is_held_and_patched_reads_as_it_was_written_and_takes_no_place(sizes: list[int], hints: list[str]) -> None:
    catalog = saving(sizes, hints)
    again = Catalog.from_bytes(catalog.to_bytes())
    assert again == catalog
    assert again.to_bytes() == catalog.to_bytes()
    again.check_frame()
    assert again.members() == make([100, *sizes], None).members()
    facts = savings(again.blobs)
    assert (facts["patched_blobs"], facts["patched_bytes"], facts["patch_bytes"]) == (4, 20, 4 * sizes[-1])


UNKNOWN: dict[str, Any] = {"from-a-later-version": {"a": [1.5, None, {"held": False}]}, "another": "x"}


def test_members_that_a_reader_does_not_know_are_ignored_at_every_level() -> None:
    """format.md, "Unknown members": a later version may add what an older reader need not understand."""
    catalog = saving([5, 0], ["quay.io/team/app"])
    top = json.loads(catalog.to_bytes())
    image = top["images"][0]
    entries = [top, image, image["attachments"][0], *top["volumes"], *top["blobs"].values()]
    entries += [blob["patch"] for blob in top["blobs"].values() if "patch" in blob]
    assert len(entries) > 8
    for entry in entries:
        entry |= UNKNOWN
    assert Catalog.from_bytes(json.dumps(top).encode()) == catalog


@pytest.mark.parametrize("name", ["MediaType", "DIGEST", "artifacttype"])
def test_members_of_a_descriptor_that_other_parsers_would_confuse_are_refused(name: str) -> None:
    top = json.loads(make([5], None).to_bytes())
    top["images"][0][name] = "x"
    with pytest.raises(Damaged, match="other parsers would confuse"):
        Catalog.from_bytes(json.dumps(top).encode())


CARRIED = {"size": 0, "extents": [[1, 0, 0]]}
WRONG_BLOBS: dict[str, dict[str, Any]] = {
    "nowhere": {"size": 5},
    "not held": {"size": 5, "held": False},
    "perhaps held": {"size": 5, "held": 1},
    "held and carried": {**CARRIED, "held": True},
    "not held and carried": {**CARRIED, "held": False},
    "patched and carried": {**CARRIED, "patch": {"codec": "bytes/1", "base": None, "blob": FIRST}},
    "patched and held": {"size": 5, "held": True, "patch": {"codec": "bytes/1", "base": None, "blob": FIRST}},
    "negative": {"size": -1, "held": True},
    "huge": {"size": 2**53, "held": True},
    "half": {"size": 1.5, "held": True},
    "text for a size": {"size": "5", "held": True},
    "a hint that is no text": {"size": 5, "held": True, "repositories": [5]},
    "hints that are no list": {"size": 5, "held": True, "repositories": "a"},
    "a patch that is no object": {"size": 5, "patch": FIRST},
    "a patch without a codec": {"size": 5, "patch": {"base": None, "blob": FIRST}},
    "a patch without a blob": {"size": 5, "patch": {"codec": "bytes/1", "base": None}},
    "a codec that is no text": {"size": 5, "patch": {"codec": 1, "base": None, "blob": FIRST}},
    "an unknown codec": {"size": 5, "patch": {"codec": "bytes/2", "base": None, "blob": FIRST}},
    "a negative size of a patched one": {"size": -5, "patch": {"codec": "bytes/1", "base": None, "blob": FIRST}},
    "a patch that is not carried": {"size": 5, "patch": {"codec": "bytes/1", "base": None, "blob": HELD}},
    "a patch that does not exist": {"size": 5, "patch": {"codec": "bytes/1", "base": None, "blob": Digest.of(b"?")}},
    "a patch that is itself made by one": {"size": 5, "patch": {"codec": "bytes/1", "base": None, "blob": ALONE}},
    "its own patch": {"size": 5, "patch": {"codec": "bytes/1", "base": None, "blob": WHOLE}},
    "its own base": {"size": 5, "patch": {"codec": "bytes/1", "base": WHOLE, "blob": FIRST}},
    "a base that does not exist": {"size": 5, "patch": {"codec": "bytes/1", "base": Digest.of(b"?"), "blob": FIRST}},
    "a base that is no digest": {"size": 5, "patch": {"codec": "bytes/1", "base": "x", "blob": FIRST}},
    "a chain of bases": {"size": 5, "patch": {"codec": "bytes/1", "base": ON_HELD, "blob": FIRST}},
}


@pytest.mark.parametrize("name", WRONG_BLOBS)
def test_a_blob_that_is_not_clearly_carried_held_or_patched_is_refused(name: str) -> None:
    top = json.loads(saving([10], []).to_bytes())
    top["blobs"][WHOLE] = WRONG_BLOBS[name]
    with pytest.raises(Damaged) as caught:
        Catalog.from_bytes(json.dumps(top).encode())
    assert caught.value.where.startswith("catalog.json")
    assert name != "an unknown codec" or "newer airgap" in caught.value.hint


@settings(max_examples=40, deadline=None)
@given(catalogs, st.data())
def test_extents_or_sizes_that_are_not_canonical_are_refused(catalog: Catalog, data: st.DataObject) -> None:
    digest = data.draw(st.sampled_from(sorted(catalog.blobs)))
    blob = catalog.blobs[digest]
    part = data.draw(st.integers(0, len(blob.extents) - 1))
    shift = data.draw(st.sampled_from([-512, -1, 1, 512]))
    moved = replace(blob.extents[part], offset=max(0, blob.extents[part].offset + shift))
    extents = (*blob.extents[:part], moved, *blob.extents[part + 1 :])
    with pytest.raises(Damaged):
        replace(catalog, blobs={**catalog.blobs, digest: replace(blob, extents=extents)}).check_frame()
    last = catalog.volumes[-1]
    with pytest.raises(Damaged):
        replace(catalog, volumes=(*catalog.volumes[:-1], replace(last, size=last.size + 512))).check_frame()


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.25Z"])
def test_times_are_read_in_utc(text: str) -> None:
    assert parse_time(text).replace(microsecond=0) == dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    assert format_time(parse_time(text)) == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "9999-12-31T23:59:59-01:00", "1e9"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)
