"""A stick in the second month: several bundles of several streams on one or two media, among other things that lie there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.format import names
from tests.support.bundles import catalog_of, flip
from tests.support.cli import DAMAGED, REFUSED, USAGE, failed, here, tree
from tests.support.confidential import Reader
from tests.support.desks import TOOL, VOLUME_SIZE, WEB, Made
from tests.support.serving import Serving

ALL = ["lab-0007", "prod-0001", "prod-0002"]


@dataclass(frozen=True)
class Stick:
    """A mount point with bundles, and a site."""

    made: Made
    root: Path
    work: Path

    def site(self, command: str, *arguments: object, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run ``verify`` or ``import`` with the site's policy."""
        to = ["--to", f"oci:{self.work / 'store'}"] if command == "import" else []
        fixed = [*to, "--policy", self.made.sender.policy, "--state", self.work / "state", "--json"]
        return here(command, *(paths or (self.root,)), *fixed, *arguments)

    def put(self, bundle: Path, root: Path | None = None) -> Path:
        return Path(shutil.copytree(bundle, (root or self.root) / bundle.name))

    def history(self) -> list[tuple[str, str, int]]:
        """What the site did with each: event, bundle and exit code."""
        events = json.loads(here("history", "--state", self.work / "state", "--json").stdout)["history"]
        return [(one["event"], f"{one['stream']}-{one['serial']}", one["exit_code"]) for one in events]

    def images(self) -> list[str]:
        index = self.work / "store" / "index.json"
        found = json.loads(index.read_bytes())["manifests"] if index.exists() else []
        return sorted(name for one in found if (name := one.get("annotations", {}).get("org.opencontainers.image.ref.name")))


