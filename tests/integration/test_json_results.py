"""Every command with ``--json``, and every document that a month leaves in files, held to their schemas.

So is the output of every other test: ``tests.support.cli.here`` and ``Site.run`` check it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.schemas.documents import DOCUMENTS
from airgap.schemas.results import RESULTS
from tests.support.bundles import CREATED, flip
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.schemas import checked, checked_output, documents_of
from tests.support.tufrepository import TufRepository

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = f"oci:{ROOT}/samples/layout:localhost:5000"


class Month:
    """Runs commands with ``--json`` and notes the schemas of their results."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.state = ("--state", work / "state")
        self.seen: set[str] = set()

    def run(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """One command; its result."""
        done = here(*arguments, "--json")
        assert done.returncode == code, f"{' '.join(map(str, done.args))}: exit {done.returncode}\n{done.stderr}"
        found = checked_output(done)
        assert found, f"no result: {done.stdout}"
        self.seen |= set(found)
        last: dict[str, Any] = list(documents_of(done.stdout))[-1]
        return last


@pytest.fixture
def month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Month:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    month = Month(tmp_path)
    month.run("keys", "generate", "--no-passphrase", "--out", tmp_path / "keys")
    month.run("policy", "init", "--key", tmp_path / "keys/airgap.pub", "-o", tmp_path / "policy.json")
    for number, images in enumerate((["tools/migrate:3.4", "edge/agent:0.9"], ["shop/web:1.0", "edge/agent:0.9"]), 1):
        lines = [f"{LAYOUT}/{image} as vendor.example/{image}\n" for image in images]
        (tmp_path / f"images-{number}.txt").write_text("".join(lines))
    return month


def test_every_command_prints_what_its_schema_says(month: Month, module_registry: DockerRegistry) -> None:
    work, state = month.work, month.state
    trusting = ("--policy", work / "policy.json", *state)
    making = ("--out", work / "out", "--stream", "prod", "--key", work / "keys/airgap.key", "--created", CREATED, *state)
    web = work / "images-2.txt"

    month.run("schema")
    month.run("schema", "nothing", code=2)
    month.run("version")
    month.run("docs")
    month.run("policy", "check", work / "policy.json")
    month.run("discover", ROOT / "samples/discover")
    month.run("discover", work / "policy.json", code=2)
    month.run("resolve", web, *state)
    month.run("resolve", web, "--lock", work / "images.lock", *state)
    month.run("resolve", web, "--lock", work / "images.lock", "--update", *state)
    first = Path(month.run("export", work / "images-1.txt", *making, "--gate", "true")["path"])
    month.run("plan", web, "--since", first, "--parity", 1, "--rate", "1MB", "--out", work, *state)
    second = Path(month.run("export", web, *making, "--since", first, "--volume-size", "20kB", "--parity", 1)["path"])
    month.run("merge", first, second, *making[2:], "--out", work / "merged", "--policy", work / "policy.json")
    month.run("keys", "generate", "--no-passphrase", "--out", work / "more", "--type", "ed25519")
    month.run("sign", second, "--key", work / "more/airgap.key")
    edited = shutil.copy(work / "policy.json", work / "edited.json")
    month.run("policy", "add", edited, "--public-key", work / "more/airgap.pub", "--any")
    month.run("policy", "remove", edited, "--public-key", work / "more/airgap.pub")
    assert month.run("inspect", second)["bundle"] == second.name
    month.run("diff", first, second)
    month.run("report", second, "-o", work / "report.html", *state)
    month.run("toolkit", "--check-only", "--out", work / "checker")

    month.run("media", "copy", second, "--media", "bd25")
    disks = [work / "a", work / "b"]
    for disk in disks:
        disk.mkdir()
    month.run("media", "copy", second, *disks)
    month.run("media", "log", *disks, "--who", "A. Lund", "--where", "depot 4", "--key", work / "keys/airgap.key")
    month.run("media", "log", *disks, "--show")
    month.run("media", "check", *disks)
    lost = sorted(disks[0].rglob("volume-*.tar"))[:2]
    for path in lost:
        path.rename(work / path.name)
    flip(next(disks[1].rglob("volume-*.tar")), 700)
    month.run("media", "check", *disks, code=4)
    asked = month.run("media", "repair", *disks, "--out", work / "repaired", code=4)["request"]
    month.run("export", "--resend", asked, second, "--out", work / "answer", *state)

    (work / "install.sh").write_text("#!/bin/sh\n")
    (work / "files.yaml").write_text(f"files: ['{work}/install.sh']\n")
    signing = ("--stream", "files", "--key", work / "keys/airgap.key", *state)
    files = month.run("export", work / "files.yaml", "--out", work / "files", *signing)["path"]
    month.run("get", f"bundle:{files}", "-o", work / "taken.sh", *trusting)

    store = f"oci:{work}/store"
    month.run("import", first, "--to", store, *trusting, "--dry-run")
    month.run("import", first, "--to", store, *trusting)
    month.run("verify", second, *trusting, "--held-at", store)
    month.run("policy", "explain", "vendor.example/edge/agent:0.9", "--bundle", first, *trusting)
    month.run("import", second, "--to", store, *trusting)
    month.run("watch", work / "merged", "--to", f"oci:{work}/other", *trusting, "--once", "--settle", 0)
    for more in ((), ("--generations",), ("--custody",)):
        month.run("history", *more, *state)
    month.run("receipt", store, "-o", work / "site.receipt", "--site", "plant-7", "--key", work / "keys/airgap.key", *state)
    month.run("rollback", store, "--stream", "prod", "--to", 1, *state)
    month.run("prune", store, "--keep", 1, "--plan", work / "prune.json", *state)
    month.run("prune", store, "--apply", work / "prune.json", *state)

    target = f"docker://{module_registry.address}/month"
    month.run("import", first, "--to", target, *trusting, "--allow-older")
    signed = ("kyverno", "--site-key", work / "keys/airgap.pub")
    for form in (("registries.conf",), ("policy", "--source", "vendor.example"), signed):
        month.run("mirror-config", "--to", target, "--out", work / form[0], *trusting, "--format", *form)
    authfile = ("--authfile", work / "auth.json")
    done = command("login", module_registry.address, "-u", "robot", "--password-stdin", *authfile, given="secret\n")
    month.seen |= set(checked_output(done))
    month.run("logout", "--all", *authfile)
    several(month)
    configured(month)
    instance = TufRepository().write(work / "tuf")
    month.run("trust", "pin", instance / "1.root.json", *state)
    month.run("trust", "update", instance, *state)
    month.run("trust", "show", *state)
    month.seen |= set(served(work, state))

    assert set(RESULTS) - month.seen == {"toolkit"}, "test_toolkit makes one, for it needs packages"


def several(month: Month) -> None:
    """Every command that goes through several bundles."""
    work, out = month.work, month.work / "out"
    trusting = ("--policy", work / "policy.json", "--state", work / "state-of-several")
    (work / "pages").mkdir()
    month.run("inspect", out)
    month.run("verify", out, *trusting)
    month.run("report", out, "-o", work / "pages", *month.state)
    month.run("media", "log", out, "--who", "A. Lund")
    month.run("media", "log", out, "--show")
    month.run("import", out, "--to", f"oci:{work}/several", *trusting, "--dry-run")
    done = month.run("import", out, "--to", f"oci:{work}/several", *trusting)
    assert [(one["bundle"], one["outcome"]) for one in done["bundles"]] == [("prod-0001", "imported"), ("prod-0002", "imported")]
    next(out.glob("*/volume-0001.tar")).unlink()
    month.run("verify", out, *trusting, code=4)


def configured(month: Month) -> None:
    """The commands about the configuration."""
    file = month.work / "airgap.toml"
    month.run(
        "init", "--stream", "prod", "--list", "images.txt", "--key", "a.key", "--bundles", "out", "--to", "oci:store", "-o", file
    )
    month.run("config", "check", "--config", file)
    month.run("config", "show", "--config", file)


def test_every_document_in_a_file_is_as_its_schema_says(month: Month) -> None:
    work, state = month.work, month.state
    trusting = ("--policy", work / "policy.json", *state)
    key = ("--key", work / "keys/airgap.key")
    month.run("keys", "generate", "--no-passphrase", "--type", "x25519", "--out", work / "site-keys")
    making = ("--stream", "prod", *key, "--created", CREATED, "--volume-size", "20kB", "--parity", 1, *state)
    month.run("resolve", work / "images-2.txt", "--lock", work / "images.lock", *state)
    bundle = Path(month.run("export", work / "images-2.txt", "--out", work / "out", *making)["path"])
    month.run("export", work / "images-1.txt", "--out", work / "sealed", "--encrypt-to", work / "site-keys/airgap.pub", *making)
    unfinished = ("--out", work / "begun", "--stream", "other", *key, *state, "--gate", "false")
    month.run("export", work / "images-1.txt", *unfinished, code=3)
    disks = [work / "a", work / "b"]
    for disk in disks:
        disk.mkdir()
    month.run("media", "copy", bundle, *disks)
    month.run("media", "check", *disks, "--result", work / "check.json", *key)
    month.run("media", "log", *disks, "--who", "A. Lund", "--result", work / "check.json", *key)
    (work / "drop").mkdir()
    shutil.copytree(bundle, work / "drop" / bundle.name)
    month.run("watch", work / "drop", "--to", f"oci:{work}/store", *trusting, "--once", "--settle", 0)
    month.run("receipt", f"oci:{work}/store", "-o", work / "site.receipt", "--site", "plant-7", *state)
    month.run("prune", f"oci:{work}/store", "--keep", 1, "--plan", work / "prune.json", *state)
    for path in sorted(disks[0].rglob("*-0001.*"))[:3] + sorted(disks[1].rglob("*-000?.tar")):
        path.unlink()
    asked = month.run("media", "repair", *disks, "--out", work / "repaired", code=4)["request"]
    month.run("export", "--resend", asked, bundle, "--out", work / "answer", *state)

    found = {name for path in sorted(work.rglob("*")) if path.is_file() for name in documents_in(path)}
    assert found == set(DOCUMENTS)


def documents_in(path: Path) -> Iterator[str]:
    """The schemas of the documents in a file, which they satisfy; of a journal only the first line is one."""
    if path.suffix not in (".json", ".jsonl", ".lock", ".receipt"):
        return
    text = path.read_text(encoding="utf-8")
    try:
        found = [json.loads(text)]
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if '"airgap.' in line]
    for document in found:
        # inside, documents have their keys in an order of their own
        if isinstance(document, dict) and str(document.get("schema", "")).startswith("airgap."):
            yield checked({"schema": document["schema"], **document})


def command(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    words = [sys.executable, "-m", "airgap", *map(str, arguments), "--json"]
    return subprocess.run(words, input=given, capture_output=True, text=True, check=False)


def served(work: Path, state: tuple[object, ...]) -> list[str]:
    """What ``serve`` prints from beginning to end."""
    words = [sys.executable, "-m", "airgap", "serve", f"{work}/store", "--listen", "127.0.0.1:0", *map(str, state), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        begin = json.loads(process.stdout.readline())
        assert (begin["event"], begin["url"].endswith("/v2/"), begin["verified"]) == ("serving", True, True)
        assert [one["bundle"] for one in begin["bundles"]] == ["prod-0002"]
        process.send_signal(signal.SIGTERM)
        rest = [json.loads(line) for line in process.stdout]
    assert [one["event"] for one in rest] == ["stopping", "stopped"]
    return [checked(one) for one in (begin, *rest)]
