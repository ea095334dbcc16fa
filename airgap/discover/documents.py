"""A stream of YAML or JSON documents: what each of them is, recognised by its content, and which reader handles it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from airgap.discover.anywhere import find_anywhere, find_in_lines
from airgap.discover.encoded import find_encoded
from airgap.discover.findings import TEMPLATE_HINT, Sheet
from airgap.discover.kinds.compose import find_in_compose, is_compose
from airgap.discover.kinds.kubernetes import SCHEMAS, find_in_kubernetes, is_kubernetes
from airgap.discover.kinds.kustomize import find_in_kustomization, is_kustomization
from airgap.discover.loose import find_possible
from airgap.yamlnodes.nodes import Fields, Items, Node, Problem, Scalar, compose, split_documents

# A document without any of these words names no image but full references, which are found without: it is only parsed where they
# may be hidden, and no mistake in it is anybody's business.
_RELEVANT = re.compile(
    r"image|repository|containers|services|package|resources|components|docker://|oci://|monitoring\.coreos|elastic\.co|kubeadm"
    r"|fluxcd\.io|argoproj\.io|cattle\.io|operators\.coreos|kind[\"']?[ \t]*+:[ \t]*+[\"']?Secret|binaryData"
    r"|^(?:include|models|bases|generators|transformers|helmCharts|releases)[ \t]*+:",
    re.IGNORECASE | re.MULTILINE,
)
_IMAGE_KEY = r"[ \t-]*+[\"']?(?=\w*?(?:image|repository|repo\b))\w++[\"']?[ \t]*+:"
_EMBEDDED = re.compile(rf"(?:^|[{{,]){_IMAGE_KEY}", re.IGNORECASE | re.MULTILINE | re.ASCII)
# What helm template and its like write above each document.
_SOURCE = re.compile(r"^# Source: (\S{1,300})\s*$", re.MULTILINE)
_SECRET = re.compile(r"^[{ \t]*[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?Secret\b", re.MULTILINE)
_COMMENTS = re.compile(r"(?:---[^\n]*\n|\s*\n|#[^\n]*\n)+")
_DEEPEST = 3

Values = Callable[[], Mapping[str, str]]


def find_in_documents(text: str, name: str, values: Values, sheet: Sheet) -> None:
    """Note the images of all documents of one file.

    Args:
        name: the file's own name, without its directory.
        values: gives the variables of the ``.env`` file beside it.
    """
    templates = False
    for first, chunk in split_documents(text):
        part = sheet.part(inside=_source(chunk))
        hidden = find_anywhere(chunk, part, first, comments=True) or "\\" in chunk
        relevant = _RELEVANT.search(chunk) is not None
        if not (relevant or hidden) or _only_directives(chunk):
            continue
        roots, problems = compose(chunk, first)
        for root in roots:
            _document(root, name, values, part)
            _texts_of(root, part, hidden)
        if problems and hidden:
            find_anywhere(chunk, part, first)  # nobody can tell what is a comment in it
        if not relevant:
            continue
        if problems and not _SECRET.search(chunk):
            find_in_lines(chunk, part, first)
        if problems and "{{" in chunk:
            if not templates:
                part.unresolved(problems[0].line, "an unrendered template", "", TEMPLATE_HINT)
            templates = True
        else:
            _problems(problems, part)


def _only_directives(chunk: str) -> bool:
    """Whether it is what may stand before the first ``---``: ``%YAML 1.2`` and comments."""
    return chunk.lstrip().startswith("%") and all(line.strip()[:1] in ("", "%", "#") for line in chunk.split("\n"))


def _problems(problems: list[Problem], sheet: Sheet) -> None:
    for problem in problems[:20]:
        sheet.unresolved(problem.line, "not valid YAML", problem.what, "correct it and run discover again")


def _source(chunk: str) -> str:
    """The template that a document was rendered from, when a comment at its top says so."""
    top = _COMMENTS.match(chunk)
    found = _SOURCE.search(top[0]) if top else None
    return found[1] if found and found[1].isprintable() else ""


def _document(root: Node, name: str, values: Values, sheet: Sheet) -> None:
    if isinstance(root, Items):  # kubectl and some generators print a bare list of objects
        for item in root.items:
            _document(item, "", values, sheet)
    elif isinstance(root, Fields):
        if is_kustomization(root, name):
            find_in_kustomization(root, sheet)
        elif is_kubernetes(root):
            find_in_kubernetes(root, sheet)
        elif is_compose(root, name):
            find_in_compose(root, values(), sheet)
        else:
            find_possible(root, sheet)


def _texts_of(root: Node, sheet: Sheet, hidden: bool) -> None:
    """Look through what stands in texts: data in base64, documents in documents.

    Args:
        hidden: full references may stand behind escapes, or in lines of a text that look like comments.
    """
    if hidden:
        for node in _texts(root, set()):
            find_anywhere(node.text, sheet, node.line + node.literal, literal=node.literal, exact=False)
    find_encoded(root, sheet)
    _embedded(root, sheet, 0, set())


def _embedded(root: Node, sheet: Sheet, depth: int, seen: set[int]) -> None:
    """Look through documents in texts: of ConfigMaps, of annotations, of values for a chart in a HelmChart or an Application."""
    for node in _texts(root, seen):
        if not ("\n" in node.text or node.text.lstrip()[:1] in ("{", "[")) or not _EMBEDDED.search(node.text):
            continue
        if depth == _DEEPEST:
            sheet.unresolved(node.line, f"a string nested {_DEEPEST} levels deep names images", hint="check it by hand")
            continue
        part = sheet.part(sure=False)
        for first, chunk in split_documents(node.text):
            if not _EMBEDDED.search(chunk):
                continue
            line = node.line + first if node.literal else node.line
            roots, problems = compose(chunk, line, node.literal)
            for inner in roots:
                _document(inner, "", dict, part)
                _embedded(inner, part, depth + 1, set())
            if problems:
                find_in_lines(chunk, part, line, literal=node.literal)
                what = "a string that is itself a template" if "{{" in chunk else "a string that names images but does not parse"
                part.unresolved(problems[0].line, what, hint="add the images that it generates to the list")


def _texts(node: Node, seen: set[int]) -> Iterator[Scalar]:
    """The texts below a node, each once however many aliases name it; secrets and schemas left out."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Items):
        for item in node.items:
            yield from _texts(item, seen)
    elif node.text("kind") not in SCHEMAS:
        for _, value in node.entries:
            yield from _texts(value, seen)
