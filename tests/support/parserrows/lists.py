"""Image lists of all kinds, and rules for names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airgap.lists import merge_wishes, parse_list
from airgap.lists.renames import read_rules
from airgap.lists.templatevalues import parse_values
from airgap.naming.renaming import parse_rules
from airgap.oci.reference import Reference
from tests.support import parserseeds as seeds
from tests.support.parserrow import Parser
from tests.support.parserseeds import numbered, repeated


def _list(raw: bytes) -> None:
    found = parse_list(raw, "list")
    merge_wishes([found, found])


def _placed(rules: Any) -> object:
    return [rules.place(Reference.parse(f"quay.io/a/x{i}").repository, "1") for i in range(20)]


def rows() -> Iterator[Parser]:
    """The rows."""
    samples = [path.read_bytes() for path in sorted((seeds.SAMPLES / "lists").iterdir())]
    samples += [(seeds.SAMPLES / name).read_bytes() for name in ("images.txt", "images.yaml")]
    yield Parser(
        "image list",
        _list,
        tuple(samples),
        {
            "lines": numbered("quay.io/team/app:%d\n"),
            "comments": repeated("# x\n", b"a\n"),
            "blanks before a comment": repeated(" ", b"a", b"x"),
            "names without an end": repeated("a/"),
            "dots": repeated("a."),
            "dashes": repeated("-", b"quay.io/a", b"/b"),
            "mistakes": repeated("!!\n", b"a\n"),
            "entries": numbered("- quay.io/team/app:%d\n", "images:\n"),
            "entries on one line": numbered("quay.io/team/app:%d", "images: [", "]", ","),
            "mappings": numbered("- name: quay.io/team/app:%d\n  platforms: [linux/amd64]\n", "images:\n"),
            "unknown keys": numbered("k%d: 1\n", "images: [a]\n"),
            "empty lists": repeated("[],", b"images: [", b"a]"),
            "tags": numbered("t%d", "quay.io: {images: {a: [", "]}}", ","),
            "repositories": numbered("a%d: []", "quay.io: {images: {", "}}", ","),
            "registries": numbered("r%d.example: {images: {a: [b]}, tls-verify: false}\n"),
            "documents": numbered("---\nimages: [a:%d]\n"),
            "empty documents": repeated("---\n", b"", b"images: [a]\n"),
            "one long word": repeated("a", b"images: [", b"]"),
            "one long quoted word": repeated("a ", b'images: ["', b'"]'),
            "colons": repeated("a:"),
            "question marks": repeated("? ", b"", b"a"),
            "flow without an end": repeated("a,", b"images: ["),
            "spaces in front": repeated(" ", b"images:\n", b"- a"),
            "folded lines": repeated("a\n ", b"images: ["),
            "two digests of a tag": numbered("a/b:t%d@%s\na/b:t%d@sha256:" + "0" * 64 + "\n"),
            "platforms that differ": numbered("- {name: a/b, platforms: [linux/a%d]}\n", "images:\n"),
            "components": numbered("- {images: [a/b:%d]}\n", "kind: ZarfPackageConfig\ncomponents:\n"),
            "templates": repeated("###ZARF_A###", b"kind: ZarfPackageConfig\ncomponents: [{images: [", b"]}]"),
            "entries of sync": numbered("- {source: a/b:%d, type: image}\n", "sync:\n"),
            "sets of tags": numbered("{allow: [v%d]}", "sync: [{source: a/b, type: repository, tagSets: [", "]}]", ","),
            "templates of sync": repeated('{{env "A"}}', b"sync: [{source: '", b"', type: image}]"),
            "jobs": numbered("j%d: {image: a/b, script: [x]}\n"),
            "variables": repeated("$A", b"variables: {A: $A$A}\nj: {script: [x], image: ", b"}"),
            "releases": numbered("- {chart: 'oci://a.b/c%d', version: 1.0.0}\n", "releases:\n"),
            "annotations": numbered("- a/b:%d\n  ", "apiVersion: v2\nname: x\nversion: 1.0.0\nannotations:\n  images: |\n  "),
        },
        (
            "airgap.lists.parse:parse_list",
            "airgap.lists.yamllist:parse_yaml_list",
            "airgap.lists.kinds.hauler:parse_hauler",
            "airgap.lists.kinds.ocmirror:parse_oc_mirror",
            "airgap.lists.kinds.imgpkg:parse_images_lock",
            "airgap.lists.kinds.skopeosync:parse_skopeo_sync",
            "airgap.lists.kinds.zarf:parse_zarf",
            "airgap.lists.kinds.regsync:parse_regsync",
            "airgap.lists.kinds.gitlabci:parse_gitlab_ci",
            "airgap.lists.kinds.charts:parse_chart",
            "airgap.lists.kinds.charts:parse_helmfile",
            "airgap.lists.yamllist:read_pattern",
            "airgap.lists.yamllist:read_range",
            "airgap.lists.values:read_reference",
            "airgap.lists.values:read_images",
            "airgap.lists.values:read_repository",
            "airgap.lists.values:read_platform",
        ),
    )
    yield Parser(
        "values of templates",
        lambda raw: parse_values(raw, "values"),
        (b"A: 1\nb: two\n", b"package: {create: {set: {a: '1'}}}\n"),
        {"values": numbered("k%d: v\n"), "depth": repeated("{a: ", b"")},
        ("airgap.lists.templatevalues:parse_values",),
    )
    rules = b"prefix=docker.io=hub\nimage=quay.io/a/b:1=c:2\nregex=(.*)=x/\\1\nstrip-host\nflatten=2\n"
    yield Parser(
        "mapping rules",
        lambda raw: [_placed(rules) for rules in [parse_rules(read_rules(raw, "rules"))]],
        (rules,),
        {
            "rules": numbered("image=quay.io/a/b%d=c%d\n"),
            "prefixes": numbered("prefix=quay.io/a%d=c%d\n"),
            "comments": repeated("# x\n", b"strip-host\n"),
            "one rule": repeated("a/", b"prefix=", b"=c"),
            "equals": repeated("=", b"image"),
        },
        ("airgap.lists.renames:read_rules", "airgap.naming.renaming:parse_rules"),
    )
    yield Parser(
        "mapping rules in YAML",
        lambda raw: parse_rules(read_rules(raw, "rules.yaml")),
        (b"rules:\n- prefix: docker.io\n  to: hub\n- image: quay.io/a/b:1\n  to: c\n",),
        {
            "rules": numbered("- {prefix: quay.io/a%d, to: b%d}\n", "rules:\n"),
            "empty lists": repeated("[],", b"rules: [", b"a]"),
        },
        ("airgap.lists.renames:read_rules",),
    )
