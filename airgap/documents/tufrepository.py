"""The file in which a bundle carries a TUF repository: its files by their names, as text. Pure data, strict both ways.

Nobody need believe it: the repository's own signatures vouch for what is in it, from a root that the site has pinned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airgap.errors import Damaged
from airgap.format import names
from airgap.limits import MAX_TUF_FILE, MAX_TUF_ROOTS
from airgap.oci import strictjson

SCHEMA = "airgap.tuf-repository/1"
_MOST = MAX_TUF_ROOTS + 64
_NAME = re.compile(r"(?:targets/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class CarriedRepository:
    """A TUF repository in a bundle.

    Attributes:
        source: where the exporter has it from, for people.
        files: the exact bytes of its files, by their names in it.
    """

    source: str
    files: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """The exact bytes of the file. Raises ``Damaged``: a file is no text."""
        texts = {name: _text(raw, name) for name, raw in sorted(self.files.items())}
        return strictjson.canonical({"schema": SCHEMA, "source": self.source, "files": texts}) + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> CarriedRepository:
        """Read the file. Raises ``Damaged``."""
        where = names.TRUSTED_ROOT
        top = strictjson.parse_object(raw, where)
        if set(top) != {"schema", "source", "files"} or top["schema"] != SCHEMA:
            raise Damaged("not a TUF repository in a bundle", where=where, expected=SCHEMA)
        files = strictjson.mapping(top["files"], f"{where}: files")
        if not 0 < len(files) <= _MOST:
            raise Damaged("too many files, or none", where=where, expected=f"1 to {_MOST}", got=str(len(files)))
        found = {}
        for name, text in files.items():
            if not _NAME.fullmatch(name):
                raise Damaged("not the name of a file of a TUF repository", where=where)
            content = strictjson.string(text, f"{where}: {name}").encode("utf-8", "surrogatepass")
            if len(content) > MAX_TUF_FILE:
                raise Damaged("a file is too large", where=f"{where}: {name}", expected=f"at most {MAX_TUF_FILE} bytes")
            found[name] = content
        return cls(strictjson.string(top["source"], f"{where}: source"), found)


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("a file of a TUF repository is not text", where=name) from error
