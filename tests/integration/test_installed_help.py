"""What a wheel installs beside the program: man pages that man finds, and completion that a shell loads by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("airgap", "share", "docs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")

pytestmark = pytest.mark.slow("builds a wheel, with the C extensions, and installs it")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it needs is taken from this one."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    build: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", work, source]
    subprocess.run(build, capture_output=True, check=True)
    (wheel,) = work.glob("*.whl")
    venv.create(work / "env", with_pip=False)
    inside = work / "env" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (inside / "these.pth").write_text(sysconfig.get_path("purelib"))
    pip: list[str] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(work / "env"),
        "install",
        "--no-deps",
        "--no-index",
        "--force-reinstall",
        str(wheel),
    ]
    subprocess.run(pip, capture_output=True, check=True)
    return work / "env"


def run(prefix: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(command, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_finds_every_page(prefix: Path) -> None:
    for page in ("airgap", "airgap-export", "airgap-media-check"):
        done = run(
            prefix, "man", "--warnings", "-P", "cat", page, MANPATH=str(prefix / "share/man"), LC_ALL="C.UTF-8", MANWIDTH="80"
        )
        assert done.returncode == 0, done.stderr
        assert page.upper() in done.stdout
        assert done.stderr == ""


def test_the_installed_completion_works_in_bash(prefix: Path) -> None:
    script = prefix / "share/bash-completion/completions/airgap"
    ask = (
        f"source {script}; COMP_LINE='airgap keys gen'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); COMP_CWORD=2;"
        ' _airgap airgap; printf "<%s>" "${COMPREPLY[@]}"'
    )
    done = run(prefix, "bash", "--norc", "-c", ask)
    assert done.stdout == "<generate >", done.stderr


def test_the_scripts_for_other_shells_are_there(prefix: Path) -> None:
    assert (prefix / "share/zsh/site-functions/_airgap").read_text().startswith("#compdef airgap\n")
    assert "complete -c airgap" in (prefix / "share/fish/vendor_completions.d/airgap.fish").read_text()
