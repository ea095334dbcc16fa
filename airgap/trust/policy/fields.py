"""Reading JSON objects of policy.json field by field: any deviation rejects the whole file and names the field."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from airgap.errors import UsageError
from airgap.text import printable

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def decode_base64(text: str) -> bytes | None:
    """Standard padded base64, where only line breaks may stand between the characters; None when it is not that."""
    joined = text.replace("\r", "").replace("\n", "")
    if len(joined) % 4 or not _BASE64.fullmatch(joined):
        return None
    try:
        return base64.b64decode(joined)
    except binascii.Error:
        return None


def mistake(where: str, what: str, *, expected: str = "", got: str = "") -> UsageError:
    """The error for a policy file: until it parses as a whole, nothing is accepted."""
    return UsageError(
        f"the policy is invalid: {what}",
        where=where,
        expected=expected,
        got=got,
        hint="correct the policy; nothing is accepted until all of it is valid",
    )


def brief(value: object) -> str:
    """A JSON value for a message."""
    return "null" if value is None else printable(json.dumps(value, ensure_ascii=False), 80)


def as_object(value: object, where: str) -> dict[str, Any]:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        raise mistake(where, "not an object", expected="an object", got=brief(value))
    return value


def as_list(value: object, where: str) -> list[Any]:
    """The value, which must be a list."""
    if not isinstance(value, list):
        raise mistake(where, "not a list", expected="a list", got=brief(value))
    return value


def as_text(value: object, where: str) -> str:
    """The value, which must be a string."""
    if not isinstance(value, str):
        raise mistake(where, "not a string", expected="a text", got=brief(value))
    return value


class JsonFields:
    """One object of the policy with a fixed set of fields, spelled exactly.

    Args:
        value: the object.
        where: its JSON path.
        known: every field it may have.

    Raises:
        UsageError: it has another field.
    """

    def __init__(self, value: object, where: str, known: tuple[str, ...]) -> None:
        self.values = as_object(value, where)
        self.where = where
        for name in self.values:
            if name not in known:
                raise mistake(self.path(name), "an unknown field", expected=" or ".join(known), got=printable(name, 80))

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def path(self, name: str) -> str:
        """The JSON path of a field."""
        return f"{self.where}.{printable(name, 80)}" if self.where else printable(name, 80)

    def present(self, *names: str) -> list[str]:
        """Which of the fields are there."""
        return [name for name in names if name in self.values]

    def one_of(self, *names: str) -> str:
        """The one field of several that must be there alone."""
        found = self.present(*names)
        if len(found) != 1:
            got = " and ".join(found) or "none of them"
            raise mistake(self.where, "not exactly one of these fields", expected=", ".join(names), got=got)
        return found[0]

    def at_most_one_of(self, *names: str) -> str:
        """The one field of several that may be there, or ``""``."""
        found = self.present(*names)
        if len(found) > 1:
            raise mistake(self.where, "more than one of these fields", expected=", ".join(names), got=" and ".join(found))
        return found[0] if found else ""

    def text(self, name: str) -> str:
        """A text that must be there and not be empty."""
        if name not in self.values:
            raise mistake(self.where, f"no {name}", expected=name)
        text = as_text(self.values[name], self.path(name))
        if not text:
            raise mistake(self.path(name), "an empty string")
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        items = as_list(self.values[name], self.path(name))
        return tuple(as_text(item, f"{self.path(name)}[{i}]") for i, item in enumerate(items))

    def data(self, name: str) -> bytes:
        """Bytes, written in base64; may be empty."""
        return _base64(self.values[name], self.path(name))

    def datas(self, name: str) -> tuple[bytes, ...]:
        """A list of base64 texts."""
        items = as_list(self.values[name], self.path(name))
        return tuple(_base64(item, f"{self.path(name)}[{i}]") for i, item in enumerate(items))


def _base64(value: object, where: str) -> bytes:
    text = as_text(value, where)
    data = decode_base64(text)
    if data is None:
        raise mistake(where, "not base64", expected="standard base64 with padding", got=printable(text, 40))
    return data
