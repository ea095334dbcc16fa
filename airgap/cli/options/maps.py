"""``--map``: rules for names at the target, on the command line or in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_RULES_FILE
from airgap.lists.renames import read_rules
from airgap.naming.renaming import RenameRule, RenameRules, parse_rules
from airgap.text import printable

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="RULE|FILE",
        help="Rule for names at a registry, or a file of rules; may be repeated, the first rule that applies decides: "
        "image=SOURCE=PATH, prefix=SOURCE=PATH, regex=RE2=REPLACEMENT, keep-host (default) or strip-host, flatten[=N].",
    ),
]


def read_map(given: Sequence[str] | None) -> RenameRules:
    """Parse ``--map``.

    Raises:
        UsageError: a rule has a mistake, or a file cannot be read.
    """
    return parse_rules(rule for text in given or () for rule in _rules(text))


def _rules(text: str) -> Iterator[str | tuple[str, str]]:
    if "=" in text or text in (*RenameRule, "flatten", ""):
        yield text
        return
    if not Path(text).is_file():
        raise UsageError(
            "neither a mapping rule nor a file",
            where="--map",
            expected="keep-host, strip-host, flatten, KIND=SOURCE=PATH or a FILE",
            got=printable(text),
            hint="see docs/targets.md",
        )
    yield from read_rules(fsio.read_input(Path(text), MAX_RULES_FILE, "file of mapping rules"), text)
