"""What pip is asked for other machines."""

from __future__ import annotations

import ast
import zipfile
from io import BytesIO

import pytest

from airgap.errors import UsageError
from airgap.toolkit import packages
from airgap.toolkit.checker import checker, modules
from airgap.toolkit.packages import Machine
from airgap.toolkit.wheel import own_wheel, running_package


def test_tags_go_down_from_the_c_library_that_is_there():
    told = Machine.parse("linux/arm64", "3.12", "2.18").options()
    platforms = [told[at + 1] for at, word in enumerate(told) if word == "--platform"]
    assert platforms[:2] == ["manylinux_2_18_aarch64", "manylinux_2_17_aarch64"]
    assert "manylinux2014_aarch64" in platforms
    assert "manylinux_2_19_aarch64" not in platforms
    assert [told[at + 1] for at, word in enumerate(told) if word == "--abi"] == ["cp312", "abi3", "none"]


@pytest.mark.parametrize(
    ("requirement", "minor", "wanted"),
    [
        ("requests>=2.32", 11, "requests>=2.32"),
        ("backports.zstd>=1; python_version < '3.14'", 13, "backports.zstd>=1"),
        ('backports.zstd>=1; python_version < "3.14"', 14, ""),
        ("x>=1; python_version >= '3.12'", 11, ""),
        ("x>=1; python_version == '3.12'", 12, "x>=1"),
        ("mypy>=1.11; extra == 'dev'", 11, ""),
        ("x; sys_platform == 'linux'", 11, "x; sys_platform == 'linux'"),
    ],
)
def test_requirements_are_those_of_the_other_python(requirement, minor, wanted):
    assert packages._for_python(requirement, minor) == wanted


@pytest.mark.parametrize("words", [("linux", "3.11", "2.28"), ("linux/amd64", "3.x", "2.28"), ("linux/amd64", "3.11", "3.1")])
def test_kinds_of_machines_that_are_none(words):
    with pytest.raises(UsageError):
        Machine.parse(*words)


def test_own_wheel_has_every_module_and_is_always_the_same(tmp_path):
    package = running_package()
    path = own_wheel(tmp_path, package)
    first = path.read_bytes()
    assert own_wheel(tmp_path, package).read_bytes() == first
    with zipfile.ZipFile(path) as found:
        listed = set(found.namelist())
        assert found.testzip() is None
    assert {"airgap/cli/main.py", "airgap/toolkit/kit/install.sh", "airgap/format/stock/check.sh"} <= listed
    assert not [name for name in listed if name.endswith((".c", ".h", ".pyc"))]
    assert any("zfec" in one for one in package.requires)


def test_checker_consists_of_the_modules_of_media_check_and_of_nothing_else():
    found = modules("airgap.cli.standalone")
    assert {"airgap.media.check", "airgap.media.words", "airgap.media.survey", "airgap.bundle.check"} <= found.keys()
    assert not [name for name in found if name.startswith(("airgap.trust", "airgap.registry", "airgap.importer"))]
    data = checker("airgap.cli.standalone")
    assert data.startswith(b"#!")
    assert data == checker("airgap.cli.standalone")
    with zipfile.ZipFile(BytesIO(data)) as zipped:
        for name, path in found.items():
            member = path.as_posix().rpartition("/airgap/")[2]
            assert zipped.read(f"airgap/{member}") == path.read_bytes(), name
        ast.parse(zipped.read("__main__.py"), feature_version=(3, 4))


def test_third_party_imports_have_no_place_in_the_checker():
    with pytest.raises(ImportError, match="not in the standard library"):
        modules("airgap.cli.commands.carried.check")
