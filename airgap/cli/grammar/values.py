"""Read the values of options as their types: typer would load pydantic for that, which takes longer than all of a small command."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import typer

from airgap.text import printable

_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off", "")
_NUMBERS: dict[Any, tuple[Callable[[str], float], str]] = {int: (int, "a whole number"), float: (float, "a number")}


def read_plainly(parameter: Any) -> None:
    """Let a parameter of typer read its values here. Versions of typer that do not load pydantic are left as they are."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is not None and hasattr(parameter, "_runtime_param"):
        parameter._runtime_param = _Plain(descriptor.annotation)


class _Plain:
    """What typer calls a runtime parameter, for the types that our options have."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value that the command gets. Raises ``typer.BadParameter``."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        try:
            if not several:
                return _read(value, self._kind, param)
            (kind,) = get_args(self._kind)
            return [_read(one, kind, param) for one in ([value] if isinstance(value, str) else value)]
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from error


def _read(value: Any, kind: Any, param: Any) -> Any:
    """One value. Raises ``ValueError`` with what is wrong."""
    if kind is bool:
        return value if isinstance(value, bool) else _switch(str(value))
    if kind in _NUMBERS:
        return _number(value, kind, param.min, param.max)
    if isinstance(value, kind):
        return value
    if issubclass(kind, enum.Enum):
        return _choice(str(value), kind)
    if kind in (str, Path):
        return kind(value)
    raise TypeError(f"options of type {kind} cannot be read")


def is_on(text: str) -> bool:
    """Whether a switch that the environment gives is on."""
    return text.lower() in _TRUE


def _switch(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(f"'{printable(text)}' is neither true nor false")
    return text.lower() in _TRUE


def _number(value: Any, kind: Any, least: float | None, most: float | None) -> float:
    read, what = _NUMBERS[kind]
    try:
        number = read(str(value))
    except ValueError:
        raise ValueError(f"'{printable(str(value))}' is not {what}") from None
    if math.isnan(number) or (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{printable(str(value))} is not {what} {range_in_words(least, most)}".rstrip())
    return number


def range_in_words(least: float | None, most: float | None) -> str:
    """``from 1 to 64``, ``from 1``, or nothing."""
    return " ".join(f"{word} {limit}" for word, limit in (("from", least), ("to", most)) if limit is not None)


def _choice(text: str, kind: type[enum.Enum]) -> enum.Enum:
    for member in kind:
        if member.value == text:
            return member
    raise ValueError(f"'{printable(text)}' is not one of {', '.join(str(member.value) for member in kind)}")
