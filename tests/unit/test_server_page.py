"""What the status page says, and that nothing gets into it that is not ours."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from airgap.errors import Damaged, Refused
from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.server import Catalogue
from airgap.server.desk import Desk, Facts
from airgap.server.inventory import ListedImage
from airgap.server.inventory import images as inventory
from airgap.server.monitor import Monitor, ServedBundle, Trouble
from airgap.server.page import HEADERS, Status, render
from airgap.server.wire import Response
from airgap.state import Event
from tests.support import images

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
EVIL = "<script>alert('x')</script>\"'&\x1b[31m\u202e"
QUIET = Status("/srv/store", NOW, NOW, "", "TLS", (), (), 0, {}, (), None, 0, 0, 0)
BUNDLE = ServedBundle("prod", 7, NOW - dt.timedelta(days=3), vouchers=("a key",), expires=NOW + dt.timedelta(days=9))


class Outline(HTMLParser):
    """The tags of a page, and whether they fit into each other."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    @classmethod
    def of(cls, page: str) -> Outline:
        outline = cls()
        outline.feed(page)
        outline.close()
        assert outline._open == []
        return outline


def shown(status: Status) -> str:
    page = render(status).decode()
    outline = Outline.of(page)
    assert not outline.tags & {"script", "img", "iframe", "object", "form", "a"}
    assert not any(name.startswith("on") or name in ("src", "style") for name in outline.attributes)
    return page


def test_a_page_with_nothing_on_it_says_so():
    page = shown(QUIET)
    for text in ("There are no images", "The bundles that this content came from are unknown", "None since the start", "✓ Serving"):
        assert text in page
    assert "History" not in page
    assert "Nothing yet" in shown(replace(QUIET, history=()))


def test_everything_from_elsewhere_is_escaped():
    event = Event(EVIL, EVIL, EVIL, 1, EVIL, EVIL, EVIL, EVIL)
    page = shown(
        Status(
            place=EVIL, now=NOW, started=NOW, ailment=EVIL, access=EVIL, memory="",
            bundles=[ServedBundle(EVIL, 1, NOW, vouchers=(EVIL,), catalog=EVIL)],
            images=[ListedImage(EVIL, Digest("sha256:" + "0" * 64), (EVIL,), 5, 1, 2)], total=5000, ambiguous={EVIL: [EVIL]},
            troubles=[Trouble(NOW, EVIL, EVIL)], history=[event, replace_stream(event, "")], requests=1, sent=1, connections=1,
        )
    )  # fmt: skip
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") > 10
    assert "4999 more" in page


def replace_stream(event: Event, stream: str) -> Event:
    return replace(event, stream=stream)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "✓ Serving"),
        ({"expires": NOW - dt.timedelta(hours=1)}, "expired"),
        ({"vouchers": ()}, "signature not verified"),
        ({"since": NOW - dt.timedelta(days=91)}, "old"),
    ],
)
def test_a_bundle_that_needs_attention_is_marked(change, says):
    page = shown(replace(QUIET, bundles=(replace(BUNDLE, **change),)))
    assert says in page
    assert ("check 1 bundle" in page) == bool(change)
    assert "days" in page


def test_a_store_that_cannot_be_read_is_the_first_thing_to_be_seen():
    page = shown(replace(QUIET, ailment="a file is missing"))
    assert 'role="alert">✗ The store cannot be read: a file is missing' in page
    assert "✓" not in page


def test_refusals_stand_out_in_the_history_and_the_latest_comes_first():
    kinds = ((1, "import"), (2, "refused"))
    events = [Event(f"2026-01-0{n}T00:00:00Z", kind, "prod", n, "", "oci:/s", "o", "why") for n, kind in kinds]
    page = shown(replace(QUIET, history=events))
    assert page.index("prod-0002") < page.index("prod-0001")
    assert re.search(r'badge bad">refused', page)
    assert "2026-01-02 00:00 UTC" in page


def test_the_policy_allows_the_page_its_own_style_and_nothing_else():
    policy = HEADERS["Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", render(QUIET).decode(), re.DOTALL)
    assert style is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "script" not in policy
    assert not re.search(r"url\(|@import|https?:", style[1])


