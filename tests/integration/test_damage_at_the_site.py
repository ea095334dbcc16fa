"""Damage that a command meets: every command tells the same, what it prints can be pasted, and ``--repair`` does it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from airgap.documents.request import ResendRequest
from airgap.format.names import parity_name, volume_name
from tests.support.bundles import catalog_of, flip
from tests.support.cli import DAMAGED, MEDIA, Words, failed, here
from tests.support.confidential import Reader
from tests.support.crash import crasher
from tests.support.desks import TOOL, VOLUME_SIZE, WEB, Made, make_bundles
from tests.support.drops import Drop, kinds
from tests.support.mediaset import make_bundle
from tests.support.mounts import make_read_only, small_disk

pytestmark = pytest.mark.slow("every command meets every kind of damage")

SECOND = volume_name(2)


def lose(bundle: Path) -> None:
    (bundle / SECOND).unlink()


def cut(bundle: Path) -> None:
    os.truncate(bundle / SECOND, 700)


def spoil(bundle: Path) -> None:
    flip(bundle / SECOND, 3)  # in the name of a tar header: whoever opens a bundle compares it


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lose, f"volume 2 of 3 ({SECOND}) is missing"),
    "truncated": (cut, f"volume 2 of 3 ({SECOND}) is truncated: 700 of"),
    "damaged": (spoil, f"volume 2 of 3 ({SECOND}) is damaged in its only block"),
}


@dataclass(frozen=True)
class Desk:
    """A bundle that something happens to, with or without parity, and the commands that meet it."""

    made: Made
    work: Path
    bundle: Path

    @property
    def store(self) -> Path:
        return self.work / "store"

    @property
    def state(self) -> Path:
        return self.work / "state"

    def command(self, name: str, *more: Path) -> Words:
        paths: Words = [self.bundle, *more]
        policy: Words = ["--policy", self.made.sender.policy]
        state: Words = ["--state", self.state]
        making: Words = ["--stream", "prod", "--key", self.made.sender.key, "--out", self.work / "out", *state]
        load: Words = ["import", *paths, "--to", f"oci:{self.store}", *policy, *state]
        return {
            "verify": ["verify", *paths, *policy],
            "import": load,
            "import --dry-run": [*load, "--dry-run"],
            "serve": ["serve", *paths, *policy, "--listen", "127.0.0.1:0"],
            "merge": ["merge", *paths, *making, *policy],
            "bundle:": ["export", f"bundle:{self.bundle}", "--bundle-policy", self.made.sender.policy, *making],
            "resolve": ["resolve", f"bundle:{self.bundle}", "--bundle-policy", self.made.sender.policy],
            "media copy": ["media", "copy", self.bundle.parent, self.work / "disk"],
            "policy explain": ["policy", "explain", WEB, *policy, *(w for path in paths for w in ("--bundle", path)), *state],
        }[name]

    def history(self) -> list[tuple[str, str, int]]:
        told = json.loads(here("history", "--state", self.state, "--json").stdout)["history"]
        return [(one["event"], f"{one['stream']}-{one['serial']}", one["exit_code"]) for one in told]


COMMANDS = ["verify", "import", "import --dry-run", "serve", "merge", "bundle:", "resolve", "policy explain", "media copy"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """As ``made``, with a parity file."""
    work = tmp_path_factory.mktemp("guarded")
    made = make_bundles(work)
    bundle = made.sender.bundle(made.origin, made.references, work / "parity", serial=3, volume_size=VOLUME_SIZE, parity=1)
    return replace(made, bundle=bundle)


def desk_of(made: Made, work: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(work / "home"))
    monkeypatch.setenv("TMPDIR", str(work / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("tmp", "disk"):
        (work / name).mkdir()
    monkeypatch.chdir(work)
    bundle = shutil.copytree(made.bundle, work / "a medium" / made.bundle.name)
    return Desk(made, work, bundle)


@pytest.fixture
def plain(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk_of(made, tmp_path, monkeypatch)


@pytest.fixture
def desk(guarded: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk_of(guarded, tmp_path, monkeypatch)


def printed(stderr: str) -> list[str]:
    """The words of the command that was printed, as a shell would take them."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("  airgap ")]
    return shlex.split(line)[1:]