@pytest.fixture(scope="module")
def lab(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of another stream with the second image only."""
    out = tmp_path_factory.mktemp("lab")
    return made.sender.bundle(made.origin, made.references[1:], out, stream="lab", serial=7, volume_size=VOLUME_SIZE)


@pytest.fixture
def stick(made: Made, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stick:
    """Three bundles of two streams, beside photos, an unfinished export and a file."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Stick(made, tmp_path / "usb", tmp_path)
    for bundle in (made.newer, lab, made.bundle):
        found.put(bundle)
    (found.root / "photos").mkdir()
    (found.root / "photos" / "cat.jpg").write_bytes(b"meow")
    shutil.copytree(made.newer, found.root / "prod-0003.partial")
    (found.root / "notes.txt").write_text("shopping")
    return found


def told(done: subprocess.CompletedProcess[str], code: int = 0) -> list[dict[str, Any]]:
    """What a command says of every bundle."""
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    facts = json.loads(done.stdout)
    assert facts["exit_code"] == code
    found: list[dict[str, Any]] = facts["bundles"]
    return found


def outcomes(done: subprocess.CompletedProcess[str], code: int = 0) -> list[tuple[str, str]]:
    return [(one["bundle"], one["outcome"]) for one in told(done, code)]


def split(stick: Stick) -> Path:
    """Move the later volumes of every bundle to a second medium: with the catalog, or alone."""
    second = stick.work / "usb2"
    for number, bundle in enumerate(sorted(stick.root.glob("*-000[127]"))):
        place = second / f"part-{number}"
        place.mkdir(parents=True)
        for volume in sorted(bundle.glob("volume-*"))[1:]:
            volume.rename(place / volume.name)
        if number == 0:
            shutil.copy(bundle / names.CATALOG, place)
    return second


def test_verify_checks_each_in_the_order_of_stream_and_serial(stick: Stick) -> None:
    assert outcomes(stick.site("verify")) == [(name, "verified") for name in ALL]
    assert [one["verified"] for one in told(stick.site("verify"))] == [True] * 3


def test_one_bundle_is_told_as_ever(stick: Stick) -> None:
    facts = json.loads(stick.site("verify", paths=(stick.root / "prod-0001",)).stdout)
    assert (facts["bundle"], facts["verified"], "bundles" in facts) == ("prod-0001", True, False)


def test_import_loads_them_in_order_and_says_what_was_there(stick: Stick) -> None:
    assert outcomes(stick.site("import")) == [(name, "imported") for name in ALL]
    assert stick.images() == sorted([WEB, TOOL])
    again = told(stick.site("import"))
    assert [one["outcome"] for one in again] == ["already there", "passed over", "already there"]
    assert [one.get("already_there", one.get("reason")) for one in again] == [True, "imported before", True]


def test_their_volumes_may_be_spread_over_two_media(stick: Stick) -> None:
    second = split(stick)
    assert outcomes(stick.site("verify", paths=(second, stick.root))) == [(name, "verified") for name in ALL]
    assert outcomes(stick.site("import", paths=(stick.root, second))) == [(name, "imported") for name in ALL]
    assert stick.images() == sorted([WEB, TOOL])


def test_a_failure_stops_its_stream_and_no_other(stick: Stick) -> None:
    flip(stick.root / "prod-0001" / "volume-0001.tar", 100)
    done = stick.site("import")
    assert outcomes(done, DAMAGED) == [("lab-0007", "imported"), ("prod-0001", "failed"), ("prod-0002", "not tried")]
    _, bad, waiting = told(done, DAMAGED)
    assert (bad["exit_code"], waiting["waits_for"]) == (DAMAGED, "prod-0001")
    assert "volume-0001.tar" in bad["where"]
    assert "airgap: error: the bundle prod-0001 is damaged: volume 1 of " in done.stderr
    assert stick.images() == [TOOL]
    assert outcomes(stick.site("verify"), DAMAGED) == [("lab-0007", "verified"), ("prod-0001", "failed"), ("prod-0002", "verified")]
    shutil.copy(stick.made.bundle / "volume-0001.tar", stick.root / "prod-0001")
    assert [outcome for _, outcome in outcomes(stick.site("import"))] == ["already there", "imported", "imported"]


def test_a_missing_volume_is_said_of_its_bundle(stick: Stick) -> None:
    (stick.root / "prod-0002" / "volume-0001.tar").unlink()
    done = stick.site("import")
    assert outcomes(done, DAMAGED) == [("lab-0007", "imported"), ("prod-0001", "imported"), ("prod-0002", "failed")]
    assert "prod-0002 is incomplete" in done.stderr


def test_damage_of_one_is_told_as_if_it_lay_there_alone_and_the_history_has_each(stick: Stick) -> None:
    flip(stick.root / "prod-0001" / "volume-0001.tar", 100)
    bad = told(stick.site("import"), DAMAGED)[1]
    alone = json.loads(stick.site("import", paths=(stick.root / "prod-0001",)).stdout)
    assert alone.pop("schema") == "airgap.error/1"
    assert {name: bad[name] for name in alone} == alone
    assert "airgap media repair" in bad["next"]
    assert stick.history() == [("import", "lab-7", 0), ("failed", "prod-1", DAMAGED), ("failed", "prod-1", DAMAGED)]


@pytest.mark.parametrize("missing", [False, True])
def test_each_is_repaired_if_its_own_parity_suffices(stick: Stick, missing: bool) -> None:
    made = stick.made
    made.sender.bundle(made.origin, made.references, stick.root, stream="spare", serial=1, volume_size=VOLUME_SIZE, parity=1)
    for name in ("prod-0001", "spare-0001"):
        volume = stick.root / name / "volume-0002.tar"
        if missing:
            volume.unlink()
        else:
            flip(volume, 100)
    before = tree(stick.root)
    done = stick.site("import", "--repair", "--replace-names")
    said = ["imported", "failed", "not tried", "imported"]
    assert outcomes(done, DAMAGED) == list(zip([*ALL, "spare-0001"], said, strict=True))
    lab, lost, _, mended = told(done, DAMAGED)
    assert (lab["repaired"], [one["file"] for one in mended["repaired"]]) == ([], ["volume-0002.tar"])
    assert "prod-0001.request.json" in lost["next"]
    assert stick.history() == [("import", "lab-7", 0), ("failed", "prod-1", DAMAGED), ("import", "spare-1", 0)]
    assert tree(stick.root) == before


def test_a_bundle_that_nobody_vouches_for_is_refused_after_the_others(stick: Stick) -> None:
    for signature in (stick.root / "lab-0007").glob("*.sig"):
        signature.unlink()
    done = told(stick.site("import"), REFUSED)
    assert [one["outcome"] for one in done] == ["imported", "imported", "failed"]
    assert (done[2]["bundle"], done[2]["directories"]) == ("", [str(stick.root / "lab-0007")])
    assert f"airgap: error: {stick.root / 'lab-0007'}: " in stick.site("verify").stderr


def test_a_damaged_catalog_on_one_of_two_media_is_damage_of_its_bundle(stick: Stick) -> None:
    copy = stick.put(stick.made.bundle, stick.work / "usb2")
    flip(copy / names.CATALOG, 40)
    done = stick.site("import", paths=(stick.root, stick.work / "usb2"))
    assert outcomes(done, DAMAGED) == [("lab-0007", "imported"), ("prod-0001", "failed"), ("prod-0002", "not tried")]
    assert "one catalog is damaged" in done.stderr


def test_bundles_of_earlier_months_do_not_stop_the_new_one(stick: Stick) -> None:
    shutil.rmtree(stick.root / "prod-0001")
    assert outcomes(stick.site("import")) == [("lab-0007", "imported"), ("prod-0002", "imported")]
    stick.put(stick.made.bundle)  # older, and never imported here
    made = stick.made.sender.bundle(stick.made.origin, stick.made.references, stick.work / "out", serial=3, volume_size=VOLUME_SIZE)
    stick.put(made)
    done = told(stick.site("import"))
    assert [one["outcome"] for one in done] == ["already there", "passed over", "passed over", "imported"]
    assert "--allow-older" in done[1]["reason"]
    only_old = stick.site("import", paths=(stick.root / "prod-0001",))
    failed(only_old, REFUSED, "older than the newest one")


def test_a_dry_run_writes_nothing_and_says_each(stick: Stick) -> None:
    assert outcomes(stick.site("import", "--dry-run")) == [(name, "previewed") for name in ALL]
    assert not (stick.work / "store").exists()


def test_an_archive_takes_one_bundle_so_it_is_asked_for(stick: Stick) -> None:
    to = f"oci-archive:{stick.work / 'x.tar'}"
    done = here("import", stick.root, "--to", to, "--policy", stick.made.sender.policy, "--state", stick.work / "state")
    failed(done, USAGE, "takes one bundle", *ALL)
    assert "damaged" not in done.stderr


def test_inspect_shows_each(stick: Stick) -> None:
    done = told(here("inspect", stick.root, "--json"))
    assert [(one["stream"], one["serial"], one["outcome"]) for one in done] == [
        ("lab", 7, "shown"), ("prod", 1, "shown"), ("prod", 2, "shown")
    ]  # fmt: skip
    text = here("inspect", stick.root).stdout
    assert "bundle       prod-0002, created" in text
    assert "result       3 bundles: 3 shown" in text


def test_inspect_says_which_files_are_not_there(stick: Stick) -> None:
    lost = stick.root / "prod-0001" / names.volume_name(2)
    lost.unlink()
    (line,) = [line for line in here("inspect", lost.parent).stdout.splitlines() if "MISSING" in line]
    assert line.startswith(f"volume       {lost.name} ")
    facts = json.loads(here("inspect", lost.parent, "--json").stdout)
    assert [one["present"] for one in facts["volumes"]] == [True, False, True]


def test_media_check_checks_each_and_names_the_bad_one(stick: Stick) -> None:
    assert here("media", "check", stick.root).returncode == 0
    flip(stick.root / "prod-0002" / "volume-0001.tar", 20_000)
    done = here("media", "check", stick.root, split(stick), "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["exit_code"]) == (DAMAGED, DAMAGED)
    assert {one["bundle"]: one["result"] for one in facts["bundles"]} == {
        "lab-0007": "good", "prod-0001": "good", "prod-0002": "damaged"
    }  # fmt: skip


def test_a_directory_gets_one_report_each_and_a_file_one_of_a_named_bundle(stick: Stick) -> None:
    pages = stick.work / "pages"
    pages.mkdir()
    assert outcomes(here("report", stick.root, "-o", pages, "--json")) == [(name, "written") for name in ALL]
    assert sorted(page.name for page in pages.iterdir()) == [f"{name}.html" for name in ALL]
    assert outcomes(here("report", stick.root, "-o", f"{stick.work}/new/", "--json")) == [(name, "written") for name in ALL]
    assert sorted(page.name for page in (stick.work / "new").iterdir()) == [f"{name}.html" for name in ALL]
    chosen(here("report", stick.root, "-o", stick.work / "one.html"), stick)
    assert (stick.work / "one.html").exists()


def test_the_log_of_a_stick_is_the_log_of_all_its_bundles(stick: Stick) -> None:
    result = stick.work / "check.json"
    assert here("media", "check", stick.root, "--result", result).returncode == 0
    done = here("media", "log", stick.root, "--who", "Anna", "--result", result, "--json")
    assert outcomes(done) == [(name, "logged") for name in ALL]
    shown = told(here("media", "log", stick.root, "--show", "--json"))
    assert [[entry["who"] for entry in one["entries"]] for one in shown] == [["Anna"]] * 3
    flip(stick.root / "prod-0001" / names.CUSTODY, 30)
    assert [one["exit_code"] for one in told(here("media", "log", stick.root, "--show", "--json"), DAMAGED)] == [0, DAMAGED, 0]


def chosen(done: subprocess.CompletedProcess[str], stick: Stick, code: int = 0, name: str = "prod-0001") -> None:
    """A command asked which bundle is meant: one of the commands that it prints, as it stands, does the work."""
    failed(done, USAGE, *ALL)
    assert "damaged" not in done.stderr
    lines = [line.strip() for line in done.stderr.splitlines()]
    (line,) = (line for line in lines if line.startswith("airgap ") and str(stick.root / name) in shlex.split(line))
    found = here(*shlex.split(line)[1:])
    assert found.returncode == code, found.stderr


def test_where_one_must_be_chosen_the_whole_command_is_printed(stick: Stick) -> None:
    second = stick.work / "a second.key"
    shutil.copy(stick.made.sender.key, second)
    chosen(here("sign", stick.root, "--key", second), stick)
    chosen(here("media", "repair", stick.root, "--out", stick.work / "repaired"), stick)
    (stick.work / "copy").mkdir()
    chosen(here("media", "copy", f"{stick.root}/", stick.work / "copy"), stick)
    chosen(here("diff", stick.root, stick.made.newer), stick)
    key = ["--key", stick.made.sender.key, "--state", stick.work / "exporter"]
    merge = ["--out", stick.work / "merged", "--stream", "prod", "--accept-unverified-bundles", *key]
    chosen(here("merge", stick.root, *merge), stick)
    layout = f"oci:{stick.work / 'store'}"
    assert stick.site("import", paths=(stick.root / "lab-0007",)).returncode == 0
    since = [f"--since={stick.root}", "--out", stick.work / "out", "--stream", "next", *key]
    done = here("export", f"{layout}:{TOOL}", *since)
    failed(done, USAGE, f"--since={stick.root / 'prod-0002'}")
    done = here(
        "export", f"bundle:{stick.root}:{WEB}", "--accept-unverified-bundles", "--out", stick.work / "out2", "--stream", "x", *key
    )
    failed(done, USAGE, "several bundles here", "name one of them")


def test_pairs_of_one_stick_are_compared_and_none_with_itself(stick: Stick) -> None:
    done = here("diff", stick.root, stick.root)
    failed(done, USAGE, *ALL)
    printed = [shlex.split(line.strip())[1:] for line in done.stderr.splitlines() if line.strip().startswith("airgap diff")]
    assert [[Path(word).name for word in words] for words in printed] == [["diff", *ALL[:2]], ["diff", *ALL[1:]]]
    assert here(*printed[1]).returncode == 0
    beside = here("diff", stick.root / "prod-0001", stick.root).stderr
    assert f"airgap diff {stick.root / 'prod-0001'} {stick.root / 'prod-0002'}\n" in beside
    assert f"airgap diff {stick.root / 'prod-0001'} {stick.root / 'prod-0001'}\n" not in beside


def test_a_request_says_itself_which_bundle_it_is_about(stick: Stick) -> None:
    bundle = stick.root / "prod-0001"
    (bundle / "volume-0002.tar").unlink()
    asked = here("media", "repair", bundle, "--out", stick.work / "repaired", "--request", stick.work / "request.json")
    assert asked.returncode == DAMAGED
    shutil.copy(stick.made.bundle / "volume-0002.tar", bundle)
    before = tree(stick.root)
    done = here("export", "--resend", stick.work / "request.json", stick.root, "--out", stick.work / "answer", "--json")
    assert done.returncode == 0, done.stderr
    assert tree(stick.root) == before
    shutil.move(json.loads(done.stdout)["supplement"], stick.root / "sent-again")
    (bundle / "volume-0002.tar").unlink()
    assert outcomes(stick.site("import")) == [(name, "imported") for name in ALL]
    assert catalog_of(bundle).serial == 1


@pytest.mark.parametrize("verified", [True, False])
def test_serve_hands_out_all_of_them_and_leaves_out_the_bad_one(stick: Stick, verified: bool) -> None:
    if verified:
        next((stick.root / "lab-0007").glob("*.sig")).unlink()
    options = ["--policy", stick.made.sender.policy] if verified else []
    with Serving(stick.work, stick.root, *options) as serving:
        for name in (WEB, TOOL):
            repository, _, tag = name.rpartition(":")
            assert serving.ask(f"/v2/{repository}/manifests/{tag}").status == 200
        assert serving.ask("/metrics").body.decode().count("airgap_bundle_serial{") == (1 if verified else 2)
        if verified:
            serving.said("lab-0007")


def test_an_encrypted_bundle_among_them_is_refused_without_its_key_and_imported_with_it(stick: Stick, tmp_path: Path) -> None:
    made, reader = stick.made, Reader.make(tmp_path / "reader")
    closed = made.sender.bundle(
        made.origin, made.references, tmp_path / "out", serial=3, volume_size=VOLUME_SIZE, recipients=[reader.site]
    )
    stick.put(closed)
    assert outcomes(stick.site("import"), REFUSED)[-1] == ("prod-0003", "failed")
    found = [outcome for _, outcome in outcomes(stick.site("import", "--decrypt-key", reader.private))]
    assert found == ["already there", "passed over", "passed over", "imported"]
