"""Bundles made in this process, and bundles that are signed but wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from airgap.exporter.export import export
from airgap.exporter.request import Cargo, Demands, ExportRequest, FarSide, Label, Packing
from airgap.exporter.seal import write_signatures
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.lists import Entry, Wish
from airgap.oci.reference import Reference
from airgap.oci.stores import Source
from airgap.progress import Silent
from airgap.state import State
from airgap.trust.keys.signers import KeySigner, Signer, generate
from airgap.trust.policy.templates import PolicyKey, site_policy

CREATED = "2026-01-31T12:00:00Z"


@dataclass(frozen=True)
class Sender:
    """Somebody who signs bundles, with a policy that trusts exactly them."""

    root: Path
    signer: KeySigner

    @classmethod
    def make(cls, root: Path) -> Sender:
        """With a new key pair and files in ``root``."""
        root.mkdir(parents=True, exist_ok=True)
        pair = generate("ecdsa", None)
        (root / "sender.key").write_bytes(pair.private_pem)
        (root / "sender.pub").write_bytes(pair.public_pem)
        (root / "policy.json").write_text(json.dumps(site_policy([PolicyKey(path=str(root / "sender.pub"))])))
        return cls(root, KeySigner.load(pair.private_pem, lambda: None, "sender.key"))

    @property
    def key(self) -> Path:
        """The private key."""
        return self.root / "sender.key"

    @property
    def policy(self) -> Path:
        """The policy."""
        return self.root / "policy.json"

    def bundle(self, source: Source, references: Sequence[Reference], out: Path, **options: Any) -> Path:
        """Export with a fixed time; options are those of :func:`asking`, and ``signed=False``."""
        signers = [self.signer] if options.pop("signed", True) else []
        wanted = [Entry(reference) for reference in references]
        request = asking(wanted, source, out, signers, **{"serial": 1, "threads": 1, **options})
        with State(self.root / "exporter-state") as state:
            return export(request, state, Silent()).path

    def resign(self, bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
        """Change what the catalog says and sign it again: what a careless or broken exporter could have made."""
        path = bundle / names.CATALOG
        top = json.loads(path.read_bytes())
        edit(top)
        self.sign(bundle, json.dumps(top).encode())

    def sign(self, bundle: Path, raw: bytes) -> None:
        """Give a bundle another catalog, signed. The companion files, which follow from a catalog, are dropped."""
        for companion in (names.SUMS, names.CHECK):
            (bundle / companion).unlink(missing_ok=True)
        (bundle / names.CATALOG).write_bytes(raw)
        write_signatures(bundle, raw, [self.signer])


def asking(wanted: Sequence[Wish], source: Source, out: Path, signers: Sequence[Signer], **options: Any) -> ExportRequest:
    """A request for a bundle of ``prod`` with a fixed time; options are the fields of its parts, and its own."""
    options = {"stream": "prod", "created": CREATED, "wanted": wanted, "source": source, **options}

    def part(kind: type[Any]) -> Any:
        return kind(**{one.name: options.pop(one.name) for one in fields(kind) if one.name in options})

    label, cargo = part(Label), part(Cargo)
    parts = {"packing": part(Packing), "far_side": part(FarSide), "demands": part(Demands)}
    return ExportRequest(label, cargo, out, signers, **parts, **options)


def catalog_of(bundle: Path) -> Catalog:
    """The parsed catalog."""
    return Catalog.from_bytes((bundle / names.CATALOG).read_bytes())


def flip(path: Path, position: int, mask: int = 0x01) -> None:
    """Change one byte of a file; a second time changes it back."""
    with path.open("r+b") as file:
        file.seek(position)
        old = file.read(1)[0]
        file.seek(position)
        file.write(bytes([old ^ mask]))
