"""The report's page: what it says, that it lets nothing through, and that it stays small."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from airgap.documents.difference import compare, of_catalog
from airgap.format.catalog import Blob, Catalog, Volume
from airgap.format.frame import Extent
from airgap.html.chart import Part, qr_code, squarify, treemap
from airgap.html.style import CSS
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.report.data import Before, Report, ShownImage, Trust, signatures_of
from airgap.report.page import render
from airgap.report.sbom import Sbom
from airgap.report.weight import Weight, Weights

EVIL = '<script>alert("x")</script>&\x1b[31m'


def catalog(count: int, serial: int = 1, first: int = 0, tool: str = "airgap") -> Catalog:
    images = tuple(
        Image(
            Reference.parse(f"registry.example/team/app-{n}:1.{n}"),
            Descriptor(media.OCI_MANIFEST, Digest.of(str(n).encode()), 100),
            ("linux/amd64", "linux/arm64"),
            volumes=(1,),
        )
        for n in range(first, first + count)
    )
    blobs = {image.root.digest: Blob(100, (Extent(1, 512 * n, 100),)) for n, image in enumerate(images)}
    volume = Volume("volume-0001.tar", 100_000, "ab" * 32, ("cd" * 32,))
    return Catalog(
        stream="prod",
        serial=serial,
        created="2026-01-31T12:00:00Z",
        expires=None,
        tool=tool,
        previous=None,
        base=(),
        volume_size=None,
        images=images,
        blobs=blobs,
        volumes=(volume,),
    )


def report(found: Catalog, earlier: Catalog | None = None, **options: Any) -> Report:
    content = of_catalog(earlier) if earlier else None
    weights = {image.root.digest: Weight(5000 + n, 4000, 3000 + n, {"linux/amd64": 5000}) for n, image in enumerate(found.images)}
    images = [
        ShownImage(
            str(image.reference),
            image.root.digest,
            image.platforms,
            image.volumes,
            weights[image.root.digest],
            "new" if earlier else "",
            {"cosign signature": 1},
            (Sbom("SPDX-2.3", 12, {"MIT": 10, "ISC": 2}),),
        )
        for image in found.images
    ]
    chosen: dict[str, Any] = {
        "catalog": found,
        "digest": Digest.of(b"catalog"),
        "made": "2026-02-01T00:00:00Z",
        "images": images,
        "weights": Weights(weights, 900, 1800, 3),
        "signatures": signatures_of(["catalog.json.0123456789abcdef.sig", "catalog.json.fedcba9876543210.asc"]),
        "trust": Trust(),
        "before": Before(content, "prod-0000" if earlier else "name it with --since"),
        "differences": compare(content, of_catalog(found)) if content else None,
        "here": frozenset({"volume-0001.tar"}),
        "remarks": [],
    }
    return Report(**(chosen | options))


def test_signature_files_are_told_by_their_names() -> None:
    names = [
        "catalog.json.0123456789abcdef.sig",
        "catalog.json.fedcba9876543210.asc",
        "catalog.json.0123456789abcdef.sigstore.json",
    ]
    found = [(one.kind, one.key) for one in signatures_of([*names, "catalog.json.sigstore.json"])]
    assert found == [
        ("raw (cosign, openssl)", "0123456789abcdef"),
        ("Sigstore bundle", "0123456789abcdef"),
        ("OpenPGP", "fedcba9876543210"),
        ("Sigstore bundle", ""),
    ]


class Outline(HTMLParser):
    """What a browser would find: tags with attributes, and that every one of ours is closed."""

    VOID = ("meta", "link", "br", "rect", "path")

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(page: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.decode(), flags=re.DOTALL))


def test_page_is_well_formed_and_needs_nothing_but_itself():
    page = render(report(catalog(3), catalog(2)))
    outline = Outline(page)
    assert outline.open == []
    for tag, attributes in outline.tags:
        assert tag not in ("script", "iframe", "img", "object", "form")
        assert not {"src", "style", "onload", "onclick", "action"} & attributes.keys()
        assert attributes.get("href", "data:,") == "data:,"
    assert b"http://" not in page
    assert b"https://" not in page
    assert ("meta", "default-src 'none'") in [(t, (a.get("content") or "")[:18]) for t, a in outline.tags]


def test_page_says_what_is_inside_and_what_is_different():
    seen = words(render(report(catalog(3), catalog(2, first=1))))
    assert "Signatures: not verified here" in seen
    assert "Not verified here." in seen
    assert "Compared with prod-0000" in seen
    assert "New (1)" in seen
    assert "catalog.json.fedcba9876543210.asc OpenPGP fedcba9876543210" in seen
    assert "SPDX-2.3 12 MIT (10), ISC (2)" in seen
    assert "ab" * 32 in seen
    assert str(Digest.of(b"catalog")) in seen
    assert "name it with --since" in words(render(report(catalog(1))))


def test_page_says_who_signed_only_when_a_policy_was_asked():
    trusted = report(catalog(1), trust=Trust("policy.json", ("ECDSA P-256 key 0123",), ("signed",)))
    assert "Signed by ECDSA P-256 key 0123: as required by the policy policy.json" in words(render(trusted))
    nobody = report(catalog(1), trust=Trust("policy.json", (), ("insecureAcceptAnything",)))
    assert "accepts this bundle without any signature" in words(render(nobody))


def test_table_cells_are_named_by_their_heads():
    outline = Outline(render(report(catalog(2), catalog(1))))
    assert [a for t, a in outline.tags if t == "th" and a.get("scope") not in ("col", "row")] == []
    assert sum(t == "table" for t, _ in outline.tags) == sum(t == "caption" for t, _ in outline.tags)
    headings = [t for t, _ in outline.tags if t in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


@pytest.mark.parametrize("field", ["tool", "policy", "remark", "sbom", "platform", "before", "hanging"])
def test_outside_text_is_shown_and_never_obeyed(field):
    found = catalog(1, tool=EVIL if field == "tool" else "airgap")
    made = report(
        found,
        trust=Trust(EVIL, (EVIL,), (EVIL,)) if field == "policy" else Trust(),
        remarks=[EVIL] if field == "remark" else [],
        before=Before(None, EVIL) if field == "before" else Before(None, ""),
        images=[
            ShownImage(
                "r.example/a:1",
                found.images[0].root.digest,
                (EVIL,) if field == "platform" else (),
                (1,),
                Weight(10, 10, 10, {EVIL: 10} if field == "platform" else {}),
                "",
                {EVIL: 1} if field == "hanging" else {},
                (Sbom(EVIL, 1, {EVIL: 1}),) if field == "sbom" else (),
            )
        ],
    )
    page = render(made)
    assert b"<script" not in page
    assert b"\x1b" not in page
    assert b"&lt;script&gt;" in page
    assert Outline(page).open == []


@pytest.mark.slow("ten thousand images")
def test_ten_thousand_images_are_folded_and_stay_small():
    page = render(report(catalog(10_000), catalog(5_000)))
    assert len(page) < 12_000_000
    assert page.count(b"<details>") >= 2
    assert "app-9999:1.9999" in page.decode()
    assert "9900 more rows" in words(page)


def test_nothing_weighs_nothing_and_still_has_a_page():
    found = catalog(1)
    root = found.images[0].root.digest
    image = ShownImage("r.example/a:1", root, (), (1,), Weight(unread="volume 1 is missing"), "")
    page = render(report(found, images=[image], weights=Weights({}, 0, 0, 0), here=frozenset()))
    assert "unknown here" in words(page)
    assert "volume-0001.tar not here" in words(page)


def test_treemap_covers_the_whole_and_nothing_twice():
    sizes = [6000, 6000, 4000, 3000, 2000, 2000, 1000, 1, 7]
    boxes = squarify([Part(str(size), size, "new") for size in sizes])
    assert sorted(box.part.size for box in boxes) == sorted(sizes)
    for box in boxes:
        assert box.width * box.height / 10_000 == pytest.approx(box.part.size / sum(sizes))
        assert -0.001 <= box.x <= box.x + box.width <= 100.001
        assert -0.001 <= box.y <= box.y + box.height <= 100.001
    for one in boxes:
        for other in boxes:
            apart = one.x + one.width <= other.x + 1e-6 or one.y + one.height <= other.y + 1e-6
            assert one is other or apart or other.x + other.width <= one.x + 1e-6 or other.y + other.height <= one.y + 1e-6


def test_treemap_sums_up_what_is_too_small():
    drawn = treemap([Part(f"app {n}", 1000 - n, "new") for n in range(300)], "sizes")
    assert drawn.count("<rect") == 41
    assert "260 more" in drawn
    assert treemap([], "sizes") == treemap([Part("empty", 0, "new")], "sizes") == ""


def test_qr_code_is_dark_on_light_without_a_style():
    drawn = qr_code("sha256:" + "ab" * 32, "digest <&>")
    assert drawn.startswith("<svg")
    assert "&lt;&amp;&gt;" in drawn
    assert "style" not in drawn
    assert 'fill="#fff"' in drawn


def test_first_bundle_of_a_stream_lacks_nothing():
    label = "this is the first bundle of stream prod."
    page = words(render(report(catalog(2), before=Before(None, label, is_first=True))))
    assert "This is the first bundle of stream prod." in page
    assert "unknown" not in page
    assert "--since" not in page


def test_names_in_the_treemap_are_html_that_can_end_in_an_ellipsis():
    drawn = treemap([Part("a-very-long-name" * 9, 9, "new"), Part("b", 1, "new")], "t")
    assert f'<foreignObject width="100%" height="100%"><p>{"a-very-long-name" * 9}</p>' in drawn
    assert re.search(r"\.treemap p \{[^}]*text-overflow: ellipsis", CSS)
