"""``--attach``: the operator's files travel as referrers and are found at the destination, with plain HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.oci.image import digest_tag
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.gated import Yard, attachments
from tests.support.served import ask
from tests.support.site import CREATED
from tests.support.tools import require
from tests.support.walk import ACCEPT

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

USAGE = 2
SPDX = "application/spdx+json"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        yield Yard.make(tmp_path, registry)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "target") as registry:
        yield registry


def file(yard: Yard, name: str, content: bytes) -> Path:
    path = yard.work / name
    path.write_bytes(content)
    return path


def referrers(registry: DockerRegistry, path: str, subject: str) -> list[dict[str, Any]]:
    """From the fallback tag, which is what this registry has."""
    tag = subject.replace(":", "-")
    found: list[dict[str, Any]] = ask(registry.address, f"/v2/{path}/manifests/{tag}", Accept=ACCEPT).json["manifests"]
    return found


def test_an_sbom_and_a_scan_result_arrive_as_referrers(yard: Yard, target: DockerRegistry) -> None:
    sbom, sarif = file(yard, "web.spdx.json", b'{"spdxVersion":"SPDX-2.3"}'), file(yard, "scan.sarif", b'{"version":"2.1.0"}')
    yard.export("--attach", f"{yard.web_name}::sbom-spdx={sbom}", "--attach", f"{yard.web_name}::sarif={sarif}")
    path = f"{yard.arrives(target)}/shop/web"
    found = {entry["artifactType"]: entry for entry in referrers(target, path, yard.web.digest)}
    assert set(found) == {SPDX, "application/sarif+json"}
    manifest = ask(target.address, f"/v2/{path}/manifests/{found[SPDX]['digest']}", Accept=ACCEPT).json
    assert manifest["artifactType"] == SPDX
    assert manifest["subject"]["digest"] == yard.web.digest
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    (layer,) = manifest["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "web.spdx.json"}
    assert ask(target.address, f"/v2/{path}/blobs/{layer['digest']}").body == sbom.read_bytes()
    assert ask(target.address, f"/v2/{path}/blobs/{manifest['config']['digest']}").body == b"{}"


def test_only_the_image_that_is_named_gets_it(yard: Yard) -> None:
    sbom = file(yard, "sbom.json", b"{}")
    yard.export("--attach", f"{yard.tool_name}::sbom-cyclonedx={sbom}")
    found = attachments(yard.bundle)
    assert found[yard.web_name] == []
    assert [entry["artifactType"] for entry in found[yard.tool_name]] == ["application/vnd.cyclonedx+json"]


def test_it_joins_the_referrers_that_the_image_has(yard: Yard, target: DockerRegistry) -> None:
    theirs = images.artifact(yard.web, "application/vnd.example.theirs", b"theirs")
    yard.publish("shop/web", theirs)
    listed = images.fallback_index([theirs])
    yard.publish(f"shop/web:{digest_tag(yard.web.digest)}", listed)
    yard.export("--attach", f"{yard.web_name}::vuln={file(yard, 'report.json', b'{}')}")
    path = f"{yard.arrives(target)}/shop/web"
    types = [entry["artifactType"] for entry in referrers(target, path, yard.web.digest)]
    assert sorted(types) == ["application/vnd.airgap.vulnerabilities.v1+json", "application/vnd.example.theirs"]


def test_the_same_files_give_the_same_bundle(yard: Yard) -> None:
    sbom = file(yard, "sbom.json", b'{"a":1}')
    attach = ("--attach", f"{yard.web_name}::application/vnd.example.note+json={sbom}")
    yard.export(*attach)
    other = yard.command(*attach)
    other[other.index("--out") + 1] = yard.work / "other"
    yard.site.run(*other, state="other")
    for name in ("catalog.json", "volume-0001.tar"):
        assert (yard.work / "other/prod-0001" / name).read_bytes() == (yard.bundle / name).read_bytes()


def test_the_time_is_in_the_manifest_only_when_it_was_given(yard: Yard) -> None:
    sbom = file(yard, "sbom.json", b'{"a":1}')
    yard.list(yard.tool_name)
    yard.export("--attach", f"sbom-spdx={sbom}")
    timeless = yard.command("--attach", f"sbom-spdx={sbom}", serial=2)
    at = timeless.index("--created")
    del timeless[at : at + 2]
    yard.site.run(*timeless)
    stamps = []
    for number in (1, 2):
        bundle = yard.out / f"prod-{number:04d}"
        (entry,) = attachments(bundle)[yard.tool_name]
        stamps.append(f'"{CREATED}"' in manifest_text(bundle, entry["digest"]))
    assert stamps == [True, False]


def manifest_text(bundle: Path, digest: str) -> str:
    """A manifest out of a bundle of one volume, by the catalog."""
    catalog = json.loads((bundle / "catalog.json").read_bytes())
    ((_, offset, length),) = catalog["blobs"][digest]["extents"]
    raw = (bundle / "volume-0001.tar").read_bytes()[offset : offset + length]
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest
    return raw.decode()


def test_an_unfinished_export_goes_on_without_the_file(yard: Yard) -> None:
    sbom = file(yard, "sbom.json", b'{"a":1}')
    attach = ("--attach", f"{yard.tool_name}::sbom-spdx={sbom}")
    yard.refused(3, options=("--gate", "false", *attach))
    sbom.write_bytes(b'{"a":2}')
    yard.refused(USAGE, "--restart", options=attach)
    sbom.write_bytes(b'{"a":1}')
    yard.registry.stop()
    yard.export(*attach)


def test_a_lock_takes_attachments_too(yard: Yard) -> None:
    lock = yard.work / "images.lock"
    yard.site.run("resolve", yard.work / "images.txt", "--lock", lock)
    command = yard.command("--attach", f"{yard.tool_name}::sbom-spdx={file(yard, 'sbom.json', b'{}')}")
    command[1] = lock
    yard.site.run(*command)
    assert len(attachments(yard.bundle)[yard.tool_name]) == 1


def test_gates_see_what_is_attached(yard: Yard) -> None:
    yard.list(yard.tool_name)
    ask_for = "import sys,urllib.request as u; r=sys.argv[1]; h,_,p=r.partition('/'); n,_,d=p.partition('@'); "
    ask_for += "t=u.urlopen(f'http://{h}/v2/{n}/referrers/{d}').read(); sys.exit(b'spdx' not in t)"
    gate = yard.work / "gate.py"
    gate.write_text(ask_for)
    yard.export("--attach", f"sbom-spdx={file(yard, 'sbom.json', b'{}')}", "--gate", f"python3 {gate} {{registry}}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sbom-spdx", "KIND=FILE"),
        ("sbom-spdx=", "KIND=FILE"),
        ("=FILE", "KIND=FILE"),
        ("::sbom-spdx=FILE", "KIND=FILE"),
        ("sbom=FILE", "sbom-spdx"),
        ("application/vnd.oci.image.manifest.v1+json=FILE", "unknown kind of attachment"),
        ("NAME/UPPER::sbom-spdx=FILE", "reference"),
        ("sbom-spdx=missing.json", "missing.json"),
        ("sbom-spdx=FILE", "IMAGE::KIND=FILE"),
        ("docker.io/library/other:1::sbom-spdx=FILE", "docker.io/library/other:1"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(yard: Yard, text: str, says: str) -> None:
    path = file(yard, "file.json", b"{}")
    yard.refused(USAGE, says, options=("--attach", text.replace("FILE", str(path))))
    assert not yard.out.exists()


def test_empty_and_huge_files_are_refused(yard: Yard) -> None:
    empty, huge = file(yard, "empty.json", b""), yard.work / "huge.json"
    with huge.open("wb") as sparse:
        sparse.truncate(32 * 1024 * 1024 + 1)
    for path, says in ((empty, "empty"), (huge, "too large")):
        yard.refused(USAGE, says, options=("--attach", f"{yard.tool_name}::sbom-spdx={path}"))
