"""The toolkit on machines without Python: the build with the interpreter inside, installed by a shell and a few programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from airgap import __version__
from tests.support.bundles import flip
from tests.support.cli import USAGE, failed
from tests.support.toolkits import Kit, edit_sums, toolkit
from tests.support.tools import require

pytestmark = pytest.mark.slow("makes toolkits")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit.make(tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="module")
def alone(kit: Kit) -> Path:
    """A toolkit with a build for machines without Python; what is in this one is a script."""
    name = f"airgap-{__version__}-linux-{os.uname().machine}-standalone"
    source = kit.work / "build" / name
    (source / "_internal/share/doc").mkdir(parents=True)
    (source / "airgap").write_text(f'#!/bin/sh\n[ ! -e {kit.work}/broken ] && echo "airgap {__version__}"\n')
    (source / "airgap").chmod(0o755)
    archive = kit.work / f"{name}.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", source.parent, name], check=True)
    environment = kit.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(kit.house))
    done = toolkit(kit.work / "alone", environment, "--standalone", str(archive), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["standalone"] == [archive.name]
    return kit.work / "alone"


#: A machine without Python: a shell and the few programs that the script needs. Busybox is all that a rescue system has.
FEW = ("cat", "dirname", "gzip", "head", "ln", "mkdir", "mktemp", "rm", "sha256sum", "tar", "uname")


@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh")], ids=" ".join)
def test_without_python_the_build_with_the_interpreter_inside_is_installed(kit, alone, tmp_path, shell):
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in FEW:
        (bare / name).symlink_to(require("busybox" if shell[0] == "busybox" else name))
    shell = (require(shell[0]), *shell[1:])
    refused = kit.install(alone, tmp_path / "opt", shell=shell, PATH=str(bare), PYTHON="python3")
    assert refused.returncode == 2
    assert "or: sh install.sh --standalone DIR" in refused.stderr
    done = kit.install(alone, tmp_path / "opt", shell=shell, options=["--standalone"], PATH=str(bare), umask=0)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"installed: {tmp_path}/opt/bin/airgap\n"
    assert subprocess.run([tmp_path / "opt/bin/airgap"], capture_output=True, check=True).stdout.startswith(b"airgap ")
    assert (tmp_path / "opt/share/doc").is_dir()
    assert [path for path in (tmp_path / "opt").rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022] == []
    again = kit.install(alone, tmp_path / "opt", shell=shell, options=["--standalone"], PATH=str(bare))
    assert (again.returncode, (tmp_path / "opt/bin/airgap").exists()) == (2, True)


def _build(kit: Path) -> Path:
    return next(kit.glob("*-standalone.tar.gz"))


def _build_behind_a_link(kit: Path) -> None:
    build = _build(kit)
    build.rename(kit.parent / "elsewhere")
    build.symlink_to(kit.parent / "elsewhere")


def _fifo_for_the_build(kit: Path) -> None:
    build = _build(kit)
    build.unlink()
    os.mkfifo(build)


def _two_builds(kit: Path) -> None:
    line = next(line for line in (kit / "SHA256SUMS").read_bytes().splitlines(keepends=True) if b"standalone" in line)
    edit_sums(kit, lambda sums: sums + line.replace(b"  airgap-", b"  airgap-9"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda kit: flip(_build(kit), 100),
        _build_behind_a_link,
        _fifo_for_the_build,
        lambda kit: _build(kit).unlink(),
        _two_builds,
        lambda kit: edit_sums(kit, lambda sums: sums.replace(b"  airgap-0", b"  airgap-/../0")),
        lambda kit: edit_sums(kit, lambda sums: sums.replace(b"  airgap-0", b"  airgap-$(touch owned)0")),
        lambda kit: (kit / "SHA256SUMS").unlink(),
    ],
    ids=["damaged", "a link", "a FIFO", "missing", "two", "elsewhere", "a command", "no sums"],
)
def test_a_build_that_the_sums_do_not_name_is_refused_and_never_unpacked(kit, alone, tmp_path, harm):
    shutil.copytree(alone, tmp_path / "kit")
    harm(tmp_path / "kit")
    done = kit.install(tmp_path / "kit", tmp_path / "opt", options=["--standalone"], cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "next: copy the toolkit again" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("elsewhere",)) == ["kit"]


def test_a_build_that_does_not_run_here_leaves_nothing(kit, alone, tmp_path):
    (kit.work / "broken").touch()
    done = kit.install(alone, tmp_path / "opt", options=["--standalone"])
    (kit.work / "broken").unlink()
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "the C library of this machine" in done.stderr


def test_a_toolkit_takes_no_build_of_another_version(kit, tmp_path):
    build = tmp_path / "airgap-0.0.1-linux-x86_64-standalone.tar.gz"
    build.touch()
    done = toolkit(tmp_path / "kit", kit.environment(), "--standalone", str(build))
    failed(done, USAGE, "not a standalone build of this version")


def test_a_toolkit_without_such_a_build_says_how_to_get_one(kit, tmp_path):
    done = kit.install(kit.path, tmp_path / "opt", options=["--standalone"])
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "airgap toolkit --standalone" in done.stderr
    assert kit.install(kit.path, Path("--help"), cwd=tmp_path).returncode == 2
