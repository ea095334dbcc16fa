"""What the templates in lists of other tools stand for: a YAML mapping of names and values (``--values``)."""

from __future__ import annotations

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes
from airgap.lists.yamltree import ListReader, compose, peek

_ZARF = ("package", "create", "set")


def parse_values(raw: bytes, name: str) -> dict[str, str]:
    """Read ``NAME: VALUE`` pairs, or those under ``package.create.set`` of Zarf's configuration; names are in capitals there.

    Args:
        raw: the file, UTF-8, already known not to be too large.
        name: the file's name, for messages.

    Raises:
        UsageError: it is not such a mapping; a value that is not a single one is a mistake with its place.
    """
    mistakes = Mistakes(name)
    try:
        documents = compose(raw.decode("utf-8-sig"), mistakes)
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8 text", where=mistakes.name, expected="a YAML mapping: NAME: VALUE") from error
    mistakes.raise_any()
    if len(documents) != 1:
        raise UsageError("not one mapping of values", where=mistakes.name, expected="a YAML mapping: NAME: VALUE")
    root = documents[0]
    for key in _ZARF:
        inside = peek(root)
        if key not in inside:
            break
        root = inside[key]
    reader = ListReader(mistakes, shows_values=False)
    found = {key: reader.text(value, "a value", numbers=True) for key, _, value in reader.pairs(root, "the values")}
    mistakes.raise_any()
    values = {key: value for key, value in found.items() if value is not None}
    return values | {key.upper(): value for key, value in values.items()}
