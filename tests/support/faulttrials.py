"""One fault in one command, and what has to hold then: the rule that ``scripts/faults`` and ``tests/fault/test_faults.py`` check.

1. A command whose disk fails ends with an error of ours that blames the disk (6) or the file that the user named (2): never with a
   traceback, never by saying that something is damaged or refused, never with 0 unless everything is there and the call was one
   that may fail (:data:`MAY_FAIL`).
2. The same command again ends well, and then exactly what an undisturbed run leaves is there, once.
"""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import DAMAGED, MEDIA, REFUSED, USAGE
from tests.support.crash import Ended
from tests.support.faultcases import Case, Desks, contents
from tests.support.faults import ERRORS, Fault

#: Calls that may fail although the command ends well, as "kind library file": why.
MAY_FAIL = {
    "advise .*": "advice to the cache changes no bytes",
    "close libsqlite3.*": "SQLite has flushed before it closes, and a file that was only read loses nothing",
    "(open|fsync|close) libsqlite3[^/]* /[^/]+": "SQLite itself takes no notice of the directory of its journal",
    "open libsqlite3[^/]* /[^/]+/state.db": "SQLite reads what it cannot open for writing, where nothing is to be written",
    "stat [^ ]*python.*": "a look at what may be there: a wrong answer has no say in a result that is whole",
    "chmod [^ ]*python.*": "files get their mode when they are made; to keep that of an older one is a courtesy, and FAT has none",
    "(stat|fstat) libsqlite3.*": "SQLite asks whether its journal has links or is empty, and reads it where it is not told",
    "lock libsqlite3.*": "SQLite waits and tries again",
    "unlink libsqlite3.*": "SQLite tries again with the next transaction",
    "close [^ ]*python.*": "what was written counts since its fsync, which came before",
    "(open|read) [^ ]*python[^ ]* .*/SHA256SUMS": "media check and repair read it twice: to find the catalog, and to compare",
    "mkdir [^ ]*python.*": "a directory that is there already is asked for, too; one that is missing cannot be written into",
    r"lock fcntl.*/\S*(\.tmp|#\d+ \(deleted\))": "a temporary name without a lock is left alone by everybody",
    "(statvfs|write|fsync|link|rename) [^ ]*python[^ ]* /drop(/[^/]+)?": "watch writes a result that the medium does not take into "
    "results/ in the state (docs/watch.md)",
    "fstat [^ ]*python.*": "an open file is asked for its block size, and there is a default",
}
#: Where the bundle before lies.
_UNLISTED = "list [^ ]*python[^ ]* /out"
#: What repair reads.
_OF_A_BUNDLE = "(open|read|stat) [^ ]*python[^ ]* .*/(volume-|parity-|SHA256SUMS).*"
#: What a command says that could not look for leftovers, and does nothing else about it.
_NOT_LOOKED = "cannot look for leftovers of a killed command"
_RANDOM = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{8}\.|\d+")


@dataclass(frozen=True)
class Known:
    """What an undisturbed run of a case does: the calls in order (kind and file), and what it leaves."""

    calls: tuple[tuple[str, str], ...]
    leaves: Mapping[str, bytes]


@dataclass(frozen=True)
class Verdict:
    """What became of a fault. ``call``: the one that failed, empty when it was not reached; ``wrong``: empty when all is well."""

    fault: Fault
    call: str
    code: int
    wrong: str = ""
    left: tuple[str, ...] = ()


