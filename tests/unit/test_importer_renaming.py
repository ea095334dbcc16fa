"""``--map``: what the operator's rules make of names, and the mistakes that are found in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.cli.options.maps import read_map
from airgap.errors import UsageError
from airgap.naming.mapping import destinations, parse_target
from airgap.naming.renaming import parse_rules
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference


def image(reference: str) -> Image:
    return Image(Reference.parse(reference), Descriptor(media.OCI_MANIFEST, Digest.of(reference.encode()), len(reference)))


def roots(*wanted: Image) -> list[tuple[Reference, Digest]]:
    return [(one.reference, one.root.digest) for one in wanted]


def mapped(rules: list[str], *references: str, target: str = "docker://r.site/m") -> list[str]:
    spec = parse_target(target, parse_rules(rules))
    return [str(name) for name in destinations(roots(*map(image, references)), spec).values()]


@pytest.mark.parametrize(
    ("rules", "reference", "name"),
    [
        (["prefix=docker.io/library=base"], "nginx:1", "base/nginx:1"),
        (["prefix=docker.io=hub"], "nginx:1", "hub/library/nginx:1"),
        (["prefix=docker.io/library="], "nginx:1", "nginx:1"),
        (["prefix=docker.io/lib=base"], "nginx:1", "docker.io/library/nginx:1"),
        (["prefix=localhost:5000=lab"], "localhost:5000/x:1", "lab/x:1"),
        (["prefix=docker.io/library/nginx=web", "prefix=docker.io=hub"], "nginx:1", "web:1"),
        (["image=nginx:1=web/front:stable"], "nginx:1", "web/front:stable"),
        (["image=nginx:1=web/front"], "nginx:1", "web/front:1"),
        (["image=nginx:1=web/front"], "nginx:2", "docker.io/library/nginx:2"),
        (["image=docker.io/library/nginx=web"], "nginx:7", "web:7"),
        ([r"regex=quay\.io/([^/]+)/(.+)=\1/q-\2"], "quay.io/a/b/c:1", "a/q-b/c:1"),
        ([r"regex=(?P<h>[^/]+)/team/(?P<n>.+)=\g<n>"], "ghcr.io/team/app:1", "app:1"),
        ([r"regex=quay\.io=x"], "quay.io/a/b:1", "quay.io/a/b:1"),
        (["flatten"], "quay.io/a/b:1", "quay.io-a-b:1"),
        (["strip-host", "flatten"], "quay.io/a/b:1", "a-b:1"),
        (["flatten=2"], "quay.io/a/b:1", "quay.io/a-b:1"),
        (["flatten=3"], "quay.io/a:1", "quay.io/a:1"),
        (["prefix=quay.io=q", "strip-host", "flatten"], "ghcr.io/a/b:1", "a-b:1"),
    ],
)
def test_a_rule(rules: list[str], reference: str, name: str) -> None:
    assert mapped(rules, reference) == [f"r.site/m/{name}"]


def test_a_digest_stays_with_its_image() -> None:
    digest = Digest.of(b"nginx")
    wanted = Image(Reference.parse(f"nginx:1@{digest}"), Descriptor(media.OCI_MANIFEST, digest, 5))
    spec = parse_target("docker://r.site", parse_rules(["image=nginx:1=web:stable"]))
    assert str(destinations(roots(wanted), spec)[wanted.reference]) == f"r.site/web:stable@{digest}"


@pytest.mark.parametrize(
    "rules",
    [
        ["rename"],
        ["prefix=docker.io"],
        ["prefix==x"],
        ["prefix=library/nginx=x"],
        ["prefix=docker.io/library:1=x"],
        ["prefix=docker.io=UPPER"],
        ["prefix=docker.io=../x"],
        ["image=nginx=web:stable"],
        ["image=nginx:1="],
        [f"image=nginx@sha256:{'a' * 64}=web"],
        ["regex=(=x"],
        [r"regex=(a)=\2"],
        ["flatten=0"],
        ["flatten=x"],
        ["flatten", "flatten=2"],
        ["keep-host", "strip-host"],
        ["strip-host", "prefix=docker.io=x"],
    ],
)
def test_a_mistake(rules: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rules(rules)
    assert caught.value.where


def test_what_an_expression_makes_must_be_a_name() -> None:
    with pytest.raises(UsageError, match="produces an invalid name"):
        mapped([r"regex=(.*)=\1/../x"], "nginx:1")


def test_two_images_of_a_table_clash() -> None:
    with pytest.raises(UsageError, match="the same name"):
        mapped(["image=nginx:1=web:stable", "image=nginx:2=web:stable"], "nginx:1", "nginx:2")


@pytest.mark.parametrize(
    ("rules", "one", "other"),
    [
        (["strip-host"], "docker.io/a/x:1", "quay.io/a/x:2"),
        (["flatten"], "quay.io/a/b-c:1", "quay.io/a-b/c:2"),
        (["strip-host", "flatten"], "quay.io/a/b:1", "ghcr.io/a/b:2"),
        (["flatten=2"], "quay.io/a/b-c:1", "quay.io/a-b/c:2"),
        (["prefix=quay.io=q", "prefix=ghcr.io=q"], "quay.io/a:1", "ghcr.io/a:2"),
        (["prefix=quay.io/a=docker.io/library"], "nginx:1", "quay.io/a/nginx:2"),
        (["image=nginx:1=web:1", "image=httpd:2=web:2"], "nginx:1", "httpd:2"),
        (["image=nginx=web", "image=httpd=web"], f"nginx@{Digest.of(b'1')}", f"httpd@{Digest.of(b'2')}"),
        ([r"regex=[^/]+/(.+)=\1"], "quay.io/a/b:1", "ghcr.io/a/b:2"),
        (["prefix=reg.corp-5000=reg.corp-5000"], "reg.corp-5000/x:1", "reg.corp:5000/x:2"),
    ],
)
def test_no_map_lets_two_sources_share_a_repository_whatever_their_tags(rules: list[str], one: str, other: str) -> None:
    for pair in ((one, other), (other, one)):
        with pytest.raises(UsageError, match="two source repositories would share"):
            mapped(rules, *pair)


def test_rules_in_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("# names\nimage=nginx:1=web:1   # the front\n\nprefix=quay.io=q\nstrip-host\n")
    rules = read_map([str(tmp_path / "rules"), "flatten"])
    assert rules.said == ("image=nginx:1=web:1", "prefix=quay.io=q", "strip-host", "flatten")


@pytest.mark.parametrize("head", ["rules:\n", ""])
def test_rules_in_a_yaml_file(tmp_path: Path, head: str) -> None:
    text = "- image: nginx:1\n  to: web:1\n- {prefix: quay.io, to: q}\n- regex: 'x/(.*)'\n  to: '\\1'\n- strip-host\n- flatten=2\n"
    (tmp_path / "rules.yaml").write_text(head + text)
    assert read_map([str(tmp_path / "rules.yaml")]).said == (
        "image=nginx:1=web:1",
        "prefix=quay.io=q",
        r"regex=x/(.*)=\1",
        "strip-host",
        "flatten=2",
    )


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("rules", "strip-host\nnonsense\n", "rules:2"),
        ("rules.yaml", "- strip-host\n- image: nginx:1\n", "rules.yaml:2:3"),
        ("rules.yaml", "rules: 5\n", "rules.yaml:1:8"),
        ("rules.yaml", "- {prefix: docker.io, image: x, to: y}\n", "rules.yaml:1:3"),
        ("rules.yaml", "- [a]\n", "rules.yaml:1:3"),
        ("rules.yaml", "- prefix: docker.io\n  to: UPPER\n", "rules.yaml:1"),
    ],
)
def test_a_mistake_in_a_file_has_its_line(tmp_path: Path, name: str, text: str, where: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_map([str(tmp_path / name)])
    assert caught.value.where == f"{tmp_path}/{where}"


@pytest.mark.parametrize("given", ["nowhere.yaml", "", "\x1b[31m"])
def test_neither_a_rule_nor_a_file(given: str) -> None:
    with pytest.raises(UsageError):
        read_map([given])


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "rules").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_map([str(tmp_path / "rules")])
