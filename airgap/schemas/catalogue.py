"""Every schema by its name, as JSON Schema. Pure."""

from __future__ import annotations

from typing import Any

from airgap.schemas import notation
from airgap.schemas.documents import DOCUMENTS
from airgap.schemas.keys import KEYS
from airgap.schemas.names import full_name
from airgap.schemas.results import RESULTS, spelled

_RESULT = (
    "A result of the command line. It lists every key that this version writes; readers must accept keys that are not listed here: "
    "later versions may add some, and never change or remove any within the same number."
)


def titles() -> dict[str, str]:
    """What every schema is about, by its name: results first."""
    return {name: title for name, (title, _) in RESULTS.items()} | {name: found[0] for name, found in DOCUMENTS.items()}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a result or document. Raises ``KeyError``: there is none of that name."""
    if name in RESULTS:
        title, keys = RESULTS[name]
        return notation.schema(full_name(name), title, _RESULT, spelled(keys), KEYS)
    title, about, keys, meanings = DOCUMENTS[name]
    return notation.schema(full_name(name), title, about, spelled(keys), meanings)
