"""A sender who can sign and a site that gets the bundles: the ground for attacks that signatures alone would let in."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.admission.terms import Terms
from airgap.importer.importing import import_bundle
from airgap.importer.run import Destination
from airgap.layout import LayoutStore
from airgap.naming.mapping import parse_target
from airgap.oci.reference import Reference
from airgap.progress import Silent
from airgap.state import State
from airgap.trust.policy.document import parse_policy
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import REFUSED, failed, here, tree
from tests.support.origin import Origin

REJECT, ACCEPT = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]


@dataclass
class Yard:
    """A sender with one small image, and the site that gets its bundles."""

    work: Path
    sender: Sender
    origin: Origin
    references: list[Reference]

    @classmethod
    def make(cls, work: Path) -> Yard:
        """With a key pair, a policy that trusts it, and nothing exported or imported yet."""
        origin = Origin()
        references = [origin.push("docker.io/shop/web:1", images.image([images.layer("web")]))]
        return cls(work, Sender.make(work / "sender"), origin, references)

    @property
    def store(self) -> Path:
        return self.work / "store"

    @property
    def state(self) -> Path:
        return self.work / "state"

    def bundle(self, serial: int, edit: Callable[[dict[str, Any]], object] | None = None, **options: Any) -> Path:
        """The next bundle of the stream; ``edit`` is what the sender claims instead."""
        made = self.sender.bundle(self.origin, self.references, self.work / "usb", serial=serial, **options)
        if edit is not None:
            self.sender.resign(made, edit)
        return made

    def take(self, bundle: Path, *options: object, policy: Path | None = None, to: str = "") -> subprocess.CompletedProcess[str]:
        fixed = ["--to", to or f"oci:{self.store}", "--policy", policy or self.sender.policy, "--state", self.state, "--json"]
        return here("import", bundle, *fixed, *options)

    def takes(self, bundle: Path, *options: object, **where: Any) -> dict[str, Any]:
        done = self.take(bundle, *options, **where)
        assert done.returncode == 0, done.stderr
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    def refuses(self, bundle: Path, *says: str, options: tuple[object, ...] = (), code: int = REFUSED, **where: Any) -> None:
        """Import fails well, and neither the store nor what is remembered about bundles changes."""
        before = tree(self.store), self.remembered()
        failed(self.take(bundle, *options, **where), code, *says)
        assert (tree(self.store), self.remembered()) == before

    def remembered(self) -> object:
        if not (self.state / "state.db").exists():
            return None, None
        with State(self.state) as state:
            return state.last_imported("prod"), state.known("prod", 2**53 - 1, None).floor

    def policy(self, airgap: list[dict[str, Any]], docker: dict[str, Any] | None = None) -> Path:
        path = self.work / "policy.json"
        transports = {"airgap": {"": airgap}, "docker": docker or {"": ACCEPT}}
        path.write_text(json.dumps({"default": REJECT, "transports": transports}))
        return path

    def take_at(self, now: dt.datetime, bundle: Path, **terms: Any) -> None:
        """Import by another clock than that of this machine."""
        wanted = Terms(parse_policy(self.sender.policy.read_bytes()), lambda name: Path(name).read_bytes(), now, **terms)
        target = parse_target(f"oci:{self.store}", "")
        destination = Destination(target, lambda _: contextlib.closing(LayoutStore(self.store)))
        with State(self.state) as state, state.turn([target.exclusive_place], "airgap import", 0, Silent().say) as turn:
            import_bundle([bundle], destination, wanted, state, Silent(), turn)


def key_of(sender: Sender) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyPath": str(sender.root / "sender.pub")}


def claim(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda top: top.update(changes)
