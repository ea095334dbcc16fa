"""Bundles with entries of Rekor 1, and with keys: the facts that sigstore-conformance checks, each as a bundle of our own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization

from airgap.oci import strictjson
from tests.support.sigstoreinstance.case import ARTIFACT, STATEMENT, Case, Fixture, World
from tests.support.sigstoreinstance.instance import WHEN, Instance
from tests.support.sigstoreinstance.parts import Pair, Signed, Signer, b64, stamp

_DER = serialization.Encoding.DER
LATER = WHEN + timedelta(days=2)


def message(world: World, **how: Any) -> Fixture:
    """A good bundle over the artifact."""
    return Fixture(world.instance.bundle(world.message, **how), world.instance.trusted_root())


def statement(world: World, **how: Any) -> Fixture:
    """A good bundle about a statement."""
    return Fixture(world.instance.bundle(world.stated, **how), world.instance.trusted_root())


def by_key(world: World, signer: Signer | None = None, **how: Any) -> Fixture:
    """A good bundle by a key that the verifier knows."""
    signed = Signed.message(signer or world.known, ARTIFACT)
    return Fixture(world.instance.bundle(signed, **how), world.instance.trusted_root(), key=world.known.pair.pem)


def forms() -> Iterator[Case]:
    """What a bundle may look like."""
    yield Case("version 0.1", lambda world: message(world, version="0.1"))
    yield Case("version 0.2", lambda world: message(world, version="0.2"))
    yield Case("version 0.3", lambda world: message(world))
    yield Case("version 0.3 in its older spelling", lambda world: message(world, version="0.3 old"))
    yield Case("a statement", lambda world: statement(world))

    def with_(fixture: Fixture, **top: Any) -> Fixture:
        assert isinstance(fixture.bundle, dict)
        fixture.bundle |= top
        return fixture

    unknown = "application/vnd.dev.sigstore.bundle.v9.9+json"
    yield Case("an unknown version", lambda world: with_(message(world), mediaType=unknown), "unsupported version")

    def cut(world: World) -> Fixture:
        fixture = message(world)
        return Fixture(fixture.raw[:-200], fixture.root)

    yield Case("JSON that is cut off", cut, "not acceptable JSON")
    broken = {"signature": "not base64!"}
    yield Case("a signature that is not base64", lambda world: with_(message(world), messageSignature=broken), "not base64")

    def chain(world: World, *certificates: Any) -> Fixture:
        fixture = message(world, version="0.1")
        assert isinstance(fixture.bundle, dict)
        ders = [{"rawBytes": b64(one.public_bytes(_DER))} for one in certificates]
        fixture.bundle["verificationMaterial"]["x509CertificateChain"] = {"certificates": ders}
        return fixture

    yield Case("an empty certificate chain", chain, "the certificate chain")
    yield Case(
        "a certificate chain with its root",
        lambda world: chain(world, world.signer.chain[0], world.instance.fulcio.intermediate, world.instance.fulcio.root),
        "holds a root",
    )

    def negative(world: World) -> Fixture:
        fixture = message(world, version="0.1")
        fixture.entry["logIndex"] = "-1"
        return fixture

    yield Case("a negative log index", negative, "not a number")


def contents() -> Iterator[Case]:
    """Whether signature, content and entry belong together."""
    yield Case("another artifact", lambda world: _with_artifact(message(world)), "for other bytes")

    def stated_digest(world: World) -> Fixture:
        fixture = message(world)
        assert isinstance(fixture.bundle, dict)
        fixture.bundle["messageSignature"]["messageDigest"]["digest"] = b64(bytes(32))
        return fixture

    yield Case("a stated digest of other bytes", stated_digest, "for other bytes")

    def other_signature(world: World) -> Fixture:
        fixture = message(world)
        assert isinstance(fixture.bundle, dict)
        fixture.bundle["messageSignature"]["signature"] = b64(Pair.make().sign(ARTIFACT))
        return fixture

    yield Case("a signature by another key", other_signature, "not made by the key of this certificate")

    def entry_of(world: World, signed: Signed) -> Fixture:
        fixture = message(world)
        assert isinstance(fixture.bundle, dict)
        fixture.bundle["verificationMaterial"]["tlogEntries"] = [world.instance.rekor1.entry(signed, WHEN)]
        return fixture

    yield Case(
        "an entry about other bytes",
        lambda world: entry_of(world, Signed(world.signer, world.message.signature, b"other bytes")),
        "for another payload",
    )
    yield Case(
        "an entry about another signer",
        lambda world: entry_of(world, Signed.message(world.instance.signer(), ARTIFACT)),
        "for another signature",
    )
    yield Case(
        "an entry about other bytes and their signature",
        lambda world: entry_of(world, Signed.message(world.signer, b"other bytes")),
        "for another signature",
    )

    def other_envelope(world: World, signed: Signed) -> Fixture:
        fixture = statement(world)
        assert isinstance(fixture.bundle, dict)
        fixture.bundle |= signed.content
        return fixture

    other = STATEMENT + b" "
    yield Case(
        "an envelope signed by another key",
        lambda world: other_envelope(world, Signed.statement(Signer(Pair.make(), world.signer.chain), STATEMENT)),
        "not made by the key of this certificate",
    )
    yield Case(
        "another envelope than the logged one",
        lambda world: other_envelope(world, Signed.statement(world.signer, other)),
        "for another payload",
    )
    yield Case(
        "another signature of the logged envelope",
        lambda world: other_envelope(world, Signed.statement(world.signer, STATEMENT)),
        "for another signature",
    )
    yield Case("an entry of kind intoto", lambda world: statement(world, version="0.2", kind="intoto", stamped=True))

    def other_intoto(world: World) -> Fixture:
        fixture = statement(world, version="0.2", kind="intoto", stamped=True)
        assert isinstance(fixture.bundle, dict)
        entry = world.instance.rekor1.entry(Signed.statement(world.signer, other), WHEN, "intoto")
        fixture.bundle["verificationMaterial"]["tlogEntries"] = [entry]
        return fixture

    yield Case("an entry of kind intoto about another envelope", other_intoto, "for another payload")


def inclusion() -> Iterator[Case]:
    """Whether the log has the entry."""

    def bad_set(world: World) -> Fixture:
        fixture = message(world)
        fixture.entry["inclusionPromise"]["signedEntryTimestamp"] = b64(Pair.make().sign(b"x"))
        return fixture

    yield Case("a promise by another key", bad_set, "inclusion promise is not signed by the log")

    def other_key(world: World) -> Fixture:
        fixture = message(world)
        body = strictjson.parse_object(world.message.body("hashedrekord", "0.0.1"), "body")
        body["spec"]["signature"]["publicKey"]["content"] = b64(Pair.make().pem)
        fixture.entry["canonicalizedBody"] = b64(strictjson.canonical(body))
        return fixture

    yield Case("an entry whose key was changed", other_key, "inclusion promise is not signed by the log")

    def no_proof(world: World) -> Fixture:
        fixture = statement(world, version="0.2", stamped=True)
        del fixture.entry["inclusionProof"]
        return fixture

    yield Case("no inclusion proof", no_proof, "no inclusion proof")

    def bad_hash(world: World) -> Fixture:
        fixture = message(world)
        fixture.proof["hashes"][0] = b64(bytes(32))
        return fixture

    yield Case("a wrong hash in the inclusion proof", bad_hash, "does not lead from the log entry")

    def other_proof(world: World) -> Fixture:
        fixture = message(world)
        fixture.entry["inclusionProof"] = world.instance.rekor1.proof(b"another entry", at=1)
        return fixture

    yield Case("the inclusion proof of another entry", other_proof, "does not lead from the log entry")

    def checkpoint(world: World, **changes: Any) -> Fixture:
        fixture = message(world)
        rekor = world.instance.rekor1
        return fixture.put(rekor.checkpoint(6, _root(fixture), **changes))

    yield Case(
        "a checkpoint with the hint of another key",
        lambda world: checkpoint(world, hint=world.other.rekor1.id[:4]),
        "not signed by the log that has the entry",
    )
    yield Case(
        "a checkpoint of another root",
        lambda world: message(world).put(world.instance.rekor1.checkpoint(6, bytes(32))),
        "for another tree",
    )

    def bad_checkpoint(world: World) -> Fixture:
        fixture = message(world)
        text = fixture.proof["checkpoint"]["envelope"].partition("\n\n")[0]
        forged = b64(world.instance.rekor1.id[:4] + Pair.make().sign(text.encode()))
        return fixture.put(f"{text}\n\n— rekor.test {forged}\n")

    yield Case("a checkpoint signed by another key", bad_checkpoint, "signature is not by the log")


def certificates() -> Iterator[Case]:
    """Whether the certificate was good at the time."""
    yield Case(
        "an instance that nobody trusts",
        lambda world: Fixture(world.other.message_bundle(ARTIFACT), world.instance.trusted_root()),
        "a log that does not count",
    )
    yield Case("a promise from after the certificate's end", lambda world: message(world, when=LATER), "not valid at that time")
    yield Case(
        "the same with an entry of kind intoto and a good timestamp",
        lambda world: statement(world, kind="intoto", when=LATER).stamp(world.instance.tsa.reply(world.stated.signature, WHEN)),
        "not valid at that time",
    )
    yield Case(
        "a timestamp from after the certificate's end, and a good promise",
        lambda world: statement(world).stamp(world.instance.tsa.reply(world.stated.signature, LATER)),
        "not valid at that time",
    )

    def ended(world: World) -> Fixture:
        fixture = statement(world)
        fixture.root["certificateAuthorities"][0]["validFor"]["end"] = stamp(WHEN - timedelta(days=1))
        return fixture

    yield Case("a certificate authority that was not in use any more", ended, "authority was not in use at that time")
    extended = Instance()

    def extensions(_world: World) -> Fixture:
        signer = extended.signer(ct_extensions=b"\x00\x00\x05\x00\x00\x00\x00\x07")
        return Fixture(extended.message_bundle(ARTIFACT, signer), extended.trusted_root())

    yield Case("an SCT with extensions", extensions)

    def other_ct(world: World) -> Fixture:
        fixture = message(world)
        fixture.root["ctlogs"] = world.other.trusted_root()["ctlogs"]
        return fixture

    yield Case("an SCT of a log that is not in the trusted root", other_ct, "in no CT log of the trusted root")

    def until(world: World, end: timedelta) -> Fixture:
        fixture = message(world, version="0.1")
        fixture.root["tlogs"][0]["publicKey"]["validFor"]["end"] = stamp(WHEN + end)
        return fixture

    yield Case("a log that was in use for the last time", lambda world: until(world, timedelta()))

    def no_start(world: World) -> Fixture:
        fixture = message(world)
        del fixture.root["tlogs"][1]["publicKey"]["validFor"]["start"]
        return fixture

    yield Case("a trusted root whose log has no beginning", no_start, "not a trusted root")


def keys() -> Iterator[Case]:
    """Bundles by a key that is known."""
    yield Case("a known key and a log", lambda world: by_key(world))
    yield Case("a known key, a log and a timestamp", lambda world: by_key(world, stamped=True))
    yield Case("another key than the known one", lambda world: by_key(world, Signer(Pair.make())), "not made by this key")

    def no_key(world: World) -> Fixture:
        fixture = by_key(world)
        fixture.key = None
        return fixture

    yield Case("a key where a certificate is wanted", no_key, "holds no certificate")


def _with_artifact(fixture: Fixture) -> Fixture:
    fixture.artifact = b"something else\n"
    return fixture


def _root(fixture: Fixture) -> bytes:
    return base64.b64decode(fixture.proof["rootHash"])
