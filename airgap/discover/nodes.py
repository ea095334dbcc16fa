"""YAML (and JSON, which is YAML) as plain nodes with line numbers, composed from events so that hostile input stays small.

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
MAX_NODES = 1_000_000
# With all aliases written out a document may be so much larger than it is; small ones may be a little more.
_MOST_WRITTEN_OUT, _FREE = 32, 1000

_MERGE = "<<"
_NULL = ("", "~", "null", "Null", "NULL")
_DOCUMENT = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
# The parser in C is ten times faster; both give the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Scalar:
    """A single value, as it is written; ``null`` is the empty text. ``literal``: a block whose lines are lines of the file."""

    text: str
    line: int
    literal: bool = False
    size: ClassVar[int] = 1
    height: ClassVar[int] = 1


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class Fields:
    """A mapping. ``entries`` has also what a merge key brought in, and a key that is there twice twice."""

    line: int
    entries: list[tuple[str, Node]] = field(default_factory=list)
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
        value = self.get(key)
        return value.text if isinstance(value, Scalar) else ""


Node = Scalar | Items | Fields


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read: its node, its anchor, and the key that waits for its value."""

    node: Items | Fields
    anchor: str | None
    key: Scalar | None = None
    waiting: bool = False
    merged: list[Fields] = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document, and in which line."""

    line: int
    what: str


class _Composer:
    """Builds the nodes of one chunk of text; ``documents`` holds what was whole before a problem ended it."""

    def __init__(self, first_line: int, literal: bool) -> None:
        self._first = first_line
        self._step = 1 if literal else 0
        self._anchors: dict[str, Node] = {}
        self._open: list[_Open] = []
        self._events = 0
        self.documents: list[Node] = []
        self.problems: list[Problem] = []

    def read(self, text: str) -> None:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problems.append(Problem(self._line(mark), str(error.problem or error.context)))
        except yaml.reader.ReaderError as error:  # a character that YAML does not allow
            line = text.encode()[: error.position].count(b"\n") * self._step
            self.problems.append(Problem(self._first + line, str(error).partition("\n")[0]))
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # the parser lets a bad \U escape through as ValueError
            self.problems.append(Problem(self._first, str(error).partition("\n")[0]))

    def _line(self, mark: Any) -> int:
        return self._first + (mark.line * self._step if mark is not None else 0)

    def _take(self, event: Any) -> None:
        self._events += 1
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None or event.style == ""
            text = "" if plain and event.value in _NULL else event.value
            node = Scalar(text, self._line(event.start_mark), event.style == "|" and bool(self._step))
            self._whole(node, event.anchor, event)
        elif isinstance(event, yaml.AliasEvent):
            target = self._anchors.get(event.anchor or "")
            if target is None:
                raise _refused("an alias without an anchor before it", event)
            self._whole(target, None, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) == MAX_DEPTH:
                raise _refused(f"nested deeper than {MAX_DEPTH} levels", event)
            kind = Items if isinstance(event, yaml.SequenceStartEvent) else Fields
            self._open.append(_Open(kind(self._line(event.start_mark)), event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._merge(done)
            self._whole(done.node, done.anchor, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

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
        elif not around.waiting:
            around.key, around.waiting = node if isinstance(node, Scalar) else None, True
            if around.key is None:  # nobody writes such a key, but {{ .Values.image }} reads like one
                self.problems.append(Problem(node.line, "a mapping or list as a key"))
        else:
            self._entry(around, parent, node)
        parent.height = max(parent.height, node.height + 1)
        parent.size += node.size
        if parent.size > min(MAX_NODES, _FREE + _MOST_WRITTEN_OUT * self._events) or parent.height > MAX_DEPTH:
            raise _refused("too much, or aliases that stand for too much", event)

    def _entry(self, around: _Open, parent: Fields, node: Node) -> None:
        key, around.key, around.waiting = around.key, None, False
        if key is not None and key.text == _MERGE:
            found = node.items if isinstance(node, Items) else [node]
            around.merged += [item for item in found if isinstance(item, Fields)]
            return
        name = sys.intern(key.text) if key is not None else ""  # few keys, and many of each
        parent.entries.append((name, node))

    def _merge(self, done: _Open) -> None:
        """Bring in what the merge keys name and the mapping does not say itself."""
        if not isinstance(done.node, Fields):
            return
        names: set[str] = set()
        for name, value in done.node.entries:
            if name and name in names:
                self.problems.append(Problem(value.line, f"a key that is there twice: {name[:80]}"))
            names.add(name)
        for other in done.merged:
            done.node.entries += [(name, value) for name, value in other.entries if name not in names]
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


def compose(text: str, first_line: int = 1, literal: bool = True) -> tuple[list[Node], list[Problem]]:
    """The nodes of one document, and what is wrong with it.

    Args:
        first_line: the number of the text's first line in its file.
        literal: whether the text's lines are lines of the file; else every node has ``first_line``.
    """
    composer = _Composer(first_line, literal)
    if text.lstrip()[:1] in ("{", "["):
        # JSON may be indented with tabs, YAML may not; a string of JSON has no line end in it, so none is touched.
        # JSON escapes characters beyond 16 bits in two halves, YAML does not; no image has one.
        text = re.sub(r"^[\t ]+", lambda found: " " * len(found[0]), text, flags=re.MULTILINE)
        text = re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\ufffd", text)
    composer.read(text)
    return composer.documents, composer.problems
