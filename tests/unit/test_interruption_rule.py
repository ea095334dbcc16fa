"""No handler that draws a conclusion from an error can catch the user's signal: all of ours are looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap import errors
from airgap.errors import AirgapError, Interrupted, Stopped, exit_code

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "airgap").rglob("*.py"))

#: What catches a signal: everything at once, and the signal's own names.
_CATCHING = frozenset({"BaseException", "KeyboardInterrupt", "Interrupted", "Stopped"})
#: Who may keep one: the ends of the program, a service that stops in order, and a thread that hands it to the one that waits.
_KEEPERS = {
    ("airgap/cli/main.py", "main"),
    ("airgap/cli/main.py", "run"),
    ("airgap/cli/standalone.py", "main"),
    ("airgap/cli/commands/site/watch.py", "_run"),
    ("airgap/exporter/digests.py", "_run"),
}


def keepers(source: str) -> Iterator[str]:
    """The functions in which something catches a signal and may not pass it on."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            name = getattr(function, "name", "<module>")
            yield from (name for node in _own(function) if _keeps(node))


def _keeps(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return _catches(node.type) and not _raises(node.body)
    if isinstance(node, ast.Try | ast.TryStar):
        return any(map(_leaves, node.finalbody))
    if isinstance(node, ast.Call):
        return _word(node.func) == "suppress" and any(map(_catches, node.args))
    return (
        isinstance(node, ast.FunctionDef) and node.name == "__exit__" and (not node.returns or ast.unparse(node.returns) != "None")
    )


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What is in a function and not in one inside it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _own(node)


def _word(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _catches(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    return any(_word(one) in _CATCHING for one in (kind.elts if isinstance(kind, ast.Tuple) else [kind]))


def _raises(body: list[ast.stmt]) -> bool:
    """Whether the last thing that a handler does is to pass on what it caught, and nothing before leaves it."""
    last = body[-1]
    return isinstance(last, ast.Raise) and last.exc is None and not any(_leaves(step) for step in body[:-1])


def _leaves(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Return | ast.Break | ast.Continue) for one in ast.walk(node))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_handler_turns_the_users_signal_into_a_verdict(path: Path) -> None:
    found = {(str(path), name) for name in keepers((ROOT / path).read_text())}
    assert found == {keeper for keeper in _KEEPERS if keeper[0] == str(path)}


@pytest.mark.parametrize(
    "body",
    [
        "try: x()\n    except BaseException as error: log(error)",
        "try: x()\n    except: pass",
        "try: x()\n    except (OSError, errors.Interrupted): return",
        "try: x()\n    except Stopped as error:\n        raise Refused from error",
        "try: x()\n    except KeyboardInterrupt:\n        if y: return\n        raise",
        "while True:\n        try: x()\n        finally: break",
        "with contextlib.suppress(BaseException): x()",
        "class A:\n        def __exit__(self, *_) -> bool: return True",
    ],
)
def test_the_rule_notices_who_keeps_a_signal(body: str) -> None:
    assert list(keepers(f"def f():\n    {body}\n"))


@pytest.mark.parametrize(
    "body",
    [
        "try: x()\n    except BaseException:\n        clean()\n        raise",
        "try: x()\n    except (KeyboardInterrupt, Interrupted):\n        raise",
        "try: x()\n    except Exception: pass",
        "with contextlib.suppress(OSError): x()",
    ],
)
def test_the_rule_lets_the_others_pass(body: str) -> None:
    assert not list(keepers(f"def f():\n    {body}\n"))


def test_a_signal_is_no_error_and_no_error_is_a_signal() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AirgapError)]
    assert len(kinds) == 12
    for one in (Interrupted, Stopped):
        assert not issubclass(one, Exception)
        assert not any(issubclass(one, kind) or issubclass(kind, one) for kind in kinds)
    assert (exit_code(Interrupted()), exit_code(KeyboardInterrupt())) == (130, 130)
