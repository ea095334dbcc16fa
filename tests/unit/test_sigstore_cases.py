"""What Sigstore's conformance suite checks of bundles, with bundles of our own: every verdict, and the reason of every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.sigstoreinstance.case import Case, World
from tests.support.sigstoreinstance.cases import CASES


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bundle_is_accepted_or_refused_for_this_reason(case: Case, world: World) -> None:
    refusal = case.fixture(world).refusal()
    assert (case.reason in refusal) if case.reason else refusal == ""


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/policy.md").read_text("utf-8").partition("## What is checked\n")[2]
    shown = re.findall(r"^\| (?!case \||---)(.+?) \| (accepted|refused) \| (.*?) ?\|$", text, re.MULTILINE)
    assert shown == [(case.name, "refused" if case.reason else "accepted", case.reason) for case in CASES]
