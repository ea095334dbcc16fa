"""Every error text of the program, read from its source: the first argument of an error, or of a function that hands it to one.

A text that is put together at run time is shown with ``…`` where a value is filled in. Texts that come from other programs (gpg,
a registry, the operating system) are not in the source and not here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import errors

#: What stands for a value that is filled in at run time.
HOLE = "…"
_ROUNDS = 4  # functions that hand a text to functions that hand it on


@dataclass(frozen=True)
class Message:
    """One error text.

    Attributes:
        text: the sentence, with ``…`` for each value that is filled in.
        error: the class of the error, such as ``Refused``.
        code: the exit code.
        module: the file that raises it, below the repository, with slashes.
        hint: what the error itself says to do next; empty if it says nothing.
    """

    text: str
    error: str
    code: int
    module: str
    hint: str = ""


@dataclass(frozen=True)
class _Carrier:
    """A function whose argument becomes the text of an error."""

    error: str
    position: int
    module: str


def messages(root: Path) -> list[Message]:
    """Every error text below ``root/airgap``, each once for each module and class, in the order of modules and lines.

    Raises:
        SyntaxError: a module cannot be parsed.
    """
    codes = {name: errors.exit_code(kind("")) for name, kind in _classes().items()}
    modules = {path.relative_to(root).as_posix(): ast.parse(path.read_text()) for path in sorted((root / "airgap").rglob("*.py"))}
    found: dict[tuple[str, str, str], Message] = {}
    for message in _found(modules, codes):
        key = (message.module, message.error, message.text)
        known = found.get(key)
        found[key] = message if known is None else replace(known, hint=known.hint or message.hint)
    return list(found.values())


def _classes() -> Mapping[str, type[errors.AirgapError]]:
    every = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in every if issubclass(kind, errors.AirgapError) and kind is not errors.SeveralBundles}


def _found(modules: Mapping[str, ast.Module], codes: Mapping[str, int]) -> Iterator[Message]:
    carriers: dict[str, list[_Carrier]] = {name: [_Carrier(name, 0, "")] for name in codes}
    for _ in range(_ROUNDS):
        known = sum(map(len, carriers.values()))
        for module, tree in modules.items():
            _add_carriers(module, tree, carriers)
        if sum(map(len, carriers.values())) == known:
            break
    for module, tree in modules.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            for carrier, text in _texts_of(module, call, carriers):
                for sentence in _sentences(text):
                    hint = " ".join(_sentences(_keyword(call, "hint")))
                    yield Message(sentence, carrier.error, codes[carrier.error], module, hint)


def _add_carriers(module: str, tree: ast.Module, carriers: dict[str, list[_Carrier]]) -> None:
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = [argument.arg for argument in function.args.args]
        shift = 1 if names[:1] in (["self"], ["cls"]) else 0
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            for carrier, text in _texts_of(module, call, carriers):
                if isinstance(text, ast.Name) and text.id in names and function.name != "__init__":
                    new = _Carrier(carrier.error, names.index(text.id) - shift, module)
                    if new not in carriers.setdefault(function.name, []):
                        carriers[function.name].append(new)


def _texts_of(module: str, call: ast.Call, carriers: Mapping[str, list[_Carrier]]) -> Iterator[tuple[_Carrier, ast.expr]]:
    function = call.func
    name = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    for carrier in carriers.get(name, ()):
        # a private function is called where it stands; the others are known by names that nothing else has
        if carrier.module and carrier.module != module and (name.startswith("_") or name not in _SHARED):
            continue
        text = call.args[carrier.position] if len(call.args) > carrier.position else _keyword(call, "what")
        if text is not None:
            yield carrier, text


#: Functions of other modules that make an error out of a text that they are given.
_SHARED = frozenset({"mistake", "wrong", "require_free"})


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _sentences(node: ast.expr | None) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and node.value else []
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else HOLE for part in node.values]
        text = "".join(str(part) for part in parts)
        return [text] if text.strip(HOLE + " :;,.") else []
    if isinstance(node, ast.IfExp):
        return [*_sentences(node.body), *_sentences(node.orelse)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _sentences(node.left), _sentences(node.right)
        return [first + (right[0] if len(right) == 1 else HOLE) for first in left]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _sentences(value)]
    return []
