"""Archives, and files that lie beside a bundle."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Iterator
from pathlib import Path

from airgap.archives.dirsigstore import parse_sigstore
from airgap.archives.dockerarchive import DockerArchive
from airgap.archives.tarindex import TarIndex
from airgap.archives.tree import TarTree
from airgap.archives.unpacking import compression, unpack
from airgap.bundle import companions
from airgap.exporter.journal import Journal
from airgap.format import checktxt, names
from airgap.oci.digest import Digest
from airgap.oci.strictjson import canonical as line_of
from airgap.patch import zstd
from tests.support import parserseeds as seeds
from tests.support.parserrow import WHERE, Parser, in_file
from tests.support.parserseeds import numbered, repeated

EFFORT = zstd.EFFORTS["fast"]


def _tar(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        TarIndex(fd, WHERE)
    finally:
        os.close(fd)


def _docker_archive(path: Path) -> None:
    tree = TarTree(path)
    try:
        archive = DockerArchive(tree)
        for name in archive.names():
            archive.pick(name)
            archive.tags(name)
    finally:
        tree.close()


def _unpack(path: Path) -> None:
    kind, target = compression(path), path.with_name("unpacked")
    if kind:
        try:
            unpack(path, kind, target, 1024 * 1024)
        finally:
            target.unlink(missing_ok=True)


def rows() -> Iterator[Parser]:
    """The rows."""
    yield Parser(
        "compressed archive",
        in_file(_unpack),
        (gzip.compress(b"a" * 900), bz2.compress(b"b" * 900), lzma.compress(b"c" * 900), zstd.compress(b"d" * 900, None, EFFORT)),
        {"streams of gzip": lambda n: gzip.compress(b"a") * n, "streams of bzip2": lambda n: bz2.compress(b"b") * n},
        ("airgap.archives.unpacking:unpack",),
    )
    yield Parser(
        "Sigstore signature in a dir:",
        lambda raw: parse_sigstore(raw, WHERE),
        (b'\0sigstore-json\n{"mimeType":"a/b","payload":"e30=","annotations":{"c":"d"}}', b"\x90 GPG"),
        {"annotations": lambda n: b"\0sigstore-json\n" + line_of({"annotations": {f"a{i}": "b" for i in range(n)}})},
        ("airgap.archives.dirsigstore:parse_sigstore",),
    )
    yield Parser(
        "tar",
        in_file(_tar),
        (seeds.tar([("a/b", b"c"), ("d", b"e" * 600)]), seeds.tar([("a" * 150, b"c")], comment="x" * 600)),
        {
            "members": lambda n: seeds.tar((f"m{i}", b"") for i in range(n)),
            "members with long names": lambda n: seeds.tar((f"{'d/' * 100}m{i}", b"") for i in range(n)),
            "records of one extended header": lambda n: seeds.tar([("m", b"")], **{f"k{i}": "v" for i in range(min(n, 5000))}),
        },
        ("airgap.archives.tarindex:TarIndex",),
    )
    yield Parser(
        "docker archive",
        in_file(_docker_archive),
        (seeds.docker_archive(2, 2, 2),),
        {
            "tags": seeds.docker_archive,
            "images": lambda n: seeds.docker_archive(1, min(n, 10_000)),
            "tags of images": lambda n: seeds.docker_archive(n, 5),
            "layers": lambda n: seeds.docker_archive(1, 1, min(n, 1000)),
        },
        ("airgap.archives.dockerarchive:DockerArchive",),
    )
    header = {"schema": "airgap.journal/1"}

    def resume(path: Path) -> None:
        Journal.resume(path.rename(path.with_name(names.JOURNAL)).parent).close()

    sealed = line_of({**header, "sha256": Digest.of(line_of(header)).hex}) + b"\n"
    yield Parser(
        "journal",
        in_file(resume),
        (sealed + b'["sha256:1",5]\n["sha256:2",6]\n',),
        {
            "lines": numbered('["sha256:%d",5]\n', sealed.decode()),
            "line feeds": repeated("\n", sealed),
            "one line": repeated("[", sealed),
            "one line of lists": repeated("[],", sealed + b"[", "0]"),
        },
        ("airgap.exporter.journal:_parse", "airgap.exporter.journal:Journal.resume"),
    )
    catalog = seeds.small_catalog()
    raw = catalog.to_bytes()

    def sums(path: Path) -> None:
        companions.contradicting(path.rename(path.with_name(names.SUMS)).parent, catalog, raw)

    yield Parser(
        "SHA256SUMS",
        in_file(sums),
        (checktxt.sha256sums(catalog, raw),),
        {
            "lines": numbered("%s  volume-%d.tar\n"),
            "line feeds": repeated("\n"),
            "one line": repeated("0"),
            "carriage returns": repeated("\r"),
            "scripts": repeated("0  check.sh\n"),
        },
        ("airgap.bundle.companions:contradicting",),
    )
