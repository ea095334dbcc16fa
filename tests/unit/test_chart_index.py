"""The index of a chart repository and the addresses of charts: what they mean, and what is no such thing."""

from __future__ import annotations

import pytest

from airgap.errors import Damaged, NotFound, UsageError
from airgap.sources.chartaddress import ChartAddress
from airgap.sources.chartindex import ChartIndex
from airgap.yamlnodes.spans import NotYaml, spans

URL = "https://charts.example.com/stable"
VERSIONS = ("1.4.0", "1.10.2", "1.10.10-rc.1", "2.0.0+build.5", "0.9.0", "v3.1.0", "not-a-version")


def index(*versions: str, url: str = "web-{}.tgz", more: str = "") -> ChartIndex:
    lines = [f"  - name: web\n    version: {one}\n    urls: ['{url.format(one)}']\n{more}" for one in versions]
    return ChartIndex(f"apiVersion: v1\nentries:\n  other: []\n  web:\n{''.join(lines)}generated: x\n".encode(), URL)


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("1.4.0", "1.4.0"),
        ("^1.2", "1.10.2"),
        ("~1.4.0", "1.4.0"),
        (">=1 <2", "1.10.2"),
        (">=1, <2", "1.10.2"),
        ("1.x", "1.10.2"),
        ("*", "v3.1.0"),
        ("", "v3.1.0"),
        (">=1.10.3-0 <1.11.0-0", "1.10.10-rc.1"),
        ("1.10.10-rc.1", "1.10.10-rc.1"),
        ("2.0.0", "2.0.0+build.5"),
        ("2.0.0+build.5", "2.0.0+build.5"),
        ("3.1.0", "v3.1.0"),
        ("0.9 || 1.4", "1.4.0"),
    ],
)
def test_the_version_is_the_one_that_helm_takes(wanted: str, version: str) -> None:
    assert index(*VERSIONS).find("web", wanted).version == version


@pytest.mark.parametrize("wanted", [">4", "1.4.1", "~1.10.10"])
def test_a_version_that_is_not_there_is_told_with_those_that_are(wanted: str) -> None:
    with pytest.raises(NotFound, match=r"1\.10\.2"):
        index(*VERSIONS).find("web", wanted)


def test_a_chart_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(NotFound, match="web"):
        index("1.0.0").find("wep", "")


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("web-{}.tgz", f"{URL}/web-1.0.0.tgz"),
        ("/x/web-{}.tgz", "https://charts.example.com/x/web-1.0.0.tgz"),
        ("https://cdn.example.com/web-{}.tgz?a=b", "https://cdn.example.com/web-1.0.0.tgz?a=b"),
    ],
)
def test_addresses_of_archives_are_relative_to_the_repository(url: str, where: str) -> None:
    assert index("1.0.0", url=url).find("web", "").url == where


@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_the_digest_may_have_its_algorithm_before_it(prefix: str) -> None:
    found = index("1.0.0", more=f"    digest: {prefix}{'AB' * 32}\n").find("web", "")
    assert found.digest == f"sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"- a\n", b"entries: []\n", b"a: 1\n", b"\xff\xfe", b"entries: {web: [\n", b"entries: {web: 1, web: 2}\n",
        b"entries: {}\nentries: {}\n", b"<html>\n", b"entries: {[a]: 1}\n", b"x: " + b"[" * 200 + b"]" * 200,
        b'"\\U99999999": 1',
    ],
)  # fmt: skip
def test_what_is_no_index_is_damage(raw: bytes) -> None:
    with pytest.raises(Damaged, match="index"):
        ChartIndex(raw, URL)


@pytest.mark.parametrize(
    "value",
    [
        "x", "{a: b}", "[{version: 1.0.0}]", "[*a]",
        *(f"[{{version: 1.0.0, urls: [a], digest: {digest}}}]" for digest in ("12", "[]", "{a: b}")),
        *(f"[{{version: 1.0.0, urls: ['{url}']}}]" for url in ("file:///etc/passwd", "http://[::1/x", "https://u:p@a.example/x")),
    ],
)  # fmt: skip
def test_what_is_no_list_of_versions_is_damage(value: str) -> None:
    found = ChartIndex(f"entries: {{web: {value}}}\n".encode(), URL)
    with pytest.raises(Damaged):
        found.find("web", "1.0.0")


def test_the_parts_of_a_mapping_are_cut_out_whatever_the_style() -> None:
    text = "x: {entries: {no: 1}}\nentries:\n  é:\n  - a: |\n      entries:\n        q: 1\n    b: '\n      c'\n"
    text += "  ß: 5\n  z: {a: [b]}\ny: 1\n"
    found = spans(text, "entries", 3)
    assert {name: part.strip() for name, part in found.items()} == {
        "é": "- a: |\n      entries:\n        q: 1\n    b: '\n      c'", "ß": "5", "z": "{a: [b]}"
    }  # fmt: skip
    with pytest.raises(NotYaml):
        spans("a: 1", "entries", 3)
    with pytest.raises(NotYaml, match="more than 2"):
        spans(text, "entries", 2)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (f"{URL}/web:1.4.0+1", "charts.example.com/stable/web:1.4.0_1"),
        ("https://charts.example.com:8443/Web:1.4.0", "charts.example.com:8443/web:1.4.0"),
        ("https://raw.example.com/Shop/charts%2fmain/web:1.4.0", "raw.example.com/shop/charts/main/web:1.4.0"),
    ],
)
def test_a_chart_has_the_name_at_the_site_that_its_address_has(text: str, reference: str) -> None:
    assert str(ChartAddress.parse(text).reference()) == reference


def test_an_address_that_can_be_no_name_says_how_to_give_one() -> None:
    with pytest.raises(UsageError, match=" as "):
        ChartAddress.parse("https://charts.example.com/~shop/web:1.0.0").reference()


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@charts.example.com/web", "ftp://charts.example.com/web", "https://charts.example.com/", "https:///web",
        f"{URL}/we b:1", f"{URL}/web:1#key=x", f"{URL}/web:1#keyring=", f"{URL}/web:1@sha256:12", f"{URL}?a=b/web:1",
        "https://charts.example.com:x/web",
    ],
)  # fmt: skip
def test_what_is_no_address_is_a_mistake_that_shows_no_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ChartAddress.parse(text)
    assert "secret" not in str(caught.value)


def test_an_address_reads_as_it_is_written() -> None:
    text = f"{URL}/web:^1@sha256:{'ab' * 32}#keyring=/a b/keys.gpg"
    assert str(ChartAddress.parse(text)) == text
