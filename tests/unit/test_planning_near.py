"""A tag that is not there: the message names those that are like it, and nothing goes wrong where they are not told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import NETWORK, USAGE, failed, here
from tests.support.hostile import Hostile, Reply, Request

ATTACHED = f"sha256-{'a' * 64}.sig"


def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, wanted: str = "1.27.9") -> tuple[str, list[Request]]:
    monkeypatch.setenv("HOME", str(tmp_path))

    def answer(request: Request) -> Reply:
        return reply if request.path.endswith("/tags/list") else Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    with Hostile(answer) as server:
        (tmp_path / "list").write_text(f"{server.address}/shop/web:{wanted}\n")
        done = here("resolve", tmp_path / "list", "--state", tmp_path / "state")
        failed(done, NETWORK, "the registry has no such image", "correct the name, the tag or the digest")
        return done.stderr, [request for request in server.requests if request.path.endswith("/tags/list")]


def tags(*names: str) -> Reply:
    return Reply(200, json.dumps({"tags": names}).encode(), {"Link": '</v2/shop/web/tags/list?last=x>; rel="next"'})


def test_five_near_tags_of_one_page_are_shown_nearest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["latest", ATTACHED, *(f"1.27.{number}" for number in range(8)), "1.27.9-alpine", "bookworm"]
    said, asked = resolved(tmp_path, monkeypatch, tags(*there))
    line = next(line for line in said.splitlines() if "near this one: " in line)
    assert len(line.partition("near this one: ")[2].split(", ")) == 5
    assert "1.27.7" in line
    assert "bookworm" not in line
    assert len(asked) == 1


def test_where_no_tag_is_near_some_are_named_but_none_of_attachments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = resolved(tmp_path, monkeypatch, tags("bookworm", ATTACHED), "9")
    assert "such as bookworm\n" in said


@pytest.mark.parametrize(
    "reply", [Reply(403), Reply(404), Reply(200, b"no JSON"), tags(), tags("x" * 4000, "1.27\x1b[2J"), Reply(200, b'{"tags": 7}')]
)
def test_list_that_is_refused_empty_or_nonsense_changes_nothing(
    reply: Reply, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, _ = resolved(tmp_path, monkeypatch, reply)
    assert "\x1b" not in said
    assert "xxxxx" not in said


def test_layout_archive_and_bundle_name_what_is_near_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with LayoutStore(tmp_path / "many") as layout:
        for number in range(30):
            images.publish(layout, f"docker.io/lib/image{number:02d}:1", images.multi_arch("web"))
        layout.commit()
    done = here("resolve", f"oci:{tmp_path}/many:docker.io/lib/image29:2", "--state", tmp_path / "state")
    failed(done, USAGE, "the layout has no such image", "names near this one: docker.io/lib/image29:1")


def test_a_lock_may_begin_with_a_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with LayoutStore(tmp_path / "one") as layout:
        images.publish(layout, "docker.io/lib/image:1", images.multi_arch("web"))
        layout.commit()
    assert here("resolve", f"oci:{tmp_path}/one", "--lock", tmp_path / "lock", "--state", tmp_path / "state").returncode == 0
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "lock").read_bytes())
    assert here("plan", tmp_path / "marked", "--state", tmp_path / "state").returncode == 0
