"""What hangs off an image's attachments is not asked for where the registry's router has no lists, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.lists import Entry
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from airgap.registry import CredentialStore, MirroredSource, RegistryOptions
from tests.support import images
from tests.support.hostile import Reply
from tests.support.replica import MANIFEST_UNKNOWN, NOTHING, Replica

SPDX = "application/spdx+json"
ITSELF = {"Docker-Distribution-Api-Version": "registry/2.0"}
#: As docker-registry answers where it has no program for a path.
NO_ROUTE = Reply(404, NOTHING.body, {"Content-Type": "text/plain; charset=utf-8", **ITSELF})


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica() as one:
        yield one


class Signed:
    """An image of some platforms, its signature, and an SBOM of the signature, which only the API lists."""

    def __init__(self, replica: Replica, name: str, tag: str = "1", platforms: int = 3) -> None:
        self.replica, self.name = replica, name
        wanted = [f"linux/arch{number}" for number in range(platforms)]
        self.web = replica.push(name, images.multi_arch(f"{name} {tag}", platforms=wanted), tag)
        self.signature = images.cosign_signature(
            images.simple_signing(Repository("docker.io", "shop/web"), self.web.digest), f"{name} {tag}"
        )
        replica.push(name, self.signature, digest_tag(self.web.digest, ".sig"))
        self.sbom = replica.push(name, images.artifact(self.signature, SPDX, f"{name} {tag}".encode()))
        self.own = [part.digest for part in self.web.everything()]

    def says(self, reply: Reply, count: int | None = None) -> Signed:
        """What the registry answers to the questions for the referrers of so many of the image's own manifests."""
        for digest in self.own[:count]:
            self.replica.special[f"GET /v2/{self.name}/referrers/{digest}"] = reply
        return self


def lock_of(replica: Replica, *names: str, threads: int = 4) -> Lock:
    entries = [Entry(Reference.parse(f"{replica.address}/{name}")) for name in names]
    options = RegistryOptions(sleep=lambda _: None, credentials=CredentialStore(), timeout=10.0)
    with MirroredSource(options) as source:
        return resolve(entries, source, Silent(), threads)


def asked(replica: Replica, subject: str) -> int:
    return sum(path.endswith(f"/referrers/{subject}") for path in replica.server.seen("GET"))


@pytest.mark.parametrize("threads", [1, 8])
def test_no_question_about_a_signature_where_every_own_manifest_had_the_routers_answer(replica: Replica, threads: int) -> None:
    signed = Signed(replica, "app").says(NO_ROUTE)
    lock = lock_of(replica, "app:1", threads=threads)
    assert [asked(replica, digest) for digest in signed.own] == [1] * 4, "the image itself is always asked about"
    assert asked(replica, signed.signature.digest) == 0
    assert signed.signature.digest in lock.manifests


def test_what_is_under_the_fallback_tag_of_a_signature_is_found_all_the_same(replica: Replica) -> None:
    signed = Signed(replica, "app").says(NO_ROUTE)
    listed = replica.push("app", images.fallback_index([signed.sbom]), digest_tag(signed.signature.digest))
    assert {signed.sbom.digest, listed.digest} <= set(lock_of(replica, "app:1").manifests)
    assert asked(replica, signed.signature.digest) == 0


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("order", [1, -1])
def test_a_list_given_to_any_image_of_a_repository_lets_all_be_asked(replica: Replica, order: int, threads: int) -> None:
    first = Signed(replica, "app", "1").says(NO_ROUTE)
    second = Signed(replica, "app", "2")
    lock = lock_of(replica, *["app:1", "app:2"][::order], threads=threads)
    assert {first.sbom.digest, second.sbom.digest} <= set(lock.manifests)
    assert "lists referrers of other manifests" in lock.remarks[0]


@pytest.mark.parametrize("odd", [0, 1, 2, 3])
def test_one_own_manifest_that_is_answered_otherwise_lets_all_be_asked(replica: Replica, odd: int) -> None:
    signed = Signed(replica, "app").says(NO_ROUTE)
    replica.special[f"GET /v2/app/referrers/{signed.own[odd]}"] = Reply(404, MANIFEST_UNKNOWN)
    assert signed.sbom.digest in lock_of(replica, "app:1").manifests
    assert [asked(replica, digest) for digest in signed.own] == [1] * 4, "none of them twice"


OTHERWISE = {
    "in JSON": Reply(404, MANIFEST_UNKNOWN, ITSELF),
    "by a file server": NOTHING,
    "by another program": Reply(404, NOTHING.body, {"Docker-Distribution-Api-Version": "registry/3.0"}),
    "with more words": Reply(404, b"404 page not found: sha256\n", ITSELF),
    "with nothing": Reply(404, b"", ITSELF),
    "not allowed": Reply(405, NOTHING.body, ITSELF),
    "not acceptable": Reply(406, NOTHING.body, ITSELF),
    "not implemented": Reply(501, NOTHING.body, ITSELF),
    "a web page": Reply(200, b"404 page not found\n", {"Content-Type": "text/html", **ITSELF}),
    "unsupported": Reply(400, b'{"errors":[{"code":"UNSUPPORTED"}]}', ITSELF),
}


@pytest.mark.parametrize("how", OTHERWISE)
def test_any_other_no_is_about_its_manifest_alone(replica: Replica, how: str) -> None:
    signed = Signed(replica, "app").says(OTHERWISE[how])
    assert signed.sbom.digest in lock_of(replica, "app:1").manifests


def test_fewer_than_three_manifests_say_nothing(replica: Replica) -> None:
    signed = Signed(replica, "app", platforms=1).says(NO_ROUTE)
    assert len(signed.own) == 2
    assert signed.sbom.digest in lock_of(replica, "app:1").manifests


def test_another_repository_is_asked_about_everything(replica: Replica) -> None:
    Signed(replica, "app").says(NO_ROUTE)
    other = Signed(replica, "team/app")
    lock = lock_of(replica, "app:1", "team/app:1")
    assert other.sbom.digest in lock.manifests
    assert lock.remarks == ()
