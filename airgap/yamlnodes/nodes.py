"""YAML as plain nodes with line and column, composed from events so that hostile input stays small.

An alias is a second way to the same node. Every node knows its height and its size with all aliases written out, so a file that
stands for more than it holds (an alias bomb), that contains itself, or that is nested too deep is refused while it is read, and
whoever walks the nodes may recurse without counting.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

MAX_DEPTH = 100
# With all aliases written out a document may be so much larger than it is; small ones may be a little more.
_MOST_WRITTEN_OUT, _FREE = 32, 1000

_MERGE = "<<"
_NULL = ("", "~", "null", "Null", "NULL")
_TAG = "tag:yaml.org,2002:"
_DOCUMENT = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
# The parser in C is ten times faster, for what programs write; the one in Python tells people more exactly what is wrong.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a text may hold.

    Attributes:
        depth: lists and mappings inside each other.
        nodes: values of all documents, keys included.
        documents: how many; None for any number.
        lenient: read what programs write: aliases, merge keys, JSON with tabs; a duplicate key is a problem, and nothing
            is lost. Else an alias is refused, and whoever reads the nodes looks for such keys.
    """

    depth: int = MAX_DEPTH
    nodes: int = 1_000_000
    documents: int | None = None
    lenient: bool = True


@dataclass(slots=True)
class Scalar:
    """A single value, as it is written; ``null`` is the empty text.

    Attributes:
        literal: a block whose lines are lines of the file.
        tag: its type, where it does not follow from the text: it is quoted, or has one.
    """

    text: str
    line: int
    column: int = 1
    literal: bool = False
    tag: str | None = None
    size: ClassVar[int] = 1
    height: ClassVar[int] = 1

    @property
    def kind(self) -> str:
        """``str``, ``null``, ``bool``, ``int``, ``float`` and other types of YAML 1.1, or a tag."""
        tag: str = _RESOLVER.resolve(yaml.ScalarNode, self.text, (True, False)) if self.tag is None else self.tag
        return tag.removeprefix(_TAG)


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    column: int = 1
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class Fields:
    """A mapping.

    Attributes:
        entries: also what a merge key brought in, and a duplicate key twice; a key that is no single value is empty.
        keys: the node of each key where reading is strict, else none.
    """

    line: int
    column: int = 1
    entries: list[tuple[str, Node]] = field(default_factory=list)
    keys: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1

    def get(self, key: str) -> Node | None:
        """The value of a key; the last one, as parsers have it."""
        found = None
        for name, value in self.entries:
            if name == key:
                found = value
        return found

    def text(self, key: str) -> str:
        """The value of a key where that is a single value, else the empty text."""
        return text_of(self.get(key))


Node = Scalar | Items | Fields


def is_null(node: Node) -> bool:
    """Whether a value was left out, or is ``null``."""
    return isinstance(node, Scalar) and not node.text and node.kind == "null"


def text_of(node: Node | None) -> str:
    """The text of a single value, ``""`` for anything else."""
    return node.text if isinstance(node, Scalar) else ""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read: its node, its anchor, and the key that waits for its value."""

    node: Items | Fields
    anchor: str | None
    key: Node | None = None
    merged: list[Fields] = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a text, and where."""

    line: int
    column: int
    what: str


