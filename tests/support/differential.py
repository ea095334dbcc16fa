"""The same question to skopeo and to us: policy, reference and signatures in; bad policy, rejected or accepted out.

skopeo pulls from a registry of ours on loopback, to which registries.conf maps every host, with a lookaside directory per case.
``DIFFERENCES`` is the whole list of what may differ; anything else is a failure with a reproducer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airgap import fsio
from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support import signatureforms
from tests.support.oneimage import one_image
from tests.support.policycases import DIGEST, HOSTS, MANIFEST, ODD_NAMES, Blob, Case, make
from tests.support.signatureforms import Forge
from tests.support.tools import require

BAD, REJECTED, ACCEPTED = "bad policy", "rejected", "accepted"


@dataclass(frozen=True)
class Difference:
    """Something in which we and skopeo 1.9.3 may differ.

    ``subject`` is ``policy``, ``key`` or ``signature``. The claim is checked: with the signatures in question left out, or made by
    the primary key where a subkey made them, or with the key files in question missing, both must say what we said.
    """

    subject: str
    name: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    reason: str


def _refused_signature(name: str, reason: str) -> Difference:
    return Difference("signature", name, (REJECTED,), (ACCEPTED,), reason)


def _refused_policy(name: str, reason: str) -> Difference:
    return Difference("policy", name, (BAD,), (REJECTED, ACCEPTED), reason)


#: Where we are stricter.
STRICTER = (
    _refused_signature("text-mode", "signed as text (class 01): line ends are not covered"),
    _refused_signature("trailing-packet", "packets after the message, which containers-signature(5) forbids"),
    _refused_signature("sha1", "signed over SHA-1, which collides"),
    _refused_signature("bzip2", "compressed otherwise than with ZIP or ZLIB"),
    _refused_signature("old-order", "the signature before the data, as PGP 2 wrote it"),
    _refused_signature("large", "more than 64 KiB"),
    _refused_signature("invalid-utf8-payload", "a payload that is not UTF-8"),
    _refused_signature("deep-payload", "a payload nested deeper than 32 levels"),
    _refused_signature("sha384-name", "a docker-reference with a digest other than SHA-256 or SHA-512"),
    Difference("key", "not-a-key", (REJECTED,), (ACCEPTED,), "one of several key files has no key in it"),
    _refused_policy("not-unicode", "not valid Unicode"),
    _refused_policy("not-a-stream", "a scope under airgap that is not a stream name"),
    _refused_policy("atomic-scope", "a bad scope under atomic, a transport that Debian's skopeo is built without"),
    _refused_policy("respelled", "a docker scope, or a name in a signedIdentity, in another spelling than names have"),
    _refused_policy("empty-path", "an empty keyPath in sigstoreSigned"),
    _refused_policy("sha384-name", "a signedIdentity with a digest other than SHA-256 or SHA-512"),
    _refused_policy("byte-list", "a list in place of the base64 text of keyData: its numbers are the bytes there"),
    _refused_policy("long-port", "a signedIdentity with a port of more than five digits"),
)
#: Where we are not stricter but later, or where a bad signature must not spoil a good one.
OTHERWISE = (
    Difference("signature", "garbage", (ACCEPTED,), (REJECTED,), "a file that is no signature spoils the others there, not here"),
    Difference(
        "signature", "subkey", (ACCEPTED,), (REJECTED,), "a signing subkey counts as its primary key, as upstream has it since"
    ),
    Difference("policy", "newer-field", (REJECTED, ACCEPTED), (BAD,), "fields of sigstoreSigned that came after 1.9.3"),
)
#: Where we are stricter than newer versions alone.
STRICTER_THAN_NEWER = (_refused_policy("null", "null in place of a second key field in sigstoreSigned"),)
DIFFERENCES = STRICTER + OTHERWISE


@dataclass(frozen=True)
class Outcome:
    """What both said; ``difference`` is the one that explains why not the same, ``report`` a reproducer when nothing does."""

    ours: str
    theirs: str
    difference: Difference | None = None
    report: str = ""


@dataclass
class Judges:
    """Both judges, with the keys of one :class:`Forge`. A context manager: it holds a server and a directory.

    ``skopeo`` is the program, by default the one on the path.
    """

    forge: Forge
    skopeo: str = ""
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Judges:
        self._skopeo = self.skopeo or require("skopeo")
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="airgap-differential-")))
        port = self._stack.enter_context(one_image())
        mapped = [f'[[registry]]\nprefix = "{host}"\nlocation = "127.0.0.1:{port}"\ninsecure = true\n' for host in HOSTS]
        (self.directory / "registries.conf").write_text("\n".join(mapped), encoding="utf-8")
        (self.directory / "registries.d").mkdir()
        self._lookaside = self.directory / "lookaside"
        (self.directory / "registries.d/default.yaml").write_text(
            f"default-docker:\n  lookaside: file://{self._lookaside}\n", encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ours(self, case: Case) -> str:
        """Our verdict."""
        try:
            policy = parse_policy(self.forge.filled(case.policy))
        except UsageError:
            return BAD
        found = ev.Evidence.of(MANIFEST, [ev.GpgSignature(blob, f"signature-{i}") for i, blob in enumerate(self._visible(case), 1)])
        with ImageJudge(policy, lambda path: fsio.read_input(Path(path), 1 << 20, "key file")) as judge:
            return ACCEPTED if judge.judge(Reference.parse(case.reference), found).accepted else REJECTED

    def theirs(self, case: Case) -> str:
        """skopeo's verdict."""
        shutil.rmtree(self._lookaside, ignore_errors=True)
        shutil.rmtree(self.directory / "out", ignore_errors=True)
        place = self._lookaside / f"{_path(case.reference)}@{DIGEST.replace(':', '=')}"
        place.mkdir(parents=True)
        for number, blob in _numbered(case.blobs):
            (place / f"signature-{number}").write_bytes(self.forge.blob(blob))
        (self.directory / "policy.json").write_bytes(self.forge.filled(case.policy))
        command = (
            self._skopeo, "--policy", "policy.json", "--registries-conf", "registries.conf", "--registries.d", "registries.d",
            "--tmpdir", str(self.directory), "copy", "--remove-signatures", f"docker://{case.reference}", "dir:out",
        )  # fmt: skip
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory)}
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, check=False, timeout=120)
        said = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            return ACCEPTED
        if "Error loading trust policy" in said:
            return BAD
        if "Source image rejected" in said:
            return REJECTED
        raise AssertionError(f"skopeo said neither yes nor no: {said}\n{self.describe(case)}")

    def compare(self, case: Case) -> Outcome:
        """Ask both, and explain a difference by the list."""
        ours, theirs = self.ours(case), self.theirs(case)
        if ours == theirs:
            return Outcome(ours, theirs)
        difference = self._explained(case, ours, theirs)
        if difference is not None:
            return Outcome(ours, theirs, difference)
        smallest = self._shrunk(case)
        report = f"ours: {self.ours(smallest)}, skopeo: {self.theirs(smallest)}\n{self.describe(smallest)}"
        return Outcome(ours, theirs, report=report)

    def describe(self, case: Case) -> str:
        """A case for a person."""
        blobs = [f"  signature-{number}: {blob}" for number, blob in _numbered(case.blobs)]
        policy = case.policy.decode(errors="backslashreplace")
        return "\n".join([f"reference: {case.reference}", f"policy: {policy}", *blobs, f"marks: {', '.join(case.marks) or 'none'}"])

    def _visible(self, case: Case) -> list[bytes]:
        """The signatures up to the first gap in their numbers, as containers-signature(5) has it."""
        return [self.forge.blob(blob) for expected, (number, blob) in enumerate(_numbered(case.blobs), 1) if number == expected]

    def _explained(self, case: Case, ours: str, theirs: str) -> Difference | None:
        visible = [blob for expected, (number, blob) in enumerate(_numbered(case.blobs), 1) if number == expected]
        names = {name for blob in visible for name in self._names(blob)}
        fitting = [found for found in (*DIFFERENCES, *STRICTER_THAN_NEWER) if ours in found.ours and theirs in found.theirs]
        for found in fitting:
            if found.subject == "policy" and found.name in case.marks:
                return found
        for found in fitting:
            if found.subject == "signature" and found.name in names:
                rest = dataclasses.replace(case, blobs=tuple(self._plain(visible)))
                if self.ours(rest) == self.theirs(rest) == ours:
                    return found
        missing = case.policy.replace(b"@empty@", b"@missing@").replace(b"@not-a-key@", b"@missing@")
        rest = dataclasses.replace(case, policy=missing)
        if missing != case.policy and self.ours(rest) == self.theirs(rest) == ours:
            return next((found for found in fitting if found.subject == "key"), None)
        return None

    def _plain(self, blobs: Sequence[Blob]) -> Iterator[Blob]:
        """The signatures about which there can be no difference."""
        for blob in blobs:
            names = self._names(blob)
            if names <= {"subkey"}:
                signer = f"{blob.signer}-primary" if names else blob.signer
                yield dataclasses.replace(blob, signer=signer, gap=False)

    def _names(self, blob: Blob) -> set[str]:
        """Which differences a signature may cause."""
        known = {found.name for found in DIFFERENCES if found.subject == "signature"}
        names = {blob.form} & known
        names |= {name for part, name in ODD_NAMES.items() if part in blob.reference} & known
        names |= {"subkey"} if blob.signer == "team" else set()
        return names | ({"garbage"} if signatureforms.is_garbage(self.forge.blob(blob)) else set())

    def _shrunk(self, case: Case) -> Case:
        """The same disagreement with fewer signatures, transports, scopes and requirements."""
        for _ in range(40):
            smaller = next((found for found in _smaller(case) if self._disagree(found)), None)
            if smaller is None:
                break
            case = smaller
        return case

    def _disagree(self, case: Case) -> bool:
        ours, theirs = self.ours(case), self.theirs(case)
        return ours != theirs and self._explained(case, ours, theirs) is None


def check_range(forge: Forge, seed: int, numbers: Sequence[int], skopeo: str = "") -> list[Outcome]:
    """Compare the cases of a seed with these numbers."""
    found = []
    with Judges(forge, skopeo) as judges:
        for number in numbers:
            outcome = judges.compare(make(seed, number))
            report = f"case {number} of seed {seed}\n{outcome.report}" if outcome.report else ""
            found.append(dataclasses.replace(outcome, report=report))
    return found


def _smaller(case: Case) -> Iterator[Case]:
    for i in range(len(case.blobs)):
        yield dataclasses.replace(case, blobs=case.blobs[:i] + case.blobs[i + 1 :])
    for raw in signatureforms.smaller_json(case.policy):
        yield dataclasses.replace(case, policy=raw)


def _numbered(blobs: Sequence[Blob]) -> Iterator[tuple[int, Blob]]:
    number = 0
    for blob in blobs:
        number += 2 if blob.gap else 1
        yield number, blob


def _path(reference: str) -> str:
    """Where the registry has it: below the host, without tag or digest."""
    return str(Reference.parse(reference).repository).partition("/")[2]
