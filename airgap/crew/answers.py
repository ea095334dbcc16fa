"""What a worker answers: what it has done, or the facts of an error. It comes from elsewhere, so it is parsed strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airgap.crew import scheduler
from airgap.errors import AirgapError, Damaged, Lacking, MediaError, NotFound, NotTaken, Refused, RegistryError, UsageError
from airgap.oci import strictjson
from airgap.text import printable

_KINDS: dict[str, type[AirgapError]] = {
    one.__name__: one for one in (UsageError, Refused, Damaged, Lacking, NotFound, NotTaken, RegistryError, MediaError)
}
_ERROR = "error"
_LONGEST = 1000


def answer_of(versions: Mapping[str, str], work: Callable[[], bytes]) -> bytes:
    """Do the work of a task and answer with what it gives, or with the facts of its error; runs on a worker.

    Args:
        versions: of the client (``scheduler.versions``): a worker that differs does nothing.
        work: gives a JSON object without a member ``error``.
    """
    try:
        if versions != scheduler.versions():
            raise UsageError(
                "client and worker differ in their versions",
                expected=_told(versions),
                got=_told(scheduler.versions()),
                hint="install the same versions on all machines",
            )
        return work()
    except AirgapError as error:
        facts = {"what": error.what, "where": error.where, "expected": error.expected, "got": error.got, "hint": error.hint}
        return strictjson.canonical({_ERROR: {"kind": type(error).__name__, **facts}})


def read_answer(answer: bytes, at: str) -> dict[str, Any]:
    """What a worker answered; ``at`` says about what. Raises the error that it tells of, and ``Damaged`` for no answer of ours."""
    top = strictjson.parse_object(answer, at)
    if _ERROR in top:
        facts = {key: strictjson.string(value, at) for key, value in strictjson.mapping(top[_ERROR], at).items()}
        told = {key: printable(facts.get(key, ""), _LONGEST) for key in ("where", "expected", "got", "hint")}
        what = printable(f"a worker failed: {facts.get('what', '')}", _LONGEST)
        raise _KINDS.get(facts.get("kind", ""), RegistryError)(what, **told)
    return top


def _told(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
