"""Data in base64: of Secrets and of ConfigMaps' ``binaryData``. Only complete references are reported, never other data."""

from __future__ import annotations

import base64
import binascii

from airgap.discover.anywhere import find_anywhere
from airgap.discover.findings import Sheet
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

_KEYS = {"Secret": ("data",), "ConfigMap": ("binaryData",)}


def find_encoded(root: Node, sheet: Sheet) -> None:
    """Note full references in the encoded data of an object, or of the objects of a List; data that is no text is a note."""
    if isinstance(root, Items):
        for item in root.items:
            find_encoded(item, sheet)
    elif isinstance(root, Fields):
        for key in _KEYS.get(root.text("kind"), ()):
            data = root.get(key)
            for name, value in data.entries if isinstance(data, Fields) else ():
                if isinstance(value, Scalar) and value.text:
                    _decode(name, value, sheet)
        items = root.get("items")
        if items is not None and root.text("kind").endswith("List"):
            find_encoded(items, sheet)


def _decode(name: str, value: Scalar, sheet: Sheet) -> None:
    try:
        text = base64.b64decode("".join(value.text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = "\0"
    if "\0" in text:
        sheet.note(value.line, "base64 data that is not text is not searched", name)
    else:
        find_anywhere(text, sheet, value.line, literal=False, exact=False)
