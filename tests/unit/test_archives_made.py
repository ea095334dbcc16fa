"""Plain files and Helm charts as artifacts: what becomes of them, and what is no such thing."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from airgap.archives.made import CHART_CONFIG, FILE_TYPE, chart_artifact, file_artifact
from airgap.archives.titles import CHART_LAYER, CHART_PROVENANCE, named_files
from airgap.errors import Lacking, Refused, UsageError
from airgap.layout.index import NAMELESS
from airgap.lists import parse_list
from airgap.lists.placed import by_name
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.oci.verify import read_all

CHART_YAML = b"apiVersion: v2\nname: web\nversion: 1.4.0\ndeprecated: false\nkeywords: [a, '1']\nannotations: {x: null}\n"


def chart(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a", media.OCTETS), ("a.sh", media.OCTETS), ("a.tar", media.OCI_LAYER), ("a.tgz", media.OCI_LAYER_GZIP)],
)
def test_a_file_is_one_layer_with_its_name_as_title(tmp_path: Path, name: str, media_type: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    made = file_artifact(tmp_path / name)
    layer = made.root.layers[0]
    assert (made.root.artifact_type, layer.media_type, layer.annotations, layer.size) == (
        FILE_TYPE,
        media_type,
        {media.TITLE: name},
        7,
    )
    assert read_all(made.open(NAMELESS, layer), 100, "a") == b"content"
    assert made.root.config is not None
    assert read_all(made.open(NAMELESS, made.root.config), 100, "a") == b"{}"
    assert made.has(NAMELESS, layer)
    assert made.manifest(NAMELESS, made.root.digest).raw == made.root.raw


def test_the_same_file_is_the_same_artifact_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_bytes(b"content")
    assert file_artifact(tmp_path / "one/a").root.raw == file_artifact(tmp_path / "two/a").root.raw


def test_nothing_else_is_in_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    made = file_artifact(tmp_path / "a")
    with pytest.raises(Lacking):
        made.manifest(NAMELESS, "latest")
    (tmp_path / "b").write_bytes(b"other")
    with pytest.raises(Lacking):
        made.open(NAMELESS, file_artifact(tmp_path / "b").root.layers[0])


@pytest.mark.parametrize("name", ["missing", "folder", "a\x1bb"])
def test_what_is_no_file_with_a_plain_name_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a\x1bb").write_bytes(b"")
    with pytest.raises(UsageError):
        file_artifact(tmp_path / name)


def test_a_chart_is_its_archive_its_metadata_and_its_provenance(tmp_path: Path) -> None:
    path = chart(tmp_path / "web-1.4.0.tgz", ("web/Chart.yaml", CHART_YAML), ("web/values.yaml", b"a: 1\n"))
    (tmp_path / "web-1.4.0.tgz.prov").write_bytes(b"signed")
    made = chart_artifact(path)
    assert made.root.config is not None
    assert made.root.config.media_type == CHART_CONFIG
    assert [layer.media_type for layer in made.root.layers] == [CHART_LAYER, CHART_PROVENANCE]
    assert json.loads(read_all(made.open(NAMELESS, made.root.config), 1000, "config")) == {
        "apiVersion": "v2", "name": "web", "version": "1.4.0", "deprecated": False, "keywords": ["a", "1"],
        "annotations": {"x": None},
    }  # fmt: skip
    assert read_all(made.open(NAMELESS, made.root.layers[0]), 10_000, "chart") == path.read_bytes()
    assert read_all(made.open(NAMELESS, made.root.layers[1]), 10_000, "prov") == b"signed"


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("web/values.yaml", b"")],
        [("Chart.yaml", CHART_YAML)],
        [("web/charts/x/Chart.yaml", CHART_YAML)],
        [("web/Chart.yaml", b"name: web\n")],
        [("web/Chart.yaml", b"- web\n")],
        [("web/Chart.yaml", b"\xff")],
        [("web/Chart.yaml", b"name: [\n")],
        [("web/Chart.yaml", b"name: a\nversion: b\nx: " + b"y" * (1 << 20))],
        [("web/Chart.yaml", b"name: a\nversion: b\n---\nname: a\nversion: b\n")],
    ],
    ids=["empty", "none", "top", "below", "no-version", "list", "encoding", "syntax", "large", "two"],
)
def test_what_is_no_packaged_chart_is_a_mistake(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    with pytest.raises(UsageError, match=r"Chart|chart"):
        chart_artifact(chart(tmp_path / "web-1.4.0.tgz", *members))


def test_a_chart_that_grows_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Each member of gzip holds 16 MiB of zeros, of a file whose header promises a terabyte."""
    head = tarfile.TarInfo("web/values.yaml")
    head.size = 1 << 40
    (tmp_path / "web-1.4.0.tgz").write_bytes(gzip.compress(head.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(bytes(16 << 20)) * 64)
    with pytest.raises(UsageError) as caught:
        chart_artifact(tmp_path / "web-1.4.0.tgz")
    assert "in its first 100 MiB" in caught.value.got


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no tar" * 200), gzip.compress(b"x" * 2000)[:-9]],
    ids=["empty", "no-gzip", "no-tar", "cut-off"],
)
def test_a_file_that_is_no_archive_is_no_chart(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x-1.0.0.tgz").write_bytes(content)
    with pytest.raises(UsageError, match="not a packaged chart"):
        chart_artifact(tmp_path / "x-1.0.0.tgz")


# -- lists


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("files: [./a/install.sh]", "airgap.local/files/install.sh:latest file:./a/install.sh"),
        ("files: [{path: a/X.bin, name: tool, version: 2.10}]", "airgap.local/files/tool:2.10 file:a/X.bin"),
        ("files: [a/X.bin]", "airgap.local/files/x.bin:latest file:a/X.bin"),
        ("charts: [a/web-1.4.0.tgz]", "airgap.local/charts/web:1.4.0 chart:a/web-1.4.0.tgz"),
        ("charts: [{path: a/my-web-1.4.0-rc.1+b.tgz}]", "airgap.local/charts/my-web:1.4.0-rc.1_b chart:a/my-web-1.4.0-rc.1+b.tgz"),
        ("charts: ['oci://q.example/c/web:1.4.0']", "q.example/c/web:1.4.0 "),
    ],
)
def test_files_and_charts_of_our_list_have_a_name_at_the_site(text: str, wanted: str) -> None:
    (found,) = parse_list(text.encode(), "list", by_name).wanted
    assert f"{getattr(found, 'reference', '')} {getattr(found, 'source', '')}" == wanted


