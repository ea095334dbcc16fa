"""Deployment files, in which ``discover`` looks for images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from airgap.discover.findings import Findings, Sheet
from airgap.discover.listing import as_text, as_yaml, collect
from airgap.discover.search import find_in_text
from airgap.discover.tree import decode
from airgap.discover.variables import expand, parse_env
from tests.support import parserseeds as seeds
from tests.support.parserrow import Parser, text
from tests.support.parserseeds import Grow, numbered, repeated


def _discover(name: str, raw: bytes) -> None:
    findings = Findings()
    sheet = Sheet("file", findings)
    find_in_text(raw.decode("utf-8", "replace"), PurePath(name), lambda: {"A": "b", "TAG": "1"}, sheet)
    found = collect(findings, 1)
    as_text(found)
    as_yaml(found)
    found.to_json()


def rows() -> Iterator[Parser]:
    """The rows."""

    def row(name: str, file: str, folder: str, grow: Mapping[str, Grow]) -> Parser:
        paths = sorted(path for path in (seeds.SAMPLES / "discover" / folder).rglob("*") if path.is_file())
        found = tuple(path.read_bytes() for path in paths)
        return Parser(name, lambda raw: _discover(file, raw), found, grow, ("airgap.discover.search:find_in_text",), most=16 << 20)

    pod = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
    yield row(
        "Kubernetes",
        "a.yaml",
        "kubernetes",
        {
            "containers": numbered("  - image: quay.io/a/b:%d\n", pod),
            "documents": numbered("---\n" + pod + "  - image: quay.io/a/b:%d\n"),
            "image images": repeated("image", b"kind: x\ndata: |\n  a\n  "),
            "image dashes": repeated("image-", b"kind: x\ndata: |\n  a\n  "),
            "embedded": repeated("  image: a/b:1\n", b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n"),
            "embedded documents": repeated("  ---\n  image: a/b:1\n", b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n"),
            "sources": repeated("# Source: a\n", b"---\n", b"image: x"),
            "blank lines": repeated("\n", b"---\n# Source: a", b"image: x"),
            "comments": repeated("#\n", b"---\n", b"image: x"),
            "directives": repeated("%A\n", b"", b"image: x"),
            "aliases": numbered("b%d: *a\n", "image: x\na: &a [" + "x," * 50 + "x]\n"),
            "merges": numbered("b%d: {<<: *a}\n", "image: x\na: &a {" + "".join(f"k{i}: x," for i in range(50)) + "z: x}\n"),
            "small documents of many aliases": repeated(
                "---\nimage: x\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
            ),
            "open lists": repeated("[", b"image: "),
            "JSON": numbered('{"image":"a/b:%d"}', '{"kind":"x","a":[', "]}", ","),
            "JSON with indents": repeated("\t\n", b'{"image":', b'"a"}'),
            "parameters": repeated("$(params.", pod.encode() + b"  - image: "),
            "values": repeated("{{", pod.encode() + b"  - image: "),
            "dollars": repeated("$A", pod.encode() + b"  - image: "),
            "open variables": repeated("${A:-", pod.encode() + b"  - image: "),
            "params": numbered("  - name: p\n    value: v%d\n", "apiVersion: tekton.dev/v1\nkind: Task\nimage: x\nparams:\n"),
            "nested objects": lambda n: (
                b"apiVersion: v1\nkind: Template\nimage: x\nobjects:\n"
                + b"".join(
                    b"%s- apiVersion: v1\n%s  kind: Template\n%s  objects:\n" % ((b" " * 2 * i,) * 3) for i in range(min(n, 40))
                )
            ),
            "keys": numbered("k%d: image\n", "image: a/b:1\n"),
            "flags": numbered("    - --image-%d=a/b:1\n", pod + "  - args:\n"),
            "lines of a value": repeated("quay.io/a/b:1 ", b"image: x\na: {name: x_IMAGE, value: '", b"'}"),
        },
    )
    yield row(
        "kustomization",
        "kustomization.yaml",
        "kustomize",
        {
            "images": numbered("- {name: a%d, newTag: t}\n", "kind: Kustomization\nimages:\n"),
            "resources": numbered("- a%d.yaml\n", "kind: Kustomization\nresources:\n"),
            "new names and what they replace": lambda n: (
                b"kind: Kustomization\nimages:\n"
                + b"".join(b"- {name: quay.io/a/b, newName: quay.io/c/d%d}\n" % i for i in range(n))
                + b"---\n"
                + pod.encode()
                + b"".join(b"  - image: quay.io/a/b:%d\n" % i for i in range(n))
            ),
        },
    )
    yield row(
        "Compose",
        "compose.yaml",
        "compose",
        {
            "services": numbered("  s%d: {image: 'a/b:%d'}\n", "services:\n"),
            "two digests of a tag": numbered(
                "  s%d: {image: 'a/b:t%d@%s'}\n  r%d: {image: 'a/b:t%d@sha256:" + "0" * 64 + "'}\n", "services:\n"
            ),
            "variables": repeated("$A", b"services: {a: {image: '", b"'}}"),
            "variables of many services": numbered("  s%d: {image: '" + "$A" * 200 + "'}\n", "services:\n"),
            "includes": numbered("- a%d.yaml\n", "services: {}\ninclude:\n"),
        },
    )
    yield row(
        "Containerfile",
        "Containerfile",
        "containers",
        {
            "stages": numbered("FROM a/b:%d AS s%d\n"),
            "stages by the platform": numbered("FROM a AS s-%d\nFROM s-${TARGETARCH}x%d\n"),
            "platforms in one name": lambda n: b"FROM a AS " + b"a" * 30 + b"\nFROM " + b"$TARGETARCH" * n + b"z\n",
            "flags": repeated("--a ", b"FROM ", b"x\n"),
            "flags of a copy": repeated("--from=a ", b"FROM x\nCOPY ", b"a b\n"),
            "arguments": repeated("a ", b"ARG ", b"\nFROM x\n"),
            "arguments with values": numbered("A%d=b ", "ARG ", "\nFROM x\n"),
            "quotes": repeated("a='\"", b"ARG ", b"\nFROM x\n"),
            "continued lines": repeated("\\\n", b"FROM x", b"\n"),
            "comments in a continued line": repeated("#\n", b"FROM x\nRUN a \\\n", b"b\n"),
            "here-documents": repeated("<<A ", b"FROM x\nRUN ", b"\nA\n"),
            "runs": repeated("RUN <<A\nA\n", b"FROM x\n"),
            "mounts": repeated(",from=a", b"FROM x\nRUN --mount=type=bind", b" a\n"),
            "directives": repeated("# a=b\n", b"", b"FROM x\n"),
            "variables": repeated("$A", b"ARG A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nFROM ", b"\n"),
        },
    )
    yield row(
        "Quadlet",
        "a.container",
        "quadlet",
        {
            "images": repeated("Image=a/b:1\n", b"[Container]\n"),
            "sections": repeated("[Container]\nImage=a/b:1\n"),
            "continued lines": repeated("\\\n", b"[Container]\nImage=a"),
            "mounts": repeated("Mount=type=image,source=a/b\n", b"[Container]\n"),
            "one mount": repeated(",source=", b"[Container]\nMount=type=image"),
            "brackets": repeated("["),
        },
    )
    yield Parser(
        "bytes of a deployment file",
        decode,
        (b"a: b\r\n", "\ufeffa: b".encode("utf-16")),
        {"letters": repeated("a"), "zeros": repeated("\0"), "line ends": repeated("\r\n")},
        ("airgap.discover.tree:decode",),
    )
    yield Parser(
        "environment file",
        text(parse_env),
        (b'A=b\nexport C=\'d\'\nE="f\\"g" # x\nH=${A:-i}\n',),
        {
            "lines": numbered("A%d=b\n"),
            "blanks": repeated(" ", b"export"),
            "variables": lambda n: b"A=" + b"a" * 2000 + b"\n" + b"B=$A$A$A$A$A$A$A$A\n" * n,
            "one line of variables": repeated("$A", b"A=aaaaaaaaaaaaaaaa\nB="),
            "quotes": repeated("\\a", b'A="'),
            "hashes": repeated(" #", b"A=b"),
        },
        ("airgap.discover.variables:parse_env",),
    )
    yield Parser(
        "variables",
        text(lambda text: expand(text, {"A": "a" * 4000}, "$")),
        (b"${A:-b}$C", b"${A:+${B:?c}}$$"),
        {
            "variables": repeated("$A"),
            "nested": repeated("${B:-"),
            "braces": repeated("${A}{"),
        },
    )
