"""An exporter with a Sigstore instance at hand, and a site that follows it across the gap."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.layout import LayoutStore
from airgap.trust.sigstore.tuftrust import root_name
from tests.support import images, trustedroots
from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.tufrepository import TufRepository

KEYLESS = {
    "type": "sigstoreSigned",
    "fulcio": {"caPath": "/ca.pem", "oidcIssuer": "https://issuer", "subjectEmail": "dev@vendor"},
    "rekorPublicKeyPath": "/rekor.pub",
}


@dataclass(frozen=True)
class World:
    """An exporter with a Sigstore instance, and a site."""

    work: Path
    sender: Sender
    instance: TufRepository

    @classmethod
    def make(cls, work: Path) -> World:
        """With one image at the exporter's source."""
        with LayoutStore(work / "source") as layout:
            images.publish(layout, "origin.example/shop/web:1", images.image([images.layer("web", 3000)]))
            layout.commit()
        return cls(work, Sender.make(work / "sender"), TufRepository())

    def export(self, *options: object, root: object = None, serial: int | None = None) -> Any:
        """Export, with what the instance says now."""
        mirror = self.instance.write(self.work / "mirror") if root is None else root
        fixed = ["--out", self.work / "usb", "--stream", "prod", "--key", self.sender.key, "--state", self.work / "exporter"]
        numbered = [] if serial is None else ["--serial", serial]
        return here("export", f"oci:{self.work / 'source'}", *fixed, *numbered, "--carry-root", mirror, "--threads", 1, *options)

    def bundle(self, *options: object, serial: int = 1) -> Path:
        """The bundle of such an export."""
        done = self.export(*options, "--json", serial=serial)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["carries_root"]
        return Path(json.loads(done.stdout)["path"])

    def pin(self, version: int = 1, *options: object) -> Any:
        """Pin a root at the site."""
        path = self.work / "pinned.json"
        path.write_bytes(self.instance.files[root_name(version)])
        return here("trust", "pin", path, "--state", self.state, *options)

    @property
    def state(self) -> Path:
        """The state of the site."""
        return self.work / "site"

    def update(self, *paths: object, options: tuple[object, ...] = ("--yes",)) -> Any:
        """Bring the site up to date; by default its operator says yes."""
        return here("trust", "update", *paths, "--policy", self.sender.policy, "--state", self.state, *options)

    def updated(self, *paths: object) -> Any:
        """The facts of an update that is installed."""
        done = self.update(*paths, options=("--yes", "--json"))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def shown(self, *options: object) -> Any:
        """What is installed."""
        done = here("trust", "show", "--state", self.state, "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def grow_old(self, days: int) -> None:
        """Let what is installed have been current so long ago."""
        with sqlite3.connect(self.state / "state.db") as database:
            row = database.execute("SELECT value FROM memory WHERE name = 'sigstore-root'").fetchone()
            document = json.loads(row[0]) | {"current": trustedroots.later(-days)}
            database.execute("UPDATE memory SET value = ? WHERE name = 'sigstore-root'", (json.dumps(document),))
        database.close()

    def ask_for_keyless(self) -> None:
        """From now on the site's policy has a scope that asks for a keyless signature; the bundle's image is in another one."""
        document = json.loads(self.sender.policy.read_text())
        document["transports"]["docker"] = {"ghcr.io/vendor": [KEYLESS], "": [{"type": "insecureAcceptAnything"}]}
        self.sender.policy.write_text(json.dumps(document))