@pytest.mark.parametrize(
    "text", ["files: x", "files: []", "files: [{name: a}]", "files: [{path: a, tag: b}]", "files: [1]",
     "charts: [{path: a, version: '!'}]"]
)  # fmt: skip
def test_mistakes_in_files_and_charts_are_told_with_their_place(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(text.encode(), "list", by_name)
    assert caught.value.where.startswith("list:1:")


# -- taking out


def artifact(*titles: str | None) -> Manifest:
    layers = [
        {
            "mediaType": media.OCTETS,
            "digest": Digest.of(bytes([i])),
            "size": 1,
            "annotations": {} if title is None else {media.TITLE: title},
        }
        for i, title in enumerate(titles)
    ]
    config = {"mediaType": media.OCI_EMPTY, "digest": Digest.of(b"{}"), "size": 2}
    raw = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": layers}).encode()
    return Manifest.parse(raw, media.OCI_MANIFEST, "x")


@pytest.mark.parametrize("title", ["../x", "/etc/passwd", "a/b", ".", "..", "a\x1b", "a\nb", "x" * 256, "a\x00"])
def test_a_name_that_leads_elsewhere_is_refused(title: str) -> None:
    with pytest.raises(Refused):
        named_files(artifact(title), Reference.parse("a.example/b:1"))


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(Refused):
        named_files(artifact("a", "a"), Reference.parse("a.example/b:1"))


def test_an_image_holds_no_files_to_take() -> None:
    with pytest.raises(UsageError, match="not an artifact of files"):
        named_files(artifact(None), Reference.parse("a.example/b:1"))
