"""Scanning a registry: what counts as held, what does not, and what stops everything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from airgap.documents.holdings import Held, Holdings
from airgap.errors import NotFound, RegistryError, UsageError
from airgap.lifecycle.scan import ScanPart, scan
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Silent
from airgap.registry import RegistryStore
from tests.support import images
from tests.support.hostile import App, Hostile, Reply, Request, client
from tests.support.origin import Origin, Shelf


class Said(Silent):
    """Keeps what a person would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@dataclass
class Yard:
    """A registry over HTTP that lists what is in memory; ``special`` answers come first."""

    origin: Origin
    server: Hostile
    store: RegistryStore
    special: dict[str, Reply]
    said: Said
    referrers: bool = True

    def answer(self, request: Request) -> Reply:
        host = self.server.address
        if request.path in self.special:
            return self.special[request.path]
        if request.path == "/v2/_catalog":
            return self._listed("repositories", [name.removeprefix(f"{host}/") for name in self.origin.shelves])
        name, _, rest = request.path.removeprefix("/v2/").rpartition("/tags/list")
        if name:
            return self._listed("tags", list(self.origin.shelves.get(f"{host}/{name}", Shelf()).tags))
        name, _, rest = request.path.removeprefix("/v2/").rpartition("/referrers/")
        if name:
            return self._referrers(self.origin.shelves[f"{host}/{name}"], rest)
        return self.origin.answer(request)

    def push(self, name: str, built: images.Built) -> images.Built:
        self.origin.push(f"{self.server.address}/{name}", built)
        return built

    def shelf(self, path: str) -> Shelf:
        return self.origin.shelves[f"{self.server.address}/{path}"]

    def scan(
        self, *repositories: str, prefix: str = "", threads: int = 2, trust: bool = False, known: Sequence[tuple[str, Digest]] = ()
    ) -> Holdings:
        part = ScanPart(self.server.address, prefix, repositories)
        by_digest = [(Repository(self.server.address, path), digest) for path, digest in known]
        return scan(self.store, part, self.said, threads, trust_manifests=trust, known=by_digest)

    @staticmethod
    def _listed(key: str, names: list[str]) -> Reply:
        return Reply(200, json.dumps({key: names}).encode())

    def _referrers(self, shelf: Shelf, subject: str) -> Reply:
        if not self.referrers:
            return Reply(404)
        found = [m for m in shelf.manifests.values() if m.subject is not None and m.subject.digest == subject]
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [m.descriptor.to_json() for m in found]}
        return Reply(200, json.dumps(index).encode(), {"Content-Type": media.OCI_INDEX})


@pytest.fixture
def yard() -> Iterator[Yard]:
    apps: list[App] = []
    with Hostile(lambda request: apps[0](request)) as server, client() as store:
        made = Yard(Origin(), server, store, {}, Said())
        apps.append(made.answer)
        yield made


def everything(*built: images.Built) -> set[Digest]:
    parts = [part for one in built for part in one.everything()]
    return {part.digest for part in parts} | {blob.descriptor.digest for part in parts for blob in part.blobs}


def test_all_of_an_index_is_held_with_its_repositories(yard: Yard) -> None:
    base = images.layer("base")
    web = yard.push("team/web:1", images.multi_arch("web", [base]))
    app = yard.push("app:2", images.image([base, images.layer("app")]))
    held = yard.scan()
    assert set(held.blobs) == everything(web, app)
    assert held.images == {"team/web:1": web.digest, "app:2": app.digest}
    assert held.blobs[base.descriptor.digest] == Held(base.descriptor.size, ("app", "team/web"))
    assert held.manifests == {web.digest, app.digest, *(child.digest for child in web.children)}
    assert held.size == sum(one.size for one in held.blobs.values())


def test_every_blob_is_asked_for_once_and_none_is_read(yard: Yard) -> None:
    base = images.layer("base")
    for number in range(5):
        yard.push(f"app{number}:1", images.image([base, images.layer(number)]))
        yard.push(f"app{number}:again", images.image([base, images.layer(number)]))
    held = yard.scan()
    asked = [path.rpartition("/")[2] for path in yard.server.seen("HEAD")]
    assert sorted(asked) == sorted(set(held.blobs) - held.manifests)
    assert not [path for path in yard.server.seen("GET") if "/blobs/" in path]


