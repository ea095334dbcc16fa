"""The scripts that check a bundle without us: in every shell they say in words what is wrong and which disk to take back."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_batch
import tree_sitter_powershell

from airgap.format import checktxt
from airgap.format.names import SCRIPTS, volume_name
from tests.support.bundles import flip
from tests.support.cli import here
from tests.support.mediaset import make_bundle
from tests.support.tools import require

SHELLS = {"bash": ["bash"], "dash": ["dash"], "busybox": ["busybox", "sh"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), parity=1)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / made.name)


@pytest.fixture
def disk_b(made: Path, tmp_path: Path) -> Path:
    """The second of two disks."""
    disks = [tmp_path / "a", tmp_path / "b"]
    for disk in disks:
        disk.mkdir()
    assert here("media", "copy", made, *disks).returncode == 0
    return disks[1] / made.name


@pytest.fixture(params=SHELLS)
def run(request: pytest.FixtureRequest) -> Callable[..., tuple[int, str]]:
    command = SHELLS[request.param]
    require(command[0])

    def check(directory: Path, *arguments: str, path: str = os.environ["PATH"]) -> tuple[int, str]:
        done = subprocess.run(
            [shutil.which(command[0]) or "", *command[1:], str(directory / "check.sh"), *arguments],
            env={"PATH": path},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.stderr == "" or done.returncode == 2
        return done.returncode, done.stdout

    return check


Run = Callable[..., tuple[int, str]]


def test_a_good_bundle(bundle: Path, run: Run) -> None:
    code, text = run(bundle)
    assert code == 0
    assert "good       volume 3 of 6 (volume-0003.tar)" in text
    assert "good       parity file 1 (parity-0001.bin)" in text
    assert "GOOD: everything that is on this disk is undamaged (11 files)." in text


def test_one_of_several_disks_is_good_by_itself_and_says_where_the_rest_is(disk_b: Path, run: Run) -> None:
    code, text = run(disk_b)
    assert code == 0
    assert "This is disk B of these:" in text
    assert "  disk A: volume-0001.tar" in text


def test_a_damaged_volume_is_named_with_the_disk_to_take_back(disk_b: Path, run: Run) -> None:
    victim = sorted(disk_b.glob("volume-*.tar"))[0]
    flip(victim, 44)
    number = int(victim.name[7:11])
    code, text = run(disk_b)
    assert code == 4
    assert f"DAMAGED    volume {number} of 6 ({victim.name}) is damaged: take disk B back" in text


def test_a_subset_is_good_when_one_says_so(bundle: Path, run: Run) -> None:
    (bundle / volume_name(2)).unlink()
    code, text = run(bundle)
    assert (code, "MISSING    volume 2 of 6 (volume-0002.tar) is not on this disk" in text) == (4, True)
    code, text = run(bundle, "--subset")
    assert (code, "elsewhere  volume 2 of 6 (volume-0002.tar)" in text) == (0, True)


@pytest.mark.parametrize("kind", ["short", "long", "link", "fifo", "directory", "foreign", "loop"])
def test_every_kind_of_damage_is_found_and_nothing_hangs(bundle: Path, run: Run, kind: str) -> None:
    victim = bundle / volume_name(3)
    content = victim.read_bytes()
    victim.unlink()
    if kind in ("short", "long"):
        victim.write_bytes(content[:-1] if kind == "short" else content + b"x")
    elif kind in ("link", "loop"):
        (bundle.parent / "real").write_bytes(content)
        victim.symlink_to(bundle.parent / "real" if kind == "link" else victim)
    elif kind == "fifo":
        os.mkfifo(victim)
    elif kind == "directory":
        victim.mkdir()
    else:
        victim.write_bytes(content)
        (bundle / volume_name(9)).write_bytes(b"x")
    code, text = run(bundle)
    assert code == 4
    assert ("FOREIGN    volume-0009.tar" if kind == "foreign" else "DAMAGED    volume 3 of 6 (volume-0003.tar)") in text


def test_without_sums_or_with_wrong_arguments_it_cannot_check(bundle: Path, run: Run) -> None:
    assert run(bundle, "--help")[0] == 2
    (bundle / "SHA256SUMS").unlink()
    assert run(bundle)[0] == 2
    os.mkfifo(bundle / "SHA256SUMS")
    assert run(bundle)[0] == 2


@pytest.mark.parametrize("name", ["../../etc/passwd", "-rf", "$(touch owned)", "`touch owned`", "a;touch owned", "\x1b[2J", ""])
def test_hostile_lines_are_damage_and_never_run(bundle: Path, run: Run, name: str) -> None:
    with (bundle / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    (bundle / "DISKS.txt").write_text(f"This disk: {name}\r\ndisk A: {name} volume-0001.tar\r\ndisk \x1b[2J: x\r\n")
    code, text = run(bundle)
    assert code == 4
    assert "SHA256SUMS has a line that is not one of ours" in text
    assert "\x1b" not in text
    assert not (bundle / "owned").exists()


def test_sums_cut_short_are_noticed(bundle: Path, run: Run) -> None:
    sums = bundle / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes()[:-90])
    assert run(bundle)[0] == 4
    lines = (bundle / "CHECK.txt").read_bytes()
    assert lines
    sums.write_text("".join(documents_lines(bundle)[:3]))
    code, text = run(bundle)
    assert (code, "FOREIGN    volume-0003.tar does not belong here" in text) == (4, True)


def documents_lines(bundle: Path) -> list[str]:
    return [f"{hash_of(path)}  {path.name}\n" for path in sorted(bundle.iterdir()) if path.suffix in (".json", ".tar")]


def hash_of(path: Path) -> str:
    return subprocess.run(["sha256sum"], input=path.read_bytes(), capture_output=True, check=True).stdout.split()[0].decode()


@pytest.mark.parametrize("tool", ["shasum", "openssl"])
def test_it_works_with_whatever_hashes_here(bundle: Path, tmp_path: Path, run: Run, tool: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in (tool, "dirname", "perl", "env"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    require(tool)
    assert run(bundle, path=str(tools))[0] == 0
    flip(bundle / volume_name(1), 1)
    assert run(bundle, path=str(tools))[0] == 4


@pytest.mark.parametrize("path", [".", "", "./", "bin"])
def test_a_program_on_the_disk_is_not_run_in_place_of_the_machines(bundle: Path, run: Run, path: str) -> None:
    """A PATH with the current directory, which is the disk's while its script runs."""
    (bundle / "bin").mkdir()
    for place in (bundle, bundle / "bin"):
        for name in ("sha256sum", "shasum", "openssl", "cat", "dirname"):
            (place / name).write_text(f"#!/bin/sh\ntouch {bundle}/owned\necho {'0' * 64}\n")
            (place / name).chmod(0o755)
    code, text = run(bundle, path=f"{path}:{os.environ['PATH']}")
    assert code == 0, text
    assert not (bundle / "owned").exists()


