"""``--gate`` with the real registry, the real command line and real readers: what is not passed is not sealed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images
from tests.support.cli import failed, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gated import Yard
from tests.support.site import CREATED
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

REFUSED, USAGE = 3, 2


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        yield Yard.make(tmp_path, registry)


def lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def test_skopeo_reads_every_image_from_the_layout_and_from_the_registry(yard: Yard) -> None:
    require("skopeo")
    script = yard.script(
        "gate.sh",
        """
        layout=$1 registry=$2 digest=$3 seen=$4
        raw=$(skopeo inspect --raw "oci:$layout" | sha256sum | cut -d' ' -f1)
        test "sha256:$raw" = "$digest"
        raw=$(skopeo inspect --raw --tls-verify=false "docker://$registry" | sha256sum | cut -d' ' -f1)
        test "sha256:$raw" = "$digest"
        skopeo copy -q --insecure-policy --all "oci:$layout" "dir:$seen-$AIRGAP_DIGEST-layout"
        skopeo copy -q --insecure-policy --all --src-tls-verify=false "docker://$registry" "dir:$seen-$AIRGAP_DIGEST-registry"
        test "$AIRGAP_LAYOUT" = "$layout"
        test "$AIRGAP_REGISTRY_REFERENCE" = "$registry"
        echo "$AIRGAP_IMAGE" >> "$seen"
        """,
    )
    seen = yard.work / "seen"
    facts = yard.export("--gate", f"sh {script} {{layout}} {{registry}} {{digest}} {seen}", "--scratch", yard.work / "scratch")
    assert lines(seen) == sorted([yard.web_name, yard.tool_name])
    assert {(found["image"], found["digest"], found["passed"], found["status"]) for found in facts["gates"]} == {
        (yard.web_name, str(yard.web.digest), True, 0),
        (yard.tool_name, str(yard.tool.digest), True, 0),
    }
    assert list((yard.work / "scratch").iterdir()) == []
    layers = [content.descriptor.digest.hex for part in yard.web.everything() for content in part.blobs]
    for kind in ("layout", "registry"):
        copied = {path.name for path in yard.work.glob(f"seen-{yard.web.digest}-{kind}/*")}
        assert set(layers) <= copied


def test_a_gate_that_refuses_one_image_stops_before_sealing_and_the_same_command_goes_on(yard: Yard) -> None:
    script = yard.script("gate.sh", 'case $1 in *tool*) echo "CVE-2026-0001 in tool" >&2; exit 7;; esac')
    gate = f"sh {script} {{image}}"
    done = yard.refused(
        REFUSED, yard.tool_name, "exit status 7", str(script), "CVE-2026-0001", "--restart", options=("--gate", gate)
    )
    assert yard.web_name not in done.stderr
    yard.registry.stop()  # nothing is fetched a second time
    script.write_text("exit 0\n")
    assert [found["passed"] for found in yard.export("--gate", gate)["gates"]] == [True, True]


def test_after_a_refusal_a_shorter_list_needs_restart(yard: Yard) -> None:
    gate = ("--gate", f"sh {yard.script('gate.sh', 'case $1 in *tool*) exit 1;; esac')} {{image}}")
    yard.refused(REFUSED, yard.tool_name, options=gate)
    yard.list(yard.web_name)
    yard.refused(USAGE, "--restart", options=gate)
    assert yard.export(*gate, "--restart")["image_count"] == 1


def test_all_images_that_do_not_pass_are_named(yard: Yard) -> None:
    options = ("--gate", "sh -c 'echo bad; exit 1'", "--gate", "true")
    yard.refused(REFUSED, "gates refuse 2 images", yard.web_name, yard.tool_name, "bad", options=options)


def test_a_gate_that_hangs_is_ended_with_everything_that_it_started(yard: Yard) -> None:
    yard.list(yard.tool_name)
    pid = yard.work / "pid"
    gate = f"sh -c 'sleep 600 & echo $! > {pid}; wait'"
    yard.refused(REFUSED, "not finished after 1 seconds", "--gate-timeout", options=("--gate", gate, "--gate-timeout", "1"))
    status = Path(f"/proc/{pid.read_text().strip()}/stat")
    assert not status.exists() or ") Z " in status.read_text()


def test_what_a_gate_leaves_running_does_not_keep_the_export_waiting(yard: Yard) -> None:
    yard.list(yard.tool_name)
    yard.export("--gate", "sh -c 'sleep 600 & exit 0'")


def test_an_interrupt_ends_the_gate_and_leaves_a_bundle_that_can_go_on(yard: Yard) -> None:
    yard.list(yard.tool_name)
    pid = yard.work / "pid"
    gate = f"sh -c 'echo $$ > {pid}; exec sleep 600'"
    command = [sys.executable, "-m", "airgap", *map(str, yard.command("--gate", gate))]
    environment = {"PATH": os.environ["PATH"], "HOME": str(yard.work), "AIRGAP_STATE": str(yard.work / "machine/state")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        while not (pid.exists() and pid.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    status = Path(f"/proc/{pid.read_text().strip()}/stat")
    assert not status.exists() or ") Z " in status.read_text()
    yard.export("--gate", "true")


@pytest.mark.parametrize("gate", ["no-such-scanner {layout}", "/no/such/scanner", "", "sh 'unbalanced"])
def test_a_gate_that_cannot_be_run_is_a_mistake_before_anything_moves(yard: Yard, gate: str) -> None:
    yard.refused(USAGE, "--gate", options=("--gate", gate))
    assert not yard.out.exists()


def test_of_megabytes_of_output_the_last_lines_are_shown_harmless(yard: Yard) -> None:
    script = yard.script("gate.sh", r"yes filler | head -c 5000000; printf 'last \033[31mwords\n'; exit 1")
    yard.list(yard.tool_name)
    done = yard.refused(REFUSED, r"last \x1b[31mwords", options=("--gate", f"sh {script}"))
    assert len(done.stderr) < 4000
    spoken = yard.site.run(*yard.command("--gate", f"sh {script}", "--verbose"), check=False)
    assert 100 < spoken.stderr.count("filler") < 20_000


def test_a_gate_cannot_spoil_what_the_next_gate_and_the_bundle_see(yard: Yard) -> None:
    require("skopeo")
    spoil = yard.script(
        "spoil.sh",
        """
        rm -rf "$1/blobs"; echo '{}' > "$1/index.json"
        if skopeo delete --tls-verify=false "docker://$2"; then exit 9; fi
        """,
    )
    look = yard.script("look.sh", 'skopeo copy -q --insecure-policy --all "oci:$1" "dir:$2-$AIRGAP_DIGEST"')
    gates = ("--gate", f"sh {spoil} {{layout}} {{registry}}", "--gate", f"sh {look} {{layout}} {yard.work}/copy")
    yard.export(*gates)
    yard.site.run("verify", yard.bundle, "--policy", yard.site.policy)
    plain = yard.work / "plain"
    again = yard.command()
    again[again.index("--out") + 1] = plain
    yard.site.run(*again, state="other")
    assert (plain / "prod-0001/catalog.json").read_bytes() == (yard.bundle / "catalog.json").read_bytes()


def test_gates_get_no_secrets_and_no_input(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = {"AIRGAP_KEY_PASSPHRASE": "canary-1", "REGISTRY_AUTH_FILE": "", "AIRGAP_OTHER": "canary-2"}
    auth = yard.work / "auth-canary-3.json"
    auth.write_text("{}")
    for name, value in {**canaries, "REGISTRY_AUTH_FILE": str(auth), "SCANNER_TOKEN": "theirs"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(yard.work))
    seen = yard.work / "seen"
    yard.list(yard.tool_name)
    script = yard.script("gate.sh", f'env > {seen}; test -z "$(cat)"; ls -l /proc/self/fd >> {seen}')
    done = here(*yard.command("--gate", f"sh {script}", "--state", yard.work / "state"))
    assert done.returncode == 0, done.stderr
    text = seen.read_text()
    assert "canary" not in text
    assert "SCANNER_TOKEN=theirs" in text
    assert "volume" not in text
    assert "AIRGAP_LAYOUT" not in text


@pytest.mark.parametrize("at_hand", [True, False])
def test_blobs_that_the_bundle_does_not_carry_are_read_and_patched_ones_rebuilt_for_the_gate(yard: Yard, at_hand: bool) -> None:
    require("skopeo")
    same, files = yard.tool.blobs[1], {"a": images.seeded("a", 60_000)}
    yard.publish("tool:2", images.image([same, images.tar_layer(files)]))
    base = Path(yard.export()["path"]) / "catalog.json"
    newer = images.image([same, images.tar_layer({**files, "b": b"new"})])
    yard.publish("tool:2", newer)
    if not at_hand:  # then the old layers are read from the registry
        base = Path(shutil.copy(base, yard.work))
    look = yard.script(
        "look.sh",
        """
        skopeo copy -q --insecure-policy --all "oci:$1" "dir:$3-a-$AIRGAP_DIGEST"
        skopeo copy -q --insecure-policy --all --src-tls-verify=false "docker://$2" "dir:$3-b-$AIRGAP_DIGEST"
        """,
    )
    facts = yard.export("--since", base, "--gate", f"sh {look} {{layout}} {{registry}} {yard.work}/copy", serial=2)
    assert facts["held_blobs"] > 1
    assert facts["patched_blobs"] == 1
    for kind in "ab":
        copied = {path.name for path in yard.work.glob(f"copy-{kind}-{newer.digest}/*")}
        assert {content.descriptor.digest.hex for content in newer.blobs} <= copied


def test_a_bundle_that_is_sealed_already_is_looked_at_by_new_gates(yard: Yard) -> None:
    yard.export()
    again = yard.export("--gate", "true")
    assert again["already_there"]
    assert len(again["gates"]) == 2
    done = yard.site.run(*yard.command("--gate", "false"), check=False)
    failed(done, REFUSED, yard.web_name, "an earlier run has finished it")


def test_gates_change_no_byte_of_the_bundle(yard: Yard) -> None:
    yard.export("--gate", "true")
    catalog = json.loads((yard.bundle / "catalog.json").read_bytes())
    assert catalog["created"] == CREATED
    assert "gate" not in (yard.bundle / "catalog.json").read_text()


def test_no_room_for_a_copy_is_said_with_the_way_out(yard: Yard) -> None:
    yard.list(yard.tool_name)
    blocked = yard.work / "blocked"
    blocked.write_text("a file")
    yard.refused(6, "blocked", options=("--gate", "ls {layout}", "--scratch", blocked))
