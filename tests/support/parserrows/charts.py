"""The index of a chart repository, addresses of charts, files and git repositories, and provenance files."""

from __future__ import annotations

from collections.abc import Iterator

from airgap.sources.chartaddress import ChartAddress
from airgap.sources.chartindex import ChartIndex
from airgap.sources.gitaddress import GitAddress
from airgap.sources.provenance import signed_digest
from airgap.sources.webfile import FileAddress
from tests.support.parserrow import Parser, text
from tests.support.parserseeds import numbered, repeated

_INDEX = b"apiVersion: v1\nentries:\n  web:\n  - {name: web, version: 1.0.0, urls: [web-1.0.0.tgz], digest: aa}\n"
_VERSIONS = "apiVersion: v1\nentries:\n  web:\n"


def rows() -> Iterator[Parser]:
    """The rows."""
    yield Parser(
        "index of a chart repository",
        lambda raw: ChartIndex(raw, "https://charts.example.com").find("web", "^1"),
        (_INDEX, b'{"entries": {"web": [{"version": "1.0.0", "urls": ["/a.tgz"]}]}}'),
        {
            "versions": numbered("  - {name: web, version: 1.%d.0, urls: [a]}\n", _VERSIONS),
            "charts": numbered("  c%d: []\n", _VERSIONS + "  - {name: web, version: 1.0.0, urls: [a]}\n"),
            "depth": repeated("[", b"entries: {web: "),
            "blanks": repeated(" ", b"entries: {web:", b"[]}"),
            "keys outside": numbered("k%d: {a: b}\n"),
        },
    )
    yield Parser(
        "address of a chart",
        text(lambda address: ChartAddress.parse(address).reference()),
        (b"https://charts.example.com/a/web:1.0.0", b"https://a.example/web:1@sha256:aa#keyring=x"),
        {"slashes": repeated("a/", b"https://a.example/", b"web:1"), "marks": repeated("@#:", b"https://a.example/web:1")},
        ("airgap.sources.chartaddress:ChartAddress.parse",),
    )
    yield Parser(
        "address of a file",
        text(FileAddress.parse),
        (b"https://get.example.com/tool.tgz", b"https://a.example/x#sha256=" + b"0" * 64 + b"&size=5&title=y"),
        {
            "slashes": repeated("a/", b"https://a.example/", b"x"),
            "facts": repeated("&size=1", b"https://a.example/" + b"x" * 300 + b"#size=1"),
        },
        ("airgap.sources.webfile:FileAddress.parse",),
    )
    yield Parser(
        "address of a git repository",
        text(GitAddress.parse),
        (b"https://git.example.com/shop/web.git#ref=main&ref=v1.*", b"/srv/git/x#ref=refs/heads/main@" + b"0" * 40),
        {
            "slashes": repeated("a/", b"https://a.example/", b"x"),
            "marks": repeated("@:", b"a"),
            "refs": numbered("&ref=r%d", "https://a.example/x#ref=main"),
        },
        ("airgap.sources.gitaddress:GitAddress.parse",),
    )
    yield Parser(
        "text of a provenance file",
        text(lambda signed: signed_digest(signed, "web-1.0.0.tgz")),
        (b"name: web\n\n...\nfiles:\n  web-1.0.0.tgz: sha256:aa\n",),
        {"files": numbered("  a%d: sha256:aa\n", "name: web\n\n...\nfiles:\n"), "ends": repeated("\n...\n")},
    )
