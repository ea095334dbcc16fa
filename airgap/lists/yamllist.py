"""Our YAML image list, read from nodes instead of values so that every mistake has its line and column.

    defaults:                      # optional
      platforms: [linux/amd64]     # for every image without its own
    images:
      - nginx:1.27
      - name: quay.io/prometheus/prometheus:v2.53.1
        platforms: [linux/amd64, linux/arm64]

JSON with the same content is YAML too.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from airgap.lists.entry import Entry
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.values import MAX_ENTRIES, too_many, wished_platform, wished_reference
from airgap.oci.descriptor import Platform

_MAX_DEPTH = 16
_STRING = "tag:yaml.org,2002:str"
_KINDS = {yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}


class _Loader(yaml.SafeLoader):
    """Composes nodes, but takes no alias (a small file could stand for a huge one) and no deep nesting (it recurses)."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not taken here", problem_mark=event.start_mark)
        if self._depth == _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {_MAX_DEPTH} levels", problem_mark=event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def parse_yaml(text: str, mistakes: Mistakes) -> list[Entry]:
    """The entries of a YAML list; what is wrong with it goes into ``mistakes``."""
    root = _compose(text, mistakes)
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        mistakes.add(_spot(root), "not an image list", expected="a mapping with images: and a list of references", got=_kind(root))
        return []
    fields = _fields(root, ("images", "defaults"), mistakes)
    defaults = _defaults(fields.get("defaults"), mistakes)
    images = fields.get("images")
    if images is None:
        mistakes.add(_spot(root), "the list has no images", expected="images: and a list of references", got=", ".join(fields))
        return []
    return _entries(images, defaults, mistakes)


def _compose(text: str, mistakes: Mistakes) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
        mistakes.add(spot, "not valid YAML", got=str(error.problem or error))
    except yaml.YAMLError as error:
        mistakes.add(Spot(1, 1), "not valid YAML", got=str(error))
    return None


def _entries(images: yaml.Node, defaults: tuple[Platform, ...], mistakes: Mistakes) -> list[Entry]:
    entries: list[Entry] = []
    for number, node in enumerate(_items(images, "images", mistakes)):
        if number == MAX_ENTRIES:
            too_many(_spot(node), mistakes)
            break
        entry = _entry(node, defaults, mistakes)
        if entry is not None:
            entries.append(entry)
    return entries


def _entry(node: yaml.Node, defaults: tuple[Platform, ...], mistakes: Mistakes) -> Entry | None:
    name, platforms = node, defaults
    if isinstance(node, yaml.MappingNode):
        fields = _fields(node, ("name", "platforms"), mistakes)
        if "platforms" in fields:
            platforms = _platforms(fields["platforms"], mistakes)
        if "name" not in fields:
            mistakes.add(_spot(node), "an image has no name", expected="name: and a reference", got=", ".join(fields))
            return None
        name = fields["name"]
    text = _text(name, "an image reference", mistakes)
    reference = None if text is None else wished_reference(text, _spot(name), mistakes)
    return None if reference is None else Entry(reference, platforms, mistakes.origin(_spot(name)))


def _defaults(node: yaml.Node | None, mistakes: Mistakes) -> tuple[Platform, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.MappingNode):
        mistakes.add(_spot(node), "defaults: is of the wrong type", expected="a mapping with platforms:", got=_kind(node))
        return ()
    fields = _fields(node, ("platforms",), mistakes)
    return _platforms(fields["platforms"], mistakes) if "platforms" in fields else ()


def _platforms(node: yaml.Node, mistakes: Mistakes) -> tuple[Platform, ...]:
    found: dict[Platform, None] = {}
    for item in _items(node, "platforms", mistakes):
        text = _text(item, "a platform", mistakes)
        platform = None if text is None else wished_platform(text, _spot(item), mistakes)
        if platform is not None:
            found[platform] = None
    if isinstance(node, yaml.SequenceNode) and not node.value:
        mistakes.add(
            _spot(node), "platforms: is empty", expected="at least one, or no platforms: at all for every platform", got="[]"
        )
    return tuple(found)


def _fields(node: yaml.MappingNode, known: tuple[str, ...], mistakes: Mistakes) -> dict[str, yaml.Node]:
    fields: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _text(key_node, "a key", mistakes)
        if key is None:
            continue
        if key not in known:
            mistakes.add(_spot(key_node), "an unknown key", expected=" or ".join(known), got=key)
        elif key in fields:
            mistakes.add(_spot(key_node), "a key that is there twice", expected=f"{key}: once", got=key)
        else:
            fields[key] = value
    return fields


def _items(node: yaml.Node, key: str, mistakes: Mistakes) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        items: list[yaml.Node] = node.value
        return items
    mistakes.add(_spot(node), f"{key}: is of the wrong type", expected="a list", got=_kind(node))
    return ()


def _text(node: yaml.Node, what: str, mistakes: Mistakes) -> str | None:
    if isinstance(node, yaml.ScalarNode) and node.tag == _STRING:
        return str(node.value)
    expected = f"{what} (in quotes, if it looks like a number)" if isinstance(node, yaml.ScalarNode) else what
    mistakes.add(_spot(node), "of the wrong type", expected=expected, got=_kind(node))
    return None


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"{node.tag.rpartition(':')[2]} {node.value!r}" if node.value else "nothing"
    return _KINDS.get(type(node), "something else")


def _spot(node: yaml.Node) -> Spot:
    return Spot(node.start_mark.line + 1, node.start_mark.column + 1)
