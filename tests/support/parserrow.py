"""A row of the table in ``tests/support/parsers.py``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.errors import AirgapError
from airgap.oci.digest import Digest
from tests.support import parserseeds as seeds
from tests.support.parserseeds import JSON, Grow


@dataclass(frozen=True)
class Parser:
    """One parser.

    Attributes:
        name: what it reads.
        parse: reads bytes from outside; may raise ``errors`` and nothing else.
        seeds: honest inputs.
        grow: inputs with so many parts, by what there is much of.
        covers: the functions of ours that read bytes or text in it, as ``module:name``.
        errors: what it may raise.
        most: bytes that its callers give it at most.
    """

    name: str
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    grow: Mapping[str, Grow] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    errors: tuple[type[Exception], ...] = (AirgapError,)
    most: int = 16 * 1024 * 1024


WHERE = "from outside"
CATALOG = Digest(seeds.digest(0))


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text, which whoever reads the file or line has decoded."""
    return lambda raw: parse(raw.decode("utf-8", "replace"))


def in_file(parse: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A parser that opens its file itself."""

    def run(raw: bytes) -> object:
        with tempfile.TemporaryDirectory(prefix="airgap-parser-") as directory:
            path = Path(directory, "file")
            path.write_bytes(raw)
            return parse(path)

    return run


def document(name: str, parse: Callable[[bytes], object], seed: bytes, *covers: str, **more: Any) -> Parser:
    """A document of JSON: all hostile JSON is tried with the first row, and with the others what could come further."""
    some = JSON if name == "JSON" else {label: JSON[label] for label in ("different keys", "empty lists", "one long text")}
    grow = {**some, **more.pop("grow", {})}
    return Parser(name, parse, (seed, *more.pop("seeds", ())), grow, covers, **more)
