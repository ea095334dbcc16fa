"""One mapping of a large YAML text, cut into the texts of its values: what is wanted of it is then composed by itself.

An index of a chart repository has millions of values; composed, they would take a hundred times its size.
"""

from __future__ import annotations

from typing import Any

import yaml

from airgap.yamlnodes.nodes import MAX_DEPTH

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotYaml(ValueError):
    """A text that is not YAML, holds no such mapping, or says something twice; its message tells what."""


def spans(text: str, key: str, most: int) -> dict[str, str]:
    """The values below ``key`` at the top of the text's first document, each as YAML of its own.

    Aliases are not followed: a value that holds one is no YAML by itself.

    Args:
        text: the document.
        key: of the mapping that is wanted.
        most: how many values there may be.

    Raises:
        NotYaml: it cannot be read, there is no mapping under that key, a name is there twice, or there are too many.
    """
    cutter = _Cutter(text, key, most)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if cutter.take(event):
                break
    except yaml.YAMLError as error:
        raise NotYaml(str(error).partition("\n")[0] or "not YAML") from None
    except ValueError as error:  # the parser lets a bad \U escape through
        raise NotYaml(str(error)) from None
    if cutter.found is None:
        raise NotYaml(f"no mapping {key}: at the top")
    return cutter.found


class _Cutter:
    """Follows the events of a document; ``found`` is the mapping as soon as it has begun."""

    def __init__(self, text: str, key: str, most: int) -> None:
        self.found: dict[str, str] | None = None
        self._text, self._wanted, self._most = text, key, most
        self._depth = 0
        self._inside = False
        self._key: str | None = None  # of the mapping that is being read at the top or inside, while its value is awaited
        self._start: Any = None

    def take(self, event: Any) -> bool:
        """The next event; whether the document is at its end."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
            self._close(event)
            return self._depth == 0
        if not isinstance(event, yaml.NodeEvent):
            return False
        if self._depth == 0 and not isinstance(event, yaml.MappingStartEvent):
            return True
        if self._depth == 1 or (self._depth == 2 and self._inside):
            self._child(event)
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        if self._depth > MAX_DEPTH:
            raise NotYaml(f"nested deeper than {MAX_DEPTH} levels")
        return False

    def _close(self, event: Any) -> None:
        if self._depth == 2 and self._start is not None:
            self._add(event.end_mark)
        elif self._depth == 1:
            self._key, self._inside = None, False

    def _child(self, event: Any) -> None:
        """A key or a value of the mapping at the top, or of the wanted one."""
        if self._key is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise NotYaml("a key that is no text")
            self._key = event.value
        elif self._inside:
            self._start = event.start_mark
            if not isinstance(event, yaml.CollectionStartEvent):
                self._add(event.end_mark)
        elif self._key == self._wanted and isinstance(event, yaml.MappingStartEvent):
            if self.found is not None:
                raise NotYaml(f"{self._wanted}: is there twice")
            self.found, self._inside, self._key = {}, True, None
        elif not isinstance(event, yaml.CollectionStartEvent):
            self._key = None

    def _add(self, end: Any) -> None:
        name, start = self._key or "", self._start
        if self.found is None or name in self.found:
            raise NotYaml(f"{name[:80]!r} is there twice")
        if len(self.found) == self._most:
            raise NotYaml(f"more than {self._most} names under {self._wanted}:")
        inline = self._text[start.index : start.index + 1] in ("{", "[")
        self.found[name] = ("" if inline else " " * start.column) + self._text[start.index : end.index]
        self._key = self._start = None
