"""Three months in three roles, as somebody would type them: the script beside this is the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require

SCRIPT = Path(__file__).with_name("three_months.sh")
EXPORTER = """\
[stream.prod-site]
lists = "images.txt"
key = "keys/airgap.key"
out = "out"
volume-size = "256KiB"
parity = 3
expires = "90d"
since = "site.receipt"
since-key = "../site/keys/airgap.pub"
state = "state"
"""
SITE = """\
[site]
to = "docker://{registry}/mirror"
policy = "policy.json"
map = "strip-host"
repair = true
state = "state"

[site.receipt]
key = "keys/airgap.key"
out = "../exporter/site.receipt"
"""


def equip(root: Path, registry: str) -> None:
    """What is done once: keys, a policy and ``airgap.toml`` on either side; and the images that the exporter will ask for."""
    for name, text in (("exporter", EXPORTER), ("site", SITE.format(registry=registry))):
        (root / name).mkdir()
        (root / name / "airgap.toml").write_text(text)
        assert here("keys", "generate", "--no-passphrase", "--out", root / name / "keys").returncode == 0
    (root / "disks/a").mkdir(parents=True)
    (root / "disks/b").mkdir()
    trusted = root / "exporter/keys/airgap.pub"
    assert here("policy", "init", "--public-key", trusted, "-o", root / "site/policy.json").returncode == 0
    for month in (1, 2, 3):
        with LayoutStore(root / f"upstream/{month}") as layout:
            images.publish(layout, "docker.io/shop/web:stable", stable(month))
            for number in range(1, month + 1):
                images.publish(layout, f"docker.io/shop/tool:{number}", images.image([images.layer(f"tool {number}")]))
            layout.commit()
    (root / "exporter/images.txt").write_text("oci:store:docker.io/shop/web:stable\n")


def stable(month: int) -> images.Built:
    """What upstream's moving tag stands for in a month."""
    return images.image([images.layer("base", 300_000), images.layer(f"month {month}", 500_000)])


@pytest.mark.slow("three months of exports, disks and imports with a real registry")
def test_three_months_are_two_commands_a_month_and_a_lost_disk_costs_nothing(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        equip(tmp_path, registry.address)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRGAP_")},
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(["bash", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert done.stderr.count("repairing in") == 2, done.stderr  # the scratched disk and the lost one
        kept = {month: _is_there(registry, stable(month).digest) for month in (1, 2, 3)}
        assert kept == {1: False, 2: True, 3: True}  # month 1 was pruned
        assert _is_there(registry, "stable", stable(3).digest)


def _is_there(registry: DockerRegistry, selector: str, digest: str = "") -> bool:
    """Whether the site's registry has a manifest, and if a digest is given, this one."""
    asked = Request(f"http://{registry.address}/v2/mirror/shop/web/manifests/{selector}", headers={"Accept": media.OCI_MANIFEST})
    try:
        with urlopen(asked) as got:
            return digest in ("", got.headers["Docker-Content-Digest"])
    except HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return False


def test_the_script_fits_on_a_screen() -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 40
