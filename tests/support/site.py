"""An exporter's and a site's machine in one directory: keys, policy, state, and the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.schemas import checked_output

CREATED = "2026-01-31T12:00:00Z"


@dataclass(frozen=True)
class Site:
    """Runs ``airgap`` with its own home and state below ``root``."""

    root: Path

    @classmethod
    def make(cls, root: Path, kind: str = "ecdsa") -> Site:
        """With a key pair and a policy that trusts it."""
        site = cls(root)
        site.run("keys", "generate", "--no-passphrase", "--out", root / "keys", "--type", kind)
        site.run("policy", "init", "--key", site.public, "-o", site.policy)
        return site

    @property
    def key(self) -> Path:
        """The private key."""
        return self.root / "keys/airgap.key"

    @property
    def public(self) -> Path:
        """The public key."""
        return self.root / "keys/airgap.pub"

    @property
    def policy(self) -> Path:
        """The site's policy."""
        return self.root / "policy.json"

    def demand_signatures(self, key: Path) -> None:
        """From now on every image needs a sigstore signature by this key, made for its repository."""
        wanted = {"type": "sigstoreSigned", "keyPath": str(key), "signedIdentity": {"type": "matchRepository"}}
        document = json.loads(self.policy.read_text())
        document["transports"]["docker"] = {"": [wanted]}
        self.policy.write_text(json.dumps(document))

    def run(self, *arguments: object, state: str = "state", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command; fail the test with its messages when it fails."""
        home = self.root / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AIRGAP_STATE": str(self.root / state),
            "AIRGAP_KEY_PASSPHRASE": "",
            **{name: value for name, value in os.environ.items() if name in ("GNUPGHOME", "TMPDIR", "LANG", "DOCKER_HOST")},
        }
        command = [sys.executable, "-m", "airgap", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert not check or done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}"
        checked_output(done)
        return done

    def json(self, *arguments: object, **options: Any) -> Any:
        """Run one command with ``--json``; the document it printed."""
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def export(self, image_list: Path, out: Path, *options: object, stream: str = "prod", serial: int = 1) -> Path:
        """Export with a fixed time; the sealed bundle."""
        arguments = ["--out", out, "--stream", stream, "--serial", serial, "--created", CREATED, "--key", self.key]
        self.run("export", image_list, *arguments, *options)
        return out / f"{stream}-{serial:04d}"

    def import_(self, target: str, *paths: object, options: tuple[object, ...] = (), state: str = "site-state") -> Any:
        """Import under the site's policy; the result as facts."""
        return self.json("import", *paths, "--to", target, "--policy", self.policy, *options, state=state)
