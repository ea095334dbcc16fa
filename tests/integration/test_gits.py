"""Git repositories: refs resolved and pinned, carried as git bundles, and cloned at the site from what ``airgap get`` wrote."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import DAMAGED, NETWORK, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.gityard import GitServer, Repository, git, git_server, refs
from tests.support.privateca import PrivateCa
from tests.support.site import Site


@dataclass
class Yard:
    """A repository, on a server too, and somewhere to work."""

    site: Site
    work: Path
    source: Repository
    server: GitServer

    @property
    def url(self) -> str:
        return f"{self.server.url}/deploy"

    @property
    def stream(self) -> str:
        """One of its own: the site knows those of the other tests."""
        return self.work.name.replace("_", "-")

    def wanted(self, **fields: object) -> Path:
        path = self.work / "list.yaml"
        path.write_text(json.dumps({"gits": [fields]}))
        return path

    def digest(self, **fields: object) -> str:
        """What the artifact would be."""
        (image,) = self.site.json("plan", self.wanted(**fields))["images"]
        return str(image["digest"])

    def locked(self, **fields: object) -> Path:
        lock = self.work / "lock"
        self.site.run("resolve", self.wanted(**fields), "--lock", lock)
        return lock

    def cloned(self, wanted: Path, name: str) -> Path:
        """What comes of an export, an import into a store, ``airgap get``, and ``git clone``."""
        bundle = self.site.export(wanted, self.work / "usb", stream=self.stream)
        self.site.import_(f"oci:{self.work}/store", bundle)
        self.site.run("get", f"oci:{self.work}/store:airgap.local/gits/{name}", "-o", self.work / "x.bundle", state="site-state")
        git("clone", "--quiet", self.work / "x.bundle", self.work / "clone")
        return self.work / "clone"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def yard(site: Site, tmp_path: Path) -> Iterator[Yard]:
    source = Repository.make(tmp_path / "served/deploy")
    with git_server(tmp_path / "served") as server:
        yield Yard(site, tmp_path, source, server)


def test_a_repository_is_cloned_at_the_site_from_what_get_wrote(yard: Yard) -> None:
    clone = yard.cloned(yard.wanted(url=yard.url, refs=["main", "v1.*"], name="shop/deploy", version="1"), "shop/deploy:1")
    assert git("-C", clone, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git("-C", clone, "fsck", "--full", "--strict") == ""
    expected = {
        name: found for name, found in refs(yard.source.path).items() if name in ("HEAD", "refs/heads/main") or "tags" in name
    }
    assert refs(yard.work / "x.bundle") == expected
    assert (clone / "file3").read_text() == (yard.source.path / "file3").read_text()


def test_a_registry_at_the_site_gives_the_repository_back(yard: Yard) -> None:
    bundle = yard.site.export(yard.wanted(path=str(yard.source.path)), yard.work / "usb", stream=yard.stream)
    with DockerRegistry(yard.work / "registry") as registry:
        yard.site.import_(f"docker://{registry.address}/mirror", bundle)
        what = f"{registry.address}/mirror/airgap.local/gits/deploy:latest"
        yard.site.run("get", what, "-o", yard.work, state="site-state")
    assert sorted(refs(yard.work / "deploy.bundle")) == ["HEAD", "refs/heads/main"]


def test_the_same_refs_give_the_same_bytes_however_they_are_packed(yard: Yard) -> None:
    other = yard.work / "elsewhere/deploy"
    git("clone", "--quiet", "--mirror", yard.source.path, other)
    git("-C", other, "repack", "-a", "-d", "-F", "-q", "--depth=2", "--window=1")
    digests = {
        yard.digest(**where, refs=["*"])
        for where in ({"url": yard.url}, {"path": f"{yard.source.path}/.git"}, {"path": str(other)})
    }
    assert len(digests) == 1


def test_a_lock_carries_the_objects_that_it_pins_after_the_branch_went_on(yard: Yard) -> None:
    pinned = yard.source.git("rev-parse", "HEAD")
    lock = yard.locked(url=yard.url, refs=["main"])
    assert f"refs/heads/main@{pinned}" in lock.read_text()
    yard.source.commit("later", "x\n")
    clone = yard.cloned(lock, "deploy:latest")
    assert git("-C", clone, "rev-parse", "HEAD") == pinned


def test_a_lock_whose_objects_are_gone_is_told_with_the_words_of_git(yard: Yard) -> None:
    lock = yard.locked(url=yard.url, refs=["main"])
    yard.source.git("reset", "--quiet", "--hard", "HEAD~2")
    yard.source.git("tag", "--delete", "v1.0", "v1.1")
    yard.source.git("reflog", "expire", "--expire=all", "--all")
    yard.source.git("gc", "--quiet", "--prune=now")
    done = yard.site.run("export", lock, "--out", yard.work / "usb", "--key", yard.site.key, "--stream", "s", check=False)
    failed(done, NETWORK, "git fetch failed", "not our ref")


def test_a_lock_that_was_made_with_other_bytes_is_refused(yard: Yard) -> None:
    lock = yard.locked(path=str(yard.source.path))
    document = json.loads(lock.read_text())
    (name,) = document["places"]
    older = yard.source.git("rev-parse", "HEAD~1")
    document["places"][name] = f"git:{yard.source.path}#ref=refs/heads/main@{older}"
    lock.write_text(json.dumps(document))
    done = yard.site.run("plan", lock, check=False)
    failed(done, DAMAGED, "no longer what the lock says", "another version of git")


def test_a_commit_is_carried_that_no_ref_names(yard: Yard) -> None:
    commit = yard.source.git("rev-parse", "HEAD~2")
    clone = yard.cloned(yard.wanted(url=yard.url, refs=[commit]), "deploy:latest")
    assert git("-C", clone, "rev-parse", "HEAD") == commit


def test_settings_of_the_user_and_of_the_place_and_hooks_are_not_obeyed(yard: Yard, tmp_path: Path) -> None:
    (yard.site.root / "home").mkdir(exist_ok=True)
    config = yard.site.root / "home/.gitconfig"
    config.write_text(f'[url "{tmp_path}/nowhere"]\n insteadOf = {yard.server.url}\n[core]\n fsmonitor = touch {tmp_path}/ran\n')
    hook = yard.source.path / ".git/hooks/post-upload-pack"
    yard.source.git("config", "uploadpack.packObjectsHook", f"touch {tmp_path}/ran; exec")
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    yard.digest(url=yard.url)
    yard.digest(path=str(yard.source.path))
    config.unlink()
    assert not (tmp_path / "ran").exists()


def test_submodules_and_large_files_are_told_as_not_carried(yard: Yard) -> None:
    yard.source.commit(".gitmodules", '[submodule "x"]\n path = x\n url = ext::touch ran\n')
    yard.source.commit(".gitattributes", "*.bin filter=lfs\n")
    done = yard.site.run("plan", yard.wanted(url=yard.url))
    assert "submodules are other repositories" in done.stderr
    assert "git LFS" in done.stderr


def test_a_server_that_is_not_there_or_has_no_such_repository_is_the_network_s_failure(yard: Yard) -> None:
    done = yard.site.run("plan", yard.wanted(url=f"{yard.server.url}/other"), check=False)
    failed(done, NETWORK, "git ls-remote failed", "not found")


def test_the_login_goes_to_the_server_itself_and_not_where_it_redirects(yard: Yard, tmp_path: Path) -> None:
    ca = PrivateCa(tmp_path / "ca")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").write_bytes(ca.file.read_bytes())
    with git_server(tmp_path / "served", ca.issue("git")) as server, git_server(tmp_path / "served", ca.issue("other")) as other:
        server.user = "anna:secret"
        host = server.url.removeprefix("https://")
        auths = {host: {"auth": base64.b64encode(b"anna:secret").decode()}}
        (tmp_path / "auth.json").write_text(json.dumps({"auths": auths}))
        options = ("--cert-dir", certificates, "--authfile", tmp_path / "auth.json")
        wanted = yard.wanted(url=f"{server.url}/deploy")
        assert yard.site.json("plan", wanted, *options)["images"]
        failed(yard.site.run("plan", wanted, "--cert-dir", certificates, check=False), NETWORK, "git ls-remote failed")
        failed(yard.site.run("plan", wanted, "--authfile", tmp_path / "auth.json", check=False), NETWORK, "certificate")
        server.moved = other.url
        done = yard.site.run("plan", wanted, *options, check=False)
        failed(done, NETWORK, "git ls-remote failed")
        assert "secret" not in done.stderr
        assert other.asked == []


def test_nothing_of_a_repository_stays_behind_in_the_scratch_directory(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    yard.site.run("plan", yard.wanted(url=yard.url), "--scratch", tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