def catalogue(path: Path) -> tuple[Catalogue, images.Built]:
    with LayoutStore(path) as store:
        web = images.multi_arch("web", platforms=("linux/amd64", "linux/arm64/v8"))
        images.publish(store, "quay.io/a/web:1", images.index([web, images.image([images.layer("x")], platform="linux/s390x")]))
        images.publish(store, "quay.io/a/single:2", images.image([images.layer("y")], platform="linux/arm/v7"))
        reference = images.publish(store, "quay.io/a/inner:3", web)
        images.publish_attachment(store, reference.repository, web.digest, ".sig", images.cosign_signature(b"p", "c2ln"))
        images.attach(store, reference.repository, web, [images.artifact(web, "application/spdx+json", b"{}")])
        store.commit()
    return Catalogue(LayoutStore(path)), web


def test_the_inventory_knows_platforms_sizes_attachments_and_what_is_missing(tmp_path):
    served, web = catalogue(tmp_path)
    found, total = inventory(served, 10)
    assert [(one.name, one.platforms, one.attachments, one.missing) for one in found] == [
        ("quay.io/a/inner:3", ("linux/amd64", "linux/arm64/v8"), 2, 0),
        ("quay.io/a/single:2", ("linux/arm/v7",), 0, 0),
        (
            "quay.io/a/web:1",
            ("linux/amd64", "linux/arm64/v8", "linux/s390x"),
            1,
            0,
        ),  # a referrer without a name belongs to its subject, wherever that is
    ]
    blobs = {blob.descriptor.digest: len(blob.raw) for part in web.everything() for blob in part.blobs}
    assert found[0].size == sum(blobs.values()) + sum(len(part.manifest.raw) for part in web.everything())
    (tmp_path / "blobs/sha256" / web.children[0].blobs[1].descriptor.digest.hex).unlink()
    assert [one.missing for one in inventory(served, 10)[0]] == [1, 0, 1]
    assert (len(inventory(served, 2)[0]), total) == (2, 3)


def desk(served: Catalogue, facts: Facts) -> Desk:
    return Desk(lambda: served, facts, Monitor(), lambda: False)


def body(answer: Response | None) -> str:
    assert answer is not None
    return answer.body.decode()


def test_a_state_that_cannot_be_read_is_said_on_the_page_and_the_rest_is_there(tmp_path):
    def history(limit: int) -> list[Event]:
        raise Refused("the state is damaged: x")

    page = body(desk(catalogue(tmp_path)[0], Facts("store", "open", history=history)).answer("/status"))
    assert "the state is damaged: x" in page
    assert "quay.io/a/single:2" in page


def test_health_reads_the_store_again_every_few_seconds_and_not_for_every_probe(tmp_path, monkeypatch):
    served, _ = catalogue(tmp_path)
    read = []

    def manifest(digest: Digest) -> None:
        read.append(digest)
        raise Damaged("the medium is gone")

    monkeypatch.setattr(served, "manifest", manifest)
    checked = desk(served, Facts("store", "open"))
    for _ in range(5):
        answer = checked.answer("/healthz")
        assert answer is not None
        assert (answer.status, answer.body) == (503, b'{"status":"unavailable"}')
    assert len(read) == 1
    assert checked.ailment() == "the medium is gone"


def test_a_server_that_is_about_to_end_is_not_healthy(tmp_path):
    answer = Desk(lambda: catalogue(tmp_path)[0], Facts("s", "o"), Monitor(), lambda: True).answer("/healthz")
    assert answer is not None
    assert answer.status == 503


def test_imported_bundle_shows_its_expiry_and_says_when_that_is_not_known():
    loaded = replace(BUNDLE, made=False)
    for bundle, shown in (
        (loaded, "2026-"),
        (replace(loaded, expires=None), "never"),
        (replace(loaded, expires=None, may_expire=True), "not known"),
    ):
        page = render(replace(QUIET, bundles=[bundle])).decode()
        assert shown in page.partition('data-label="Expires"')[2].partition("</td>")[0]
    late = replace(loaded, expires=NOW - dt.timedelta(days=1))
    assert ">expired<" in render(replace(QUIET, bundles=[late])).decode()