# what is told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_volume_images_and_the_repair_that_helps(desk: Desk, command: str, kind: str) -> None:
    harm, problem = KINDS[kind]
    harm(desk.bundle)
    done = here(*desk.command(command))
    failed(
        done, DAMAGED, problem, f"2 images cannot be loaded: {WEB}, {TOOL}", "import and watch do both by themselves with --repair"
    )
    repair = printed(done.stderr)
    assert repair == ["media", "repair", str(desk.bundle), "--out", "prod-0003.repaired"]
    assert here(*repair).returncode == 0
    if command == "media copy":  # it takes what lies beside the bundle, too
        shutil.move("prod-0003.repaired", desk.bundle.parent)
        assert here(*desk.command(command)).returncode == 0
    elif command not in ("serve", "bundle:", "resolve"):  # which would go on for ever, or take one directory
        again = here(*desk.command(command, desk.work / "prod-0003.repaired"))
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_without_parity_every_command_tells_how_to_ask_for_what_is_lost(plain: Desk, command: str, kind: str) -> None:
    harm, problem = KINDS[kind]
    harm(plain.bundle)
    done = here(*plain.command(command))
    failed(done, DAMAGED, problem, f"2 images cannot be loaded: {WEB}, {TOOL}", "write a resend request")
    assert "--repair" not in done.stderr
    asking = printed(done.stderr)
    assert asking[-2:] == ["--request", "prod-0001.request.json"]
    assert here(*asking).returncode == DAMAGED
    request = ResendRequest.from_bytes((plain.work / "prod-0001.request.json").read_bytes(), "request")
    assert (request.bundle, list(request.blocks())) == ("prod-0001", [(SECOND, 0)])


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_second_copy_nothing_is_damaged(plain: Desk, kind: str) -> None:
    KINDS[kind][0](plain.bundle)
    for command in ("verify", "import --dry-run", "policy explain", "import"):
        done = here(*plain.command(command, plain.made.bundle))
        assert done.returncode == 0, done.stderr


def test_media_check_tells_the_same(desk: Desk) -> None:
    spoil(desk.bundle)
    shown = here("media", "check", desk.bundle).stdout
    told = here(*desk.command("verify")).stderr
    for text in (KINDS["damaged"][1], f"2 images cannot be loaded: {WEB}, {TOOL}", shlex.join(["airgap", *printed(told)])):
        assert text in shown
        assert text in told


