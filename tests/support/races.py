"""Two commands started together: what is left must be what one after the other would have left.

A stage is a directory with all that two commands may share: states, bundles, stores, a real registry's data. It is put back before
every run, so the same paths and the same address mean the same things. Both orders are run first, and each command alone, for one
that ends with an error and has done nothing is as good as one that was never started.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.dockerregistry import DockerRegistry
from tests.support.life import Life, publish
from tests.support.site import CREATED, Site
from tests.support.walk import walk

STATES = ("state", "site-state", "other-state")
#: Times, what is random, and who did it are other ones in every run.
_PASSING = (
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), b"TIME"),
    (re.compile(rb"process \d+"), b"process PID"),
)
_COLUMNS = frozenset({"at", "reason", "id"})
#: What commands say when another one is in the way.
CLEAR = (2, 3, 6)

Arguments = tuple[object, ...]


@dataclass(frozen=True)
class Outcome:
    """What was left, and how each command ended (None: it was not started)."""

    left: Mapping[str, Any]
    codes: tuple[int | None, int | None]
    errors: tuple[str, str] = field(compare=False, default=("", ""))


class Stage:
    """A directory that two commands share; a context manager.

    Args:
        root: of the test.
        releases: the bundles, from which everything begins; they are copied.
    """

    def __init__(self, root: Path, releases: Life) -> None:
        self.root = root
        self.releases = releases
        self.world, self._kept = root / "world", root / "kept"
        self.world.mkdir(parents=True)
        shutil.copytree(releases.site.root, self.world / "site")
        self.site = Site(self.world / "site")
        self.bundles = [Path(shutil.copytree(bundle, self.world / "in" / bundle.name)) for bundle in releases.bundles]
        self.registry = DockerRegistry(self.world / "registry")
        self.target = f"docker://{self.registry.address}/mirror"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.registry.stop()

    def layout(self, serial: int) -> str:
        """A release as the list of an export."""
        return f"oci:{self.releases.site.root.parent}/layout-{serial}:origin.example/shop/app:latest"

    def keep(self) -> None:
        """What is there now is what every run begins with."""
        self.registry.stop()
        shutil.copytree(self.world, self._kept, symlinks=True)
        self.registry.restart()

    def run(self, first: Arguments | None, second: Arguments | None, offset: float | None = None) -> Outcome:
        """Put everything back and run both: one after the other, or with so many seconds between their starts."""
        self.registry.stop()
        shutil.rmtree(self.world)
        shutil.copytree(self._kept, self.world, symlinks=True)
        self.registry.restart()
        if offset is None:
            ended = [_ended(self._start(one)) if one else None for one in (first, second)]
        else:
            order = (first, second) if offset >= 0 else (second, first)
            one = self._start(order[0] or ())
            time.sleep(abs(offset))
            other = self._start(order[1] or ())
            ended = [_ended(one), _ended(other)]
            if offset < 0:
                ended.reverse()
        codes = (ended[0][0] if ended[0] else None, ended[1][0] if ended[1] else None)
        return Outcome(self._look(), codes, (ended[0][1] if ended[0] else "", ended[1][1] if ended[1] else ""))

    def _start(self, arguments: Arguments) -> subprocess.Popen[str]:
        state = next((str(one).removeprefix("@") for one in arguments if str(one).startswith("@")), "site-state")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.site.root / "home"),
            "AIRGAP_STATE": str(self.site.root / state),
            "AIRGAP_KEY_PASSPHRASE": "",
            "SOURCE_DATE_EPOCH": "1769860800",
        }
        command = [sys.executable, "-m", "airgap", *(str(one) for one in arguments if not str(one).startswith("@"))]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = {"registry": dict(sorted(walk(self.registry.address).tags.items()))}
        for name in STATES:
            found[name] = _state(self.site.root / name)
        for path in sorted(self.world.rglob("*")):
            name = path.relative_to(self.world)
            below = name.parts[:2]
            if path.is_file() and name.parts[0] != "registry" and not (below[0] == "site" and below[1:] and below[1] in STATES):
                found[f"file {name}"] = _content(path)
        return found


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output = process.communicate()[0]
    return process.returncode, output


def _content(path: Path) -> str:
    raw = path.read_bytes()
    if len(raw) < 1 << 20:
        for pattern, stands in _PASSING:
            raw = pattern.sub(stands, raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _state(directory: Path) -> dict[str, list[Any]]:
    """Everything in a state but for times, and what is there beside it but for locks."""
    if not (directory / "state.db").exists():
        return {}
    found: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(directory / "state.db")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        for name in names:
            if name == "memory":  # the latest time, and an id
                continue
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[1] not in _COLUMNS]
            order = " ORDER BY id" if name == "history" else ""
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name}{order}").fetchall()
            found[name] = [list(row) for row in rows] if name == "history" else sorted(map(repr, rows))
    found["files"] = sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.name.startswith(("state.db", "watch.json"))
    )
    return found


@dataclass(frozen=True)
class Meeting:
    """Two commands that may meet, and what comes before.

    Attributes:
        name: for people.
        before: makes what they find.
        first, second: their arguments; ``@DIR`` is the state below the site, ``site-state`` where there is none.
    """

    name: str
    before: Callable[[Stage], object]
    first: Callable[[Stage], Arguments]
    second: Callable[[Stage], Arguments]


@dataclass
class Judged:
    """How often a meeting ended as which order, and what was wrong."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def judge(meeting: Meeting, root: Path, releases: Life, times: int, seed: int) -> Judged:
    """Let two commands meet so many times."""
    chance = random.Random(f"{seed} {meeting.name}")
    judged = Judged(meeting.name)
    with Stage(root, releases) as stage:
        meeting.before(stage)
        first, second = meeting.first(stage), meeting.second(stage)
        stage.keep()
        alone = {"first alone": stage.run(first, None), "second alone": stage.run(None, second)}
        reverse = stage.run(second, first)
        orders = {
            "first, second": stage.run(first, second),
            "second, first": Outcome(reverse.left, (reverse.codes[1], reverse.codes[0])),
        }
        for _ in range(times):
            offset = chance.choice((0.05, 0.3, 1.0)) * chance.uniform(-1, 1)
            outcome = stage.run(first, second, offset)
            name = next((name for name, order in orders.items() if order == outcome), "") or _refused(outcome, alone)
            judged.counts[name or "WRONG"] = judged.counts.get(name or "WRONG", 0) + 1
            if not name:
                judged.wrong.append(_difference(outcome, {**orders, **alone}, offset))
    return judged


