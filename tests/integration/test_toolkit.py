"""``airgap toolkit``: made without a network out of wheels at hand, installed without one, and put to work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles import flip
from tests.support.cli import NETWORK, USAGE, failed
from tests.support.desks import Made
from tests.support.toolkits import THIS, Kit, edit_sums, toolkit

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit.make(tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="module")
def installed(kit: Kit) -> Path:
    target = kit.work / "venv"
    done = kit.install(kit.path, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"installed: {target}/bin/airgap\n"
    return target


@pytest.mark.smoke("toolkit")
def test_a_toolkit_has_all_that_is_needed_with_its_hashes(kit):
    assert {path.name for path in kit.path.iterdir()} == {
        "README.txt", "SHA256SUMS", "airgap-check.pyz", "install.sh", "wheels", f"requirements-{THIS}-x86_64.txt"
    }  # fmt: skip
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=kit.path, check=True, capture_output=True)
    listed = (kit.path / f"requirements-{THIS}-x86_64.txt").read_text().splitlines()
    assert len(listed) == len(list((kit.path / "wheels").iterdir())) - 1  # pip is there, and not installed
    assert all(" --hash=sha256:" in line for line in listed)
    assert f"Python {THIS}" in (kit.path / "README.txt").read_text()


def test_installed_without_an_index_it_imports_a_bundle(kit, installed, made: Made, tmp_path):
    store = tmp_path / "store"
    arguments = ["import", str(made.bundle), "--to", f"oci:{store}", "--policy", str(made.sender.policy), "--json"]
    command = [str(installed / "bin/airgap"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (store / "index.json").is_file()
    where = [str(installed / "bin/python"), "-c", "import airgap; print(airgap.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=True)
    assert found.stdout.startswith(str(installed))


def test_an_installed_airgap_makes_the_same_toolkit(kit, installed, tmp_path):
    environment = kit.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(kit.house))
    failed(toolkit(tmp_path / "kit", environment, python=installed / "bin/python"), USAGE, "this Python has no pip")
    assert list(tmp_path.iterdir()) == []
    (pip,) = (kit.path / "wheels").glob("pip-*.whl")
    done = toolkit(tmp_path / "kit", {**environment, "PYTHONPATH": str(pip)}, python=installed / "bin/python")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kit/SHA256SUMS").read_bytes() == (kit.path / "SHA256SUMS").read_bytes()


def test_machines_for_which_there_is_no_zfec_and_no_rfc3161_client_get_all_but_parity_and_timestamps(kit, made: Made, tmp_path):
    house = tmp_path / "house"
    shutil.copytree(kit.house, house, ignore=shutil.ignore_patterns("zfec-*", "rfc3161_client-*"))
    done = toolkit(tmp_path / "kit", kit.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(house)), "--json")
    assert json.loads(done.stdout)["lacking"] == [f"{name} on linux/amd64, Python {THIS}" for name in ("zfec", "rfc3161-client")]
    said = (tmp_path / "kit/README.txt").read_text()
    assert "parity cannot be computed or used" in said
    assert "Sigstore bundles that need a timestamp are refused" in said
    assert kit.install(tmp_path / "kit", tmp_path / "venv").returncode == 0
    command = [str(tmp_path / "venv/bin/airgap"), "media", "check", str(made.bundle)]
    checked = subprocess.run(command, capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=False)
    assert checked.returncode == 0, checked.stderr
    code = "from airgap.format.parity import Code; Code(3, 1)"
    command = [str(tmp_path / "venv/bin/python"), "-c", code]
    refused = subprocess.run(command, capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=False)
    assert "UsageError: this airgap cannot compute parity" in refused.stderr
    code = "from airgap.trust.sigstore.timestamps import stamped; stamped([b'x'], b'y', [None])"
    command = [str(tmp_path / "venv/bin/python"), "-c", code]
    refused = subprocess.run(command, capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=False)
    assert "Refused: this airgap cannot check timestamps" in refused.stderr


def test_a_damaged_toolkit_is_not_installed(kit, tmp_path):
    copy = tmp_path / "kit"
    shutil.copytree(kit.path, copy)
    flip(next((copy / "wheels").glob("airgap_bundles-*.whl")), 1000)
    done = kit.install(copy, tmp_path / "venv")
    assert done.returncode == 4
    assert "damaged or missing" in done.stderr
    assert not (tmp_path / "venv").exists()


def _owned(kit: Path) -> str:
    """A module that tells that it was imported or run."""
    return f"open({str(kit.parent / 'owned')!r}, 'w')\n"


def _wheel_before_pip(kit: Path) -> None:
    with zipfile.ZipFile(kit / "wheels/pip-0.whl", "w") as archive:
        archive.writestr("pip/__main__.py", _owned(kit))


def _modules(kit: Path) -> None:
    for name in ("hashlib", "platform", "venv", "re", "sitecustomize", "ensurepip", "encodings"):
        (kit / f"{name}.py").write_text(_owned(kit))


def _behind_a_link(kit: Path) -> None:
    (kit / "wheels").rename(kit.parent / "elsewhere")
    (kit / "wheels").symlink_to(kit.parent / "elsewhere")


def _link_for_a_file(kit: Path) -> None:
    (kit / "README.txt").rename(kit.parent / "README.txt")
    (kit / "README.txt").symlink_to(kit.parent / "README.txt")


def _fifo_for_a_file(kit: Path) -> None:
    (kit / "README.txt").unlink()
    os.mkfifo(kit / "README.txt")


INTRUDERS: dict[str, Callable[[Path], object]] = {
    "a pip that the glob takes first": _wheel_before_pip,
    "modules of the standard library's names": _modules,
    "a package in a directory": lambda kit: (kit / "json").mkdir(),
    "a hidden file": lambda kit: (kit / ".pth").write_text("x"),
    "a hidden file among the wheels": lambda kit: (kit / "wheels/.x").write_text("x"),
    "a directory among the wheels": lambda kit: (kit / "wheels/more").mkdir(),
    "a wheel": lambda kit: (kit / "wheels/evil-1-py3-none-any.whl").write_text("x"),
    "a link to nowhere": lambda kit: (kit / "x").symlink_to("nowhere"),
    "a name with a line feed": lambda kit: (kit / "README.txt\n").write_text("x"),
    "a name of two listed ones": lambda kit: (kit / "README.txt\ninstall.sh").write_text("x"),
    "a name with spaces": lambda kit: (kit / " README.txt").write_text("x"),
    "a name that is no text": lambda kit: Path(os.fsdecode(os.fsencode(kit) + b"/\xff\x1b[2J")).write_text("x"),
    "an option": lambda kit: (kit / "-c").write_text("x"),
    "the wheels behind a link": _behind_a_link,
    "a link in place of a file": _link_for_a_file,
    "a FIFO in place of a file": _fifo_for_a_file,
    "a name twice": lambda kit: edit_sums(kit, lambda sums: sums + sums.splitlines(keepends=True)[0]),
    "a name twice with another sum": lambda kit: edit_sums(
        kit, lambda sums: sums + b"0" * 64 + sums.splitlines(keepends=True)[0][64:]
    ),
    "the line ends of Windows": lambda kit: edit_sums(kit, lambda sums: sums.replace(b"\n", b"\r\n")),
    "a binary marker": lambda kit: edit_sums(kit, lambda sums: sums.replace(b"  ", b" *")),
    "a file outside": lambda kit: edit_sums(kit, lambda sums: sums + b"0" * 64 + b"  ../owned\n"),
    "no last line feed": lambda kit: edit_sums(kit, lambda sums: sums[:-1]),
    "no sums at all": lambda kit: edit_sums(kit, lambda _: b""),
    "a sum too few": lambda kit: edit_sums(kit, lambda sums: b"".join(sums.splitlines(keepends=True)[1:])),
}


@pytest.mark.parametrize("kind", INTRUDERS)
def test_what_the_sums_do_not_name_is_refused_and_never_run(kit, tmp_path, kind):
    copy = tmp_path / "kit"
    shutil.copytree(kit.path, copy)
    INTRUDERS[kind](copy)
    for where in (copy, tmp_path):  # also called from the hostile directory
        done = kit.install(copy, tmp_path / "venv", cwd=where)
        assert done.returncode == 4, done.stderr
        assert "next: copy the toolkit again from the original" in done.stderr
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "venv").exists()


def test_what_lies_where_it_is_called_from_is_not_run(kit, tmp_path):
    """In a directory that somebody else fills, with a PATH and a Python path that lead there."""
    trap = tmp_path / "trap"
    trap.mkdir()
    _modules(trap)
    for name in ("python3", "dirname", "mktemp", "rm", "sha256sum"):
        (trap / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
        (trap / name).chmod(0o755)
    (trap / "pip.py").write_text(_owned(trap))
    path = f".:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = kit.install(kit.path, tmp_path / "venv", cwd=trap, PATH=path, PYTHON="python3", PYTHONPATH="", PIP_TARGET=str(trap))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()
    assert sorted(path.name for path in trap.iterdir() if path.is_dir()) == []


def test_what_is_installed_is_not_for_others_to_write_whatever_the_umask(kit, tmp_path):
    done = kit.install(kit.path, tmp_path / "venv", umask=0)
    assert done.returncode == 0, done.stderr
    assert [path for path in (tmp_path / "venv").rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022] == []


def test_the_checker_imports_nothing_from_where_it_lies_or_is_called(made: Made, kit, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    _modules(trap)
    for name in ("airgap", "argparse", "json", "os", "threading", "__main__"):
        (trap / f"{name}.py").write_text(_owned(trap))
    shutil.copy(kit.path / "airgap-check.pyz", trap)
    command = [sys.executable, "airgap-check.pyz", str(made.bundle)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, cwd=trap, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


def test_a_toolkit_is_made_without_modules_from_where_it_is_called(kit, tmp_path):
    """`python -m pip` would import from the current directory, a medium for instance."""
    for name in ("pip", "json", "zipfile"):
        (tmp_path / f"{name}.py").write_text(_owned(tmp_path / "x"))
    environment = kit.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(kit.house)) | {"HOME": str(tmp_path)}
    command = [sys.executable, "-P", "-m", "airgap", "toolkit", "--out", str(tmp_path / "kit"), "--glibc", "2.44"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


def test_a_toolkit_for_other_machines_says_so(kit, tmp_path):
    copy = tmp_path / "kit"
    shutil.copytree(kit.path, copy)
    ours, theirs = f"requirements-{THIS}-x86_64.txt", "requirements-3.99-riscv64.txt"
    (copy / ours).rename(copy / theirs)
    (copy / "SHA256SUMS").write_text((copy / "SHA256SUMS").read_text().replace(ours, theirs))
    done = kit.install(copy, tmp_path / "venv")
    assert done.returncode == 2
    assert "one of 3.99-riscv64" in done.stderr


def test_man_pages_documents_and_samples_come_along(kit, installed, tmp_path):
    assert (installed / "share/man/man1/airgap-import.1").is_file()
    assert (installed / "share/bash-completion/completions/airgap").is_file()
    done = subprocess.run(
        [installed / "bin/airgap", "docs"], capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=True
    )
    documents = Path(done.stdout.splitlines()[0])
    assert documents.is_relative_to(installed)
    assert (documents / "docs/tutorials/site.md").is_file()
    assert (documents / "samples/layout/oci-layout").is_file()


def test_a_toolkit_for_machines_with_musl_takes_their_wheels_and_is_not_installed_here(kit, tmp_path):
    house = tmp_path / "house"
    house.mkdir()
    for wheel in kit.house.iterdir():
        *name, tags = wheel.stem.split("-")
        if "manylinux" in tags:
            tags = "musllinux_1_2_x86_64"
        if not wheel.name.startswith("google_re2"):
            shutil.copyfile(wheel, house / f"{'-'.join([*name, tags])}.whl")
    environment = kit.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(house))
    done = toolkit(tmp_path / "kit", environment, "--musl", "1.2", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["machines"] == [f"{THIS}-x86_64-musl"]
    assert facts["lacking"] == [f"google-re2 on linux/amd64, Python {THIS}, musl"]
    refused = kit.install(tmp_path / "kit", tmp_path / "venv")
    assert refused.returncode == 2
    assert f"one of {THIS}-x86_64-musl" in refused.stderr


def test_without_re2_only_regular_expressions_are_refused(kit, tmp_path):
    code = "import sys; sys.modules['re2'] = None\nfrom airgap.lists.tags import Pattern; Pattern.parse('^1')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=kit.environment(), cwd=tmp_path, check=False
    )
    assert "UsageError: this airgap cannot evaluate regular expressions" in done.stderr


def test_the_script_changes_nothing_that_is_not_its_own(kit, tmp_path):
    target = tmp_path / "documents"
    target.mkdir()
    (target / "letter.txt").write_text("dear")
    assert kit.install(kit.path, target).returncode == 2
    assert [path.name for path in target.iterdir()] == ["letter.txt"]


def test_an_index_that_cannot_be_reached_is_a_network_error_and_leaves_nothing(kit, tmp_path):
    facts = failed(
        toolkit(tmp_path / "usb/kit", kit.environment(), "--json"), NETWORK, "pip could not fetch the packages", "PIP_INDEX_URL"
    )
    assert "ERROR" in facts["got"]
    assert list((tmp_path / "usb").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--platform", "windows/amd64"), "no packages for this platform"),
        (("--platform", "linux/mips"), "no packages for this platform"),
        (("--platform", "\x1b[31m"), "not a valid platform"),
        (("--python", "2.7"), "unsupported Python version"),
        (("--python", "3.9"), "unsupported Python version"),
        (("--glibc", "musl"), "not a valid glibc version"),
        (("--musl", "2.28"), "not a valid musl version"),
    ],
)
def test_mistakes_have_messages(kit, tmp_path, options, says):
    failed(toolkit(tmp_path / "kit", kit.environment(), *options), USAGE, says)


def test_nothing_is_written_over(kit, tmp_path):
    (tmp_path / "precious").write_text("x")
    failed(toolkit(tmp_path, kit.environment()), USAGE, "its own directory")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
