"""YAML from people, read as nodes instead of values, so that every mistake has its line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import yaml

from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.placed import Places, by_name

_MAX_DEPTH = 16
_MAX_NODES = 300_000
_STRING, _NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float"))
_KINDS: dict[type[yaml.Node], str] = {yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a node begins: what the library keeps of that takes more memory than most values, and where one ends nobody asks."""

    line: int
    column: int


class _Loader(yaml.SafeLoader):
    """Composes nodes, but takes no alias (a small file could stand for a huge one) and no deep nesting (it recurses)."""

    _depth = 0
    _count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not supported here", problem_mark=event.start_mark)
        self._count += 1
        if self._depth == _MAX_DEPTH or self._count > _MAX_NODES:
            much = f"nested deeper than {_MAX_DEPTH} levels" if self._count <= _MAX_NODES else f"more than {_MAX_NODES} values"
            raise yaml.MarkedYAMLError(problem=much, problem_mark=event.start_mark)
        self._depth += 1
        try:
            node = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if node is not None:
            node.start_mark, node.end_mark = _Mark(node.start_mark.line, node.start_mark.column), None
        return node


def compose(text: str, mistakes: Mistakes) -> list[yaml.Node]:
    """All documents of a YAML text that hold something; none, and a mistake, when it is not YAML."""
    documents: list[yaml.Node] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is not None and not is_null(node):
                    documents.append(node)
        finally:
            loader.dispose()
        return documents
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
        mistakes.add(spot, "not valid YAML", got=str(error.problem or error))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        spot = Spot(before.count("\n") + 1, error.position - before.rfind("\n"))
        mistakes.add(spot, "not valid YAML", expected="visible text", got=text[error.position : error.position + 1])
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the scanner lets int() and chr() fail as they do
        mistakes.add(Spot(1, 1), "not valid YAML", got=str(error))
    return []


def spot_of(node: yaml.Node) -> Spot:
    """Where a node begins."""
    return Spot(node.start_mark.line + 1, node.start_mark.column + 1)


def is_null(node: yaml.Node) -> bool:
    """Whether a value was left out, or is ``null``."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def peek(node: yaml.Node) -> dict[str, yaml.Node]:
    """The fields of a mapping as they are, unchecked: to tell what kind of file this is."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {key.value: value for key, value in pairs if isinstance(key, yaml.ScalarNode)}


def plain(node: yaml.Node | None) -> str:
    """The text of a scalar, ``""`` for anything else."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


class Reader:
    """Reads nodes as what they should be, and notes what they are not.

    Args:
        mistakes: receives what is wrong.
        shows_values: whether messages may show values; not where some of them are secrets.
        places: tells which images a place means that is not a registry.
        expand: what a short name is an alias of.
    """

    def __init__(
        self,
        mistakes: Mistakes,
        *,
        shows_values: bool = True,
        places: Places = by_name,
        expand: Callable[[str], str] = str,
    ) -> None:
        self.mistakes = mistakes
        self.places = places
        self.expand = expand
        self._shows_values = shows_values

    def wrong(self, node: yaml.Node, what: str, expected: str = "", *, got: str | None = None, hint: str = "") -> None:
        """Note a mistake at a node."""
        self.mistakes.add(spot_of(node), what, expected=expected, got=self.shape(node) if got is None else got, hint=hint)

    def origin(self, node: yaml.Node) -> str:
        """``file:line`` of a node."""
        return self.mistakes.origin(spot_of(node))

    def shape(self, node: yaml.Node) -> str:
        """What a node is, for a message."""
        if not isinstance(node, yaml.ScalarNode):
            return _KINDS.get(type(node), "something else")
        if is_null(node) or not node.value:
            return "nothing"
        return f"{node.tag.rpartition(':')[2]} {node.value!r}" if self._shows_values else "a single value"

    def pairs(self, node: yaml.Node, key: str, expected: str = "a mapping") -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """The pairs of a mapping with free keys: key, its node, value. Nothing, and a mistake, when it is not one."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{key}: has the wrong type", expected)
            return
        seen: set[str] = set()
        for key_node, value in node.value:
            name = self.text(key_node, "a key")
            if name is None:
                continue
            if name in seen:
                self.wrong(key_node, "a duplicate key", f"{name}: once", got=name)
            else:
                seen.add(name)
                yield name, key_node, value

    def fields(self, node: yaml.Node, key: str, known: tuple[str, ...], expected: str = "") -> dict[str, yaml.Node]:
        """The fields of a mapping whose keys are fixed; empty, and a mistake, when it is not one."""
        found: dict[str, yaml.Node] = {}
        for name, key_node, value in self.pairs(node, key, expected or f"a mapping with {' or '.join(known)}"):
            if name in known:
                found[name] = value
            else:
                self.wrong(key_node, "an unknown key", " or ".join(known), got=name)
        return found

    def items(self, node: yaml.Node, key: str, *, few: bool = False) -> list[yaml.Node]:
        """The items of a list; with ``few`` a single value stands for a list of one. A mistake when it is no list or empty."""
        if isinstance(node, yaml.SequenceNode):
            if not node.value and few:
                self.wrong(node, f"{key}: is empty", f"at least one, or omit {key}:", got="[]")
            items: list[yaml.Node] = node.value
            return items
        if few and isinstance(node, yaml.ScalarNode) and not is_null(node):
            return [node]
        self.wrong(node, f"{key}: has the wrong type", "a list")
        return []

    def text(self, node: yaml.Node, what: str, *, numbers: bool = False) -> str | None:
        """A string; with ``numbers`` also the digits of what YAML takes for a number. None when it is a mistake."""
        if isinstance(node, yaml.ScalarNode) and (node.tag == _STRING or (numbers and node.tag in (_INT, _FLOAT))):
            return str(node.value)
        scalar = isinstance(node, yaml.ScalarNode) and not is_null(node)
        self.wrong(node, "wrong type", f"{what} (quoted if it looks like a number)" if scalar else what)
        return None

    def flag(self, node: yaml.Node, key: str) -> bool | None:
        """``true`` or ``false``; None when it is a mistake."""
        if isinstance(node, yaml.ScalarNode) and node.tag == _BOOL and node.value.lower() in (*_TRUE, *_FALSE):
            return node.value.lower() in _TRUE
        self.wrong(node, f"{key}: has the wrong type", "true or false")
        return None

    def count(self, node: yaml.Node, key: str, most: int) -> int | None:
        """A whole number from 1 on; None when it is a mistake."""
        value = node.value if isinstance(node, yaml.ScalarNode) and node.tag == _INT else ""
        if value.isascii() and value.isdigit() and value[0] != "0" and len(value) < 10 and int(value) <= most:
            return int(value)
        self.wrong(node, f"{key}: is not a valid number", f"a whole number from 1 to {most}")
        return None
