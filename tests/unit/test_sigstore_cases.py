"""What Sigstore's conformance suite checks of bundles, with bundles of our own: every verdict, and the reason of every refusal."""

from __future__ import annotations

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
