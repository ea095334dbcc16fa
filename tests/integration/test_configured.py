"""Two months from an ``airgap.toml`` on either side, against a real registry: no options but what the month is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require

EXPORTER = """\
[stream.prod-site]
lists = "images.txt"
key = "keys/airgap.key"
out = "usb"
parity = 1
expires = "90d"
state = "state"
since = []
"""
SITE = """\
[site]
to = "docker://{target}/mirror"
policy = "policy.json"
map = "strip-host"
state = "state"

[site.receipt]
key = "keys/airgap.key"
out = "site.receipt"

[site.mirror-config]
out = "hosts"
format = "registries.conf"
"""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "target") as registry:
        yield registry


def run(*arguments: object) -> str:
    done = here(*arguments)
    assert done.returncode == 0, f"{arguments}\n{done.stderr}"
    return f"{done.stdout}\n{done.stderr}"


@pytest.mark.smoke("init", "config show", "config check")
def test_two_months_need_two_commands_each_and_the_rest_is_configured(
    tmp_path: Path, target: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "")
    monkeypatch.delenv("AIRGAP_CONFIG")
    exporter, site = tmp_path / "exporter", tmp_path / "site"
    for desk, text in ((exporter, EXPORTER), (site, SITE.format(target=target.address))):
        desk.mkdir()
        (desk / "airgap.toml").write_text(text)
        run("keys", "generate", "--no-passphrase", "--out", desk / "keys")
        monkeypatch.chdir(desk)
        assert "good" in run("config", "check")
        assert f"{desk.name}/new.toml" in run("init", "--stream", "edge", "--list", "a.txt", "--out", desk / "new.toml")
    assert f"docker://{target.address}/mirror" in run("config", "show")
    run("policy", "init", "--key", exporter / "keys/airgap.pub", "-o", site / "policy.json")

    monkeypatch.chdir(exporter)
    for month in (1, 2):
        name = f"docker.io/shop/web:{month}"
        with LayoutStore(exporter / "store") as layout:
            images.publish(layout, name, images.multi_arch(f"web {month}"))
            layout.commit()
        (exporter / "images.txt").write_text(f"oci:{exporter}/store:{Reference.parse(name)}\n")
        monkeypatch.chdir(exporter)
        made = json.loads(here("export", "prod-site", "--json").stdout)
        assert (made["serial"], made["parity_count"]) == (month, 1)
        monkeypatch.chdir(site)
        run("import", exporter / made["path"])
    assert (exporter / "usb/prod-site-0002").is_dir()

    assert "in force" in run("history", "--generations")
    assert "signed by" in run("receipt")
    assert (site / "site.receipt").is_file()
    run("mirror-config")
    assert list((site / "hosts").iterdir())
    assert "prod-site-0001" in run("rollback", "--stream", "prod-site", "--serial", "1")
    run("rollback", "--stream", "prod-site", "--serial", "2")
    run("prune", "--keep", "1", "--plan", "prune.json")
    assert "removed" in run("prune", "--apply", "prune.json")
    # another target, with a memory of its own; the rest is the section's
    monkeypatch.setenv("AIRGAP_TO", f"docker://{target.address}/watched")
    monkeypatch.setenv("AIRGAP_STATE", "state-of-watch")
    events = [json.loads(line) for line in here("watch", exporter / "usb", "--once", "--json").stdout.splitlines()]
    assert [event["bundle"] for event in events if event["event"] == "imported"] == ["prod-site-0001", "prod-site-0002"]


def test_export_unlike_the_last_one_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "")
    monkeypatch.delenv("AIRGAP_CONFIG")
    monkeypatch.chdir(tmp_path)
    Path("airgap.toml").write_text(EXPORTER)
    run("keys", "generate", "--no-passphrase", "--out", "keys")
    run("keys", "generate", "--no-passphrase", "--out", "other")
    run("keys", "generate", "--no-passphrase", "--out", "recipient", "--type", "x25519")
    with LayoutStore(tmp_path / "store") as layout:
        images.publish(layout, "docker.io/shop/web:1", images.multi_arch("web"))
        layout.commit()
    Path("images.txt").write_text("oci:store:docker.io/shop/web:1\n")
    assert "unlike" not in run("export", "prod-site")
    assert "unlike" not in run("export", "prod-site", "--serial", "2")
    changed = ["--parity", "0", "--volume-size", "1MiB", "--expires", "30d", "--key", "other/airgap.key"]
    said = run("export", "prod-site", "--serial", "3", *changed, "--encrypt-to", "recipient/airgap.pub")
    line = next(line for line in said.splitlines() if line.startswith("airgap: unlike"))
    assert line.startswith("airgap: unlike prod-site-0002: parity 0 instead of 1; ")
    assert "volume size 1048576 bytes instead of without a limit" in line
    assert "expiry after 30 days instead of after 90 days; encrypted to " in line
    assert " instead of nobody; signed by " in line
    assert "expiry never instead of after 30 days" in run("export", "images.txt", "--serial", "4", "--config", "", *(
        "--stream", "prod-site", "--out", "usb", "--state", "state", "--key", "keys/airgap.key"
    ))  # fmt: skip
    quiet = here("export", "prod-site", "--serial", "5", "-q")
    assert any(one.startswith("note         unlike prod-site-0004: ") for one in quiet.stdout.splitlines()), quiet.stdout
    facts = json.loads(here("export", "prod-site", "--serial", "6", "--parity", "0", "--json").stdout)
    assert facts["remarks"][0].startswith("unlike prod-site-0005: parity 0 instead of 1")