def test_damage_inside_a_layer_is_told_as_a_whole_before_the_import_ends(desk: Desk) -> None:
    layer = max((one for one in catalog_of(desk.bundle).blobs.values() if one.extents), key=lambda one: one.size)
    hit = {}
    for extent in layer.extents:
        path = desk.bundle / volume_name(extent.volume)
        flip(path, extent.offset + extent.length // 2)
        hit[path.name] = extent
    flip(desk.bundle / parity_name(1), 5)
    done = here(*desk.command("import"))
    failed(done, DAMAGED, *hit, "parity file 1 of 1 (parity-0001.bin) is damaged", "write a resend request")
    assert not (desk.store / "index.json").exists() or not json.loads((desk.store / "index.json").read_bytes())["manifests"]


@pytest.mark.parametrize("repair", [(), ("--repair",)], ids=["", "with --repair"])
def test_a_partial_import_tells_what_is_missing_and_what_to_do(tmp_path: Path, repair: tuple[str, ...]) -> None:
    bundle = make_bundle(tmp_path)
    catalog = catalog_of(bundle)
    number = next(n for n in range(1, len(catalog.volumes) + 1) if any(n not in image.volumes for image in catalog.images))
    (bundle / volume_name(number)).unlink()
    place: Words = ["--to", f"oci:{tmp_path / 'store'}", "--policy", tmp_path / "sender/policy.json", "--state", tmp_path / "state"]
    done = here("import", bundle, *place, "--partial", *repair)
    assert done.returncode == 0, done.stderr
    told = next(line for line in done.stdout.splitlines() if line.startswith("note         volume"))
    assert f"({volume_name(number)}) is missing: 1 image cannot be loaded: " in told
    assert "--request prod-0001.request.json" in told


@pytest.mark.parametrize("kind", ["missing", "truncated"])
def test_a_report_says_on_its_page_and_in_its_result_what_is_missing(desk: Desk, kind: str) -> None:
    KINDS[kind][0](desk.bundle)
    done = here("report", desk.bundle, "-o", desk.work / "report.html", "--json")
    assert done.returncode == 0, done.stderr
    (remark,) = json.loads(done.stdout)["remarks"]
    assert KINDS[kind][1] in remark
    assert "airgap media repair " in remark
    assert SECOND in (desk.work / "report.html").read_text()


def test_a_base_whose_volumes_are_missing_is_told_in_the_same_words(desk: Desk) -> None:
    lose(desk.bundle)
    making: Words = ["--stream", "prod", "--serial", 9, "--key", desk.made.sender.key, "--out", desk.work / "out"]
    source = f"bundle:{desk.made.bundle}"
    done = here(
        "export", source, "--bundle-policy", desk.made.sender.policy, "--since", desk.bundle, *making, "--state", desk.state
    )
    assert KINDS["missing"][1] in done.stderr
    assert "airgap media repair " in done.stderr


def test_of_an_encrypted_bundle_it_is_said_that_the_images_cannot_be_told(made: Made, tmp_path: Path) -> None:
    site = Reader.make(tmp_path / "site")
    options = {"serial": 5, "volume_size": VOLUME_SIZE, "recipients": [site.site]}
    bundle = made.sender.bundle(made.origin, made.references, tmp_path / "usb", **options)
    lose(bundle)
    done = here("media", "check", bundle)
    assert done.returncode == DAMAGED
    assert "the catalog is encrypted, so the images that need these files cannot be told" in done.stdout
    opened = here("verify", bundle, "--policy", made.sender.policy, "--decrypt-key", site.private)
    failed(opened, DAMAGED, f"({SECOND}) is missing", f"2 images cannot be loaded: {WEB}, {TOOL}")


def test_in_one_line_a_command_ends_where_it_ends(desk: Desk) -> None:
    lose(desk.bundle)
    failed(here(*desk.command("import")), DAMAGED)
    command = shlex.join(["airgap", "media", "repair", str(desk.bundle), "--out", "prod-0003.repaired"])
    assert any(line.strip() == command for line in here("history", "--state", desk.state).stdout.splitlines())
    page = desk.work / "page.html"
    assert f"{command}; then name" in here("report", desk.bundle, "-o", page, "--state", desk.state).stdout


# repair


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.smoke("import")
def test_an_import_repairs_by_itself_and_leaves_nothing_behind(desk: Desk, kind: str) -> None:
    KINDS[kind][0](desk.bundle)
    before = {path.name: path.read_bytes() for path in desk.bundle.iterdir()}
    done = here(*desk.command("import"), "--repair", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["repaired"] == [{"file": SECOND, "present": kind != "missing", "rebuilt_blocks": 1, "copied_blocks": 0}]
    assert sorted(one["source"] for one in facts["names"]) == sorted([WEB, TOOL])
    assert list((desk.work / "tmp").iterdir()) == []
    assert {path.name: path.read_bytes() for path in desk.bundle.iterdir()} == before
    assert desk.history() == [("import", "prod-3", 0)]
    (event,) = json.loads(here("history", "--state", desk.state, "--json").stdout)["history"]
    assert f"repaired volume 2 of 3 ({SECOND}): 1 block rebuilt from parity" in event["reason"]
    assert ", repaired 1 volume\n" in here("history", "--state", desk.state).stdout


def test_the_result_for_people_says_what_was_repaired(desk: Desk) -> None:
    lose(desk.bundle)
    shown = here(*desk.command("import"), "--repair", "--scratch", desk.work).stdout
    assert f"repaired     volume 2 of 3 ({SECOND}): 1 block rebuilt from parity" in shown
    assert [path.name for path in desk.work.iterdir() if path.name.endswith(".tmp")] == []


def test_read_only_media_are_repaired_elsewhere_and_what_was_rebuilt_needs_no_custody_log(desk: Desk, tmp_path: Path) -> None:
    lose(desk.bundle)
    assert here("media", "log", desk.bundle, "--who", "Ann").returncode == 0
    with small_disk(tmp_path / "disc", "4m") as disc:
        shutil.copytree(desk.bundle, disc / desk.bundle.name)
        make_read_only(disc)
        done = here(*replace(desk, bundle=disc / desk.bundle.name).command("import"), "--repair", "--require-custody")
        assert done.returncode == 0, done.stderr


def test_what_parity_cannot_give_back_is_told_and_nothing_is_left(desk: Desk) -> None:
    lose(desk.bundle)
    flip(desk.bundle / parity_name(1), 5)
    done = here(*desk.command("import"), "--repair")
    failed(done, DAMAGED, "cannot be repaired from what is here", "write a resend request", "--request prod-0003.request.json")
    assert list((desk.work / "tmp").iterdir()) == []
    assert desk.history() == [("failed", "prod-3", DAMAGED)]


def test_a_scratch_that_is_too_small_ends_with_6_and_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    lose(desk.bundle)
    with small_disk(tmp_path / "small", "512k") as small:
        done = here(*desk.command("import"), "--repair", "--scratch", small)
        failed(done, MEDIA, "no space for repaired volumes", "--scratch")
        assert list(small.iterdir()) == []
    assert not (desk.store / "index.json").exists()
    assert desk.history() == [("failed", "prod-3", MEDIA)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("at", ["inside write new file #1", "before rename SHA256SUMS #1", "before write at target #1"])
def test_nothing_of_a_repair_stays_whatever_ends_it(desk: Desk, at: str, number: signal.Signals) -> None:
    lose(desk.bundle)
    scratch = desk.work / "scratch"
    scratch.mkdir()
    command: Words = [*desk.command("import"), "--repair", "--scratch", scratch]
    with crasher(desk.work / "home") as driver:
        assert driver.crash(at, *command, number=number).returncode in (130, -number)
        assert bool(list(scratch.iterdir())) == (number == signal.SIGKILL)
        assert driver.run(*command).returncode == 0
    assert list(scratch.iterdir()) == []
    assert [event for event, _, _ in desk.history()] == ["interrupted", "import"]


def test_a_repaired_volume_is_judged_like_any_other(desk: Desk) -> None:
    """A catalog that nobody vouches for is refused before anything is repaired."""
    lose(desk.bundle)
    other = type(desk.made.sender).make(desk.work / "other")
    done = here("import", desk.bundle, "--to", f"oci:{desk.store}", "--policy", other.policy, "--state", desk.state, "--repair")
    failed(done, 3, "signature")
    assert desk.history() == [("refused", "-0", 3)]


# watch


@pytest.fixture
def guarded_drop(guarded: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Drop(tmp_path, guarded.sender)


@pytest.mark.parametrize("kind", KINDS)
def test_watch_tells_the_same_and_repairs_by_itself(guarded_drop: Drop, guarded: Made, kind: str) -> None:
    harm, problem = KINDS[kind]
    place = guarded_drop.put_bundle(guarded.bundle)
    harm(place)
    code = DAMAGED if kind == "damaged" else 0
    (told,) = [one for one in guarded_drop.once(code=code) if one["event"] in ("waiting", "failed")]
    for text in (problem, WEB, TOOL, "airgap media repair "):
        assert text in told["message"]
    events = guarded_drop.once("--repair")
    assert kinds(events, "imported") == [("imported", "prod-0003")]
    assert guarded_drop.images() == sorted([WEB, TOOL])
    assert guarded_drop.result("prod-0003")["repaired"][0]["file"] == SECOND
    assert [path for path in guarded_drop.state.rglob("*") if path.name.endswith(".tmp")] == []


def test_watch_does_not_repair_what_may_still_arrive(guarded_drop: Drop, guarded: Made) -> None:
    place = guarded_drop.put_bundle(guarded.bundle)
    (place / SECOND).unlink()
    (place / parity_name(1)).unlink()
    assert kinds(guarded_drop.once("--repair"), "imported", "waiting") == [("waiting", "prod-0003")]
    shutil.copy(guarded.bundle / SECOND, place)
    assert kinds(guarded_drop.once("--repair"), "imported") == [("imported", "prod-0003")]
