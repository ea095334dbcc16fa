"""``--trusted-root``: which file counts, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airgap.limits import MAX_TRUSTED_ROOT
from tests.support import trustedroots
from tests.support.cli import REFUSED, USAGE, failed, here

POLICY = {"default": [{"type": "reject"}], "transports": {"airgap": {"": [{"type": "insecureAcceptAnything"}]}}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a policy and a trusted root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIRGAP_CONFIG", raising=False)
    monkeypatch.setenv("AIRGAP_STATE", str(tmp_path / "state"))
    Path("policy.json").write_text(json.dumps(POLICY))
    Path("root.json").write_bytes(trustedroots.plain())
    return tmp_path


def explained(*options: object) -> Any:
    done = here("policy", "explain", "quay.io/a", "--policy", "policy.json", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["trusted_root"]


def test_the_trusted_root_is_that_of_the_command_line_else_the_environment_else_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explained() is None
    Path("airgap.toml").write_text('[site]\ntrusted-root = "root.json"\n')
    assert explained() == "root.json"
    Path("second.json").write_bytes(trustedroots.plain())
    monkeypatch.setenv("AIRGAP_TRUSTED_ROOT", "second.json")
    assert explained() == "second.json"
    assert explained("--trusted-root", "root.json") == "root.json"


def test_explain_says_whether_keyless_signatures_can_count() -> None:
    done = here("policy", "explain", "quay.io/a", "--policy", "policy.json")
    assert "root   none: no keyless signature is believed\n" in done.stdout
    done = here("policy", "explain", "quay.io/a", "--policy", "policy.json", "--trusted-root", "root.json")
    assert "root   root.json\n" in done.stdout


COMMANDS = {
    "import": ("import", "bundle", "--to", "oci:store", "--policy", "policy.json"),
    "verify": ("verify", "bundle", "--policy", "policy.json"),
    "watch": ("watch", "bundle", "--to", "oci:store", "--policy", "policy.json", "--once"),
    "serve": ("serve", "bundle", "--policy", "policy.json"),
    "export": ("export", "list.txt", "--out", "out", "--stream", "s", "--key", "k", "--verify-images", "policy.json"),
    "explain": ("policy", "explain", "quay.io/a", "--policy", "policy.json"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_judges_images_reads_the_trusted_root(command: str) -> None:
    Path("bundle").mkdir()
    Path("list.txt").write_text("quay.io/a@sha256:" + "0" * 64 + "\n")
    failed(here(*COMMANDS[command], "--trusted-root", "none.json"), USAGE, "cannot read the trusted root", "none.json", hint=False)


def changed(**fields: Any) -> bytes:
    document = json.loads(trustedroots.plain())
    document["tlogs"][0] |= fields
    return json.dumps(document).encode()


MISTAKES = {
    "no-json": (b"{", "not a trusted root"),
    "another-type": (b'{"mediaType": "application/json"}', "unsupported version or type"),
    "no-type": (b"{}", "mediaType"),
    "no-key": (changed(publicKey={}), "tlogs[0].publicKey"),
    "no-log-id": (changed(logId=None), "tlogs[0].logId"),
    "bad-base64": (changed(logId={"keyId": "?"}), "tlogs[0].logId.keyId"),
    "too-large": (trustedroots.plain() + b" " * MAX_TRUSTED_ROOT, "too large"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_trusted_root_is_an_input_mistake_that_names_the_field(mistake: str) -> None:
    content, says = MISTAKES[mistake]
    Path("root.json").write_bytes(content)
    command = ("policy", "explain", "quay.io/a", "--policy", "policy.json", "--trusted-root", "root.json")
    failed(here(*command), USAGE, says, "root.json", hint=False)


@pytest.mark.parametrize("where", ["beside the catalog", "below it", "through a link"])
def test_a_trusted_root_that_lies_with_a_bundle_is_refused(where: str) -> None:
    below = Path("prod-0001/more") if where == "below it" else Path("prod-0001")
    below.mkdir(parents=True)
    Path("prod-0001/catalog.json").write_text("{}")
    path = below / "trusted_root.json"
    path.write_bytes(trustedroots.plain())
    if where == "through a link":
        Path("link.json").symlink_to(path)
        path = Path("link.json")
    facts = failed(here(*COMMANDS["explain"], "--trusted-root", path, "--json"), REFUSED, "lies with a bundle")
    assert facts["got"].endswith("prod-0001")


def test_a_trusted_root_without_a_policy_to_judge_by_is_a_mistake_of_an_export() -> None:
    Path("list.txt").write_text("quay.io/a@sha256:" + "0" * 64 + "\n")
    command = ("export", "list.txt", "--out", "out", "--stream", "s", "--key", "k", "--trusted-root", "root.json")
    failed(here(*command), USAGE, "--trusted-root needs a policy", hint=False)