def _refused(outcome: Outcome, alone: Mapping[str, Outcome]) -> str:
    """Which of them alone this is like, where the other has said clearly why it did nothing."""
    for number, (name, single) in enumerate(alone.items()):
        other = outcome.codes[1 - number]
        text = outcome.errors[1 - number]
        clear = other in CLEAR and "airgap: error:" in text and "Traceback" not in text
        if clear and outcome.codes[number] == single.codes[number] and outcome.left == single.left:
            return f"{name}, the other refused"
    return ""


def _difference(outcome: Outcome, expected: Mapping[str, Outcome], offset: float) -> str:
    lines = [f"offset {offset:+.3f}, codes {outcome.codes}", *(f"  said: {text[-1500:]}" for text in outcome.errors)]
    for name, one in expected.items():
        lines.append(f"  unlike {name} (codes {one.codes}):")
        for key in sorted(outcome.left.keys() | one.left.keys()):
            got, wanted = outcome.left.get(key), one.left.get(key)
            if got != wanted:
                if isinstance(got, dict) and isinstance(wanted, dict):
                    inner = [part for part in sorted(got.keys() | wanted.keys()) if got.get(part) != wanted.get(part)]
                    lines += [f"    {key} {part}: {got.get(part)!r} instead of {wanted.get(part)!r}"[:600] for part in inner]
                else:
                    lines.append(f"    {key}: {got!r} instead of {wanted!r}"[:600])
    return "\n".join(lines)


# the meetings


def _import(stage: Stage, serial: int, target: str = "", *options: object) -> Arguments:
    return ("import", stage.bundles[serial - 1], "--to", target or stage.target, "--policy", stage.site.policy, "--quiet", *options)


def _filled(*serials: int) -> Callable[[Stage], object]:
    def fill(stage: Stage) -> None:
        for serial in serials:
            stage.site.run(*_import(stage, serial), state="site-state")

    return fill


