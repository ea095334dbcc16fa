"""scripts/release: what must hold before a release, and the signed sums at its end. What it builds is in test_packages."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import airgap
from tests.support.tools import require

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow("commits a copy of the source and starts scripts/release many times")

FINAL = airgap.__version__.partition(".dev")[0]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    identity = {f"GIT_{who}_{what}": "release" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", **identity}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def release(checkout: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, checkout / "scripts/release", "--out", checkout.parent / "dist", *options, cwd=checkout)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a final version whose changelog does not know it yet."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "airgap", copy / "airgap", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "scripts").mkdir()
    for name in ("CHANGELOG.md", "pyproject.toml", "scripts/release"):
        shutil.copy(ROOT / name, copy / name)
    (copy / ".gitignore").write_text("__pycache__/\n")
    about = copy / "airgap/__init__.py"
    about.write_text(about.read_text().replace(airgap.__version__, FINAL))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        assert run(require("git"), *words, cwd=copy).returncode == 0
    return copy


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key, with its public one beside it as ``key.pub``."""
    for words in (["genpkey", "-algorithm", "ed25519", "-out", "key"], ["pkey", "-in", "key", "-pubout", "-out", "key.pub"]):
        assert run(require("openssl"), *words, cwd=tmp_path).returncode == 0
    return tmp_path / "key"


def dated(checkout: Path) -> None:
    """Give 'Unreleased' its number and date, as the message says."""
    changes = checkout / "CHANGELOG.md"
    changes.write_text(re.sub(r"^## Unreleased.*$", f"## {FINAL} (2026-12-01)", changes.read_text(), count=1, flags=re.MULTILINE))


def test_a_release_needs_a_final_version_its_section_in_the_changelog_and_a_commit(checkout: Path, key: Path) -> None:
    options = ("--only", "sums", "--key", key)
    done = release(checkout, *options)
    assert (done.returncode, "CHANGELOG.md has no section" in done.stderr) == (1, True), done.stderr
    dated(checkout)
    done = release(checkout, *options)
    assert (done.returncode, "the checkout has changes" in done.stderr) == (1, True), done.stderr
    assert run("git", "commit", "-qam", "release", cwd=checkout).returncode == 0
    done = release(checkout, "--only", "sums")
    assert (done.returncode, "a release is signed" in done.stderr) == (2, True), done.stderr
    done = release(checkout, *options)
    assert done.returncode == 0, done.stderr
    assert f"git tag -s v{FINAL}" in done.stdout
    about = checkout / "airgap/__init__.py"
    about.write_text(about.read_text().replace(FINAL, f"{FINAL}.dev1"))
    done = release(checkout, *options)
    assert (done.returncode, "a final version, such as" in done.stderr) == (1, True), done.stderr


def test_the_sums_name_every_file_and_openssl_verifies_their_signature(checkout: Path, key: Path) -> None:
    dist = checkout.parent / "dist"
    dist.mkdir()
    for name in ("airgap_bundles-1-py3-none-any.whl", "airgap-1.cdx.json", "SHA256SUMS.0123.sig"):
        (dist / name).write_text(name)
    for _ in range(2):  # what the first time made is replaced, not listed
        assert release(checkout, "--draft", "--only", "sums", "--key", key).returncode == 0
    listed = dict(line.split("  ")[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    wanted = ["airgap-1.cdx.json", "airgap_bundles-1-py3-none-any.whl"]
    assert listed == {name: hashlib.sha256(name.encode()).hexdigest() for name in wanted}
    (signature,) = dist.glob("SHA256SUMS.*.sig")
    run("openssl", "base64", "-d", "-A", "-in", signature, "-out", "raw", cwd=key.parent)
    verify = (
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key.pub",
        "-rawin",
        "-in",
        dist / "SHA256SUMS",
        "-sigfile",
        "raw",
    )
    done = run(*verify, cwd=key.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_steps_that_are_not_there_and_steps_before_their_time_are_said(checkout: Path) -> None:
    done = release(checkout, "--draft", "--only", "wheel,uplaod")
    assert (done.returncode, "no such step: uplaod" in done.stderr) == (2, True)
    for step in ("try", "sbom"):
        done = release(checkout, "--draft", "--only", step)
        assert (done.returncode, "there is no wheel yet" in done.stderr) == (1, True), done.stderr
