"""The YAML of image lists: every mistake in it goes into the list's mistakes."""

from __future__ import annotations

from collections.abc import Callable

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.placed import Places, by_name
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Bounds, Fields, Node, is_null
from airgap.yamlnodes.reader import NodeReader

# No alias, and no deep nesting: people write this, and a small file should stay small.
_BOUNDS = Bounds(depth=16, nodes=300_000, lenient=False)


def compose(text: str, mistakes: Mistakes) -> list[Node]:
    """All documents of a YAML text that hold something; none, and a mistake, when it is not YAML."""
    documents, problems = nodes.compose(text, bounds=_BOUNDS)
    for problem in problems:
        mistakes.add(Spot(problem.line, problem.column), "not valid YAML", got=problem.what)
    return [] if problems else [node for node in documents if not is_null(node)]


def spot_of(node: Node) -> Spot:
    """Where a node begins."""
    return Spot(node.line, node.column)


def peek(node: Node | None) -> dict[str, Node]:
    """The fields of a mapping as they are, unchecked: to tell what kind of file this is."""
    return dict(node.entries) if isinstance(node, Fields) else {}


class ListReader(NodeReader):
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
        super().__init__(self._add, shows_values=shows_values)
        self.mistakes = mistakes
        self.places = places
        self.expand = expand

    def _add(self, node: Node, error: UsageError) -> None:
        self.mistakes.add(spot_of(node), error.what, expected=error.expected, got=error.got, hint=error.hint)

    def origin(self, node: Node) -> str:
        """``file:line`` of a node."""
        return self.mistakes.origin(spot_of(node))
