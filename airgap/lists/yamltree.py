"""The YAML of image lists: every mistake in it goes into the list's mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from re import Pattern
from types import MappingProxyType

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.placed import ChartImages, Places, by_name, images_unknown
from airgap.text import printable
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Bounds, Fields, Items, Node, is_null
from airgap.yamlnodes.reader import NodeReader

# No alias, and no deep nesting: people write this, and a small file should stay small.
_BOUNDS = Bounds(depth=16, nodes=300_000, lenient=False)
_LENIENT = Bounds(depth=32, nodes=300_000)
_GO_ON = "--allow-left-out continues without it"
_NO_VALUES: Mapping[str, str] = MappingProxyType({})


def compose(text: str, mistakes: Mistakes, *, lenient: Callable[[Node], bool] | None = None) -> list[Node]:
    """All documents of a YAML text that hold something; none, and a mistake, when it is not YAML.

    Args:
        text: the file.
        mistakes: receives what is wrong.
        lenient: whether aliases and merge keys may be in a file with such a document.
    """
    documents, problems = nodes.compose(text, bounds=_BOUNDS)
    if problems and lenient is not None and "&" in text:
        read, still = nodes.compose(text, bounds=_LENIENT)
        if not still and all(is_null(node) or lenient(node) for node in read):
            documents, problems = read, []
        elif "{{" in text:
            problems = still or problems
    hint = "it is a template: render it first" if "{{" in text else ""
    for problem in problems:
        mistakes.add(Spot(problem.line, problem.column), "not valid YAML", got=problem.what, hint=hint)
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
        values: what templates in lists of other tools stand for, by name.
        allows_left_out: what such a list asks for and airgap does not carry is left out and told; else it is a mistake.
        chart_images: tells which images a chart names.

    Attributes:
        notices: what is done in another way, a line each.
        left_out: what was left out, a line each.
    """

    def __init__(
        self,
        mistakes: Mistakes,
        *,
        shows_values: bool = True,
        places: Places = by_name,
        expand: Callable[[str], str] = str,
        values: Mapping[str, str] = _NO_VALUES,
        allows_left_out: bool = False,
        chart_images: ChartImages = images_unknown,
    ) -> None:
        super().__init__(self._add, shows_values=shows_values)
        self.mistakes = mistakes
        self.places = places
        self.chart_images = chart_images
        self.expand = expand
        self.values = values
        self.notices: list[str] = []
        self.left_out: list[str] = []
        self._allows_left_out = allows_left_out

    def _add(self, node: Node, error: UsageError) -> None:
        self.mistakes.add(spot_of(node), error.what, expected=error.expected, got=error.got, hint=error.hint)

    def origin(self, node: Node) -> str:
        """``file:line`` of a node."""
        return self.mistakes.origin(spot_of(node))

    def leave_out(self, node: Node, what: str, hint: str = "carry it by other means") -> None:
        """What a list of another tool asks for and airgap does not carry: a mistake, unless the operator goes on without it."""
        if self._allows_left_out:
            self.left_out.append(f"{self.origin(node)}: left out: {printable(what, 200)}")
        else:
            told = f"{printable(what, 200)} is not carried by airgap"
            self.mistakes.add(spot_of(node), told, hint=f"{hint}; {_GO_ON}")

    def filled(self, node: Node, templates: Pattern[str], values: Mapping[str, str] = _NO_VALUES, *, hint: str = "") -> str:
        """A text with the values of its templates; empty, and told, when one has none, or when it is no text.

        Args:
            node: the text.
            templates: finds a template; its one group is the name.
            values: what names stand for; values that the operator gives come before them.
            hint: what else could be done about a name without a value.
        """
        text = self.text(node, "a text", numbers=True) or ""
        known = {**values, **self.values}
        missing = next((name for name in templates.findall(text) if name not in known), None)
        if missing is not None:
            self.leave_out(node, f"{text}: {missing} has no value", hint or f"give it: --values FILE, with {missing}: VALUE")
            return ""
        return templates.sub(lambda match: known[match[1]], text)

    def taken(
        self, node: Node, what: str, known: Sequence[str], settings: Sequence[str] = (), content: Sequence[str] = ()
    ) -> dict[str, Node]:
        """The fields of a mapping in another tool's file that are read here.

        Args:
            node: the mapping; anything else is a mistake.
            what: its name, for messages.
            known: the fields that are read.
            settings: fields that ask for no content, and are skipped.
            content: fields that ask for content that is not carried. Any other field may do so, too.
        """
        found: dict[str, Node] = {}
        for name, key_node, value in self.pairs(node, what):
            if name in known:
                found[name] = value
            elif name in settings or is_empty(value):
                continue
            elif name in content or self._allows_left_out:
                self.leave_out(key_node, f"{name}: of {what}")
            else:
                self.wrong(key_node, "an unknown key", " or ".join(known), got=name, hint=_GO_ON)
        return found


def is_empty(node: Node) -> bool:
    """Whether a value asks for nothing: null, an empty list or mapping."""
    return is_null(node) or (isinstance(node, Items) and not node.items) or (isinstance(node, Fields) and not node.entries)
