"""What is published: one wheel for every Python from 3.11 on, and a source archive; the same bytes wherever they are built."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import airgap
from airgap.toolkit.shared import DISTRIBUTION
from airgap.toolkit.wheel import running_package
from tests.support import images
from tests.support.wheels import wheel_house

ROOT = Path(__file__).parents[2]
CONTENT = ("airgap", "docs", "manifests", "samples", "share", "pyproject.toml", "setup.py", "MANIFEST.in")
TEXTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
LEFT = shutil.ignore_patterns("__pycache__", "*.so", "build", "*.egg-info")

pytestmark = pytest.mark.slow("builds wheels, with the C extensions, and source archives")


@dataclass(frozen=True)
class Built:
    """A wheel and a source archive out of one copy of the source."""

    wheel: Path
    source: Path

    @classmethod
    def make(cls, work: Path) -> Built:
        """Build both in a directory of their own."""
        copy, out = work / "copy", work / "out"
        copy.mkdir(parents=True)
        out.mkdir()
        for name in (*CONTENT, *TEXTS):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=LEFT)
            else:
                shutil.copyfile(ROOT / name, copy / name)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        code = f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})"
        subprocess.run([sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, check=True)
        shutil.rmtree(copy / "airgap_bundles.egg-info")
        pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out, copy]
        subprocess.run(pip, env=environment, capture_output=True, check=True)
        return cls(*out.glob("*.whl"), *out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.make(tmp_path_factory.mktemp("one"))


def pythons() -> dict[tuple[int, ...], Path]:
    """Every Python from 3.11 on that this machine has, one of each version, by that."""
    found = [Path(path) for minor in range(11, 20) if (path := shutil.which(f"python3.{minor}"))]
    found += sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    said: dict[tuple[int, ...], Path] = {}
    for one in (Path(sys.executable), *found):
        done = subprocess.run([one, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False)
        version = tuple(map(int, done.stdout.split()))
        if version >= (3, 11):
            said.setdefault(version, one)
    return said


def test_the_same_source_gives_the_same_bytes_in_another_directory(built: Built, tmp_path: Path) -> None:
    again = Built.make(tmp_path / "a directory with another name")
    for one, other in ((built.wheel, again.wheel), (built.source, again.source)):
        assert one.name == other.name
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), one.name


def test_one_wheel_with_the_compiled_codec_is_for_every_python_of_this_kind_of_machine(built: Built) -> None:
    assert re.fullmatch(rf"airgap_bundles-{re.escape(airgap.__version__)}-cp311-abi3-\w+\.whl", built.wheel.name)
    names = zipfile.ZipFile(built.wheel).namelist()
    compiled = [f"airgap/native/{name}.abi3.so" for name in ("_columns", "_deflate", "_sha256")]
    assert [name for name in names if name.endswith(".so")] == compiled
    assert [name for name in names if name.endswith((".c", ".h"))] == []


def test_the_wheel_and_the_source_have_documents_man_pages_and_completions(built: Built) -> None:
    wheel = set(zipfile.ZipFile(built.wheel).namelist())
    with tarfile.open(built.source) as opened:
        source = {name.partition("/")[2] for name in opened.getnames()}
    pages = [str(path.relative_to(ROOT)) for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/adr").glob("*.md"))]
    assert len(pages) > 40
    data = f"airgap_bundles-{airgap.__version__}.data/data"
    for page in pages:
        assert page in source
        assert f"{data}/share/doc/airgap/{page}" in wheel
    shared = [str(path.relative_to(ROOT)) for path in (ROOT / "share").rglob("*") if path.is_file()]
    assert len(shared) > 40
    for name in shared:
        assert name in source
        assert f"{data}/{name}" in wheel
    assert {"docs/vectors/expected.json", "airgap/native/_tokens.h", "manifests/edge-site.yaml", "CHANGELOG.md"} <= source


_TYPED = "COMP_LINE='airgap ver'; COMP_POINT=10; COMP_WORDS=(airgap ver); COMP_CWORD=1"


def fresh(python: Path, wheel: Path, work: Path, *options: str | Path) -> Path:
    """The wheel in an environment in which nothing else is; its directory. Skips where the index has not what it requires."""
    commands: list[list[str | Path]] = [
        [python, "-m", "venv", work / "env"],
        [work / "env/bin/python", "-m", "pip", "download", "--quiet", "--dest", work / "wheels", *options, wheel],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{python} does not get what the wheel requires: {done.stderr[-300:]}")
    pip: list[str | Path] = [
        work / "env/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--find-links",
        work / "wheels",
        wheel,
    ]
    subprocess.run(pip, capture_output=True, check=True)
    return work / "env"


def works(environment: Path, home: Path) -> None:
    """Command, man page, completion, documents and the compiled codec: in a shell that knows nothing of this checkout."""
    clean = {"HOME": str(home), "PATH": f"{environment / 'bin'}:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def said(*command: str | Path) -> str:
        done = subprocess.run(command, env=clean, cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert said("airgap", "version") == f"airgap {airgap.__version__}\n"
    assert said("airgap", "man", "import").startswith('.TH "AIRGAP')
    assert (environment / "share/man/man1/airgap-import.1").is_file()
    completion = environment / "share/bash-completion/completions/airgap"
    listed = said("bash", "-c", f". {completion}; {_TYPED}; _airgap airgap; echo ${{COMPREPLY[@]}}")
    assert {"verify", "version"} <= set(listed.split())
    assert said("python", "-c", "from airgap.native import _columns, _deflate, _sha256; print(_deflate.__file__)").startswith(
        str(environment)
    )
    documents = Path(said("airgap", "docs").splitlines()[0])
    assert documents.is_relative_to(environment)
    vectors = documents / "docs/vectors"
    assert said("airgap", "policy", "init", "--public-key", vectors / "keys/sender.pub", "-o", "policy.json")
    for bundle in ("plain/plain-0001", "incremental/plain-0002"):  # the second has patches
        said("airgap", "import", vectors / bundle, "--to", "oci:store", "--policy", "policy.json")


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_the_wheel_works_in_a_fresh_environment_of_each_python(built: Built, tmp_path: Path, minor: int) -> None:
    python = pythons().get((3, minor))
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    works(fresh(python, built.wheel, tmp_path), tmp_path)


def test_the_source_archive_gives_the_same_wheel_which_works(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.source) as opened:
        opened.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "out", source]
    subprocess.run(pip, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}, capture_output=True, check=True)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.read_bytes() == built.wheel.read_bytes()
    house = wheel_house(tmp_path / "house", running_package().requires)
    works(fresh(Path(sys.executable), wheel, tmp_path, "--no-index", "--find-links", house), tmp_path)


def test_name_and_version_are_said_in_one_place(built: Built) -> None:
    metadata = zipfile.ZipFile(built.wheel).read(f"airgap_bundles-{airgap.__version__}.dist-info/METADATA").decode()
    assert f"\nName: {DISTRIBUTION}\nVersion: {airgap.__version__}\n" in metadata
    newest = re.search(r"^## (?:Unreleased \()?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert airgap.__version__.partition(".dev")[0] == newest[1]


def test_the_compiled_codec_of_the_wheel_does_the_same_under_every_python_at_hand(built: Built, tmp_path: Path) -> None:
    """Without anything that the wheel requires: the codec needs nothing."""
    zipfile.ZipFile(built.wheel).extractall(tmp_path / "wheel")
    (tmp_path / "layer").write_bytes(images.tar_layer({"a": images.seeded("a", 40_000), "b": b"text " * 9_000}).raw)
    code = (
        "import hashlib, sys; from airgap.native import _deflate; data = open('layer', 'rb').read(); out = b''\n"
        "used, made = _deflate.TokenDecoder().step(data, True); assert used == len(data)\n"
        "used, back = _deflate.TokenEncoder().step(made, True); assert back == data\n"
        "print(hashlib.sha256(made).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "wheel")}
    said = {}
    for python in pythons().values():
        done = subprocess.run([python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{python}: {done.stderr}"
        said[python] = done.stdout
    assert len(set(said.values())) == 1
