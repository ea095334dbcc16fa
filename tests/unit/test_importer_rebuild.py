"""An index rebuilt from some of its children."""

from __future__ import annotations

import json

from airgap.admission.rebuild import ORIGINAL_DIGEST, rebuild_index
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from tests.support import images

INDEX = images.index(
    images.multi_arch("x").children, extra={"annotations": {"org.example.kept": "yes"}, "x-unknown": {"deep": [1]}}
).manifest


def kept(*numbers: int) -> dict[Digest, Descriptor]:
    return {INDEX.children[n].digest: INDEX.children[n] for n in numbers}


def test_only_the_kept_children_stay_in_their_order_with_all_their_fields() -> None:
    rebuilt = rebuild_index(INDEX, kept(2, 0))
    old, new = json.loads(INDEX.raw), json.loads(rebuilt.raw)
    assert new["manifests"] == [old["manifests"][0], old["manifests"][2]]
    assert rebuilt.media_type == INDEX.media_type
    assert rebuilt.digest == Digest.of(rebuilt.raw)
    assert {name: new[name] for name in new if name not in ("manifests", "annotations")} == {
        name: old[name] for name in old if name not in ("manifests", "annotations")
    }


def test_the_original_digest_is_kept_as_an_annotation_beside_the_others() -> None:
    assert rebuild_index(INDEX, kept(0)).annotations == {"org.example.kept": "yes", ORIGINAL_DIGEST: INDEX.digest}


def test_a_child_that_was_rebuilt_itself_gets_its_new_descriptor() -> None:
    inner = Descriptor(INDEX.children[0].media_type, Digest.of(b"new"), 99)
    rebuilt = rebuild_index(INDEX, {INDEX.children[0].digest: inner})
    assert rebuilt.children == (inner,)
    assert str(rebuilt.children[0].platform) == "linux/amd64"


def test_the_same_wish_gives_the_same_bytes() -> None:
    assert rebuild_index(INDEX, kept(0, 1)).raw == rebuild_index(INDEX, kept(1, 0)).raw
    again = Manifest.parse(INDEX.raw, INDEX.media_type, "again")
    assert rebuild_index(again, kept(0, 1)).digest == rebuild_index(INDEX, kept(0, 1)).digest
