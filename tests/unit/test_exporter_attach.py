"""Files attached to images: how ``--attach`` is read, what is made of them, and that a lock keeps them."""

from __future__ import annotations

import base64
import json

import pytest

from airgap.errors import UsageError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.planning.attach import KINDS, MAX_ALL, Attached, Wanted, artifact, attach, check_sizes
from airgap.planning.lock import Lock, Node
from airgap.planning.plan import lay_out
from tests.support import images

WEB, PINNED = "docker.io/library/web:1", "docker.io/library/tool:2"
SBOM = Attached(Reference.parse(WEB), KINDS["sbom-spdx"], "sbom.json", b'{"spdxVersion":"SPDX-2.3"}')


def locked(*names: str) -> Lock:
    """A lock of single images; the second kind is pinned to its digest."""
    found, nodes = [], {}
    for name in names:
        manifest = images.image([images.layer(name)]).manifest
        reference = Reference.parse(f"{name}@{manifest.digest}" if name == PINNED else name)
        found.append(Image(reference, Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))))
        nodes[manifest.digest] = Node.of(manifest)
    return Lock(tuple(found), nodes)


@pytest.mark.parametrize(
    ("text", "image", "media_type", "path"),
    [
        ("sbom-spdx=a.json", None, "application/spdx+json", "a.json"),
        ("web:1::sbom-cyclonedx=a=b::c.json", WEB, "application/vnd.cyclonedx+json", "a=b::c.json"),
        ("[::1]:5000/web:1::application/x+json=a", "[::1]:5000/web:1", "application/x+json", "a"),
    ],
)
def test_grammar(text: str, image: str | None, media_type: str, path: str) -> None:
    assert Wanted.parse(text) == Wanted(Reference.parse(image) if image else None, media_type, path)


@pytest.mark.parametrize("text", ["", "=", "sarif", "sarif=", "::sarif=f", "web::=f", "text/=f", "te xt/plain=f", "a/b; v=1.1=f"])
def test_what_does_not_follow_the_grammar_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError):
        Wanted.parse(text)


def test_lock_keeps_what_was_made_and_the_plan_carries_it() -> None:
    lock = attach(locked(WEB, PINNED), [SBOM])
    again = Lock.from_bytes(lock.to_bytes(), "here")
    assert again == lock
    (attachment,) = again.images[0].attachments
    assert again.images[1].attachments == ()
    plan = lay_out(again, None)
    manifest = artifact(lock.images[0].root, SBOM)
    for content in (manifest.raw, SBOM.content, b"{}"):
        assert plan.contents[Digest.of(content)] == content
        assert plan.blobs[Digest.of(content)].descriptor.size == len(content)
    assert attachment.descriptor.digest == manifest.digest


def test_attaching_twice_is_attaching_once() -> None:
    lock = attach(locked(WEB), [SBOM])
    assert attach(lock, [SBOM, SBOM]) == lock


def test_lock_whose_content_was_changed_is_refused() -> None:
    top = json.loads(attach(locked(WEB), [SBOM]).to_bytes())
    for text in (base64.b64encode(b"other").decode(), "not base64!", 7):
        top["made"][Digest.of(SBOM.content)] = text
        with pytest.raises(UsageError):
            Lock.from_bytes(json.dumps(top).encode(), "here")


def test_image_may_be_named_without_the_digest_that_pins_it() -> None:
    named = Attached(Reference.parse(PINNED), SBOM.media_type, SBOM.title, SBOM.content)
    assert [len(image.attachments) for image in attach(locked(WEB, PINNED), [named]).images] == [0, 1]


def test_image_need_not_be_named_where_all_entries_are_one() -> None:
    anybodys = Attached(None, SBOM.media_type, SBOM.title, SBOM.content)
    lock = locked(WEB)
    twice = Lock((lock.images[0], lock.images[0]), lock.manifests)
    assert [len(image.attachments) for image in attach(twice, [anybodys]).images] == [1, 1]
    with pytest.raises(UsageError, match="several images"):
        attach(locked(WEB, PINNED), [anybodys])


def test_files_are_limited_together() -> None:
    half = Attached(None, SBOM.media_type, "half", bytes(MAX_ALL // 2))
    check_sizes([half, half])
    with pytest.raises(UsageError, match="too large together"):
        check_sizes([half, half, SBOM])