def _planned(*serials: int) -> Callable[[Stage], object]:
    def plan(stage: Stage) -> None:
        _filled(*serials)(stage)
        stage.site.run("prune", stage.target, "--keep", 1, "--unlisted", "--plan", stage.world / "plan.json", state="site-state")
        name = f"{stage.releases.origin}/shop/app:1"
        stage.site.run(
            *("export", f"bundle:{stage.bundles[0]}:{name}", "--accept-unverified-bundles", "--stream", "other", "--serial", 1),
            *("--key", stage.site.key, "--out", stage.world / "in", "--created", CREATED),
        )

    return plan


def _nothing(stage: Stage) -> None:
    pass


def _export(stage: Stage, serial: int, out: str = "out", *options: object) -> Arguments:
    fixed = ("--stream", "lab", "--created", CREATED, "--key", stage.site.key, "--quiet", "@state")
    return ("export", stage.layout(serial), "--out", stage.world / out, *fixed, *options)


def _exported(stage: Stage) -> None:
    stage.site.run(*(one for one in _export(stage, 1) if one != "@state"))


def _other(stage: Stage) -> Arguments:
    target = ("--to", stage.target, "--policy", stage.site.policy, "--quiet")
    return ("import", stage.world / "in/other-0001", *target)


def _prune(stage: Stage) -> Arguments:
    return ("prune", stage.target, "--apply", stage.world / "plan.json", "--quiet")


def _rollback(stage: Stage, serial: int, *options: object) -> Arguments:
    return ("rollback", stage.target, "--stream", "prod", "--to", serial, "--quiet", *options)


def _receipt(stage: Stage, target: str = "") -> Arguments:
    return ("receipt", target or stage.target, "-o", stage.world / "receipt", "--site", "plant", "--quiet")


def _watch(stage: Stage) -> Arguments:
    fixed = ("--policy", stage.site.policy, "--once", "--settle", 0, "--quiet")
    return ("watch", stage.world / "drop", "--to", stage.target, *fixed)


def _dropped(serial: int, *before: int) -> Callable[[Stage], object]:
    def drop(stage: Stage) -> None:
        _filled(*before)(stage)
        shutil.copytree(stage.bundles[serial - 1], stage.world / "drop" / stage.bundles[serial - 1].name)

    return drop


def _parity(stage: Stage) -> None:
    """A bundle with parity, of which one volume is damaged."""
    options = ("--parity", 1, "--volume-size", "64KiB")
    stage.site.run(*(one for one in _export(stage, 1, "p", *options) if one != "@state"))
    bundle = stage.world / "p/lab-0001"
    raw = bytearray((bundle / "volume-0001.tar").read_bytes())
    raw[1000] ^= 1
    shutil.copytree(bundle, stage.world / "bad/lab-0001")
    (stage.world / "bad/lab-0001/volume-0001.tar").write_bytes(raw)


def _lost_state(stage: Stage) -> None:
    _filled(1)(stage)
    (stage.site.root / "site-state/state.db").unlink()


def _bad(stage: Stage) -> Path:
    return stage.world / "bad/lab-0001"


def _good(stage: Stage) -> Path:
    return stage.world / "p/lab-0001"


def _oci(stage: Stage) -> str:
    return f"oci:{stage.world / 'store'}"


def _keys(stage: Stage) -> Arguments:
    return ("keys", "generate", "--out", stage.world / "new-keys", "--type", "ed25519", "--quiet")