class _Composer:
    """Builds the nodes of one chunk of text; ``documents`` holds what was whole before a problem ended it."""

    def __init__(self, bounds: Bounds, first_line: int, literal: bool) -> None:
        self._bounds = bounds
        self._first = first_line
        self._step = 1 if literal else 0
        self._anchors: dict[str, Node] = {}
        self._open: list[_Open] = []
        self._events = self._nodes = self._begun = 0
        self.documents: list[Node] = []
        self.problems: list[Problem] = []

    def read(self, text: str) -> None:
        try:
            for event in yaml.parse(text, Loader=_LOADER if self._bounds.lenient else yaml.SafeLoader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._problem(mark.line if mark else 0, mark.column if mark else 0, str(error.problem or error.context))
        except yaml.reader.ReaderError as error:  # a character that YAML does not allow
            bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
            before = text[: bad.start()] if bad else ""
            self._problem(before.count("\n"), len(before) - before.rfind("\n") - 1, str(error).partition("\n")[0])
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # the parser lets a bad \U escape through as ValueError
            self._problem(0, 0, str(error).partition("\n")[0])

    def _problem(self, line: int, column: int, what: str) -> None:
        self.problems.append(Problem(self._first + line * self._step, column + 1, what))

    def _spot(self, mark: Any) -> tuple[int, int]:
        return self._first + mark.line * self._step, mark.column + 1

    def _take(self, event: Any) -> None:
        self._events += 1
        if isinstance(event, yaml.NodeEvent):
            self._nodes += 1
            self._check(event)
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            if isinstance(done.node, Fields) and self._bounds.lenient:
                self._merge(done.node, done.merged)
            self._whole(done.node, done.anchor, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
            self._begun += 1
            if self._begun - 1 == self._bounds.documents:
                raise _refused(f"more than {self._bounds.documents} document", event)

    def _check(self, event: Any) -> None:
        bounds = self._bounds
        if self._nodes > bounds.nodes:
            raise _refused(f"more than {bounds.nodes} values", event)
        if event.anchor is not None and not bounds.lenient:
            raise _refused("anchors and aliases are not supported here", event)
        # with aliases the height of what a single value is in decides, once that is whole
        if len(self._open) == bounds.depth and not (bounds.lenient and isinstance(event, yaml.ScalarEvent | yaml.AliasEvent)):
            raise _refused(f"nested deeper than {bounds.depth} levels", event)

    def _begin(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._whole(self._scalar(event), event.anchor, event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _refused("an alias without an anchor before it", event)
            self._whole(self._anchors[event.anchor], None, event)
        else:
            kind = Items if isinstance(event, yaml.SequenceStartEvent) else Fields
            self._open.append(_Open(kind(*self._spot(event.start_mark)), event.anchor))

    def _scalar(self, event: Any) -> Scalar:
        plain = event.implicit[0]
        text = "" if plain and event.value in _NULL else event.value
        tag = None if plain else event.tag if event.tag not in (None, "!") else f"{_TAG}str"
        return Scalar(text, *self._spot(event.start_mark), event.style == "|" and bool(self._step), tag)

    def _whole(self, node: Node, anchor: str | None, event: Any) -> None:
        """A node is complete: name it and give it to the one around it."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.documents.append(node)
            return
        around = self._open[-1]
        parent = around.node
        if isinstance(parent, Items):
            parent.items.append(node)
        elif around.key is None:
            around.key = node
            if not self._bounds.lenient:
                parent.keys.append(node)
            elif not isinstance(node, Scalar):  # nobody writes such a key, but {{ .Values.image }} reads like one
                self.problems.append(Problem(node.line, node.column, "a key is a mapping or list"))
        else:
            key, around.key = around.key, None
            if self._bounds.lenient and isinstance(key, Scalar) and key.text == _MERGE:
                found = node.items if isinstance(node, Items) else [node]
                around.merged += [item for item in found if isinstance(item, Fields)]
            else:
                parent.entries.append((sys.intern(text_of(key)), node))  # few keys, and many of each
        parent.height = max(parent.height, node.height + 1)
        parent.size += node.size
        most = min(self._bounds.nodes, _FREE + _MOST_WRITTEN_OUT * self._events)
        if parent.size > most or parent.height > self._bounds.depth:
            raise _refused("the document or its aliases are too large", event)

    def _merge(self, node: Fields, others: list[Fields]) -> None:
        """Note the keys that are there twice, and bring in what the merge keys name and the mapping does not say itself."""
        names: set[str] = set()
        for name, value in node.entries:
            if name and name in names:
                self.problems.append(Problem(value.line, value.column, f"a duplicate key: {name[:80]}"))
            names.add(name)
        for other in others:
            node.entries += [(name, value) for name, value in other.entries if name not in names]
            names.update(name for name, _ in other.entries)


def _refused(what: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)


def split_documents(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a stream, each with its first line: a mistake in one must not hide the others.

    A line that begins with ``---`` always separates, whatever stands around it (YAML 1.2.2, 9.1.2).
    """
    starts = [0, *(match.start() for match in _DOCUMENT.finditer(text) if match.start())]
    line = 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield line, text[start:end]
        line += text.count("\n", start, end)


def compose(text: str, first_line: int = 1, literal: bool = True, *, bounds: Bounds = Bounds()) -> tuple[list[Node], list[Problem]]:
    """The nodes of all documents of a text that were whole, and what is wrong with it.

    Args:
        first_line: the number of the text's first line in its file.
        literal: whether the text's lines are lines of the file; else every node has ``first_line``.
        bounds: what it may hold.
    """
    composer = _Composer(bounds, first_line, literal)
    if bounds.lenient and text.lstrip()[:1] in ("{", "["):
        # JSON may be indented with tabs, YAML may not; a string of JSON has no line end in it, so none is touched.
        # JSON escapes characters beyond 16 bits in two halves, YAML does not; no image has one.
        text = re.sub(r"^[\t ]+", lambda found: " " * len(found[0]), text, flags=re.MULTILINE)
        text = re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\ufffd", text)
    composer.read(text)
    return composer.documents, composer.problems
