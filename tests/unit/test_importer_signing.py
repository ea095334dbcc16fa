"""A signature tag at the destination never loses a signature and never holds one twice; what the site adds, it adds once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.admission.closure import Closure
from airgap.importer import cosign
from airgap.importer.signing import SiteSigning, put_signature_tag, signature_tag, site_signatures
from airgap.layout import LayoutStore
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.trust.keys.gpg import GpgSigner
from tests.support import images, signing
from tests.support.images import Built
from tests.support.trustkit import gpg_home

REPOSITORY = Repository("registry.site", "mirror/app")
SUBJECT = Digest.of(b"subject")
TAG = signature_tag(REPOSITORY.tagged("1"), SUBJECT)


def signed(*names: str) -> Built:
    """A signature manifest with these signatures, as a vendor's cosign may have written it."""
    return images.image(
        [images.content(name.encode(), images.SIMPLE_SIGNING, annotations={images.SIGNATURE_KEY: name}) for name in names]
    )


def site(name: str) -> cosign.CosignSignature:
    return cosign.signature(name.encode(), b"site")


class Destination:
    """A layout in which the signature tag is watched."""

    def __init__(self, layout: LayoutStore) -> None:
        self.layout = layout

    def holds(self, built: Built) -> None:
        """This is there before."""
        self.put(built)
        self.layout.tag(TAG, built.manifest)
        self.layout.commit()

    def put(self, built: Built | None) -> Manifest | None:
        """As the loader does: everything is stored by digest before any tag."""
        if built is None:
            return None
        images.store(self.layout, REPOSITORY, built)
        return built.manifest

    def bring(self, built: Built | None, *added: cosign.CosignSignature) -> Manifest:
        """Merge; the manifest that is there afterwards, all of whose blobs must be there too."""
        put_signature_tag(self.layout, TAG, self.put(built), added)
        self.layout.commit()
        digest = self.layout.resolve(TAG)
        assert digest is not None
        manifest = self.layout.manifest(REPOSITORY, digest)
        assert all(self.layout.has(REPOSITORY, blob) for blob in manifest.blobs())
        return manifest


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Destination]:
    with LayoutStore(tmp_path / "layout") as layout:
        yield Destination(layout)


def names(manifest: Manifest) -> list[Digest]:
    return [layer.digest for layer in manifest.layers]


def digests(*payloads: str) -> list[Digest]:
    return [Digest.of(name.encode()) for name in payloads]


def test_where_nothing_is_the_vendors_manifest_arrives_byte_for_byte(destination: Destination) -> None:
    ours = signed("one", "two")
    assert destination.bring(ours).raw == ours.manifest.raw


def test_the_same_manifest_again_stays(destination: Destination) -> None:
    ours = signed("one")
    destination.holds(ours)
    assert destination.bring(ours).raw == ours.manifest.raw


def test_when_ours_has_all_that_is_there_ours_takes_the_tag_byte_for_byte(destination: Destination) -> None:
    destination.holds(signed("one"))
    ours = signed("two", "one")
    assert destination.bring(ours).raw == ours.manifest.raw


def test_when_all_of_ours_is_there_the_tag_stays(destination: Destination) -> None:
    there = signed("one", "two", "three")
    destination.holds(there)
    assert destination.bring(signed("two")).raw == there.manifest.raw


def test_when_both_have_something_of_their_own_the_tag_has_all_of_it_once(destination: Destination) -> None:
    destination.holds(signed("one", "two"))
    merged = destination.bring(signed("two", "three"))
    assert names(merged) == digests("one", "two", "three")
    assert destination.bring(signed("two", "three")).raw == merged.raw


def test_annotations_of_merged_signatures_are_kept(destination: Destination) -> None:
    destination.holds(signed("one"))
    merged = destination.bring(signed("two"))
    assert [layer.annotations for layer in merged.layers] == [{images.SIGNATURE_KEY: "one"}, {images.SIGNATURE_KEY: "two"}]


@pytest.mark.parametrize("there", [(), ("one",), ("one", "two"), ("two",), ("three",)], ids=str)
@pytest.mark.parametrize("ours", [(), ("one",), ("one", "two")], ids=str)
def test_what_the_site_adds_comes_behind_and_a_second_import_adds_nothing(
    destination: Destination, there: tuple[str, ...], ours: tuple[str, ...]
) -> None:
    if there:
        destination.holds(signed(*there))
    brought = signed(*ours) if ours else None
    merged = destination.bring(brought, site("site"))
    assert set(names(merged)) == set(digests(*there, *ours, "site"))
    assert len(merged.layers) == len({*there, *ours, "site"})
    assert names(merged)[-1] == Digest.of(b"site")
    assert destination.bring(brought, site("site")).raw == merged.raw


def test_the_site_signs_once_although_two_names_ask_for_it(destination: Destination) -> None:
    assert names(destination.bring(None, site("site"), site("site"))) == digests("site")


def test_two_site_keys_share_a_payload_and_both_sign(destination: Destination) -> None:
    added = (cosign.signature(b"payload", b"one"), cosign.signature(b"payload", b"two"))
    assert len(destination.bring(None, *added).layers) == 2


def test_nothing_to_add_makes_no_tag(destination: Destination) -> None:
    put_signature_tag(destination.layout, TAG, None, ())
    assert destination.layout.resolve(TAG) is None


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("registry.site/app:1", "registry.site/app:1"),
        (f"registry.site/app:1@{SUBJECT}", "registry.site/app:1"),  # it will be pulled by its tag
        (f"registry.site/app@{SUBJECT}", f"registry.site/app@{SUBJECT}"),
    ],
)
def test_site_signs_every_part_under_the_name_that_is_pulled(reference: str, name: str) -> None:
    index = images.multi_arch("app")
    parts = [Descriptor(part.manifest.media_type, part.digest, len(part.manifest.raw)) for part in index.everything()]
    destination = Reference.parse(reference)
    closure = Closure(Image(destination, parts[-1]), parts[-1], parts=parts)
    made = site_signatures(closure, destination, [signing.Key().signer])
    assert list(made) == [part.digest for part in index.everything()]
    for digest, (signature,) in made.items():
        critical = json.loads(signature.payload)["critical"]
        assert critical["identity"]["docker-reference"] == name
        assert critical["image"]["docker-manifest-digest"] == str(digest)


def test_another_lookaside_or_other_signers_make_another_import(tmp_path: Path) -> None:
    labels = [SiteSigning(signers=signers, lookaside=place).label for signers in ("", "a") for place in (None, tmp_path)]
    assert len(set(labels)) == 4
    assert SiteSigning().label == ""


def test_gpg_signer_knows_its_own_messages_again_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        own, other = home.new_key("site"), home.new_key("other")
        signer = GpgSigner.find(own)
        message = signer.sign_message(b"payload")
        broken = bytearray(message)
        broken[-8] ^= 1
        assert signer.has_signed(message, b"payload")
        assert not signer.has_signed(message, b"another")
        assert not signer.has_signed(home.message(other, b"payload"), b"payload")
        assert not signer.has_signed(bytes(broken), b"payload")
        assert not signer.has_signed(b"garbage", b"payload")
        assert not signer.has_signed(b"", b"")
