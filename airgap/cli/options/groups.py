"""Options that several commands share: a dataclass declares them once, each field an option, and commands take the dataclass."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

#: Here and not in `inputs`, so that a command that reads little loads little.
PassphraseOption = Annotated[Path | None, typer.Option("--passphrase-file", help="File that holds the passphrase of the key.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every dataclass among its parameters, in the place of that parameter."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    shown: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            options = get_type_hints(groups[name], include_extras=True)
            shown += [_option(field.name, options[field.name], field.default) for field in _fields(groups[name])]
        else:
            shown.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        said = {name: kind(**{field.name: given.pop(field.name) for field in _fields(kind)}) for name, kind in groups.items()}
        command(**given, **said)

    del run.__wrapped__  # typer would look for the options there
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown} | {"return": None}
    return run


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    """The options: what has no default of one value is no option."""
    return [field for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING]


def _option(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
