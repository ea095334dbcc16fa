"""Every JSON document that a test sees, held to the schema that it names."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from airgap.schemas.catalogue import json_schema
from airgap.schemas.documents import DOCUMENTS


def checked(document: dict[str, Any]) -> str:
    """The short name of a document's schema, which it satisfies."""
    assert "schema" in document, f"no key is the schema: {document}"
    short = str(document["schema"]).removeprefix("airgap.").removesuffix("/1")
    assert short in DOCUMENTS or next(iter(document)) == "schema", f"the first key is not the schema: {document}"
    wrong = [f"{one.json_path}: {one.message}" for one in _validator(short).iter_errors(document)]
    assert not wrong, f"not as airgap schema {short} says:\n" + "\n".join(wrong[:5])
    return short


def checked_output(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The schemas of everything that a command with ``--json`` printed; nothing of one without it."""
    if "--json" not in done.args:
        return []
    return [checked(one) for one in documents_of(done.stdout) if "default" not in one]  # a policy is a document of containers'


def documents_of(text: str) -> Iterator[dict[str, Any]]:
    """The results in an output: one document, or one a line; none in one that is something else, as for ``--output -``."""
    for part in (text, *text.splitlines()):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
        if part is text:
            return


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(name))