MEETINGS = (
    Meeting("import 1 / import 2", _nothing, lambda s: _import(s, 1), lambda s: _import(s, 2)),
    Meeting("import 1 / import 1", _nothing, lambda s: _import(s, 1), lambda s: _import(s, 1)),
    Meeting("import 2 / import 3 over 1", _filled(1), lambda s: _import(s, 2), lambda s: _import(s, 3)),
    Meeting("import 1 / import 2, layout", _nothing, lambda s: _import(s, 1, _oci(s)), lambda s: _import(s, 2, _oci(s))),
    Meeting(
        "import 1 / import 2, one archive",
        _nothing,
        lambda s: _import(s, 1, f"oci-archive:{s.world / 'a.tar'}", "--threads", 1),  # blobs lie in the order of arrival
        lambda s: _import(s, 2, f"oci-archive:{s.world / 'a.tar'}", "--threads", 1),
    ),
    Meeting("import / prune, one stream", _planned(1, 2), lambda s: _import(s, 3), _prune),
    Meeting("import of another stream / prune", _planned(1, 2, 3), _other, _prune),
    Meeting("import / rollback", _filled(1, 2), lambda s: _import(s, 3), lambda s: _rollback(s, 1)),
    Meeting("prune / rollback", _planned(1, 2, 3), _prune, lambda s: _rollback(s, 2, "--remove-new")),
    Meeting("prune / prune, one plan", _planned(1, 2, 3), _prune, _prune),
    Meeting("rollback / rollback", _filled(1, 2, 3), lambda s: _rollback(s, 1), lambda s: _rollback(s, 2)),
    Meeting("import / watch", _dropped(2), lambda s: _import(s, 1), _watch),
    Meeting("rollback / watch", _dropped(3, 1, 2), lambda s: _rollback(s, 1), _watch),
    Meeting("watch / watch", _dropped(2), _watch, _watch),
    Meeting("import / verify", _nothing, lambda s: _import(s, 1), lambda s: ("verify", s.bundles[0], "--policy", s.site.policy)),
    Meeting("receipt / import", _filled(1), _receipt, lambda s: _import(s, 2)),
    Meeting("receipt / prune", _planned(1, 2, 3), _receipt, _prune),
    Meeting("receipt / import, layout", lambda s: s.site.run(*_import(s, 1, _oci(s)), state="site-state"),
            lambda s: _receipt(s, _oci(s)), lambda s: _import(s, 2, _oci(s))),
    Meeting("history / import", _filled(1), lambda s: ("history", "--generations"), lambda s: _import(s, 2)),
    Meeting("mirror-config / import", _filled(1),
            lambda s: ("mirror-config", "--to", s.target, "--format", "list", "--out", s.world / "list"), lambda s: _import(s, 2)),
    Meeting("import / import, new state lost", _lost_state, lambda s: _import(s, 2, "", "--init-state"),
            lambda s: _import(s, 3, "", "--init-state")),
    Meeting("export / export, one place", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 2)),
    Meeting("export / export, the same", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 1)),
    Meeting("export / export, two places", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 2, "elsewhere")),
    Meeting("export / export, two states", _nothing, lambda s: _export(s, 1),
            lambda s: (*(one for one in _export(s, 1) if one != "@state"), "@other-state")),
    Meeting("export / merge", _exported, lambda s: _export(s, 2),
            lambda s: ("merge", s.world / "out/lab-0001", "--accept-unverified-bundles", "--out", s.world / "out",
                       "--stream", "lab", "--created", CREATED, "--key", s.site.key, "--quiet", "@state")),
    Meeting("media copy / media copy", _nothing, lambda s: ("media", "copy", s.bundles[0], s.world / "disk"),
            lambda s: ("media", "copy", s.bundles[0], s.world / "disk")),
    Meeting("media copy / media check", _nothing, lambda s: ("media", "copy", s.bundles[0], s.world / "disk"),
            lambda s: ("media", "check", s.bundles[0])),
    Meeting("media repair / media repair, in place", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "repair", _bad(s), "--in-place")),
    Meeting("media repair / media repair, --out", _parity, lambda s: ("media", "repair", _bad(s), "--out", s.world / "new"),
            lambda s: ("media", "repair", _bad(s), "--out", s.world / "new")),
    Meeting("media repair / media check", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "check", _bad(s))),
    Meeting("media repair / media copy", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "copy", _bad(s), s.world / "disk")),
    Meeting("media repair / import", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("import", _bad(s), "--to", s.target, "--policy", s.site.policy)),
    Meeting("media log / media log", _nothing, lambda s: ("media", "log", s.bundles[0], "--who", "Ada"),
            lambda s: ("media", "log", s.bundles[0], "--who", "Bob")),
    Meeting("keys / keys", _nothing, _keys, _keys),
)  # fmt: skip


def make_releases(root: Path) -> Life:
    """The releases that all meetings begin with; signatures are the same in every run."""
    return publish(root, "ed25519")


def chosen(names: Sequence[str]) -> list[Meeting]:
    """The meetings whose name has one of these in it; all when there are none."""
    return [one for one in MEETINGS if not names or any(name in one.name for name in names)]


def shown(judged: Judged) -> str:
    """One line for people."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(judged.counts.items()))
    return f"{judged.name}: {counts}" + "".join(f"\n{text}" for text in judged.wrong[:2])


def as_json(judged: Judged) -> str:
    """One line for machines."""
    return json.dumps({"name": judged.name, "counts": judged.counts, "wrong": judged.wrong})
