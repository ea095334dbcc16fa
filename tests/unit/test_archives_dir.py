"""skopeo's ``dir:``, and hostile ones."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.archives import ImageDirectory
from airgap.errors import AirgapError, Damaged, NotFound, UsageError
from airgap.oci import media
from airgap.oci.reference import Repository
from airgap.oci.verify import VerifiedReader, read_all
from tests.support import images

HERE = Repository("localhost", "image")
BUILT = images.multi_arch("web", [images.layer("base")])
SIGNATURE = b"\xa3\x01 an OpenPGP message"


def write(path: Path, built: images.Built = BUILT) -> Path:
    """A directory as skopeo writes it."""
    path.mkdir()
    (path / "version").write_text("Directory Transport Version: 1.1\n")
    for part in built.everything():
        for blob in part.blobs:
            (path / blob.descriptor.digest.hex).write_bytes(blob.raw)
        name = "manifest.json" if part is built else f"{part.digest.hex}.manifest.json"
        (path / name).write_bytes(part.manifest.raw)
    return path


def test_everything_is_read_back(tmp_path: Path) -> None:
    directory = ImageDirectory(write(tmp_path / "d"))
    root = directory.pick()
    assert root.raw == BUILT.manifest.raw
    for child in (directory.manifest(HERE, descriptor.digest) for descriptor in root.children):
        for blob in child.blobs():
            assert directory.has(HERE, blob)
            read_all(VerifiedReader(directory.open(HERE, blob), blob, ""), 10**6, "")
        assert read_all(directory.open(HERE, child.descriptor), 10**6, "") == child.raw
    assert directory.manifest(HERE, root.digest) == root


def test_signatures_belong_to_their_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "d")
    child = BUILT.children[0].digest
    for name, content in (("signature-1", b"one"), ("signature-2", b"two"), (f"{child.hex}.signature-1", b"child")):
        (path / name).write_bytes(SIGNATURE + content)
    directory = ImageDirectory(path)
    assert directory.signatures(BUILT.digest) == (SIGNATURE + b"one", SIGNATURE + b"two")
    assert directory.signatures(child) == (SIGNATURE + b"child",)
    assert directory.signatures(BUILT.children[1].digest) == ()


def sigstore(payload: bytes, **annotations: str) -> bytes:
    """A signature file as containers/image writes it for anything but GPG."""
    fields = {"mimeType": images.SIMPLE_SIGNING, "payload": base64.b64encode(payload).decode(), "annotations": annotations or None}
    return b"\0sigstore-json\n" + json.dumps(fields).encode()


def test_sigstore_signatures_are_what_cosign_has_under_the_tag_of_their_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "d")
    child = BUILT.children[0].digest
    for name, content in (
        ("signature-1", sigstore(b"first", signature="c2ln")),
        ("signature-2", SIGNATURE),
        ("signature-3", sigstore(b"second", signature="c2ln", bundle="b")),
        ("signature-4", sigstore(b"first", signature="c2ln")),
        (f"{child.hex}.signature-1", sigstore(b"child")),
    ):
        (path / name).write_bytes(content)
    directory = ImageDirectory(path)
    assert directory.signatures(BUILT.digest) == (SIGNATURE,)
    attached = directory.manifest(HERE, f"sha256-{BUILT.digest.hex}.sig")
    assert attached.media_type == media.OCI_MANIFEST
    layers = list(attached.blobs())[1:]
    assert [dict(layer.annotations) for layer in layers] == [{"signature": "c2ln"}, {"signature": "c2ln", "bundle": "b"}]
    assert {layer.media_type for layer in layers} == {images.SIMPLE_SIGNING}
    for blob in attached.blobs():
        assert directory.has(HERE, blob)
        assert read_all(VerifiedReader(directory.open(HERE, blob), blob, ""), 10**6, "")
    assert [read_all(directory.open(HERE, layer), 10**6, "") for layer in layers] == [b"first", b"second"]
    assert read_all(directory.open(HERE, attached.descriptor), 10**6, "") == attached.raw
    assert directory.manifest(HERE, attached.digest) == attached
    of_child = directory.manifest(HERE, f"sha256-{child.hex}.sig")
    assert [layer.size for layer in list(of_child.blobs())[1:]] == [len(b"child")]
    for tag in (f"sha256-{BUILT.children[1].digest.hex}.sig", f"sha256-{BUILT.digest.hex}.att", f"sha256-{'0' * 64}.sig", "x.sig"):
        with pytest.raises(NotFound):
            directory.manifest(HERE, tag)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\0pgp2\n{}", UsageError),
        (b"\0", UsageError),
        (b"\0sigstore-json\n", Damaged),
        (b"\0sigstore-json\n{}", Damaged),
        (b"\0sigstore-json\n[]", Damaged),
        (b'\0sigstore-json\n{"mimeType":"a/b","payload":"***"}', Damaged),
        (b'\0sigstore-json\n{"mimeType":"a/b","payload":"","annotations":{"a":1}}', Damaged),
    ],
    ids=["unknown kind", "no kind", "nothing", "no fields", "a list", "not base64", "an annotation that is a number"],
)
def test_a_signature_that_cannot_be_carried_is_never_dropped_silently(
    tmp_path: Path, content: bytes, error: type[AirgapError]
) -> None:
    (write(tmp_path / "d") / "signature-1").write_bytes(content)
    directory = ImageDirectory(tmp_path / "d")
    with pytest.raises(error):
        directory.manifest(HERE, f"sha256-{BUILT.digest.hex}.sig")


def test_too_many_signatures_are_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "d")
    for number in range(1, 130):
        (path / f"signature-{number}").write_bytes(SIGNATURE)
    with pytest.raises(Damaged, match="too many"):
        ImageDirectory(path).signatures(BUILT.digest)


def test_what_it_does_not_hold_is_not_found(tmp_path: Path) -> None:
    directory = ImageDirectory(write(tmp_path / "d"))
    stranger = images.content(b"other", "x/y").descriptor
    assert not directory.has(HERE, stranger)
    assert directory.referrers(HERE, stranger.digest).descriptors == ()
    for selector in (stranger.digest, "1.0"):
        with pytest.raises(NotFound):
            directory.manifest(HERE, selector)
    with pytest.raises(UsageError):
        directory.pick("1.0")


def _replace(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content)


def _instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return change


CHILD = f"{BUILT.children[0].digest.hex}.manifest.json"
HOSTILE: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "no version": lambda path: (path / "version").unlink(),
    "another version": _replace("version", b"Directory Transport Version: 2.0\n"),
    "a binary version": _replace("version", b"\xff" * 5000),
    "no JSON": _replace("manifest.json", b"{"),
    "another kind": _replace("manifest.json", b'{"schemaVersion":1}'),
    "a huge manifest": _replace("manifest.json", b" " * (5 * 1024 * 1024)),
    "a FIFO as manifest": _instead("manifest.json", os.mkfifo),
    "a FIFO as version": _instead("version", os.mkfifo),
    "a link as manifest": _instead("manifest.json", lambda path: path.symlink_to("/etc/passwd")),
    "a changed child": _replace(CHILD, b"{}"),
    "a FIFO as child": _instead(CHILD, os.mkfifo),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_directories_are_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    change(write(tmp_path / "d"))
    with pytest.raises(AirgapError):
        ImageDirectory(tmp_path / "d").manifest(HERE, BUILT.children[0].digest)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x"), lambda path: path.mkdir()])
def test_what_is_no_such_directory_is_a_mistake_of_the_list(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "d")
    with pytest.raises(UsageError):
        ImageDirectory(tmp_path / "d")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), lambda path: path.write_bytes(b"x")])
def test_a_blob_that_is_no_file_of_its_size_is_not_there(tmp_path: Path, make: Callable[[Path], object]) -> None:
    blob = BUILT.children[0].blobs[0].descriptor
    _instead(blob.digest.hex, make)(write(tmp_path / "d"))
    directory = ImageDirectory(tmp_path / "d")
    assert not directory.has(HERE, blob)
    with pytest.raises(Damaged):
        directory.open(HERE, blob)
