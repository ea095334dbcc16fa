"""The same question about cosign signatures to skopeo and to us; needs a skopeo that has sigstore, which Debian 12's has not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from airgap import fsio
from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support.oneimage import one_image
from tests.support.policycases import CONFIG, DIGEST, HOSTS, MANIFEST
from tests.support.sigstorecases import SigstoreCase, build, make
from tests.support.sigstorekeys import Vault, open_vault

BAD, REJECTED, ACCEPTED = "bad policy", "rejected", "accepted"
_TAG = DIGEST.replace(":", "-") + ".sig"
_OCI = "application/vnd.oci.image.manifest.v1+json"

_PEM = r"(key-file|log-key-file|ca-file|certificate-text|chain-text|logged-pem) "
_CONSTRAINED = r"certificate (inhibit-any-critical|policies-critical|names-constrained|middle-names)|ca middle-names"
#: The whole list of what may be refused here and accepted by skopeo, by the changes about a signature; never the other way round.
STRICTER: Mapping[str, str] = {
    _PEM: "PEM with header lines, other labels, empty or indented lines, or more than the one block",
    r"key (rsa1024|p224)": "an RSA key below 2048 bits, or one on P-224",
    r"(keys|log-keys) and-(p224|rsa1024|k1)": "unsupported key type beside a good one",
    r"signature plain": "an ECDSA signature that is not DER",
    r"payload (large|deep|not-utf8|surrogate)": "a payload larger than 64 KiB, nested deeper than 32 levels, or no Unicode",
    r"(body|body-text|set-signature|entry|content)( later)? ": "a log entry or promise with unknown or odd fields",
    _CONSTRAINED: "certificates with name constraints or critical extensions about policies",
    r"certificate usage-other": "a certificate whose key usage is not for signatures",
    r"ca (and-broken|broken-first|and-key)": "a file of authorities with something else in it",
    r"chain long": "more than eight certificates carried",
    r"issuer v2-": "Fulcio's issuer in another string type than UTF8String",
    r"name sha384": "a name with a digest other than SHA-256 or SHA-512",
    r"pki (subjectHostname dot|intermediates none)": "a host name that ends in a dot, an empty file of intermediates",
}


@dataclass(frozen=True)
class SigstoreOutcome:
    """What both said about a case, and how we explain it; ``report`` when nothing does."""

    ours: str
    theirs: str
    changes: tuple[str, ...] = ()
    why: str = ""
    report: str = ""


@dataclass
class SigstoreJudges:
    """Both judges. A context manager: it holds a server and a directory."""

    vault: Vault
    skopeo: str
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> SigstoreJudges:
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="airgap-differential-")))
        self._content: dict[str, tuple[str, bytes]] = {}
        port = self._stack.enter_context(one_image(self._content))
        mapped = [f'[[registry]]\nprefix = "{host}"\nlocation = "127.0.0.1:{port}"\ninsecure = true\n' for host in HOSTS]
        (self.directory / "registries.conf").write_text("\n".join(mapped), encoding="utf-8")
        (self.directory / "registries.d").mkdir()
        (self.directory / "registries.d/default.yaml").write_text(
            "default-docker:\n  use-sigstore-attachments: true\n", encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ours(self, case: SigstoreCase) -> str:
        """Our verdict, at the same time of day as skopeo's."""
        return self.explained(case)[0]

    def explained(self, case: SigstoreCase) -> tuple[str, str]:
        """Our verdict and its reason."""
        try:
            policy = parse_policy(case.policy)
        except UsageError as mistake:
            return BAD, str(mistake)
        layers = [ev.SigstoreSignature(layer.payload, layer.annotations, "signature", layer.media_type) for layer in case.layers]
        with ImageJudge(policy, lambda path: fsio.read_input(Path(path), 1 << 20, "key file"), now=datetime.now(UTC)) as judge:
            verdict = judge.judge(Reference.parse(case.reference), ev.Evidence.of(MANIFEST, (), layers))
        return ACCEPTED if verdict.accepted else REJECTED, verdict.reason

    def theirs(self, case: SigstoreCase) -> tuple[str, str]:
        """skopeo's verdict and what it said."""
        shutil.rmtree(self.directory / "out", ignore_errors=True)
        self._serve(case)
        (self.directory / "policy.json").write_bytes(case.policy)
        command = (
            self.skopeo, "--policy", "policy.json", "--registries-conf", "registries.conf", "--registries.d", "registries.d",
            "--tmpdir", str(self.directory), "copy", "--remove-signatures", f"docker://{case.reference}", "dir:out",
        )  # fmt: skip
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory)}
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, check=False)
        said = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            return ACCEPTED, ""
        for sign, verdict in (("Error loading trust policy", BAD), ("Source image rejected", REJECTED)):
            if sign in said:
                return verdict, said.rpartition(sign)[2].strip()
        raise AssertionError(f"skopeo said neither yes nor no: {said}\n{case}")

    def compare(self, case: SigstoreCase) -> SigstoreOutcome:
        """Ask both."""
        (ours, reason), (theirs, said) = self.explained(case), self.theirs(case)
        if ours == theirs:
            return SigstoreOutcome(ours, theirs, case.changes)
        why = explanation(case) if ours == REJECTED and theirs == ACCEPTED else ""
        if why:
            return SigstoreOutcome(ours, theirs, case.changes, why)
        report = f"{case.kind}: {' + '.join(case.changes)}: ours {ours} ({reason[:200]}), skopeo {theirs} ({said[:300]})"
        return SigstoreOutcome(ours, theirs, case.changes, report=report)

    def _serve(self, case: SigstoreCase) -> None:
        self._content.clear()
        layers = []
        for layer in case.layers:
            digest = str(Digest.of(layer.payload))
            self._content[digest] = "application/octet-stream", layer.payload
            layers.append(
                {"mediaType": layer.media_type, "digest": digest, "size": len(layer.payload), "annotations": layer.annotations}
            )
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": str(Digest.of(CONFIG)), "size": len(CONFIG)}
        document = {"schemaVersion": 2, "mediaType": _OCI, "config": config, "layers": layers}
        if case.layers:
            self._content[_TAG] = _OCI, json.dumps(document).encode()


def explanation(case: SigstoreCase) -> str:
    """Why we may be stricter about a case: the reason of the first entry of the list that one of its changes fits."""
    return next((why for form, why in STRICTER.items() if any(re.match(form, change) for change in case.changes)), "")


def has_sigstore(skopeo: str) -> bool:
    """Whether this skopeo accepts a good cosign signature: Debian 12's has sigstore switched off."""
    with open_vault() as vault, SigstoreJudges(vault, skopeo) as judges:
        return judges.theirs(build(vault, "key", [], random.Random(1)))[0] == ACCEPTED


def check_range(vault: Vault, skopeo: str, seed: int, numbers: Sequence[int]) -> list[SigstoreOutcome]:
    """Compare the cases of a seed with these numbers."""
    with SigstoreJudges(vault, skopeo) as judges:
        return [judges.compare(make(vault, seed, number)) for number in numbers]
