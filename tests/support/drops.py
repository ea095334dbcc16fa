"""A drop directory, what arrives in it, and ``airgap watch`` looking after it: once in this process, or as a service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from airgap.format import names
from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.schemas import checked, documents_of

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Drop:
    """A drop directory below ``work`` and a site that trusts one sender."""

    work: Path
    sender: Sender

    @property
    def root(self) -> Path:
        """The drop directory."""
        return self.work / "drop"

    @property
    def store(self) -> Path:
        """The layout that is imported into by default."""
        return self.work / "store"

    @property
    def state(self) -> Path:
        """The site's state."""
        return self.work / "state"

    def put(self, file: Path, folder: str) -> Path:
        """Let one file arrive in a folder below the drop directory."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(file, place))

    def put_papers(self, bundle: Path, folder: str) -> None:
        """Let everything but the volumes arrive."""
        for file in bundle.iterdir():
            if not names.is_volume(file.name):
                self.put(file, folder)

    def put_bundle(self, bundle: Path, folder: str = "") -> Path:
        """Let a whole bundle arrive, as a directory of its own name; where."""
        return Path(shutil.copytree(bundle, self.root / folder / bundle.name))

    def command(self, *options: object, to: str = "", policy: Path | None = None) -> list[str]:
        """The command line."""
        target = to or f"oci:{self.store}"
        fixed = ["--to", target, "--policy", policy or self.sender.policy, "--state", self.state, "--json", *options]
        return [str(word) for word in ["watch", self.root, *fixed]]

    def once(self, *options: object, code: int = 0, to: str = "", policy: Path | None = None) -> Events:
        """Look once, where nothing is being written any more; what was told."""
        self.root.mkdir(parents=True, exist_ok=True)
        done = here(*self.command("--once", "--settle", 0, *options, to=to, policy=policy))
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def images(self) -> list[str]:
        """The names in the store."""
        index = self.store / "index.json"
        found = json.loads(index.read_bytes())["manifests"] if index.exists() else []
        return sorted(name for one in found if (name := one.get("annotations", {}).get("org.opencontainers.image.ref.name")))

    def result(self, place: str) -> dict[str, Any]:
        """A result for machines; the one for people is there too and names the same outcome."""
        path = self.root / f"{place}.result.json"
        facts: dict[str, Any] = json.loads(path.read_bytes())
        assert checked(facts) == "result"
        assert f"outcome      {facts['outcome']}\n" in path.with_suffix(".txt").read_text()
        return facts

    def history(self) -> list[str]:
        """What the site's history says was done."""
        done = here("history", "--state", self.state, "--json")
        return [f"{one['event']} {one['stream']}-{one['serial']}" for one in json.loads(done.stdout)["history"]]


def kinds(events: Events, *wanted: str) -> list[tuple[str, str]]:
    """The events of some kinds, each with its bundle."""
    return [(one["event"], one["bundle"]) for one in events if one["event"] in wanted]


class Service:
    """``airgap watch`` as a process of its own; a context manager that ends it."""

    def __init__(self, drop: Drop, *options: object, to: str = "") -> None:
        drop.root.mkdir(parents=True, exist_ok=True)
        quick = () if "--interval" in options else ("--interval", 0.1, "--settle", 0.1)
        environment = {"PATH": os.environ["PATH"], "HOME": str(drop.work / "home"), "AIRGAP_KEY_PASSPHRASE": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "airgap", *drop.command(*quick, *options, to=to)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: Events = []

    def __enter__(self) -> Service:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, event: str, bundle: str = "") -> dict[str, Any]:
        """Read events until there is one of a kind; it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))
            checked(self.events[-1])
            if (self.events[-1]["event"], self.events[-1]["bundle"]) == (event, bundle):
                return self.events[-1]
        assert self._process.stderr is not None
        raise AssertionError(f"ended before {event} {bundle}: {self.events}\n{self._process.stderr.read()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self._process.send_signal(number)
        output, errors = self._process.communicate()
        self.events += documents_of(output)
        assert "Traceback" not in errors, errors
        return self._process.returncode