def test_the_batch_script_finds_the_programs_of_windows_only() -> None:
    """cmd.exe looks into the current directory first, which is the disk's."""
    lines = checktxt.scripts()["check.cmd"].decode().splitlines()
    guards = [lines.index('set "NoDefaultCurrentDirectoryInExePath=1"'), lines.index('set "PATH=%SystemRoot%\\System32"')]
    used = [
        number for number, line in enumerate(lines) if re.search(r"\b(certutil|findstr|cd)\b", line) and not line.startswith("rem")
    ]
    assert max(guards) < min(used)


def test_every_bundle_has_the_scripts_and_their_digests(made: Path) -> None:
    assert {name: (made / name).read_bytes() for name in SCRIPTS} == checktxt.scripts()
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=made, check=True, capture_output=True)
    assert all(name in (made / "CHECK.txt").read_text() for name in SCRIPTS)


def test_scripts_have_the_line_ends_and_the_encoding_that_their_shells_read() -> None:
    for name, content in checktxt.scripts().items():
        if name == "check.cmd":  # read in the code page of the machine
            content.decode("ascii")
        # Windows PowerShell takes a file without this mark for one in that code page, too
        assert content.startswith(b"\xef\xbb\xbf") == (name == "check.ps1")
        wanted = 0 if name == "check.sh" else content.count(b"\n")
        assert content.count(b"\r\n") == wanted, name


