"""One case: a bundle that shows something, and what it is judged by."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airgap.errors import AirgapError
from tests.support.sigstoreinstance.instance import IDENTITY, WHEN, Instance
from tests.support.sigstoreinstance.parts import Pair, Signed, Signer, b64
from tests.support.sigstoreinstance.tsa import Tsa
from tests.support.sigstoreinstance.verdicts import ours, requirement

ARTIFACT = b"what was signed\n"
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hashlib.sha256(ARTIFACT).hexdigest()}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
).encode()


@dataclass
class World:
    """What all cases are made with: an instance, another one that nobody trusts, and authorities that live shortly."""

    instance: Instance = field(default_factory=Instance)
    other: Instance = field(default_factory=Instance)
    #: Its certificates end ten minutes after the time of all signatures.
    brief: Tsa = field(default_factory=lambda: Tsa("brief", WHEN, timedelta(minutes=10)))

    @functools.cached_property
    def signer(self) -> Signer:
        """Somebody of the instance, with a certificate for the time of all signatures."""
        return self.instance.signer()

    @functools.cached_property
    def message(self) -> Signed:
        """A signature over the artifact."""
        return Signed.message(self.signer, ARTIFACT)

    @functools.cached_property
    def stated(self) -> Signed:
        """A signature over a statement about the artifact."""
        return Signed.statement(self.signer, STATEMENT)

    @functools.cached_property
    def known(self) -> Signer:
        """Somebody whose key the verifier knows."""
        return Signer(Pair.make())


@dataclass
class Fixture:
    """A bundle and what it is judged by: the artifact, the trusted root, who must have signed, or by which key."""

    bundle: dict[str, Any] | bytes
    root: dict[str, Any]
    artifact: bytes = ARTIFACT
    identity: str = IDENTITY
    key: bytes | None = None

    @property
    def raw(self) -> bytes:
        """The bundle as a file."""
        return self.bundle if isinstance(self.bundle, bytes) else json.dumps(self.bundle).encode()

    @property
    def entry(self) -> dict[str, Any]:
        """The log entry, to be changed."""
        assert isinstance(self.bundle, dict)
        entry: dict[str, Any] = self.bundle["verificationMaterial"]["tlogEntries"][0]
        return entry

    @property
    def proof(self) -> dict[str, Any]:
        """The inclusion proof, to be changed."""
        proof: dict[str, Any] = self.entry["inclusionProof"]
        return proof

    def stamp(self, reply: bytes) -> Fixture:
        """The same with another timestamp."""
        assert isinstance(self.bundle, dict)
        stamps = {"rfc3161Timestamps": [{"signedTimestamp": b64(reply)}]}
        self.bundle["verificationMaterial"]["timestampVerificationData"] = stamps
        return self

    def put(self, envelope: str) -> Fixture:
        """The same with another checkpoint."""
        self.proof["checkpoint"]["envelope"] = envelope
        return self

    def refusal(self) -> str:
        """Why we refuse it; nothing if we accept it."""
        root = json.dumps(self.root).encode()
        try:
            wanted = requirement(root, self.identity, key=self.key)
        except AirgapError as error:
            return error.what
        return ours(self.raw, self.artifact, root, wanted)


@dataclass(frozen=True)
class Case:
    """What a fixture shows, and why it is refused (a part of the reason); nothing where it is accepted."""

    name: str
    make: Callable[[World], Fixture]
    reason: str = ""

    def fixture(self, world: World) -> Fixture:
        """The fixture, of which everything may be changed."""
        return copy.deepcopy(self.make(world))