def test_referrers_of_referrers_are_found_where_the_registry_lists_them(yard: Yard) -> None:
    web = yard.push("web:1", images.multi_arch("web"))
    sbom = yard.push(f"web@{web.digest}", images.artifact(web.children[0], "x/sbom", b"sbom"))
    signature = yard.push(f"web@{web.digest}", images.artifact(sbom, "x/signature", b"signature"))
    assert set(yard.scan().blobs) == everything(web, sbom, signature)
    yard.referrers = False
    with client() as fresh:
        assert set(replace(yard, store=fresh).scan().blobs) == everything(web)


def test_children_and_blobs_that_are_absent_are_not_held(yard: Yard) -> None:
    web = yard.push("web:1", images.multi_arch("web"))
    gone, poor = web.children[0], web.children[1]
    lost = poor.blobs[1].descriptor.digest
    del yard.shelf("web").manifests[gone.digest]
    del yard.shelf("web").blobs[lost]
    assert set(yard.scan().blobs) == everything(web) - everything(gone) - {lost}
    assert yard.said.lines == []
    assert set(yard.scan(trust=True).blobs) == everything(web) - everything(gone)


def test_blob_that_one_repository_lacks_is_found_in_another(yard: Yard) -> None:
    base = images.layer("base")
    for name in ("a", "b", "c"):
        yard.push(f"{name}:1", images.image([base], extra={"annotations": {"name": name}}))
    del yard.shelf("a").blobs[base.descriptor.digest]
    assert yard.scan().blobs[base.descriptor.digest].repositories == ("b", "c")


@pytest.mark.parametrize("size", [0, 1, 10**9])
def test_blob_of_another_size_is_not_held(yard: Yard, size: int) -> None:
    layer = images.layer("web")
    yard.push("web:1", images.image([layer]))
    yard.special[f"/v2/web/blobs/{layer.descriptor.digest}"] = Reply(200, length=size)
    assert layer.descriptor.digest not in yard.scan().blobs


def test_manifest_that_lies_about_a_size_takes_nothing_away(yard: Yard) -> None:
    honest = images.layer("web")
    liar = replace(honest, descriptor=Descriptor(honest.descriptor.media_type, honest.descriptor.digest, 7))
    yard.push("liar:1", images.image([liar]))
    yard.push("web:1", images.image([honest]))
    assert yard.scan().blobs[honest.descriptor.digest].size == honest.descriptor.size
    assert honest.descriptor.digest not in yard.scan(trust=True).blobs


def test_manifests_that_cannot_be_carried_are_named_and_do_not_count(yard: Yard) -> None:
    web = yard.push("web:1", images.image([images.layer("web")]))
    for number, (tag, reply) in enumerate(
        {
            "schema1": Reply(200, b'{"schemaVersion":1}', {"Content-Type": "application/vnd.docker.distribution.manifest.v1+json"}),
            "both": Reply(200, b'{"schemaVersion":2,"manifests":[],"layers":[]}', {"Content-Type": media.OCI_INDEX}),
            "broken": Reply(200, b"{", {"Content-Type": media.OCI_MANIFEST}),
        }.items()
    ):
        yard.shelf("web").tags[tag] = Digest.of(bytes([number]))
        yard.special[f"/v2/web/manifests/{tag}"] = reply
    held = yard.scan()
    assert held.images == {"web:1": web.digest}
    assert set(held.blobs) == everything(web)
    assert len(yard.said.lines) == 3
    assert all("ignored" in line for line in yard.said.lines)


def test_manifest_that_is_damaged_in_the_registry_does_not_count(yard: Yard) -> None:
    web = yard.push("web:1", images.multi_arch("web"))
    child = web.children[0]
    yard.special[f"/v2/web/manifests/{child.digest}"] = Reply(200, child.manifest.raw + b" ", {"Content-Type": media.OCI_MANIFEST})
    assert set(yard.scan().blobs) == everything(web) - everything(child)
    assert len(yard.said.lines) == 1


def test_many_bad_manifests_do_not_flood_the_terminal(yard: Yard) -> None:
    yard.push("web:1", images.image([images.layer("web")]))
    for number in range(50):
        yard.shelf("web").tags[f"bad{number}"] = Digest.of(b"bad")
        yard.special[f"/v2/web/manifests/bad{number}"] = Reply(200, b"{}", {"Content-Type": media.OCI_MANIFEST})
    yard.scan()
    assert len(yard.said.lines) == 11
    assert "40 more manifests" in yard.said.lines[-1]


