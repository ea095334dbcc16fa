"""``DISKS.json``: which file of a bundle lies on which disk of a set, so that messages can name the disk to fetch. Pure.

It is not signed and nothing is decided by it: it only lends its words to messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from airgap.errors import Damaged
from airgap.format import names
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import plural, printable

NAME = "DISKS.json"
#: The same for people and for the check scripts.
TEXT = "DISKS.txt"
SCHEMA = "airgap.disks/1"
#: More than a bundle of 256 files could need, in bytes.
LIMIT = 1024 * 1024

_LABEL = re.compile(r"[A-Z]{1,3}", re.ASCII)


@dataclass(frozen=True)
class Disks:
    """A set of disks.

    Attributes:
        bundle: the bundle's name.
        catalog: the digest of its catalog.
        own: the label of the disk that this copy lies on.
        files: the names of volumes and parity files on every disk, by label, in order.
    """

    bundle: str
    catalog: Digest
    own: str
    files: Mapping[str, Sequence[str]]

    def home(self, name: str) -> str:
        """The label of the disk that a file belongs on, or an empty string."""
        return self._homes.get(name, "")

    def is_own(self, name: str) -> bool:
        """Whether a file belongs on the disk that this copy of the list lies on."""
        return name in self._own

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset(self.files.get(self.own, ()))

    @cached_property
    def _homes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for label, held in self.files.items():
            for name in held:
                found.setdefault(name, label)
        return found

    def to_bytes(self) -> bytes:
        """The document, for machines."""
        disks = {label: list(held) for label, held in self.files.items()}
        top = {"schema": SCHEMA, "bundle": self.bundle, "catalog": self.catalog, "disk": self.own, "disks": disks}
        return strictjson.canonical(top) + b"\n"

    def to_text(self) -> bytes:
        """``DISKS.txt``; CRLF so that every editor shows it. The check scripts read its lines, so their form is fixed."""
        lines = [f"disk {label}: {' '.join(held)}" for label, held in self.files.items()]
        text = f"""{self.bundle} lies on {plural(len(self.files), "disk")}.
This disk: {self.own}

{chr(10).join(lines)}

All of them are needed on the other side. Check this one alone:
  Linux, macOS   sh check.sh --subset
  Windows        check.cmd --subset

{self.bundle} 分在 {len(self.files)} 块磁盘上，这是 {self.own} 盘。全部磁盘都要交到对方。
单独检查这块盘：sh check.sh --subset，Windows：check.cmd --subset
"""
        return text.replace("\n", "\r\n").encode()

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> Disks:
        """Read the document. Raises ``Damaged``."""
        top = strictjson.parse_object(raw, where)
        disks = strictjson.mapping(top.get("disks"), where)
        own = strictjson.string(top.get("disk"), where)
        if top.get("schema") != SCHEMA or own not in disks or not all(map(_LABEL.fullmatch, disks)):
            raise Damaged("not a valid list of disks", where=where, expected=SCHEMA, got=printable(str(top.get("schema")), 60))
        files = {label: [_name(item, where) for item in strictjson.array(held, where)] for label, held in disks.items()}
        bundle = strictjson.string(top.get("bundle"), where)
        return cls(bundle, Digest.parse(top.get("catalog"), where), own, files)


def label(number: int) -> str:
    """What disk ``number``, counted from 0, is called: A to Z, then AA, AB, ..."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def _name(value: object, where: str) -> str:
    name = strictjson.string(value, where)
    if not (names.is_volume(name) or names.is_parity(name)):
        raise Damaged("the list of disks names something other than volumes and parity files", where=where, got=printable(name, 60))
    return name
