"""Which attachments are carried, and those that are kept in other repositories."""

from __future__ import annotations

import pytest

from airgap.errors import RegistryError
from airgap.lists import Entry, parse_list
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from airgap.oci.stores import Referrers
from airgap.planning.lock import Lock, placed_blobs
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from tests.support import images
from tests.support.origin import Origin

NAME, OTHER = "docker.io/shop/web", "quay.io/team/signatures"
SPDX = "application/spdx+json"


class Counting(Origin):
    """Remembers where referrers and tags were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``."""
        self.asked.add(f"{repository} referrers")
        return super().referrers(repository, subject)


def resolved(origin: Origin, *choices: str) -> Lock:
    text = "images:\n" + "".join(f"- {{name: {NAME}, tags: ['{tag}'], {choice}}}\n" for tag, choice in enumerate(choices, 1))
    entries = [wish for wish in parse_list(text.encode(), "list").wanted if isinstance(wish, Entry)]
    return resolve(entries, origin, Silent(), threads=1)


def kinds(lock: Lock) -> list[str]:
    return sorted(attachment.kind for attachment in lock.images[0].attachments)


@pytest.fixture
def origin() -> Counting:
    return Counting()


@pytest.fixture
def web(origin: Counting) -> images.Built:
    built = images.multi_arch("web")
    origin.push(f"{NAME}:1", built)
    return built


def sign(origin: Origin, repository: str, subject: images.Built, seed: str = "c2ln") -> images.Built:
    signature = images.cosign_signature(b"payload", seed)
    origin.push(f"{repository}:{digest_tag(subject.digest, '.sig')}", signature)
    return signature


@pytest.mark.parametrize(
    ("choice", "carried"),
    [
        ("attachments: true", ["cosign-attestation", "cosign-signature", "referrer"]),
        ("attachments: false", []),
        ("attachments: [cosign-signature]", ["cosign-signature"]),
        ("attachments: [referrer, cosign-attestation]", ["cosign-attestation", "referrer"]),
        ("attachments: [cosign-sbom]", []),
    ],
)
def test_only_the_kinds_that_are_wanted_are_carried(origin: Counting, web: images.Built, choice: str, carried: list[str]) -> None:
    sign(origin, NAME, web)
    statement = images.cosign_attachment(b"{}", images.DSSE)
    origin.push(f"{NAME}:{digest_tag(web.children[0].digest, '.att')}", statement)
    origin.push(NAME, images.artifact(web, SPDX, b"{}"))
    assert kinds(resolved(origin, choice)) == carried
    assert bool(origin.asked) == ("referrer" in carried), "what is not wanted is not asked for"


def test_what_is_kept_elsewhere_is_carried_as_if_it_were_here_and_fetched_from_there(origin: Counting, web: images.Built) -> None:
    signature = sign(origin, OTHER, web.children[0])
    sbom = images.artifact(web, SPDX, b"sbom")
    origin.push(OTHER, sbom)
    of_sbom = images.artifact(sbom, "application/vnd.example.signature", b"signature")
    origin.push(OTHER, of_sbom)
    assert kinds(resolved(origin, "attachments: true")) == []
    lock = resolved(origin, f"attachments-from: {OTHER}")
    (image,) = lock.images
    assert {(a.kind, a.subject, a.descriptor.digest, a.tag) for a in image.attachments} == {
        ("cosign-signature", web.children[0].digest, signature.digest, digest_tag(web.children[0].digest, ".sig")),
        ("referrer", web.digest, sbom.digest, None),
        ("referrer", sbom.digest, of_sbom.digest, None),
    }
    places = {descriptor.digest: str(repository) for repository, _, descriptor, _ in placed_blobs(lock)}
    for built in (signature, sbom, of_sbom):
        assert {places[built.digest], *(places[blob.descriptor.digest] for blob in built.blobs)} == {OTHER}
    assert places[web.digest] == places[web.children[0].digest] == NAME


def test_the_lock_remembers_where_it_was_found(origin: Counting, web: images.Built) -> None:
    sign(origin, OTHER, web)
    lock = resolved(origin, f"attachments-from: {OTHER}")
    assert Lock.from_bytes(lock.to_bytes(), "lock") == lock


def test_an_attachment_of_two_images_is_fetched_from_a_place_that_has_it(origin: Counting, web: images.Built) -> None:
    origin.push(f"{NAME}:2", web)
    sbom = images.artifact(web, SPDX, b"sbom")
    origin.push(OTHER, sbom)
    for lock in (
        resolved(origin, f"attachments-from: {OTHER}", "attachments: true"),
        resolved(origin, "", f"attachments-from: {OTHER}"),
    ):
        places = {descriptor.digest: str(repository) for repository, _, descriptor, _ in placed_blobs(lock)}
        assert places[sbom.digest] == OTHER


def test_the_same_attachment_in_both_places_is_one(origin: Counting, web: images.Built) -> None:
    sign(origin, NAME, web)
    sign(origin, OTHER, web)
    lock = resolved(origin, f"attachments-from: {OTHER}")
    assert kinds(lock) == ["cosign-signature"]
    assert all(node.repository is None for node in lock.manifests.values())


def test_two_attachments_that_would_need_one_tag_are_refused(origin: Counting, web: images.Built) -> None:
    sign(origin, NAME, web)
    other = sign(origin, OTHER, web, "b3RoZXI=")
    with pytest.raises(RegistryError) as caught:
        resolved(origin, f"attachments-from: {OTHER}")
    assert digest_tag(web.digest, ".sig") in caught.value.where
    assert f"{other.digest} in {OTHER}" in caught.value.got