def test_in_chinese_by_the_language_of_the_machine_or_when_asked(bundle: Path, run: Run) -> None:
    flip(bundle / "volume-0002.tar", 600)
    (bundle / "volume-0003.tar").unlink()
    code, text = run(bundle, "--lang", "zh")
    assert code == 4
    assert "损坏   第 2 卷，共 6 卷（volume-0002.tar） 已损坏：请把这块盘带回" in text
    assert "缺少   第 3 卷，共 6 卷（volume-0003.tar） 不在这块盘上" in text
    assert "有问题：损坏 1 个，缺少 1 个，完好 9 个。" in text
    assert run(bundle, "--lang=zh", "--subset")[1].count("在别处") == 1


@pytest.mark.parametrize(
    ("variables", "chinese"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_TW.utf8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.GBK"}, False),  # what we would print is not in that encoding
        ({}, False),
    ],
    ids=str,
)
def test_the_language_is_that_of_the_machine(variables: dict[str, str], chinese: bool, bundle: Path) -> None:
    done = subprocess.run(
        ["sh", bundle / "check.sh"], env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("完好：" if chinese else "GOOD: ")


def test_a_language_that_it_does_not_have_is_a_mistake(bundle: Path, run: Run) -> None:
    assert run(bundle, "--lang", "fr")[0] == 2
    assert run(bundle, "--lang")[0] == 2


def test_every_sentence_of_a_script_is_there_in_both_languages() -> None:
    sh = checktxt.scripts()["check.sh"].decode()
    chinese, english = re.split(r"^else\n", sh.partition("# What is said")[2].partition("\nfi\n")[0], flags=re.MULTILINE)
    names = [re.findall(r"(\w+)='", part) for part in (chinese, english)]
    assert set(names[0]) == set(names[1])
    ps1 = checktxt.scripts()["check.ps1"].decode("utf-8-sig")
    chinese, english = ps1.partition("# What is said")[2].partition("\r\n}\r\n\r\n")[0].split("} else {")
    keys = [set(re.findall(r"(\w+) = '", part)) for part in (chinese, english)]
    assert keys[0] == keys[1]
    assert set(re.findall(r"\$said\.(\w+)", ps1)) == keys[0]


def nodes(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


@pytest.mark.parametrize(
    ("name", "language"), [("check.ps1", tree_sitter_powershell.language), ("check.cmd", tree_sitter_batch.language)]
)
def test_windows_scripts_parse_by_their_grammar(name: str, language: Callable[[], object]) -> None:
    tree = tree_sitter.Parser(tree_sitter.Language(language())).parse(checktxt.scripts()[name])
    wrong = [(node.start_point, node.type) for node in nodes(tree.root_node) if node.is_error or node.is_missing]
    assert wrong == []


def test_the_powershell_script_uses_only_what_every_windows_has() -> None:
    source = checktxt.scripts()["check.ps1"]
    tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language())).parse(source)
    commands = {source[n.start_byte : n.end_byte].decode() for n in nodes(tree.root_node) if n.type == "command_name"}
    own = {"Get-Title", "Get-Digest"}
    assert commands - own == {"Split-Path", "Join-Path", "Test-Path", "Write-Output", "Where-Object", "Get-Item", "Get-ChildItem"}


def test_labels_of_the_batch_script_exist() -> None:
    lines = checktxt.scripts()["check.cmd"].decode().splitlines()
    labels = {line[1:].split()[0] for line in lines if line.startswith(":")}
    words = [line.split() for line in lines]
    wanted = {after[1:] for line in words for word, after in itertools.pairwise(line) if word == "call" and after[:1] == ":"}
    wanted |= {after for line in words for word, after in itertools.pairwise(line) if word == "goto"}
    assert wanted == labels