def test_foreign_layers_are_held_only_when_they_are_there(yard: Yard) -> None:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign, ours = images.layer("theirs", media_type=kind), images.layer("copied", media_type=kind)
    yard.push("windows:1", images.image([foreign, ours]))
    del yard.shelf("windows").blobs[foreign.descriptor.digest]
    held = yard.scan()
    assert foreign.descriptor.digest not in held.blobs
    assert ours.descriptor.digest in held.blobs
    assert not {foreign.descriptor.digest, ours.descriptor.digest} & set(yard.scan(trust=True).blobs)


def test_prefix_ends_at_a_path_component(yard: Yard) -> None:
    for name in ("team/web", "team", "teams/web", "other"):
        yard.push(f"{name}:1", images.image([images.layer(name)]))
    assert set(yard.scan(prefix="team").images) == {"team/web:1", "team:1"}
    assert set(yard.scan("web", prefix="team").images) == {"team/web:1"}


def test_named_repositories_need_no_catalog(yard: Yard) -> None:
    yard.special["/v2/_catalog"] = Reply(403)
    yard.push("web:1", images.image([images.layer("web")]))
    assert set(yard.scan("web").images) == {"web:1"}
    with pytest.raises(RegistryError, match="--repository"):
        yard.scan()


def test_repository_that_is_listed_and_has_no_tags_any_more_is_empty(yard: Yard) -> None:
    yard.push("web:1", images.image([images.layer("web")]))
    yard.special["/v2/web/tags/list"] = Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
    assert yard.scan() == Holdings({})
    with pytest.raises(NotFound):
        yard.scan("web")


def test_tag_that_vanishes_while_scanning_is_not_held(yard: Yard) -> None:
    yard.push("web:1", images.image([images.layer("web")]))
    yard.shelf("web").tags["gone"] = Digest.of(b"gone")
    assert set(yard.scan().images) == {"web:1"}


@pytest.mark.parametrize("what", ["manifests/1", "tags/list", "blob", "referrers"])
@pytest.mark.parametrize("status", [403, 500])
def test_registry_that_fails_in_the_middle_stops_the_scan(yard: Yard, what: str, status: int) -> None:
    """A receipt that lacks something because nobody could be asked would be believed all the same."""
    web = yard.push("web:1", images.image([images.layer("web")]))
    paths = {"blob": f"blobs/{web.blobs[1].descriptor.digest}", "referrers": f"referrers/{web.digest}"}
    yard.special[f"/v2/web/{paths.get(what, what)}"] = Reply(status)
    with pytest.raises(RegistryError):
        yard.scan()


def test_index_that_contains_the_same_child_many_times_is_walked_once(yard: Yard) -> None:
    child = images.image([images.layer("web")])
    yard.push("web:1", images.index([child] * 50))
    yard.scan(threads=1)
    assert yard.server.seen("GET").count(f"/v2/web/manifests/{child.digest}") == 1


def test_more_than_a_receipt_takes_is_refused(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.lifecycle.scan.MAX_BLOBS", 5)
    yard.push("web:1", images.multi_arch("web"))
    with pytest.raises(RegistryError, match="too much"):
        yard.scan()


def test_name_that_is_no_repository_is_the_users_mistake(yard: Yard) -> None:
    with pytest.raises(UsageError):
        yard.scan("A/../b")


def test_what_is_known_by_digest_is_held_with_all_below_as_far_as_it_is_there(yard: Yard) -> None:
    web, other = images.multi_arch("web"), images.image([images.layer("other")])
    yard.push("team/web:1", web)
    yard.push("app:1", other)
    yard.shelf("team/web").tags.clear()
    nowhere = Digest.of(b"nowhere")
    assert web.digest not in yard.scan().manifests
    known = [("team/web", web.digest), ("team/web", nowhere), ("gone", nowhere), ("app", other.digest)]
    held = yard.scan(known=known)
    assert set(held.blobs) == everything(web, other)
    assert set(yard.scan("app", known=known).blobs) == everything(other), "only what was asked for"
    assert set(yard.scan("team/web", known=known).blobs) == everything(web)
    assert set(yard.scan(prefix="team", known=known).blobs) == everything(web)


def test_a_registry_that_refuses_what_it_does_not_list_does_not_stop_the_receipt_and_one_that_lists_it_does(yard: Yard) -> None:
    web = yard.push("web:1", images.image([images.layer("web")]))
    old = Digest.of(b"old")
    yard.special[f"/v2/gone/manifests/{old}"] = Reply(403)
    assert set(yard.scan(known=[("gone", old)]).blobs) == everything(web)
    assert any("gone" in line for line in yard.said.lines)
    yard.special[f"/v2/web/manifests/{old}"] = Reply(403)
    with pytest.raises(RegistryError):
        yard.scan(known=[("web", old)])
