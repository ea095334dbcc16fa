"""Git repositories as sources: which refs are meant, and what is refused, with the real git."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import AirgapError, UsageError
from airgap.oci.places import Place
from airgap.sources.gitaddress import GitAddress
from airgap.sources.gitrepo import GitBundle
from airgap.sources.opened import OpenPlaces
from airgap.sources.places import PlaceOptions
from tests.support.gityard import Repository, refs


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository.make(tmp_path_factory.mktemp("git") / "deploy")
    made.git("branch", "a-branch")
    made.git("branch", "both")
    made.git("tag", "both")
    return made


def bundle(address: str, scratch: Path) -> GitBundle:
    def nowhere() -> None:
        raise AssertionError("the web was asked")

    return GitBundle(GitAddress.parse(address), scratch, nowhere, print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", ["refs/heads/main"]),
        ("#ref=HEAD", ["refs/heads/main"]),
        ("#ref=v1.0", ["refs/tags/v1.0"]),
        ("#ref=refs/heads/both", ["refs/heads/both"]),
        ("#ref=v*&ref=main", ["refs/tags/v1.0", "refs/tags/v1.1", "refs/heads/main"]),
        (
            "#ref=*",
            ["refs/heads/main", "refs/heads/a-branch", "refs/heads/both", "refs/tags/both", "refs/tags/v1.0", "refs/tags/v1.1"],
        ),
    ],
    ids=["default-branch", "head", "tag", "full-name", "patterns", "all"],
)
def test_refs_are_found_by_name_or_pattern_and_pinned_the_first_for_a_clone(
    source: Repository, tmp_path: Path, asked: str, found: list[str]
) -> None:
    made = bundle(f"{source.path}{asked}", tmp_path)
    assert [name for name, _ in made.address.refs] == found
    held = refs(tmp_path / "deploy.bundle")
    assert held.keys() == {"HEAD", *found}
    assert held["HEAD"] == source.git("rev-parse", f"{found[0]}^{{commit}}")
    assert GitAddress.parse(str(made.address)) == made.address


def test_a_repository_with_sha256_names_is_carried(tmp_path: Path) -> None:
    source = Repository(tmp_path / "source")
    source.path.mkdir()
    source.git("init", "--quiet", "--object-format=sha256", "--initial-branch", "main")
    source.commit("a", "a")
    (tmp_path / "scratch").mkdir()
    made = bundle(str(source.path), tmp_path / "scratch")
    assert [len(found) for _, found in made.address.refs] == [64]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("#ref=mian", "no such branch or tag"),
        ("#ref=x*", "no such branch or tag"),
        ("#ref=both", "a branch and a tag have this name"),
        ("#ref=-x", "not a valid address"),
        ("#ref=refs/notes/x", "not a valid address"),
        ("#ref=a..b", "not a valid address"),
        ("#ref=a%20b", "not a valid address"),
        ("#ref=main@123", "not a valid address"),
        ("#ref=*@" + "0" * 40, "not a valid address"),
        ("#branch=main", "not a valid address"),
        ("#", "not a valid address"),
        ("#ref=main&ref=main", "twice, or too many"),
        ("#ref=main&ref=" + "0" * 40, "a commit is carried alone"),
        ("#ref=" + "0" * 40, "git fetch failed"),
    ],
)
def test_refs_that_are_not_there_or_none_are_mistakes(source: Repository, tmp_path: Path, asked: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bundle(f"{source.path}{asked}", tmp_path)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ssh://git@h.example/x", "not spoken to in this way"),
        ("git@h.example:team/x.git", "not spoken to in this way"),
        ("file:///x", "not spoken to in this way"),
        ("ext::sh -c true", "no such git repository"),
        ("--upload-pack=true", "no such git repository"),
        ("https://u:p@h.example/x", "not a valid URL"),
        ("https://h.example/", "no name"),
        ("/", "no name"),
    ],
)
def test_what_is_no_place_of_a_repository_is_a_mistake(tmp_path: Path, address: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bundle(address, tmp_path)


def test_a_repository_that_is_larger_than_may_be_is_not_fetched(
    source: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airgap.sources.gitrepo.MAX_GIT", 1024)
    with pytest.raises(AirgapError, match="git fetch failed"):
        bundle(str(source.path), tmp_path)


def test_git_that_takes_too_long_is_ended(source: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.sources.gitrepo._SECONDS", 0.0)
    with pytest.raises(AirgapError, match="git takes too long"):
        bundle(str(source.path), tmp_path)


def test_a_machine_without_git_is_told_so(source: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git is not installed"):
        bundle(str(source.path), tmp_path)


def test_the_user_s_settings_and_those_around_the_scratch_directory_are_not_read(
    source: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = f'[core]\n fsmonitor = touch {tmp_path}/ran\n[url "/nowhere"]\n insteadOf = {source.path}\n'
    around = Repository.make(tmp_path / "around")
    (around.path / ".git/config").write_text(evil)
    (tmp_path / ".gitconfig").write_text(evil)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(around.path / ".git"))
    (around.path / "scratch").mkdir()
    monkeypatch.chdir(around.path)
    assert bundle(str(source.path), around.path / "scratch").address.is_pinned
    assert not (tmp_path / "ran").exists()


def test_a_place_without_a_name_for_the_site_is_told_what_to_add(source: Repository) -> None:
    with OpenPlaces(PlaceOptions()) as places, pytest.raises(UsageError, match="no full name"):
        places.images(Place.parse(f"git:{source.path}"), None)
