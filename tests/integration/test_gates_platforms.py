"""``--gate`` once for each platform, and the real syft, which reads no index from a directory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.oci.descriptor import Platform
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.gated import Yard
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

REFUSED = 3


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        yield Yard.make(tmp_path, registry)


@pytest.fixture
def syft(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # where pip puts it
    return require("syft")


def package(name: str) -> images.Content:
    """A layer with one package that a scanner finds."""
    status = f"Package: {name}\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: all\nDescription: x\n\n"
    return images.tar_layer({"etc/os-release": b"ID=debian\nVERSION_ID=12\n", "var/lib/dpkg/status": status.encode()})


def attestation() -> images.Built:
    built = images.image([images.layer("attestation")])
    return replace(built, descriptor=replace(built.descriptor, platform=Platform("unknown", "unknown")))


def test_syft_lists_the_packages_of_every_platform_of_an_index(yard: Yard, syft: str) -> None:
    built = {one: images.image([package(f"for-{one.replace('/', '-')}")], platform=one) for one in ("linux/amd64", "linux/arm64")}
    yard.publish("shop/web:1", images.index([*built.values(), attestation()]))
    sboms = yard.work / "sboms"
    sboms.mkdir()
    gate = (
        f"env SYFT_CHECK_FOR_APP_UPDATE=false {syft} scan -q oci-dir:{{platform-layout}}"
        f" -o syft-json={sboms}/{{platform-digest}}.json"
    )
    facts = yard.export("--gate", gate, "--scratch", yard.work / "scratch")
    assert [(one["image"], one["platform"]) for one in facts["gates"] if one["image"] == yard.web_name] == [
        (yard.web_name, "linux/amd64"), (yard.web_name, "linux/arm64"),
    ]  # fmt: skip
    for platform, image in built.items():
        found = json.loads((sboms / f"{image.digest}.json").read_text())
        assert [one["name"] for one in found["artifacts"]] == [f"for-{platform.replace('/', '-')}"]
        assert found["source"]["metadata"]["manifestDigest"] == image.digest
    assert (sboms / f"{yard.tool.digest}.json").exists()
    assert len(list(sboms.iterdir())) == 3
    assert list((yard.work / "scratch").iterdir()) == []


def test_syft_reads_an_index_from_the_registry_and_takes_one_platform(yard: Yard, syft: str) -> None:
    yard.publish(
        "shop/web:1", images.index([images.image([package(f"for-{one}")], platform=f"linux/{one}") for one in ("amd64", "arm64")])
    )
    out = yard.work / "sboms"
    gate = (
        f"env SYFT_CHECK_FOR_APP_UPDATE=false SYFT_REGISTRY_INSECURE_USE_HTTP=true {syft} scan -q --platform {{platform}}"
        f" registry:{{registry}} -o syft-json={out}/{{platform-digest}}.json"
    )
    out.mkdir()
    yard.list(yard.web_name)
    yard.export("--gate", gate)
    found = [json.loads(path.read_text())["artifacts"][0]["name"] for path in out.iterdir()]
    assert sorted(found) == ["for-amd64", "for-arm64"]


def test_the_layout_of_a_platform_holds_its_manifest_and_nothing_else(yard: Yard) -> None:
    script = yard.script(
        "gate.sh",
        """
        test "$2" = "$AIRGAP_PLATFORM" && test "$3" = "$AIRGAP_PLATFORM_DIGEST" && test "$1" = "$AIRGAP_PLATFORM_LAYOUT"
        test "sha256:$(skopeo inspect --raw "oci:$1" | sha256sum | cut -d' ' -f1)" = "$3"
        ls "$1"/blobs/sha256 | wc -l >> "$4"
        echo "$2 $3" >> "$4"
        """,
    )
    require("skopeo")
    seen = yard.work / "seen"
    yard.list(yard.web_name)
    facts = yard.export("--gate", f"sh {script} {{platform-layout}} {{platform}} {{platform-digest}} {seen}")
    expected = {str(child.descriptor.platform): str(child.digest) for child in yard.web.children}
    told = seen.read_text().splitlines()
    assert told[::2] == ["4"] * len(expected), "manifest, config, two layers"
    assert dict(line.split() for line in told[1::2]) == expected
    assert [(one["platform"], one["digest"]) for one in facts["gates"]] == [(one, yard.web.digest) for one in expected]


def test_a_platform_that_does_not_pass_is_named_and_both_directories_can_be_had(yard: Yard) -> None:
    yard.list(yard.web_name)
    script = yard.script("gate.sh", 'test -d "$1/blobs" && test -d "$2/blobs" && test "$1" != "$2" && test "$3" != linux/arm64')
    command = f"sh {script} {{layout}} {{platform-layout}} {{platform}}"
    yard.refused(REFUSED, f"{yard.web_name} linux/arm64", "a gate refuses an image", options=("--gate", command))


def test_what_has_no_platform_runs_whole_and_an_attestation_is_none(yard: Yard) -> None:
    only = images.index([attestation()])
    yard.publish("shop/proof:1", only)
    yard.publish("shop/chart:1", images.artifact(None, "application/vnd.cncf.helm.config.v1+json", b"chart"))
    seen = yard.work / "seen"
    names = [f"{yard.registry.address}/shop/{name}:1" for name in ("proof", "chart")]
    yard.list(*names)
    facts = yard.export("--gate", f"sh {yard.script('gate.sh', 'echo $AIRGAP_IMAGE >> $1')} {seen} {{platform-layout}}")
    assert sorted(seen.read_text().splitlines()) == sorted(names), "each once, none is passed over"
    assert {one["platform"] for one in facts["gates"]} == {""}


def test_a_platform_that_could_do_something_in_a_shell_reaches_no_command(yard: Yard) -> None:
    built = images.image([images.layer("x")])
    evil = replace(built, descriptor=replace(built.descriptor, platform=Platform("linux", "$(touch owned)")))
    yard.publish("shop/web:1", images.index([evil]))
    yard.list(yard.web_name)
    options = ("--gate", f"sh -c 'echo {{platform}} >> {yard.work}/seen'")
    yard.refused(REFUSED, "an image states a platform that is none", options=options)
    assert not (yard.work / "seen").exists()
