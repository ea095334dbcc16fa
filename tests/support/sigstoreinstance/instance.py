"""The whole instance, the bundles that are made with it, and its trusted root."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from tests.support.sigstoreinstance.authority import Fulcio, authority_entry
from tests.support.sigstoreinstance.logs import Rekor1, Rekor2
from tests.support.sigstoreinstance.parts import START, Pair, Signed, Signer, b64, stamp
from tests.support.sigstoreinstance.tsa import Tsa

MEDIA_TYPES = {
    "0.1": "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "0.2": "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "0.3 old": "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "0.3": "application/vnd.dev.sigstore.bundle.v0.3+json",
}
#: When people sign, unless a test says otherwise: a minute after their certificate begins.
WHEN = START + timedelta(days=30)
IDENTITY, ISSUER = "dev@vendor.example", "https://accounts.vendor.example"


@dataclass
class Instance:
    """A CA, its CT log, a log of each version, and a timestamp authority."""

    fulcio: Fulcio = field(default_factory=Fulcio)
    rekor1: Rekor1 = field(default_factory=Rekor1)
    rekor2: Rekor2 = field(default_factory=Rekor2)
    tsa: Tsa = field(default_factory=Tsa)

    def signer(
        self, identity: str | x509.GeneralName = IDENTITY, issuer: str = ISSUER, when: datetime = WHEN, **changes: Any
    ) -> Signer:
        """Somebody with a certificate that began a minute ago; ``changes`` as in :meth:`Fulcio.signer`."""
        return self.fulcio.signer(identity, issuer, when - timedelta(minutes=1), **changes)

    def trusted_root(self) -> dict[str, Any]:
        """The trusted root, for a test to change."""
        logs = [_log(self.rekor1.url, self.rekor1.pair, self.rekor1.id), _log(self.rekor2.url, self.rekor2.pair, self.rekor2.id)]
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs,
            "certificateAuthorities": [authority_entry("https://fulcio.test", self.fulcio.intermediate, self.fulcio.root)],
            "ctlogs": [_log("https://ct.test", self.fulcio.ct.pair, self.fulcio.ct.id)],
            "timestampAuthorities": [self.tsa.entry()],
        }

    def trusted_root_json(self) -> bytes:
        """The same as a file."""
        return json.dumps(self.trusted_root()).encode()

    def statement_bundle(self, payload: bytes, signer: Signer | None = None, **how: Any) -> dict[str, Any]:
        """A bundle about an in-toto statement; ``how`` as in :meth:`bundle`."""
        return self.bundle(Signed.statement(signer or self.signer(), payload), **how)

    def message_bundle(self, data: bytes, signer: Signer | None = None, **how: Any) -> dict[str, Any]:
        """A bundle over bytes, as ``cosign sign-blob`` makes them; ``how`` as in :meth:`bundle`."""
        return self.bundle(Signed.message(signer or self.signer(), data), **how)

    def bundle(
        self,
        signed: Signed,
        *,
        version: str = "0.3",
        log: int = 1,
        kind: str = "",
        when: datetime = WHEN,
        stamped: bool | None = None,
        embed: bool = True,
    ) -> dict[str, Any]:
        """A bundle.

        Args:
            signed: what it is about.
            version: of the bundle: ``0.1``, ``0.2``, ``0.3``, ``0.3 old`` (the older spelling).
            log: which version of Rekor has an entry about it.
            kind: of the entry, where it is not the usual one.
            when: of the entry and the timestamp.
            stamped: whether there is a timestamp; unless said, only with Rekor 2.
            embed: whether the timestamp holds the authority's certificate.
        """
        entry = self.rekor1.entry(signed, when, kind) if log == 1 else self.rekor2.entry(signed, kind or "hashedrekord")
        material = {**_signer(signed.signer, version), "tlogEntries": [entry]}
        if log == 2 if stamped is None else stamped:
            reply = b64(self.tsa.reply(signed.signature, when, embed=embed))
            material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": reply}]}
        return {"mediaType": MEDIA_TYPES[version], "verificationMaterial": material, **signed.content}


def _signer(signer: Signer, version: str) -> dict[str, Any]:
    if not signer.chain:
        return {"publicKey": {"hint": b64(b"a hint")}}
    if version.startswith("0.3"):
        return {"certificate": {"rawBytes": b64(signer.der)}}
    return {"x509CertificateChain": {"certificates": [{"rawBytes": b64(signer.der)}]}}


def _log(url: str, pair: Pair, log_id: bytes) -> dict[str, Any]:
    key = {"rawBytes": b64(pair.spki), "keyDetails": pair.details, "validFor": {"start": stamp(START)}}
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": key, "logId": {"keyId": b64(log_id)}}