class Trials:
    """Tries faults on cases.

    Args:
        desks: where the commands run.
        cap: seconds that one command may take, or 0 for any; for scripts.
    """

    def __init__(self, desks: Desks, cap: int = 0) -> None:
        self._desks, self._cap = desks, cap
        self._known: dict[str, Known] = {}

    @property
    def root(self) -> Path:
        """The directory below which calls fail."""
        return self._desks.desk.root

    def known(self, case: Case) -> Known:
        """What an undisturbed run does; asked once."""
        if case.name not in self._known:
            desk = self._desks.set(case.stage)
            done = desk.crasher.fail(Fault(str(desk.root)), *desk.command(case.command))
            assert done.returncode == case.code, f"{case.name}: exit {done.returncode}\n{done.stderr}"
            calls = tuple((kind, name) for kind, _, name in (line.split(" ", 2) for line in done.points))
            self._known[case.name] = Known(calls, contents(desk.root, case.loose))
        return self._known[case.name]

    def choose(self, case: Case, count: int, seed: str = "") -> Iterator[Fault]:
        """Some faults, spread over kinds of calls and kinds of files; always the same for one seed."""
        chance = random.Random(f"{case.name} {seed}")
        places: dict[tuple[str, str], list[int]] = {}
        seen: dict[str, int] = {}
        for kind, name in self.known(case).calls:
            seen[kind] = seen.get(kind, 0) + 1
            places.setdefault((kind, _RANDOM.sub("*", name)), []).append(seen[kind])
        turns = list(places)
        chance.shuffle(turns)
        for turn in range(count):
            place = turns[turn % len(turns)]
            error, number = chance.choice(ERRORS[place[0]]), chance.choice(places[place])
            yield Fault(str(self.root), place[0], number, error, chance.random() < 0.3)

    def attempt(self, case: Case, fault: Fault) -> Verdict:
        """Run the command with the fault, then again without it."""
        known = self.known(case)
        desk = self._desks.set(case.stage)
        command = desk.command(case.command)
        failed = desk.crasher.fail(fault, *command, cap=self._cap)
        call = next((line[1:] for line in failed.points if line.startswith("!")), "")
        wrong = self._wrong(case, fault, failed, call)
        again = desk.crasher.fail(Fault(str(desk.root)), *command, cap=self._cap) if failed.returncode else failed
        if again.returncode != case.code:
            wrong += f"the same command again: exit {again.returncode}: {_last(again)}; "
        there = contents(desk.root, case.loose)
        extra, lost = sorted(there.keys() - known.leaves.keys()), sorted(known.leaves.keys() - there.keys())
        if case.rebuilds:
            extra = [name for name in extra if not name.endswith(".request.json")]  # of the run that could not read
        left = [name for name in extra if "/." in f"/{name}" or name.endswith(".tmp")]
        changed = sorted(name for name, data in known.leaves.items() if there.get(name, data) != data)
        if _unlisted(fault, call):
            changed = [name for name in changed if name != "report.html"]  # it has no bundle before then, and says so
        for what, found in (("more", [name for name in extra if name not in left]), ("missing", lost), ("different", changed)):
            if found:
                wrong += f"{what}: {', '.join(found[:4])}; "
        return Verdict(fault, call, failed.returncode, wrong, tuple(left))

    def _wrong(self, case: Case, fault: Fault, failed: Ended, call: str) -> str:
        if "Traceback" in failed.stderr:
            return f"a traceback: {_last(failed)}; "
        if (
            fault.error == errno.EACCES
            and re.fullmatch("open [^ ]* /keys/.*", call)
            and (failed.returncode == REFUSED or (case.reports and failed.stdout))
        ):
            return ""  # a key of the policy that may not be read vouches for nobody
        if _unlisted(fault, call) and failed.returncode == case.code:
            return ""  # where names may not be listed there is no bundle before for report
        if case.rebuilds and failed.returncode in (0, DAMAGED) and re.fullmatch(_OF_A_BUNDLE, call):
            return ""  # what cannot be read is rebuilt like what is damaged, or asked for
        if failed.returncode == case.code:
            may = not call or any(re.fullmatch(pattern, call) for pattern in MAY_FAIL) or _not_looked(call, failed)
            return "" if may else "exit 0 although the call failed; "
        told = failed.stderr.count("airgap: error: ") == 1 or (case.reports and failed.stdout)
        if failed.returncode not in (MEDIA, USAGE) or not told:
            return f"exit {failed.returncode}: {_last(failed)}; "
        return ""


def _unlisted(fault: Fault, call: str) -> bool:
    return fault.error == errno.EACCES and re.fullmatch(_UNLISTED, call) is not None


def _not_looked(call: str, ended: Ended) -> bool:
    """Whether a place was not looked through for leftovers, and the command said so."""
    return re.match("(open|list) ", call) is not None and _NOT_LOOKED in ended.stderr


def _last(ended: Ended) -> str:
    return " / ".join(line.strip() for line in ended.stderr.strip().splitlines()[-6:])[-500:]
