"""One file of a registries.d directory, read strictly (containers-registries.d(5)).

    default-docker:                       # for everything else
      lookaside: https://sigs.example.com
    docker:
      registry.example.com:5000/team:     # a host, a namespace, a repository, or a repository with tag or digest
        lookaside: file:///srv/sigs       # read here; old name: sigstore
        lookaside-staging: file:///new    # and written here; old name: sigstore-staging
        use-sigstore-attachments: true    # podman's business, checked only

Upstream ignores what it does not know and takes the last of two equal keys; here both are mistakes: a misspelled key must not turn
a signed image into one without signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from airgap.errors import UsageError
from airgap.lookaside.places import check_base
from airgap.oci.hosts import canonical_scope
from airgap.text import printable

_URLS = ("lookaside", "sigstore", "lookaside-staging", "sigstore-staging")
_ATTACHMENTS = "use-sigstore-attachments"
_SCOPE = re.compile(r"[^\s/]+(?:/[^\s/]+)*")
_MAX_DEPTH = 8
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Section:
    """What one section says, and where it is (``file:line``). Base URLs, ``""`` where it says nothing.

    A section that names no place for writing is written where it is read.
    """

    read: str
    write: str
    origin: str


@dataclass(frozen=True, slots=True)
class RegistriesFile:
    """The sections of one file: ``default-docker`` and those of ``docker`` by scope."""

    default: Section | None
    scopes: Mapping[str, Section]


def parse_registries_file(raw: bytes, name: str) -> RegistriesFile:
    """Read one file.

    Args:
        raw: its bytes; the caller has capped their length.
        name: its name, for messages.

    Raises:
        UsageError: with line and column of the mistake.
    """
    parser = _Parser(printable(name))
    fields = parser.fields(parser.compose(raw), ("default-docker", "docker"))
    default = fields.get("default-docker")
    scopes = {}
    for scope, (key, value) in parser.fields(fields.get("docker"), None).items():
        if not _SCOPE.fullmatch(scope):
            raise parser.mistake(key, "not a registry, namespace or repository", "such as docker.io/library/busybox", scope)
        name = canonical_scope(scope)
        if name in scopes:
            raise parser.mistake(key, "a key is given twice in different spellings", f"{name}: once", scope)
        scopes[name] = parser.section(key, value)
    # With all of it commented out it is no section, as upstream sees it, and another file may have one.
    if default is None or default[1].tag == f"{_TAG}null":
        return RegistriesFile(None, scopes)
    return RegistriesFile(parser.section(*default), scopes)


class _Parser:
    def __init__(self, name: str) -> None:
        self._name = name

    def compose(self, raw: bytes) -> tuple[yaml.Node, yaml.Node] | None:
        """The root, as the value of nothing in particular; None for an empty file."""
        try:
            text = raw.decode("utf-8")
            self._check_events(text)
            root = yaml.compose(text, yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise UsageError("not valid UTF-8", where=self._name, got=f"a bad byte at position {error.start}") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise UsageError("not valid YAML", where=self._place(mark), got=printable(str(error.problem), 200)) from None
        except yaml.YAMLError as error:
            raise UsageError("not valid YAML", where=self._name, got=printable(str(error), 200)) from None
        return None if root is None else (root, root)

    def fields(
        self, entry: tuple[yaml.Node, yaml.Node] | None, known: tuple[str, ...] | None
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping as key -> (key node, value node). Nothing at all is an empty mapping: all may be commented out."""
        if entry is None or entry[1].tag == f"{_TAG}null":
            return {}
        if not isinstance(entry[1], yaml.MappingNode):
            raise self.mistake(entry[1], "wrong type", "a mapping", _kind(entry[1]))
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value in entry[1].value:
            key = self._text(key_node)
            if known is not None and key not in known:
                raise self.mistake(key_node, "an unknown key", " or ".join(known), key)
            if key in found:
                raise self.mistake(key_node, "a duplicate key", f"{key}: once", key)
            found[key] = (key_node, value)
        return found

    def section(self, key: yaml.Node, value: yaml.Node) -> Section:
        """One configuration section."""
        fields = self.fields((key, value), (*_URLS, _ATTACHMENTS))
        if _ATTACHMENTS in fields and fields[_ATTACHMENTS][1].tag != f"{_TAG}bool":
            node = fields[_ATTACHMENTS][1]
            raise self.mistake(node, "wrong type", "true or false", _kind(node))
        urls = {name: self._url(fields[name][1]) if name in fields else "" for name in _URLS}
        read = urls["lookaside"] or urls["sigstore"]
        origin = f"{self._name}:{key.start_mark.line + 1}"
        return Section(read, urls["lookaside-staging"] or urls["sigstore-staging"] or read, origin)

    def mistake(self, node: yaml.Node, what: str, expected: str, got: str) -> UsageError:
        """The error for a mistake at a node."""
        return UsageError(what, where=self._place(node.start_mark), expected=expected, got=printable(got, 200))

    def _url(self, node: yaml.Node) -> str:
        text = self._text(node)
        try:
            check_base(text)
        except UsageError as error:
            raise self.mistake(node, error.what, error.expected, error.got) from None
        return text

    def _text(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}str":
            return str(node.value)
        raise self.mistake(node, "wrong type", "a string (quoted if it looks like a number)", _kind(node))

    def _check_events(self, text: str) -> None:
        """No alias (a small file could stand for a huge one), no deep nesting (composing recurses)."""
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if getattr(event, "anchor", None) is not None:
                raise UsageError("anchors and aliases are not supported here", where=self._place(event.start_mark))
            if depth > _MAX_DEPTH:
                raise UsageError(f"nested deeper than {_MAX_DEPTH} levels", where=self._place(event.start_mark))

    def _place(self, mark: Any) -> str:
        return self._name if mark is None else f"{self._name}:{mark.line + 1}:{mark.column + 1}"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"{node.tag.removeprefix(_TAG)} {node.value}" if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
