"""What skopeo 1.22 accepts, as recorded, and what we accept of cosign signatures near the border: never more.

Debian 12's skopeo has sigstore switched off, so its newer sister was asked once (scripts/differential); where the one on this
machine has sigstore, a few generated cases are put to it, too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sigstorecases import KINDS, SigstoreCase, build, make
from tests.support.sigstoredifferential import ACCEPTED, BAD, REJECTED, STRICTER, SigstoreJudges, explanation, has_sigstore
from tests.support.sigstoreedits import EDITS
from tests.support.sigstorekeys import Vault, open_vault
from tests.support.tools import require

RECORDED = json.loads(Path(__file__).parents[1].joinpath("support/skopeo-1.22.json").read_bytes())
PARTS = 8

pytestmark = pytest.mark.slow("a wide matrix of signatures")


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    with open_vault() as opened:
        yield opened


def recorded(kind: str, name: str) -> str:
    return next((verdict for verdict in (ACCEPTED, BAD) if kind in RECORDED[verdict].get(name, ())), REJECTED)


def changed(vault: Vault, kind: str, number: int) -> SigstoreCase:
    """A good signature with one change about it, as it was put to skopeo."""
    edit = EDITS[number]
    return build(vault, kind, [edit], random.Random(f"{kind} {edit.name}"))


@pytest.mark.parametrize("part", range(PARTS))
def test_no_change_about_a_cosign_signature_is_accepted_that_skopeo_rejects(vault: Vault, part: int) -> None:
    for number in range(part, len(EDITS), PARTS):
        for kind in EDITS[number].kinds:
            case = changed(vault, kind, number)
            theirs = recorded(kind, EDITS[number].name) if case.changes else ACCEPTED
            ours = SigstoreJudges(vault, "").ours(case)
            stricter = ours == REJECTED and theirs == ACCEPTED and explanation(case)
            assert ours == theirs or stricter, f"{kind}, {EDITS[number].name}: ours {ours}, skopeo {theirs}"


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_a_good_cosign_signature_is_accepted(vault: Vault, kind: str) -> None:
    for seed in range(12):
        assert SigstoreJudges(vault, "").explained(build(vault, kind, [], random.Random(seed)))[0] == ACCEPTED


def test_every_change_has_a_name_of_its_own_and_every_entry_of_the_list_a_change() -> None:
    names = [edit.name for edit in EDITS]
    assert len(set(names)) == len(names)
    assert {*RECORDED[ACCEPTED], *RECORDED[BAD]} <= set(names)
    used = {explanation(SigstoreCase(kind, b"", "", (), (edit.name,))) for edit in EDITS for kind in edit.kinds}
    assert set(STRICTER.values()) <= used


def test_generated_cases_are_judged_as_by_the_skopeo_of_this_machine(vault: Vault) -> None:
    skopeo = require("skopeo")
    if not has_sigstore(skopeo):
        pytest.skip("this skopeo has sigstore switched off")
    with SigstoreJudges(vault, skopeo) as judges:
        reports = [outcome.report for number in range(60) if (outcome := judges.compare(make(vault, 2026, number))).report]
    assert not reports, "\n\n".join(reports)
