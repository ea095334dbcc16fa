"""Public key files of several people, for policies."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.signing import Key
from tests.support.trustkit import GpgHome, gpg_home


@dataclass
class Keys:
    """A directory with key files: ``one.pub``, ``two.pub``, ``vendor.asc``, ``team.asc``."""

    root: Path
    home: GpgHome
    pem: dict[str, Key] = field(default_factory=dict)
    openpgp: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.write_bytes(content)
        return path

    def id(self, name: str) -> str:
        return self.pem[name].id if name in self.pem else self.openpgp[name][-16:].lower()

    def __getitem__(self, name: str) -> Path:
        return self.root / (f"{name}.pub" if name in self.pem else f"{name}.asc")

    def data(self, name: str) -> str:
        """What a policy holds of the key."""
        return base64.b64encode(self.pem[name].pem).decode()


@contextlib.contextmanager
def key_files(root: Path) -> Iterator[Keys]:
    """Two keys of each kind."""
    with gpg_home() as home:
        made = Keys(root, home)
        for name in ("one", "two"):
            made.pem[name] = Key()
            made.file(f"{name}.pub", made.pem[name].pem)
        for name in ("vendor", "team"):
            made.openpgp[name] = home.new_key(name)
            made.file(f"{name}.asc", home.export(made.openpgp[name]))
        yield made
