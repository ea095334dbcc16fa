"""``airgap schema``: the JSON Schemas of results and documents."""

from __future__ import annotations

import difflib
import json
import sys
from typing import Annotated

import typer

from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.schemas.catalogue import json_schema, titles
from airgap.text import listing, printable


@grouped
def schema_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Such as import, or airgap.import/1 as in the document's key schema.", show_default=False
        ),
    ] = None,
    said: Said = Said(),
) -> None:
    """Print the JSON Schema of a result or document: what --json prints, or airgap writes to a file; without NAME list them.

    The schemas are draft 2020-12. docs/json.md says what stays the same between versions.

    Example: airgap schema import > import.schema.json
    """
    known = titles()
    if name is None:
        width = max(map(len, known))
        facts = {"schemas": [{"name": one, "title": title} for one, title in known.items()]}
        said.console().result(facts, [f"{one:<{width}}  {title}" for one, title in known.items()])
        return
    wanted = name.removeprefix("airgap.").removesuffix("/1")
    if wanted not in known:
        near = listing(difflib.get_close_matches(wanted[:100], known, 3, 0.5))
        hint = f"did you mean {near}?" if near else "list all names with airgap schema"
        raise UsageError("there is no schema of this name", got=printable(name, 100), hint=hint)
    sys.stdout.write(json.dumps(json_schema(wanted), indent=2) + "\n")
