"""Every sentence that the commands of carriers and sites may say, read from the sources of all that they import.

A sentence is a text of the program with a space in it, with ``{0}``, ``{1}``, ... for its values. Documents for media or browsers,
help texts, and what only describes (schemas, SQL) are none. ``airgap/cli/terminal/translated.py`` makes use of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Where the commands of carriers and sites begin.
_BEGINNINGS = (
    *("cli.commands.carried", "cli.commands.site", "cli.commands.history", "cli.commands.about"),
    *("cli.main", "cli.terminal"),
)
#: What only exporters and developers meet, and what is written for media and browsers.
_ELSEWHERE = (
    *("schemas", "lists", "discover", "exporter", "planning", "html", "patch", "delta", "yamlnodes", "report", "sources"),
    *("toolkit", "mirror", "crew", "cli.grammar", "cli.application", "cli.config", "cli.commands.connected", "cli.commands.keys"),
    *("cli.commands.init", "cli.commands.config", "cli.commands.policy", "cli.commands.policyedits", "cli.commands.policykeys"),
    *("cli.commands.schema", "cli.commands.trust", "cli.commands.docs", "cli.commands.carried.toolkit"),
    *("cli.commands.site.mirror", "cli.commands.site.mirrorpolicy"),
    *("format.checktxt", "server.monitor", "server.page", "bundle.supplement"),
)
_HELP = ("Option", "Argument", "compile", "getattr", "NewType", "TypeVar", "encode")  # calls whose texts nobody is told
_SENTENCE = re.compile(r"[A-Za-z]{2,}[,:;'\"]?\)? +[A-Za-z{(\'-]|[}] [a-z]{2,}|[a-z]{3,}: ?\{")
# SQL, HTML, and what has its Chinese beside it
_NONE = re.compile(
    r"\b(SELECT|INSERT|UPDATE|CREATE|DELETE|ALTER|PRAGMA|WHERE|VALUES|BEGIN|ORDER BY)\b|serial < \?|</|[\u4e00-\u9fff]"
)
_LABEL = re.compile(r"([A-Za-z][A-Za-z ]{0,11}?) {2,}\S")
_LONGEST = 700
#: Words of lines and errors that are put before their sentence by a variable.
_WORDS = (
    *("error", "where", "expected", "got", "next", "new", "same", "moved", "keep", "drop", "kept", "removed", "MISSING"),
    *("elsewhere", "sent again", "disk", "outcome", "at", "target", "known", "pinned", "imported", "refused", "damaged"),
    *("finished", "bundle", "volume", "parity", "good", "incomplete", "broken", "unreadable", "whole", "not repaired"),
    *("warning", "checking", "loading", "fetching", "writing", "reading", "repairing", "copying", "verifying", "removing", "never"),
)
#: What is put together of several texts of the source, and what the library of the command line says of arguments.
_TOGETHER = (
    *(
        "{n} of {1}",
        "{0} good",
        "{0} damaged",
        "{0} unreadable",
        "{0} on disk {1}",
        "{0} on other disks",
        "all {0}",
        "{0} missing",
        "not repaired {0}",
    ),
    "would remove {0}, and {1} that only they need ({2})",
    *("the bundle {0} is damaged: {1}", "the bundle {0} is incomplete: {1}", "another bundle", "the first volume"),
    *("No such option: {0}", "Possible options: {0}", "Did you mean {0}?", "No such command {0}", "Missing argument {0}"),
    *(
        "Missing option {0}",
        "Got unexpected extra argument ({0})",
        "Got unexpected extra arguments ({0})",
        "Invalid value for {0}: {1}",
        "it can also be said in airgap.toml (airgap init) or {0}",
    ),
    *("Option {0} requires an argument.", "{0} is not one of {1}", "{0} is not a valid integer", "{0} is not in the range {1}"),
)


@dataclass(frozen=True)
class Told:
    """What there is to translate.

    Attributes:
        phrases: the sentences, with where each is said.
        counts: nouns with a number before them, one and many.
        labels: the words that lines begin with.
    """

    phrases: dict[str, list[str]]
    counts: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]


def told(root: Path) -> Told:
    """Read the sources below ``root/airgap``.

    Raises:
        SyntaxError: a module cannot be parsed.
    """
    sources = {_name(path.relative_to(root / "airgap")): path for path in sorted((root / "airgap").rglob("*.py"))}
    trees = {name: ast.parse(path.read_text()) for name, path in sources.items()}
    phrases: dict[str, list[str]] = {one: [] for one in _TOGETHER}
    nouns: set[str] = set()
    labels: set[str] = set()
    for name in sorted(_reached(trees)):
        silent = _silent(trees[name], nouns)
        for node in ast.walk(trees[name]):
            text = _phrase(node) if id(node) not in silent else ""
            labels |= {found[1] for found in [_LABEL.match(text)] if found}
            if text and _is_sentence(text):
                phrases.setdefault(text, []).append(sources[name].relative_to(root).as_posix())
    labels |= set(_WORDS)
    return Told(phrases, tuple((f"{{n}} {noun}", f"{{n}} {_many(noun)}") for noun in sorted(nouns)), tuple(sorted(labels)))


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


def _reached(trees: dict[str, ast.Module]) -> set[str]:
    """The modules that the commands import, at any distance."""
    found: set[str] = set()
    waiting = [name for name in trees if _below(name, _BEGINNINGS) and not _below(name, _ELSEWHERE)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [one for one in _imports(trees[name]) if one in trees and not _below(one, _ELSEWHERE)]
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airgap."):
            module = (node.module or "").removeprefix("airgap.")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "airgap":
            yield from (alias.name for alias in node.names)


def _silent(tree: ast.Module, nouns: set[str]) -> set[int]:
    """The nodes whose texts nobody is told, and on the way the nouns that are counted."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            first = node.body[0] if node.body else None
            found |= {id(first.value)} if isinstance(first, ast.Expr) else set()  # a docstring
        elif isinstance(node, ast.JoinedStr):
            values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
            found |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            found |= {one for part in values if part.format_spec is not None for one in _all(part.format_spec)}
        elif isinstance(node, ast.Call):
            found |= _silent_in(node, nouns)
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            found |= _all(node.annotation)
    return found


