"""sigstore-python as the counterpart: of what it refuses, we accept nothing, whatever is changed in a good bundle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.sigstoreinstance.case import ARTIFACT, Case, World
from tests.support.sigstoreinstance.cases import CASES
from tests.support.sigstoreinstance.instance import IDENTITY, ISSUER, Instance
from tests.support.sigstoreinstance.mutations import changes, seeds
from tests.support.sigstoreinstance.verdicts import ours, requirement, subjects

if os.environ.get("AIRGAP_REQUIRE_TOOLS") != "1":
    pytest.importorskip("sigstore")

pytestmark = pytest.mark.slow("thousands of bundles")

Theirs: TypeAlias = Callable[[bytes], str]
KINDS = [seed.name for seed in seeds(Instance())]
#: What we accept of the cases and it does not, and why.
NOT_READ = {
    "an entry of kind intoto": "it reads no entries of kind intoto",
    "a known key and a log": "it reads no bundles without a certificate",
    "a known key, a log and a timestamp": "it reads no bundles without a certificate",
    "Rekor 2: a timestamp by an authority in use for the last time": "an authority's last second is past its end there",
}


def judge(root: Path, artifact: bytes = ARTIFACT) -> Theirs:
    """What sigstore-python says of a bundle by this trusted root: why it refuses it, or nothing."""
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    policy = Identity(identity=IDENTITY, issuer=ISSUER)

    def verdict(raw: bytes) -> str:
        try:
            bundle = Bundle.from_json(raw)
            verifier = Verifier(trusted_root=TrustedRoot.from_file(str(root)))
            if bundle._dsse_envelope is None:
                verifier.verify_artifact(artifact, bundle, policy)
            elif hashlib.sha256(artifact).hexdigest() not in subjects(verifier.verify_dsse(bundle, policy)[1]):
                return "about something else"
        except Exception as error:  # noqa: BLE001 - whatever ends it is a refusal
            return f"{type(error).__name__}: {error}"
        return ""

    return verdict


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_no_changed_bundle_is_accepted_that_sigstore_python_refuses(number: int, tmp_path: Path) -> None:
    instance = Instance()
    path = tmp_path / "trusted_root.json"
    path.write_bytes(instance.trusted_root_json())
    wanted, theirs = requirement(path.read_bytes()), judge(path)
    made = [*seeds(instance), *seeds(instance), *seeds(Instance())]
    seed = made[number]
    raw = json.dumps(seed.bundle).encode()
    assert ours(raw, ARTIFACT, path.read_bytes(), wanted) == theirs(raw) == ""
    tried, wrong = 0, []
    for label, changed in changes(seed, instance, [one for one in made if one is not seed]):
        tried += 1
        if not ours(changed, ARTIFACT, path.read_bytes(), wanted) and (refusal := theirs(changed)):
            wrong.append(f"{label}: {refusal}")
    assert wrong == []
    assert tried > 1000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_cases_that_are_accepted_are_accepted_by_sigstore_python_or_of_a_kind_that_it_does_not_read(
    case: Case, tmp_path: Path
) -> None:
    fixture = case.fixture(World())
    path = tmp_path / "trusted_root.json"
    path.write_text(json.dumps(fixture.root))
    refusal = judge(path, fixture.artifact)(fixture.raw)
    if not case.reason:
        assert bool(refusal) == (case.name in NOT_READ)
