"""The disk fails under commands, call by call: they say so, and the next run finishes. ``scripts/faults`` tries many more."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import pytest

from tests.support import faults
from tests.support.cli import MEDIA
from tests.support.crash import crasher
from tests.support.faultcases import CASES, Case, Desks
from tests.support.faults import Fault
from tests.support.faulttrials import Trials

pytestmark = pytest.mark.slow("repeats whole commands many times")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    work = tmp_path_factory.mktemp("faults")
    with crasher(work / "home", faults.build(work)) as driver:
        yield Trials(Desks(work, driver))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_call_that_fails_is_told_and_the_same_command_again_leaves_one_whole_result(trials: Trials, case: Case) -> None:
    wrong = [verdict for fault in trials.choose(case, 4) if (verdict := trials.attempt(case, fault)).wrong]
    assert not wrong, "\n".join(f"{one.fault}: {one.call}: exit {one.code}: {one.wrong}" for one in wrong)


def test_a_fault_that_is_passed_over_in_silence_would_be_noticed(trials: Trials) -> None:
    """The shim works: the call that failed is in the log, and the command noticed it."""
    case = next(case for case in CASES if case.name == "verify")
    verdict = trials.attempt(case, next(fault for fault in trials.choose(case, 100) if fault.kind == "read"))
    assert verdict.call.startswith("read ")
    assert verdict.code != 0


def test_a_block_that_the_disk_does_not_give_is_no_damage_of_the_bundle_that_is_copied(trials: Trials) -> None:
    case = next(case for case in CASES if case.name == "media copy")
    reads = [name for kind, name in trials.known(case).calls if kind == "read"]
    numbers = [number for number, name in enumerate(reads, 1) if re.search("/out/.*/volume-", name)]
    assert numbers
    for number in numbers:
        verdict = trials.attempt(case, Fault(str(trials.root), "read", number, errno.EIO, for_ever=False))
        assert (verdict.code, verdict.wrong) == (MEDIA, ""), verdict
