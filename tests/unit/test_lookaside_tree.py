"""Lookaside trees: read until there is no such file, written without gaps; whatever else happens is an error, never "unsigned"."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.errors import AirgapError, Damaged, MediaError, RegistryError, UsageError
from airgap.fsio import NewFile
from airgap.limits import MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.lookaside import LookasideConfig, LookasideReader, merge_signatures, write_signatures
from airgap.lookaside.read import MAX_TOTAL
from airgap.lookaside.registriesd import Section
from airgap.lookaside.write import MAX_WRITTEN
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from tests.support.hostile import HANG_UP, App, Hostile, Reply, Request, client

DIGEST = Digest.of(b"manifest")
REPOSITORY = Repository("reg.example:5000", "team/app")
FOLDER = f"team/app@sha256={DIGEST.hex}"


def blob(number: int) -> bytes:
    return b"\xa3signature %d" % number


BLOBS = tuple(blob(number) for number in range(1, 6))


def config(url: str) -> LookasideConfig:
    return LookasideConfig({}, Section(url, "test"))


def read(base: Path) -> tuple[bytes, ...]:
    def fetch(url: str, limit: int) -> bytes | None:
        raise AssertionError(url)

    return LookasideReader(config(base.as_uri()), fetch).signatures(REPOSITORY, DIGEST)


def fetched(app: App, path: str = "/sigs") -> tuple[bytes, ...]:
    with Hostile(app) as server, client(retries=1) as store:
        return LookasideReader(config(server.url + path), store.fetch_file).signatures(REPOSITORY, DIGEST)


def files(base: Path) -> list[str]:
    return sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if not path.is_dir())


def place(base: Path, *blobs: bytes) -> Path:
    folder = base / FOLDER
    folder.mkdir(parents=True)
    for number, data in enumerate(blobs, 1):
        (folder / f"signature-{number}").write_bytes(data)
    return folder


# reading files


def test_signatures_are_read_in_order_up_to_the_first_gap(tmp_path: Path) -> None:
    assert read(tmp_path) == ()
    folder = place(tmp_path, *BLOBS)
    assert read(tmp_path) == BLOBS
    (folder / "signature-3").unlink()
    assert read(tmp_path) == BLOBS[:2]


def test_base_may_hold_blanks_and_other_digests_have_their_own_folder(tmp_path: Path) -> None:
    base = tmp_path / "two words"
    digest = Digest.of(b"manifest", "sha512")
    write_signatures(base, "team/app", digest, BLOBS)
    assert files(base)[0] == f"team/app@sha512={digest.hex}/signature-1"
    assert LookasideReader(LookasideConfig({}, None, base), lambda *_: None).signatures(REPOSITORY, digest) == BLOBS


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"\xa3")
    path.symlink_to("elsewhere")


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_SIGNATURE_BLOB + 1)


STRANGE: dict[str, Callable[[Path], object]] = {
    "loop": make_loop,
    "link": make_link,
    "dangling": make_dangling,
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "large": make_large,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("number", [1, 2])
def test_anything_but_a_small_regular_file_is_an_error_and_not_unsigned(tmp_path: Path, name: str, number: int) -> None:
    folder = place(tmp_path, *BLOBS[: number - 1])
    STRANGE[name](folder / f"signature-{number}")
    with pytest.raises(Damaged):
        read(tmp_path)


def test_file_in_the_place_of_a_folder_is_an_error_and_not_unsigned(tmp_path: Path) -> None:
    (tmp_path / "team").write_bytes(b"")
    with pytest.raises(MediaError):
        read(tmp_path)


def test_too_many_signatures_are_an_error(tmp_path: Path) -> None:
    folder = place(tmp_path, *(blob(number) for number in range(MAX_SIGNATURES)))
    assert len(read(tmp_path)) == MAX_SIGNATURES
    (folder / f"signature-{MAX_SIGNATURES + 1}").write_bytes(b"")
    with pytest.raises(Damaged):
        read(tmp_path)


def test_too_many_bytes_are_an_error(tmp_path: Path) -> None:
    folder = place(tmp_path)
    for number in range(1, MAX_TOTAL // MAX_SIGNATURE_BLOB + 2):
        with (folder / f"signature-{number}").open("wb") as file:
            file.truncate(MAX_SIGNATURE_BLOB)
    with pytest.raises(Damaged):
        read(tmp_path)


# reading from a web server


def serving(*blobs: bytes, base: str = "/sigs") -> App:
    paths = {f"{base}/{FOLDER}/signature-{number}": data for number, data in enumerate(blobs, 1)}
    return lambda request: Reply(200, paths[request.path]) if request.path in paths else Reply(404)


def test_signatures_are_fetched_up_to_the_first_404() -> None:
    assert fetched(serving()) == ()
    assert fetched(serving(*BLOBS)) == BLOBS


def test_query_of_the_base_is_kept_and_a_slash_at_its_end_too() -> None:
    def app(request: Request) -> Reply:
        return serving(*BLOBS, base="/sigs/")(request) if request.query == {"v": ["1"]} else Reply(500)

    assert fetched(app, "/sigs/?v=1") == BLOBS


FAILURES: dict[str, Callable[[Request], Reply]] = {
    "refused": lambda _: Reply(403),
    "login": lambda _: Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
    "broken": lambda _: Reply(500),
    "gone": lambda _: Reply(410),
    "no-content": lambda _: Reply(204),
    "hung-up": lambda _: HANG_UP,
    "truncated": lambda _: Reply(200, BLOBS[0], cut=3),
    "too-large": lambda _: Reply(200, bytes(MAX_SIGNATURE_BLOB + 1)),
    "endless": lambda _: Reply(200, BLOBS[0]),
    "redirect-to-nowhere": lambda _: Reply(302, headers={"Location": "file:///etc/passwd"}),
    "compressed": lambda _: Reply(200, BLOBS[0], {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("number", [1, 3])
def test_any_other_answer_is_an_error_and_not_unsigned(name: str, number: int) -> None:
    def app(request: Request) -> Reply:
        early = any(request.path.endswith(f"signature-{n}") for n in range(1, number))
        return serving(*BLOBS)(request) if early else FAILURES[name](request)

    with pytest.raises(RegistryError):
        fetched(app)


# writing


def test_written_signatures_replace_those_that_were_there(tmp_path: Path) -> None:
    write_signatures(tmp_path, "team/app", DIGEST, BLOBS)
    assert files(tmp_path) == [f"{FOLDER}/signature-{number}" for number in range(1, 6)]
    write_signatures(tmp_path, "team/app", DIGEST, [BLOBS[4], BLOBS[0], BLOBS[4]])
    assert files(tmp_path) == [f"{FOLDER}/signature-1", f"{FOLDER}/signature-2"]
    assert read(tmp_path) == (BLOBS[4], BLOBS[0])
    write_signatures(tmp_path, "team/app", DIGEST, [])
    assert files(tmp_path) == []


def test_writing_nothing_where_nothing_is_makes_no_folder(tmp_path: Path) -> None:
    write_signatures(tmp_path / "base", "team/app", DIGEST, [])
    assert not (tmp_path / "base").exists()


def test_unchanged_files_are_not_written_again(tmp_path: Path) -> None:
    write_signatures(tmp_path, "team/app", DIGEST, BLOBS)
    before = [((tmp_path / name).stat().st_ino, (tmp_path / name).stat().st_mtime_ns) for name in files(tmp_path)]
    write_signatures(tmp_path, "team/app", DIGEST, BLOBS)
    assert [((tmp_path / name).stat().st_ino, (tmp_path / name).stat().st_mtime_ns) for name in files(tmp_path)] == before


def test_merging_keeps_what_is_there_and_appends_what_is_new(tmp_path: Path) -> None:
    assert merge_signatures(tmp_path, "team/app", DIGEST, BLOBS[:2]) == BLOBS[:2]
    assert merge_signatures(tmp_path, "team/app", DIGEST, [BLOBS[2], BLOBS[0], BLOBS[2]]) == BLOBS[:3]
    assert read(tmp_path) == BLOBS[:3]
    assert merge_signatures(tmp_path, "team/app", DIGEST, []) == BLOBS[:3]


def test_merging_leaves_out_what_would_keep_podman_from_the_good_ones(tmp_path: Path) -> None:
    place(tmp_path, BLOBS[0], b"<html>", b"", BLOBS[1])
    assert merge_signatures(tmp_path, "team/app", DIGEST, [BLOBS[2]]) == BLOBS[:3]
    assert files(tmp_path) == [f"{FOLDER}/signature-{number}" for number in (1, 2, 3)]


GARBAGE = {"armored": b"-----BEGIN PGP MESSAGE-----", "empty": b"", "json": b"{}", "large": b"\xa3" + bytes(MAX_SIGNATURE_BLOB)}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_podman_would_not_read_is_not_written(tmp_path: Path, name: str) -> None:
    for write in (write_signatures, merge_signatures):
        with pytest.raises(Damaged):
            write(tmp_path, "team/app", DIGEST, [BLOBS[0], GARBAGE[name]])
    assert files(tmp_path) == []


def test_more_signatures_than_podman_reads_are_refused(tmp_path: Path) -> None:
    many = [blob(number) for number in range(MAX_WRITTEN + 1)]
    write_signatures(tmp_path, "team/app", DIGEST, many[:-1])
    with pytest.raises(UsageError):
        write_signatures(tmp_path, "team/app", DIGEST, many)
    assert len(read(tmp_path)) == MAX_WRITTEN


@pytest.mark.parametrize("path", ["../up", "/abs", "team//app", "", "Team/app", "team/app@sha256=x", "a/./b", "a\0b"])
def test_path_that_is_no_repository_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError):
        write_signatures(tmp_path / "base", path, DIGEST, BLOBS)
    assert files(tmp_path) == []


@pytest.mark.parametrize("link", ["team", FOLDER])
def test_planted_link_does_not_lead_the_writer_elsewhere(tmp_path: Path, link: str) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside"
    outside.mkdir()
    (base / link).parent.mkdir(parents=True)
    (base / link).symlink_to(outside)
    for write in (write_signatures, merge_signatures):
        with pytest.raises(Damaged):
            write(base, "team/app", DIGEST, BLOBS)
    assert list(outside.iterdir()) == []


def test_planted_link_in_the_place_of_a_signature_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = place(tmp_path / "base")
    for number in (1, 2):
        (folder / f"signature-{number}").symlink_to(victim)
    write_signatures(tmp_path / "base", "team/app", DIGEST, BLOBS[:1])
    assert read(tmp_path / "base") == BLOBS[:1]
    assert victim.read_bytes() == b"precious"


def test_crash_at_any_moment_leaves_whole_signatures_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rename and every deletion in turn is the last thing that happens."""
    real: dict[str, Callable[..., object]] = {"take_name": NewFile.take_name, "unlink": Path.unlink}
    for moment in range(10):
        base = tmp_path / str(moment)
        write_signatures(base, "team/app", DIGEST, BLOBS)
        left = [moment]

        def step(name: str, left: list[int] = left) -> Callable[..., object]:
            def call(path: Path | NewFile, *arguments: object, **named: object) -> object:
                if isinstance(path, NewFile) or not path.name.endswith(".tmp"):
                    if left[0] == 0:
                        raise AirgapError("crash")
                    left[0] -= 1
                return real[name](path, *arguments, **named)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(NewFile, "take_name", step("take_name"))
            patch.setattr(Path, "unlink", step("unlink"))
            if moment < 5:  # two renames and three deletions
                with pytest.raises(AirgapError):
                    write_signatures(base, "team/app", DIGEST, [b"\xa3new 1", b"\xa3new 2"])
            else:
                write_signatures(base, "team/app", DIGEST, [b"\xa3new 1", b"\xa3new 2"])
        found = read(base)
        assert files(base) == [f"{FOLDER}/signature-{number}" for number in range(1, len(found) + 1)]
        assert set(found) <= {*BLOBS, b"\xa3new 1", b"\xa3new 2"}
