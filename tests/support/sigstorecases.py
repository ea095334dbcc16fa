"""Cosign signatures near the border between yes and no: one that is good, with none, one or two things changed about it.

A case is a function of a seed, a number and a :class:`Vault`. What was changed has a name; the names are what the list of
differences in ``tests/support/sigstoredifferential.py`` speaks of.
"""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support import signing
from tests.support.policycases import DIGEST, MANIFEST, REFERENCES
from tests.support.sigstoreedits import EDITS
from tests.support.sigstorekeys import CODE_SIGNING, EMAIL, HOST, ISSUER, Vault
from tests.support.sigstoreparts import Edit

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
KINDS = ("key", "key", "logged", "logged", "fulcio", "fulcio", "pki", "pki")


@dataclass(frozen=True)
class Layer:
    """One layer of a ``.sig`` manifest."""

    payload: bytes
    annotations: dict[str, str]
    media_type: str = SIMPLE


@dataclass(frozen=True)
class SigstoreCase:
    """One question to both judges; ``changes`` names what is special: the changes that made a difference to what was there."""

    kind: str
    policy: bytes
    reference: str
    layers: tuple[Layer, ...]
    changes: tuple[str, ...]


def make(vault: Vault, seed: int, number: int) -> SigstoreCase:
    """The case of this seed and number."""
    chance = random.Random(f"{seed}:{number}")
    kind = chance.choice(KINDS)
    fitting = [edit for edit in EDITS if kind in edit.kinds]
    edits = chance.sample(fitting, chance.choices((0, 1, 2), (8, 67, 25))[0])
    edits = list({edit.point: edit for edit in edits}.values())  # what is made at one place is made for what is good there
    return build(vault, kind, edits, chance)


def build(vault: Vault, kind: str, edits: list[Edit], chance: random.Random) -> SigstoreCase:
    """A case of this kind with these changes."""
    draft = _Draft(vault, kind, chance, edits)
    layers = draft.layers()
    policy = draft.policy()
    return SigstoreCase(kind, policy, draft.reference, layers, tuple(edit.name for edit in edits if edit.name in draft.made))


@dataclass
class _Draft:
    vault: Vault
    kind: str
    chance: random.Random
    edits: list[Edit]
    reference: str = field(init=False)
    made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.reference = self.chance.choice(REFERENCES)
        # some changes are about keys of one sort
        sorts = [edit.sort for edit in self.edits if edit.sort]
        self.signer = self.vault.key(sorts[0] if sorts else self.chance.choice(("ecdsa", "ecdsa", "rsa", "ed25519", "p384")))
        self.log = self.vault.key("log")

    def at(self, point: str, value: Any) -> Any:
        """The value after all changes at this point."""
        for edit in self.edits:
            if edit.point == point:
                before = value
                try:
                    value = edit.change(value, self)
                except ValueError:  # another change, or the key that it wants, leaves nothing to make this one in
                    if len(self.edits) == 1:
                        raise
                    continue
                # a signature without padding cannot lose it; a change of the sort of key is made elsewhere
                self.made |= {edit.name} if value != before or edit.sort else set()
        return value

    @property
    def repository(self) -> str:
        name = self.reference.partition("@")[0]
        return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name

    # the signature

    def layers(self) -> tuple[Layer, ...]:
        name = self.at("name", self.reference)
        claim = json.loads(signing.cosign_payload(MANIFEST, name, digest=self.at("digest", DIGEST)))
        data: bytes = self.at("payload", json.dumps(self.at("claim", claim), separators=(",", ":")).encode())
        certificate, chain = self.certificate() if self.kind in ("fulcio", "pki") else (None, [])
        key = self.vault.leaf_key if certificate is not None else self.signer
        raw: bytes = self.at("signature", key.sign(data))
        annotations = {"dev.cosignproject.cosign/signature": self.at("signature-text", base64.b64encode(raw).decode())}
        pem = key.pem
        if certificate is not None:
            pem = self.at("certificate-text", certificate.public_bytes(Encoding.PEM))
            annotations["dev.sigstore.cosign/certificate"] = pem.decode("latin-1")
            if chain:
                text = self.at("chain-text", b"".join(one.public_bytes(Encoding.PEM) for one in chain))
                annotations["dev.sigstore.cosign/chain"] = text.decode("latin-1")
        if self.kind in ("logged", "fulcio"):
            annotations["dev.sigstore.cosign/bundle"] = self.promise(raw, pem, data)
        layer = Layer(data, self.at("annotations", annotations), self.at("media-type", SIMPLE))
        found: tuple[Layer, ...] = self.at("layers", (layer,))
        return found

    def promise(self, raw: bytes, pem: bytes, data: bytes) -> str:
        entry = signing.rekor_entry(raw, self.at("logged-pem", pem), data)
        body: bytes = self.at("body", json.dumps(self.at("entry", entry)).encode())
        content = {
            "body": self.at("body-text", base64.b64encode(body).decode()),
            "integratedTime": int(self.vault.logged.timestamp()),
            "logIndex": 7,
            "logID": "ab" * 32,
        }
        content = self.at("content", content)
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        signed = base64.b64encode(self.log.sign(self.at("canonical", canonical))).decode()
        content = self.at("content-later", content)
        text = json.dumps(self.at("set", {"SignedEntryTimestamp": self.at("set-signature", signed), "Payload": content}))
        found: str = self.at("set-text", text)
        return found

    def certificate(self) -> tuple[x509.Certificate, list[x509.Certificate]]:
        options = {"emails": [EMAIL], "hosts": [HOST], "issuer": ISSUER, "use": CODE_SIGNING, "through": self.chance.random() < 0.6}
        options = self.at("certificate", options)
        leaf, chain = self.vault.leaf(self.kind, options)
        return leaf, self.at("chain", chain)

    # the policy

    def policy(self) -> bytes:
        wanted: dict[str, Any] = {"type": "sigstoreSigned"}
        if self.kind in ("key", "logged"):
            wanted |= self.keys("key", self.at("key-files", [self.at("key-file", self.signer.pem)]))
        if self.kind in ("logged", "fulcio"):
            files = self.at("log-key-files", [self.at("log-key-file", self.log.pem)])
            wanted |= self.keys("rekorPublicKey", files)
        authority = self.at("ca-file", self.vault.root_pem)
        if self.kind == "fulcio":
            wanted["fulcio"] = {"caData": _text(authority), "oidcIssuer": ISSUER, "subjectEmail": EMAIL}
        if self.kind == "pki":
            wanted["pki"] = {"caRootsData": _text(authority), "subjectEmail": EMAIL, "subjectHostname": HOST}
        wanted = self.at("requirement", wanted)
        document = {"default": [{"type": "reject"}], "transports": {"docker": {self.reference: [wanted]}}}
        return json.dumps(document).encode()

    def keys(self, name: str, files: list[bytes]) -> dict[str, Any]:
        """Keys in files or in the policy itself."""
        if self.chance.random() < 0.5:
            return {f"{name}Data": _text(files[0])} if len(files) == 1 else {f"{name}Datas": [_text(file) for file in files]}
        paths = [str(self.vault.file(content)) for content in files]
        return {f"{name}Path": paths[0]} if len(paths) == 1 else {f"{name}Paths": paths}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
