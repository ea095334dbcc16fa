"""How places are written, alone and in image lists, and which image of a layout a name means."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from airgap.errors import UsageError
from airgap.layout.index import REF_NAME, Index
from airgap.lists import Entry, merge_entries, parse_list
from airgap.oci import media
from airgap.oci.places import Place, is_place
from airgap.oci.reference import Reference
from tests.support import images


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("oci:/srv/layout", "/srv/layout", ""),
        ("oci:/srv/layout:1.0", "/srv/layout", "1.0"),
        ("oci-archive:app.tar:localhost:5000/app:1.0", "app.tar", "localhost:5000/app:1.0"),
        ("docker-archive:a b.tar:@0", "a b.tar", "@0"),
        ("dir:/srv/a:b", "/srv/a:b", ""),
        ("bundle:/mnt/usb/prod-0001:quay.io/a/b:1", "/mnt/usb/prod-0001", "quay.io/a/b:1"),
        ("containers-storage:[vfs@/r+/rr]localhost/app:1", "", "[vfs@/r+/rr]localhost/app:1"),
        ("docker-daemon:app:1", "", "app:1"),
    ],
)
def test_places_are_read_as_skopeo_reads_them(text: str, path: str, name: str) -> None:
    place = Place.parse(text)
    assert (place.transport, place.path, place.name) == (text.partition(":")[0], path, name)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "oci", "oci:", "oci::1.0", "dir:", "docker-daemon:", "ostree:x", "docker://a/b", "oci:a\0b", "OCI:x"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="docker-archive"):
        Place.parse(text)


def test_an_image_that_is_called_like_a_transport_is_written_in_full() -> None:
    assert is_place("oci:1.0")
    assert not is_place("docker.io/library/oci:1.0")
    assert not is_place("oci")


def parsed(text: str) -> list[tuple[str, str]]:
    def places(place: Place, reference: Reference | None) -> Sequence[tuple[Reference, Place]]:
        if reference is not None:
            return [(reference, place)]
        return [(Reference.parse(f"inside.example/{name}:1"), place.called(name)) for name in ("a", "b")]

    return [
        (str(wish.reference), wish.source) for wish in parse_list(text.encode(), "list", places).wanted if isinstance(wish, Entry)
    ]


@pytest.mark.parametrize("head", ["", "images:\n"], ids=["text", "yaml"])
def test_lists_mix_registries_and_places(head: str) -> None:
    lines = [
        "quay.io/x/y:1",
        "dir:/srv/d as site.example/d:1",
        "oci-archive:/a b/x.tar:n  AS  site.example/x",
        "bundle:/mnt  # all",
    ]
    text = head + "".join(f"  - {line}\n" if head else f"{line}\n" for line in lines)
    assert parsed(text) == [
        ("quay.io/x/y:1", ""),
        ("site.example/d:1", "dir:/srv/d"),
        ("site.example/x:latest", "oci-archive:/a b/x.tar:n"),
        ("inside.example/a:1", "bundle:/mnt:a"),
        ("inside.example/b:1", "bundle:/mnt:b"),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("dir:/srv/d as site.example/UPPER:1", "not a valid image reference"),
        ("oci::1 as site.example/x:1", "the transport is not followed by a location"),
        ("dir:/srv/d", "an image without a name"),
    ],
)
@pytest.mark.parametrize(("head", "column"), [("# text\n", 1), ("images:\n- ", 3)])
def test_mistakes_say_line_and_column(line: str, what: str, head: str, column: int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(f"{head}{line}\n".encode(), "images")
    assert what in caught.value.what
    assert caught.value.where == f"images:2:{column}"


def test_one_name_from_two_places_is_a_contradiction() -> None:
    one = Entry(Reference.parse("a.example/b:1"), origin="list:1", source="dir:/one")
    assert merge_entries([one, Entry(one.reference, origin="list:2", source="dir:/one")]) == [one]
    for other in ("dir:/two", ""):
        with pytest.raises(UsageError, match="dir:/one"):
            merge_entries([one, Entry(one.reference, origin="list:2", source=other)])


def test_a_changed_place_is_another_request() -> None:
    reference = Reference.parse("a.example/b:1")
    assert Entry(reference, source="dir:/one").facts() != Entry(reference, source="dir:/two").facts()
    assert "source" not in Entry(reference).facts()


def index(*names: str) -> Index:
    manifests = []
    for number, name in enumerate(names):
        descriptor = images.content(str(number).encode(), media.OCI_MANIFEST).descriptor
        manifests.append({**descriptor.to_json(), "annotations": {REF_NAME: name} if name else {}})
    return Index.parse(json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(), "index.json", "shop")


SIGNATURE = f"quay.io/a:sha256-{'0' * 64}.sig"


@pytest.mark.parametrize(
    ("names", "wish", "found"),
    [
        (["1.0"], "", 0),
        ([""], "", 0),
        (["1.0", "2.0"], "2.0", 1),
        (["quay.io/a:1", SIGNATURE, ""], "", 0),
        (["quay.io/a:1", "quay.io/a:2"], "quay.io/a:2", 1),
        (["Not A Name!", "1.0"], "1.0", 1),
    ],
)
def test_a_name_means_one_image_of_a_layout(names: list[str], wish: str, found: int) -> None:
    listed = index(*names)
    assert listed.pick(wish, "here") is listed.entries[found]


@pytest.mark.parametrize(("names", "wish"), [(["1.0", "2.0"], ""), (["1.0"], "3.0"), (["", ""], ""), ([], ""), ([SIGNATURE], "")])
def test_a_name_that_does_not_tell_is_refused(names: list[str], wish: str) -> None:
    with pytest.raises(UsageError, match="here"):
        index(*names).pick(wish, "here")
