"""Two commands started together: what is left must be what one after the other would have left.

A stage is a directory with all that two commands may share: states, bundles, stores, a real registry's data. It is put back before
every run, so the same paths and the same address mean the same things. Both orders are run first, and each command alone, for one
that ends with an error and has done nothing is as good as one that was never started.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.dockerregistry import DockerRegistry
from tests.support.life import Life
from tests.support.site import Site
from tests.support.walk import walk

STATES = ("state", "site-state", "other-state")
#: Times, what is random, and who did it are other ones in every run.
_PASSING = (
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), b"TIME"),
    (re.compile(rb"process \d+"), b"process PID"),
)
_COLUMNS = frozenset({"at", "reason", "id"})
_MARK = re.compile(r"lost-[0-9a-f]{8}")
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
            below = path.relative_to(self.world).parts[:2]
            if path.is_file() and below[0] != "registry" and not (below[0] == "site" and below[1:] and below[1] in STATES):
                found[f"file {path.relative_to(self.world)}"] = _content(path)
        return found


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output = process.communicate()[0]
    return process.returncode, output


def _content(path: Path) -> str:
    raw = path.read_bytes()
    if path.parent.name == "new-keys":  # other ones in every run: what counts is that they belong together
        key = path.with_suffix(".key")
        public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], capture_output=True, check=False).stdout
        return str(public == path.with_suffix(".pub").read_bytes())
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
    if not any(found.values()):  # a state that remembers nothing is as good as none
        return {}
    found["files"] = sorted(
        _MARK.sub("lost-MARK", str(path.relative_to(directory)))
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


def shown(judged: Judged) -> str:
    """One line for people."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(judged.counts.items()))
    return f"{judged.name}: {counts}" + "".join(f"\n{text}" for text in judged.wrong[:2])
