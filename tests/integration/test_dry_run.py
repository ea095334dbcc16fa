"""``import --dry-run``: what a target would refuse is said before the first byte, all at once; the rest is called unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airgap.oci.reference import Reference
from tests.support.cli import MEDIA, NETWORK, USAGE, failed, tree
from tests.support.desks import TOOL, WEB, SiteDesk
from tests.support.dockerregistry import DockerRegistry, htpasswd
from tests.support.hostile import Hostile, Reply, Request
from tests.support.mounts import make_read_only, small_disk
from tests.support.tokenserver import TokenServer
from tests.support.tools import require


def seen(site: SiteDesk, target: str, *options: object) -> dict[str, Any]:
    done = site.import_("--dry-run", *options, to=target)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def repositories(prefix: str) -> list[str]:
    return [f"{prefix}/{Reference.parse(name).repository}" for name in (WEB, TOOL)]


def stored(registry: DockerRegistry) -> set[str]:
    return {str(path) for path in (registry.root / "data").rglob("*")}


def test_a_dry_run_does_not_call_fine_what_a_read_only_registry_refuses(site: SiteDesk, tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry", readonly=True) as registry:
        target = f"docker://{registry.address}/mirror"
        facts = failed(site.import_("--dry-run", to=target), NETWORK, "2 of 2 repositories will refuse the push", "read-only")
        assert all(name in facts["got"] for name in repositories(f"{registry.address}/mirror"))
        failed(site.import_(to=target), NETWORK)


def test_a_dry_run_does_not_call_fine_what_a_user_may_not_push(site: SiteDesk, tmp_path: Path) -> None:
    require("docker-registry")
    with (
        TokenServer(tmp_path / "tokens", withheld=frozenset({"push"})) as tokens,
        DockerRegistry(tmp_path / "registry", auth=tokens.config) as registry,
    ):
        target = f"docker://{registry.address}/mirror"
        facts = failed(site.import_("--dry-run", to=target), NETWORK, "2 of 2 repositories", "does not allow a push, only: pull")
        assert all(f"{name} (not there yet)" in facts["got"] for name in repositories(f"{registry.address}/mirror"))
        failed(site.import_(to=target), NETWORK)
        assert not stored(registry)


def test_a_dry_run_of_what_may_be_pushed_leaves_nothing_unknown(site: SiteDesk, tmp_path: Path) -> None:
    require("docker-registry")
    with TokenServer(tmp_path / "tokens") as tokens, DockerRegistry(tmp_path / "registry", auth=tokens.config) as registry:
        target = f"docker://{registry.address}/mirror"
        facts = seen(site, target)
        assert [one["push_allowed"] for one in facts["repositories"]] == [True, True]
        assert facts["unknown"] == []
        assert not stored(registry)
        site.is_taken()


def test_a_dry_run_says_what_it_cannot_know_and_changes_nothing_at_a_registry(site: SiteDesk, tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        target = f"docker://{registry.address}/mirror"
        facts = seen(site, target)
        assert [(one["exists"], one["push_allowed"]) for one in facts["repositories"]] == [(False, None)] * 2
        [unknown] = facts["unknown"]
        assert all(name in unknown for name in repositories(f"{registry.address}/mirror"))
        assert "only a push can tell" in unknown
        assert not stored(registry)
        done = site.import_(to=target)
        assert done.returncode == 0, done.stderr
        facts = seen(site, target)
        assert [one["exists"] for one in facts["repositories"]] == [True, True]
        assert "whether we may push" in facts["unknown"][0]


def test_a_dry_run_names_all_repositories_that_want_a_password(site: SiteDesk, tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry", auth=htpasswd(tmp_path / "users")) as registry:
        target = f"docker://{registry.address}/mirror"
        facts = failed(site.import_("--dry-run", to=target), NETWORK, "2 of 2 repositories", "UNAUTHORIZED")
        assert all(name in facts["got"] for name in repositories(f"{registry.address}/mirror"))


class MustExist:
    """A registry that answers like those whose repositories or projects are made by hand, and takes no question as a push."""

    def __init__(self, wording: str) -> None:
        self.wording = wording
        self.methods: set[str] = set()

    def __call__(self, request: Request) -> Reply:
        self.methods.add(request.method)
        if request.path == "/v2/":
            return Reply()
        name = request.path.removeprefix("/v2/").partition("/tags/")[0]
        said = self.wording.format(name=name, project=name.partition("/")[0])
        return Reply(404, json.dumps({"errors": [{"code": "NAME_UNKNOWN", "message": said}]}).encode())


@pytest.mark.parametrize(
    "wording",
    ["The repository with name '{name}' does not exist in the registry with id '123456789012'", "project {project} not found"],
    ids=["ECR", "Harbor"],
)
def test_a_dry_run_names_all_repositories_that_must_be_made_first(site: SiteDesk, wording: str) -> None:
    answers = MustExist(wording)
    with Hostile(answers) as server:
        facts = failed(site.import_("--dry-run", to=f"docker://{server.address}/mirror"), NETWORK, "2 of 2 repositories")
        assert all(f"{name} (not there yet)" in facts["got"] for name in repositories(f"{server.address}/mirror"))
    assert answers.methods <= {"GET", "HEAD", "OPTIONS"}


def test_a_dry_run_does_not_call_fine_what_a_disk_refuses(site: SiteDesk) -> None:
    with small_disk(site.work / "disk", "60k") as disk:
        before = tree(disk)
        for target in (f"oci:{disk}/store", f"oci-archive:{disk}/a.tar", f"k3s:{disk}/images"):
            failed(site.import_("--dry-run", to=target), MEDIA, "the images do not fit")
        make_read_only(disk)
        for target in (f"oci:{disk}/store", f"oci-archive:{disk}/a.tar"):
            failed(site.import_("--dry-run", to=target), MEDIA, "Read-only file system")
        assert tree(disk) == before


def test_a_dry_run_does_not_call_fine_what_is_taken_already(site: SiteDesk) -> None:
    archive = site.work / "there.tar"
    archive.write_bytes(b"something else")
    failed(site.import_("--dry-run", to=f"oci-archive:{archive}"), USAGE, "the archive already exists")
    (site.work / "full").mkdir()
    (site.work / "full/file").write_bytes(b"x")
    failed(site.import_("--dry-run", to=f"oci:{site.work}/full"), USAGE, "not an OCI image layout")
    failed(site.import_("--dry-run", bundle=site.made.newer, to=f"dir:{site.work}/full"), USAGE, "the target is not empty")


def test_a_dry_run_of_an_archive_that_this_site_has_made_has_nothing_to_do(site: SiteDesk) -> None:
    target = f"oci-archive:{site.work}/made.tar"
    site.is_taken()
    done = site.import_(to=target)
    assert done.returncode == 0, done.stderr
    assert {change["change"] for change in seen(site, target)["names"]} == {"same"}
    elsewhere = site.import_("--dry-run", "--state", site.work / "other-state", to=target)
    failed(elsewhere, USAGE, "the archive already exists")
