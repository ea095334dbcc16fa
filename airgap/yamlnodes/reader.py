"""Nodes read as what they should be, strictly: a misspelled key, a key twice or a number for a text is a mistake with a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airgap.errors import UsageError
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar, is_null

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class NodeReader:
    """Reads nodes.

    Args:
        note: told each mistake and at which node it is; it may raise.
        shows_values: whether messages may show values; not where some of them are secrets.
    """

    def __init__(self, note: Callable[[Node, UsageError], None], *, shows_values: bool = True) -> None:
        self._note = note
        self._shows_values = shows_values

    def wrong(self, node: Node, what: str, expected: str = "", *, got: str | None = None, hint: str = "") -> None:
        """Note a mistake at a node."""
        self._note(node, UsageError(what, expected=expected, got=self.shape(node) if got is None else got, hint=hint))

    def shape(self, node: Node) -> str:
        """What a node is, for a message."""
        if not isinstance(node, Scalar):
            return "a list" if isinstance(node, Items) else "a mapping"
        if not node.text:
            return "nothing"
        return f"{node.kind} {node.text!r}" if self._shows_values else "a single value"

    def pairs(self, node: Node, where: str, expected: str = "a mapping") -> Iterator[tuple[str, Node, Node]]:
        """The pairs of a mapping with free keys: key, its node, value. Nothing, and a mistake, when it is not one."""
        if not isinstance(node, Fields):
            self.wrong(node, f"{where}: has the wrong type", expected)
            return
        if not node.keys:  # read leniently, where the last value of a key is the one that counts
            for key, value in dict(node.entries).items():
                yield key, Scalar(key, value.line, value.column, tag="str"), value
            return
        seen: set[str] = set()
        for key_node, (_, value) in zip(node.keys, node.entries, strict=True):
            name = self.text(key_node, "a key")
            if name is None:
                continue
            if name in seen:
                self.wrong(key_node, "a duplicate key", f"{name}: once", got=name)
            else:
                seen.add(name)
                yield name, key_node, value

    def fields(self, node: Node, key: str, known: tuple[str, ...], expected: str = "") -> dict[str, Node]:
        """The fields of a mapping whose keys are fixed; empty, and a mistake, when it is not one."""
        found: dict[str, Node] = {}
        for name, key_node, value in self.pairs(node, key, expected or f"a mapping with {' or '.join(known)}"):
            if name in known:
                found[name] = value
            else:
                self.wrong(key_node, "an unknown key", " or ".join(known), got=name)
        return found

    def items(self, node: Node, key: str, *, few: bool = False) -> list[Node]:
        """The items of a list; with ``few`` a single value counts as a list of one. Anything else or an empty list is a mistake."""
        if isinstance(node, Items):
            if not node.items and few:
                self.wrong(node, f"{key}: is empty", f"at least one, or omit {key}:", got="[]")
            return node.items
        if few and isinstance(node, Scalar) and not is_null(node):
            return [node]
        self.wrong(node, f"{key}: has the wrong type", "a list")
        return []

    def text(self, node: Node, what: str, *, numbers: bool = False) -> str | None:
        """A string; with ``numbers`` also the digits of what YAML takes for a number. None when it is a mistake."""
        if isinstance(node, Scalar) and node.kind in (("str", "int", "float") if numbers else ("str",)):
            return node.text
        scalar = isinstance(node, Scalar) and not is_null(node)
        self.wrong(node, "wrong type", f"{what} (quoted if it looks like a number)" if scalar else what)
        return None

    def flag(self, node: Node, key: str) -> bool | None:
        """``true`` or ``false``; None when it is a mistake."""
        if isinstance(node, Scalar) and node.kind == "bool" and node.text.lower() in (*_TRUE, *_FALSE):
            return node.text.lower() in _TRUE
        self.wrong(node, f"{key}: has the wrong type", "true or false")
        return None

    def count(self, node: Node, key: str, most: int) -> int | None:
        """A whole number from 1 on; None when it is a mistake."""
        value = node.text if isinstance(node, Scalar) and node.kind == "int" else ""
        if value.isascii() and value.isdigit() and value[0] != "0" and len(value) < 10 and int(value) <= most:
            return int(value)
        self.wrong(node, f"{key}: is not a valid number", f"a whole number from 1 to {most}")
        return None