def _silent_in(call: ast.Call, nouns: set[str]) -> set[int]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "plural" and len(call.args) > 1:
        constants = [one for one in ast.walk(call.args[1]) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        nouns |= {str(one.value) for one in constants}
        return set(map(id, constants))
    return _all(call) if name in _HELP else set()


def _all(node: ast.AST) -> set[int]:
    return {id(one) for one in ast.walk(node)}


def _phrase(node: ast.AST) -> str:
    """A text of the source with its values as holes, without what only ties it to others; empty if it is none."""
    if isinstance(node, ast.Constant):
        return _trimmed(_escaped(node.value)) if isinstance(node.value, str) else ""
    if not isinstance(node, ast.JoinedStr):
        return ""
    text, holes, was_hole = "", 0, False
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += _escaped(str(part.value))
        elif not was_hole:  # two values side by side are one
            text += f"{{{holes}}}"
            holes += 1
        was_hole = not isinstance(part, ast.Constant)
    return _trimmed(text)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _trimmed(text: str) -> str:
    while True:
        before = text
        text = text.strip(" ,;:\n")
        if text.startswith("(") and (text.count("(") > text.count(")") or (text.endswith(")") and ")" not in text[:-1])):
            text = text[1:]
        if text.endswith(")") and text.count(")") > text.count("("):
            text = text[:-1]
        if text == before:
            return text


def _is_sentence(text: str) -> bool:
    label = _LABEL.match(text)
    own = re.sub(r"\{\d+\}", "", text[label.end() - 1 :] if label else text)
    return sum(map(str.isalpha, own)) >= 3 and len(text) <= _LONGEST and bool(_SENTENCE.search(text)) and not _NONE.search(text)


def _many(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
