"""What the help says of a command, taken from its docstring and its options; for a terminal, for man pages and for shells."""

from __future__ import annotations

import enum
import inspect
import re
from dataclasses import dataclass
from typing import Any

from airgap.cli.grammar.panels import HEADINGS, heading_of, metavar_of
from airgap.cli.grammar.values import range_in_words

_EXAMPLE = "Example: "
_SHORT = 20
_WORTH_SAYING = 1_000_000  # nobody comes near a limit beyond
_SENTENCE = re.compile(r".+?[.:](?= |$)")


@dataclass(frozen=True)
class Paragraph:
    """A part of a docstring: text, or a command line to try."""

    text: str
    is_example: bool


@dataclass(frozen=True)
class Entry:
    """An option or an argument: how it is written, and what it means."""

    written: str
    meaning: str


@dataclass(frozen=True)
class Explained:
    """All that is said of one command.

    Attributes:
        usage: how it is written, without the name of the program.
        summary: the first paragraph.
        example: a command line that shows the most usual way; empty if there is none.
        details: the rest.
        arguments: what follows the command by position.
        panels: options by heading.
    """

    usage: str
    summary: str
    example: str
    details: tuple[Paragraph, ...]
    arguments: tuple[Entry, ...]
    panels: tuple[tuple[str, tuple[Entry, ...]], ...]

    @classmethod
    def of(cls, command: Any, context: Any) -> Explained:
        """Of a command and the context in which typer asks for its help."""
        parts = paragraphs(command.help or "")
        summary = parts[0].text if parts and not parts[0].is_example else ""
        first = next((part for part in parts if part.is_example), None)
        shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
        options = [one for one in shown if is_option(one)]
        panels: dict[str, list[Entry]] = {}
        for one in options:
            panels.setdefault(heading_of(long_name(one)), []).append(Entry(_written(one), _meaning(one)))
        return cls(
            usage=_usage(command, shown),
            summary=summary,
            example=first.text if first else "",
            details=tuple(part for part in parts[1:] if part is not first),
            arguments=tuple(Entry(value_name(one), one.help or "") for one in shown if not is_option(one)),
            panels=tuple((heading, tuple(panels[heading])) for heading in HEADINGS if heading in panels),
        )


def paragraphs(docstring: str) -> list[Paragraph]:
    """The parts of a docstring, each on one line."""
    found = []
    for block in re.split(r"\n[ \t]*\n", inspect.cleandoc(docstring)):
        line = " ".join(block.split())
        if line:
            found.append(Paragraph(line.removeprefix(_EXAMPLE), line.startswith(_EXAMPLE)))
    return found


def first_sentence(docstring: str) -> str:
    """What a list of commands says of one, without the full stop."""
    parts = paragraphs(docstring)
    found = _SENTENCE.match(parts[0].text) if parts else None
    return found[0].rstrip(".:") if found else ""


def is_option(parameter: Any) -> bool:
    """Whether a parameter is written with dashes."""
    return bool(parameter.param_type_name == "option")


def long_name(option: Any) -> str:
    """The name of an option in full, without dashes."""
    return str(max(option.opts, key=len)).lstrip("-")


def choices(parameter: Any) -> list[str]:
    """The values of a parameter that takes one of a few."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    words = (parameter.metavar or "").split("|")
    return words if len(words) > 1 and all(word.islower() for word in words) else []


def value_name(parameter: Any) -> str:
    """What the value of a parameter is called, such as ``FILE``; empty for a switch."""
    if is_option(parameter):
        if parameter.is_flag:
            return ""
        return parameter.metavar or "|".join(choices(parameter)) or metavar_of(long_name(parameter)) or long_name(parameter).upper()
    name = parameter.metavar or parameter.name.upper()
    return f"{name}..." if parameter.nargs == -1 and not name.endswith("...") else name


def _written(option: Any) -> str:
    names = ", ".join([*sorted(option.opts, key=len), *option.secondary_opts])
    return f"{names} {value_name(option)}".rstrip()


def _meaning(option: Any) -> str:
    text = (option.help or "").strip()
    said = [text if not text or text.endswith((".", ":")) else f"{text}."]
    most = getattr(option, "max", None)
    if most is not None and most <= _WORTH_SAYING:
        said.append(f"A number {range_in_words(option.min, most)}.")
    default = "" if "Default:" in text else _default(option)
    if default:
        said.append(f"Default: {default}.")
    if option.required:
        said.append("Required.")
    return " ".join(part for part in said if part)


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    value = option.default
    if not option.show_default or value is None or value is False or value in ("", [], ()):
        return ""
    if value is True:
        return "on"
    if isinstance(value, enum.Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _usage(command: Any, shown: list[Any]) -> str:
    required = [f"{max(one.opts, key=len)} {_short(one)}" for one in shown if is_option(one) and one.required]
    arguments = [value_name(one) if one.required else f"[{value_name(one)}]" for one in shown if not is_option(one)]
    below = ["COMMAND [ARGUMENTS]..."] if hasattr(command, "commands") else []
    return " ".join([*arguments, *required, "[OPTIONS]", *below])


def _short(option: Any) -> str:
    """The name of a value, where many choices would fill the line."""
    name = value_name(option)
    return name if len(name) <= _SHORT else long_name(option).upper()
