"""registries.d: strict files, one scope in one file, the narrowest section that names a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.lookaside import LookasideConfig
from airgap.lookaside.config import built_in_directory
from airgap.oci.reference import Repository

BUSYBOX = Repository("docker.io", "library/busybox")
BUILT_IN = Path("/built/in")


def load(directory: Path, *texts: str) -> LookasideConfig:
    directory.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (directory / f"{number}.yaml").write_text(text, encoding="utf-8")
    return LookasideConfig.load([directory])


def test_each_key_is_taken_from_the_narrowest_section_that_has_it(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "docker:\n  docker.io/library/busybox:\n    lookaside-staging: file:///new\n  docker.io: {lookaside: 'https://h/a'}\n",
        "default-docker: {sigstore: 'http://h/old', sigstore-staging: file:///staging}\n",
    )
    assert config.read_base(BUSYBOX) == "https://h/a"
    assert config.read_base(Repository("quay.io", "x")) == "http://h/old"


def test_what_nothing_speaks_of_is_where_podman_keeps_it() -> None:
    config = LookasideConfig({}, None, BUILT_IN)
    assert config.read_base(BUSYBOX) == "file:///built/in"


def test_built_in_directory_is_the_users_own_unless_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert built_in_directory() == tmp_path / ".local/share/containers/sigstore"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert built_in_directory() == Path("/var/lib/containers/sigstore")


def test_users_own_directory_is_read_when_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config/containers").mkdir(parents=True)
    load(tmp_path / ".config/containers/registries.d", "default-docker: {lookaside: file:///mine}")
    assert LookasideConfig.load().read_base(BUSYBOX) == "file:///mine"


def test_several_directories_are_merged_and_other_files_left_alone(tmp_path: Path) -> None:
    load(tmp_path / "a", "docker: {docker.io: {lookaside: file:///a}}")
    load(tmp_path / "b", "default-docker: {lookaside: file:///b}", "", "# nothing\n", "docker:\ndefault-docker:\n")
    (tmp_path / "a" / "notes.txt").write_text("{", encoding="utf-8")
    config = LookasideConfig.load([tmp_path / "a", tmp_path / "b"])
    assert (config.read_base(BUSYBOX), config.read_base(Repository("h.example", "x"))) == ("file:///a", "file:///b")


@pytest.mark.parametrize("section", ["docker: {docker.io: {lookaside: file:///a}}", "default-docker: {lookaside: file:///a}"])
def test_scope_in_two_files_is_a_mistake_naming_both(tmp_path: Path, section: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, section, "\n" + section).read_base(BUSYBOX)
    assert caught.value.where.endswith("1.yaml:2")
    assert "0.yaml:1" in caught.value.got


def test_directory_that_was_named_and_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        LookasideConfig.load([tmp_path / "missing"])


MISTAKES = {
    "unknown-top-key": ("default_docker: {}", "1:1"),
    "unknown-key": ("docker:\n  docker.io:\n    look-aside: file:///a", "3:5"),
    "wrong-case": ("docker:\n  docker.io:\n    Lookaside: file:///a", "3:5"),
    "duplicate-key": ("docker:\n  docker.io:\n    lookaside: file:///a\n    lookaside: file:///b", "4:5"),
    "duplicate-scope": ("docker:\n  docker.io: {}\n  docker.io: {}", "3:3"),
    "list": ("- docker", "1:1"),
    "section-is-text": ("docker:\n  docker.io: file:///a", "2:14"),
    "url-is-a-list": ("default-docker:\n  lookaside: [file:///a]", "2:14"),
    "url-is-empty": ("default-docker:\n  lookaside:", "2:13"),
    "attachments-is-text": ("default-docker:\n  use-sigstore-attachments: maybe", "2:29"),
    "scope-with-transport": ("docker:\n  docker://docker.io: {}", "2:3"),
    "scope-with-slash-at-the-end": ("docker:\n  docker.io/: {}", "2:3"),
    "not-yaml": ("docker: {", "1:10"),
    "two-documents": ("docker: {}\n---\ndocker: {}", "2:1"),
    "alias": ("docker: &a {}\ndefault-docker: *a", "1:9"),
    "deep": ("[" * 50, "1:9"),
    "scheme": ("default-docker:\n  lookaside: ftp://h/sigs", "2:14"),
    "no-scheme": ("default-docker:\n  lookaside: /srv/sigs", "2:14"),
    "relative-file": ("default-docker:\n  lookaside: file:srv/sigs", "2:14"),
    "two-slashes": ("default-docker:\n  lookaside: file://srv/sigs", "2:14"),
    "no-host": ("default-docker:\n  lookaside: https:///sigs", "2:14"),
    "bad-port": ("default-docker:\n  lookaside: https://h:x/sigs", "2:14"),
    "bad-address": ("default-docker:\n  lookaside: https://[h/sigs", "2:14"),
    "fragment": ("default-docker:\n  lookaside: https://h/sigs#a", "2:14"),
    "nul": ("default-docker:\n  lookaside: file:///a%00b", "2:14"),
    "line-break-in-url": ('default-docker:\n  lookaside: "https://h/\\nsigs"', "2:14"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_in_a_file_is_named_with_line_and_column(tmp_path: Path, name: str) -> None:
    text, place = MISTAKES[name]
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text).read_base(BUSYBOX)
    assert caught.value.where == f"{tmp_path}/0.yaml:{place}"


OF_OTHERS = {
    "unknown-key": "docker:\n  quay.io:\n    look-aside: file:///a",
    "scheme": "docker:\n  quay.io/team:\n    lookaside: s3://bucket/sigs",
    "not-a-section": "docker:\n  quay.io: file:///a",
    "twice": "docker:\n  quay.io: {lookaside: file:///a}\n  quay.io: {lookaside: file:///b}",
    "twice-in-two-spellings": "docker:\n  quay.io: {lookaside: file:///a}\n  QUAY.IO: {lookaside: file:///b}",
    "scope-with-transport": "docker:\n  docker://quay.io: {}",
    "scope-with-slash-at-the-end": "docker:\n  quay.io/: {}",
    "number-as-scope": "docker:\n  5000: {}",
}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_mistake_in_a_section_about_another_registry_stops_nobody_else(tmp_path: Path, name: str) -> None:
    config = load(tmp_path, OF_OTHERS[name], "docker: {docker.io: {lookaside: file:///ours}}")
    assert config.read_base(BUSYBOX) == "file:///ours"
    if name != "number-as-scope":  # which can mean no registry
        with pytest.raises(UsageError) as caught:
            config.read_base(Repository("quay.io", "team/app"))
        assert caught.value.where.startswith(f"{tmp_path}/0.yaml:")


def test_scope_of_another_registry_in_two_files_stops_nobody_else(tmp_path: Path) -> None:
    config = load(tmp_path, "docker: {quay.io: {lookaside: file:///a}}", "docker: {quay.io: {lookaside: file:///b}, docker.io: {}}")
    assert config.read_base(BUSYBOX).startswith("file:///")
    with pytest.raises(UsageError):
        config.read_base(Repository("quay.io", "team/app"))


def test_mistake_in_the_default_section_stops_who_has_no_section_with_a_place(tmp_path: Path) -> None:
    config = load(tmp_path, "default-docker: {lookaside: nowhere}\ndocker: {docker.io: {lookaside: file:///ours}, quay.io: {}}")
    assert config.read_base(BUSYBOX) == "file:///ours"
    with pytest.raises(UsageError):
        config.read_base(Repository("quay.io", "team/app"))


def test_broken_file_of_the_system_stops_only_who_asks_for_a_lookaside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".config/containers/registries.d"
    own.mkdir(parents=True)
    (own / "broken.yaml").write_text("docker: {", encoding="utf-8")
    config = LookasideConfig.load()
    with pytest.raises(UsageError) as caught:
        config.read_base(BUSYBOX)
    assert caught.value.where.startswith(str(own / "broken.yaml"))
    with pytest.raises(UsageError):
        LookasideConfig.load([own])


def test_credentials_in_a_url_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, "default-docker:\n  lookaside: https://me:canary@h/sigs?token=canary").read_base(BUSYBOX)
    assert "canary" not in str(caught.value)


def test_file_that_is_not_utf8_or_too_large_is_a_mistake(tmp_path: Path) -> None:
    for raw in (b"\xff", b"#" * (1 << 20) + b"#"):
        (tmp_path / "0.yaml").write_bytes(raw)
        with pytest.raises(UsageError):
            LookasideConfig.load([tmp_path])
