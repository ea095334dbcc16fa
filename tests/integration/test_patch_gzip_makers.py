"""gzip as the tools of this world make it is rebuilt bit for bit from its tokens."""

from __future__ import annotations

import gzip
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.verify import BytesReader, read_all
from airgap.patch import tokens
from airgap.patch.tokens import GzipReader, TokenReader
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.gzipkinds import text
from tests.support.tools import require

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

LIMIT = 1 << 26
NAME = "localhost/made/image:1"

#: More than one of the blocks that pgzip (1 MiB) and pigz (128 KiB) compress by themselves, and small enough for the plain codec.
LARGE = text(2_500_000, 7)
SMALL = text(300_000, 8)


def rebuilt(data: bytes) -> bytes:
    made = read_all(TokenReader(BytesReader(data)), LIMIT, "")
    return read_all(GzipReader(BytesReader(made)), LIMIT, "")


def run(*words: str, data: bytes = b"") -> bytes:
    done = subprocess.run([require(words[0]), *words[1:]], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", ["chosen", "python"])
@pytest.mark.parametrize(
    "command",
    [
        *(f"gzip -{level}" for level in (1, 6, 9)),
        "gzip --rsyncable",
        *(f"pigz -{level} -p 3" for level in (0, 1, 6, 9)),
        "pigz --rsyncable -p 3",
        "pigz --independent -p 3",
        "pigz --huffman",
        "pigz --rle",
        "pigz -11 --blocksize 32 -p 2",
        *(f"libdeflate-gzip -{level}" for level in (1, 6, 12)),
    ],
)
def test_command_line_compressors(command, codec, monkeypatch):
    if codec == "python":
        monkeypatch.setattr(tokens, "HAS_EXTENSION", False)
    plain = SMALL[:60_000] if "-11" in command or codec == "python" else LARGE
    packed = run(*command.split(), "-c", data=plain)
    assert gzip.decompress(packed) == plain
    assert rebuilt(packed) == packed


@pytest.mark.parametrize("plain", [b"", b"\n"])
@pytest.mark.parametrize("tool", ["gzip", "pigz", "libdeflate-gzip"])
def test_next_to_nothing(tool, plain):
    packed = run(tool, "-c", data=plain)
    assert rebuilt(packed) == packed


def test_a_file_with_its_name_and_time_in_the_header(tmp_path):
    file = tmp_path / "a name.tar"
    file.write_bytes(SMALL)
    run("gzip", "--name", str(file))
    packed = file.with_name("a name.tar.gz").read_bytes()
    assert b"a name.tar\0" in packed[:30]
    assert rebuilt(packed) == packed


def test_files_put_one_behind_the_other(tmp_path):
    parts = [run("gzip", "-c", data=SMALL), run("pigz", "-c", data=b""), run("libdeflate-gzip", "-c", data=SMALL[:1000])]
    assert rebuilt(b"".join(parts)) == b"".join(parts)
    assert rebuilt(b"".join(parts) + bytes(1024)) == b"".join(parts) + bytes(1024)


@pytest.fixture
def plain_layers(tmp_path: Path) -> Path:
    """A layout with one image whose layers are not compressed: large, small and empty."""
    layers = []
    for name, data in (("large", LARGE), ("small", SMALL[:500]), ("empty", b"")):
        packed = images.tar_layer({name: data})
        plain = gzip.decompress(packed.raw)
        layers.append(replace(images.content(plain, media.OCI_LAYER), diff_id=packed.diff_id))
    with LayoutStore(tmp_path / "plain") as store:
        images.publish(store, NAME, images.image(layers))
        store.commit()
    return tmp_path / "plain"


@pytest.mark.parametrize("level", [None, 1, 9])
def test_layers_that_skopeo_compresses(plain_layers, level, tmp_path):
    out = tmp_path / "out"
    words = ["--dest-compress", *(["--dest-compress-level", str(level)] if level else [])]
    run("skopeo", "--insecure-policy", "copy", *words, f"oci:{plain_layers}:{NAME}", f"dir:{out}")
    layers = json.loads((out / "manifest.json").read_bytes())["layers"]
    assert [layer["mediaType"] for layer in layers] == [media.OCI_LAYER_GZIP] * 3
    for layer in layers:
        packed = (out / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert str(Digest.of(rebuilt(packed))) == layer["digest"]


def test_layers_that_skopeo_compresses_while_it_pushes(plain_layers, tmp_path):
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        target = f"docker://{registry.address}/made/image:1"
        run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{plain_layers}:{NAME}", target)
        manifest = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", target))
        for layer in manifest["layers"]:
            assert layer["mediaType"] == media.OCI_LAYER_GZIP
            packed = registry.blob_path(layer["digest"]).read_bytes()
            assert str(Digest.of(rebuilt(packed))) == layer["digest"]
