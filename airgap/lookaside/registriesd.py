"""One file of a registries.d directory, read strictly (containers-registries.d(5)).

    default-docker:                       # for everything else
      lookaside: https://sigs.example.com
    docker:
      registry.example.com:5000/team:     # a host, a namespace, a repository, or a repository with tag or digest
        lookaside: file:///srv/sigs       # read here; old name: sigstore
        lookaside-staging: file:///new    # and written here; old name: sigstore-staging
        use-sigstore-attachments: true    # podman's business, checked only

Upstream ignores what it does not know and takes the last of two equal keys; here both are mistakes: a misspelled key must not turn
a signed image into one without signatures. A mistake in one section is kept with it, and stops only who needs that section: files
of a whole system speak of many registries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from airgap.errors import UsageError
from airgap.lookaside.places import check_base
from airgap.oci.hosts import canonical_scope
from airgap.text import printable
from airgap.yamlnodes.nodes import Bounds, Fields, Node, Problem, Scalar, compose, is_null
from airgap.yamlnodes.reader import NodeReader

_URLS = ("lookaside", "sigstore", "lookaside-staging", "sigstore-staging")
_ATTACHMENTS = "use-sigstore-attachments"
_SCOPE = re.compile(r"[^\s/]+(?:/[^\s/]+)*")
_BOUNDS = Bounds(depth=8, nodes=300_000, documents=1, lenient=False)


@dataclass(frozen=True, slots=True)
class Section:
    """Where one section has signatures read.

    Attributes:
        read: a base URL; ``""`` where it does not say.
        origin: ``file:line`` of the section.
        mistake: what is wrong with the section, which then must not be used.
    """

    read: str
    origin: str
    mistake: UsageError | None = None


@dataclass(frozen=True, slots=True)
class RegistriesFile:
    """The sections of one file: ``default-docker`` and those of ``docker`` by scope.

    ``stray`` are keys of ``docker`` that are no scopes, in lower case, with the mistake: one with a host in it may be meant for it.
    """

    default: Section | None
    scopes: Mapping[str, Section]
    stray: tuple[tuple[str, UsageError], ...] = ()


def parse_registries_file(raw: bytes, name: str) -> RegistriesFile:
    """Read one file.

    Args:
        raw: its bytes; the caller has capped their length.
        name: its name, for messages.

    Raises:
        UsageError: with line and column of a mistake that is in no single section.
    """
    name = printable(name)

    def located(place: Node | Problem, error: UsageError) -> UsageError:
        where = f"{name}:{place.line}:{place.column}"
        return UsageError(error.what, where=where, expected=error.expected, got=printable(error.got, 200))

    def refuse(place: Node | Problem, error: UsageError) -> NoReturn:
        raise located(place, error)

    try:
        documents, problems = compose(raw.decode(), bounds=_BOUNDS)
    except UnicodeDecodeError as error:
        raise UsageError("not valid UTF-8", where=name, got=f"a bad byte at position {error.start}") from None
    if problems:
        refuse(problems[0], UsageError("not valid YAML", got=problems[0].what))
    if not documents or is_null(documents[0]):
        return RegistriesFile(None, {})
    reader = NodeReader(refuse)
    fields = reader.fields(documents[0], "the file", ("default-docker", "docker"))
    lines = {key: node.line for key, node, _ in reader.pairs(documents[0], "the file")}
    # With all of it commented out it is no section, as upstream sees it, and another file may have one.
    filled = {key: value for key, value in fields.items() if not is_null(value)}
    default = filled.get("default-docker")
    origin = f"{name}:{lines.get('default-docker')}"
    found = RegistriesFile(None if default is None else _section(default, "default-docker", origin, reader), {})
    if "docker" not in filled:
        return found
    if not isinstance(filled["docker"], Fields):
        reader.wrong(filled["docker"], "docker: has the wrong type", "a mapping")
    return _with_scopes(found, filled["docker"], name, reader)


def _with_scopes(found: RegistriesFile, docker: Node, name: str, reader: NodeReader) -> RegistriesFile:
    scopes: dict[str, Section] = {}
    stray: list[tuple[str, UsageError]] = []
    for key, (_, value) in zip(docker.keys, docker.entries, strict=True) if isinstance(docker, Fields) else ():
        text = key.text if isinstance(key, Scalar) else ""
        spelled = canonical_scope(text)
        try:
            scope = reader.text(key, "a key") or ""
            if not _SCOPE.fullmatch(scope):
                reader.wrong(key, "not a registry, namespace or repository", "such as docker.io/library/busybox", got=scope)
        except UsageError as error:
            stray.append((text.lower(), error))
            continue
        if spelled not in scopes:
            scopes[spelled] = _section(value, scope, f"{name}:{key.line}", reader)
            continue
        try:
            reader.wrong(key, "a key is given twice", f"{spelled}: once, in whatever spelling", got=scope)
        except UsageError as error:
            scopes[spelled] = replace(scopes[spelled], mistake=scopes[spelled].mistake or error)
    return replace(found, scopes=scopes, stray=tuple(stray))


def _section(node: Node, key: str, origin: str, reader: NodeReader) -> Section:
    try:
        fields = {} if is_null(node) else reader.fields(node, key, (*_URLS, _ATTACHMENTS))
        if _ATTACHMENTS in fields:
            reader.flag(fields[_ATTACHMENTS], _ATTACHMENTS)
        urls = {name: _url(fields[name], reader) if name in fields else "" for name in _URLS}  # those for writing are checked, too
    except UsageError as error:
        return Section("", origin, error)
    return Section(urls["lookaside"] or urls["sigstore"], origin)


def _url(node: Node, reader: NodeReader) -> str:
    text = reader.text(node, "a string") or ""
    try:
        check_base(text)
    except UsageError as error:
        reader.wrong(node, error.what, error.expected, got=error.got)
    return text
