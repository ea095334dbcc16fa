"""The conformance suite of Sigstore itself, where AIRGAP_SIGSTORE_CONFORMANCE names a checkout of sigstore/sigstore-conformance.

Its bundles may not be part of this repository; tests/unit/test_sigstore_cases.py shows the same facts with bundles made here.
The trusted root of the public instance is the one that comes with sigstore-python.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from airgap.errors import AirgapError
from tests.support.sigstoreinstance.verdicts import ours, requirement

_CHECKOUT = os.environ.get("AIRGAP_SIGSTORE_CONFORMANCE", "")
_BUNDLES = Path(_CHECKOUT, "test/assets/bundle-verify")
_CASES = sorted(path.name for path in _BUNDLES.iterdir() if path.is_dir()) if _CHECKOUT else []
_WORKFLOW = "sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml"
_IDENTITY = f"https://github.com/{_WORKFLOW}@refs/heads/main"
_ISSUER = "https://token.actions.githubusercontent.com"

pytestmark = pytest.mark.skipif(not _CHECKOUT, reason="AIRGAP_SIGSTORE_CONFORMANCE names no checkout")


def public_root() -> bytes:
    """The trusted root of the public instance."""
    found = importlib.util.find_spec("sigstore")
    if found is None or found.origin is None:
        pytest.skip("sigstore-python, which has the public instance's trusted root, is not installed")
    return Path(found.origin).with_name("_store").joinpath("https%3A%2F%2Ftuf-repo-cdn.sigstore.dev/trusted_root.json").read_bytes()


@pytest.mark.parametrize("name", _CASES)
def test_verdict_is_the_one_that_the_suite_expects(name: str) -> None:
    case = _BUNDLES / name

    def given(part: str, otherwise: str) -> str:
        return (case / part).read_text().strip() if (case / part).exists() else otherwise

    artifact = case / "artifact" if (case / "artifact").exists() else _BUNDLES / "a.txt"
    root = (case / "trusted_root.json").read_bytes() if (case / "trusted_root.json").exists() else public_root()
    key = (case / "key.pub").read_bytes() if (case / "key.pub").exists() else None
    try:
        wanted = requirement(root, given("identity", _IDENTITY), given("issuer", _ISSUER), key)
        refusal = ours((case / "bundle.sigstore.json").read_bytes(), artifact.read_bytes(), root, wanted)
    except AirgapError as error:
        refusal = error.what
    assert bool(refusal) == name.endswith("_fail"), refusal
