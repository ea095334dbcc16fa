"""Attestations for tests: statements as builders and cosign write them, in bundles and in layers of ``.att`` tags."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from airgap.oci.digest import Digest
from airgap.trust.keys import evidence as ev
from tests.support import images, signing
from tests.support.images import Built

SLSA_V1 = "https://slsa.dev/provenance/v1"
SLSA_V02 = "https://slsa.dev/provenance/v0.2"
SPDX = "https://spdx.dev/Document"
BUILDER = "https://github.com/acme/builder/.github/workflows/build.yml@refs/tags/v2.1.0"
SOURCE = "https://github.com/acme/app"
GITHUB = "https://actions.github.io/buildtypes/workflow/v1"
INTOTO = "application/vnd.in-toto+json"


def github(source: str = SOURCE, builder: str = BUILDER, **definition: Any) -> dict[str, Any]:
    """The predicate of SLSA provenance v1 as GitHub makes it."""
    workflow = {"ref": "refs/heads/main", "repository": source, "path": ".github/workflows/build.yml"}
    return {
        "buildDefinition": {
            "buildType": GITHUB,
            "externalParameters": {"workflow": workflow},
            "internalParameters": {"github": {"event_name": "push"}},
            "resolvedDependencies": [{"uri": f"git+{source}@refs/heads/main", "digest": {"gitCommit": "0" * 40}}],
            **definition,
        },
        "runDetails": {"builder": {"id": builder}, "metadata": {"invocationId": f"{source}/actions/runs/1/attempts/1"}},
    }


def generator(source: str = SOURCE, builder: str = BUILDER) -> dict[str, Any]:
    """The predicate of SLSA provenance v0.2 as slsa-github-generator makes it."""
    uri = f"git+{source}@refs/tags/v1.0.0"
    return {
        "builder": {"id": builder},
        "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
        "invocation": {"configSource": {"uri": uri, "digest": {"sha1": "0" * 40}, "entryPoint": ".github/workflows/build.yml"}},
        "materials": [{"uri": uri, "digest": {"sha1": "0" * 40}}],
    }


def statement(manifest: bytes, predicate_type: str = SLSA_V1, predicate: Any = None, **fields: Any) -> bytes:
    """A statement about a manifest, named after a file as most are."""
    stated = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app.tar", "digest": {"sha256": Digest.of(manifest).hex}}],
        "predicateType": predicate_type,
        "predicate": github() if predicate is None else predicate,
        **fields,
    }
    return json.dumps(stated).encode()


def envelope(key: signing.Key, stated: bytes, payload_type: str = INTOTO, **fields: Any) -> dict[str, Any]:
    """A signed DSSE envelope."""
    raw = key.sign(f"DSSEv1 {len(payload_type)} {payload_type} {len(stated)} ".encode() + stated)
    signature = {"keyid": "", "sig": base64.b64encode(raw).decode()}
    return {"payloadType": payload_type, "payload": base64.b64encode(stated).decode(), "signatures": [signature], **fields}


def bundle(key: signing.Key, stated: bytes) -> bytes:
    """A cosign 3 bundle, as ``cosign attest --key`` writes it without a log."""
    document = {
        "mediaType": ev.SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": "aGludA=="}, "tlogEntries": []},
        "dsseEnvelope": envelope(key, stated),
    }
    return json.dumps(document).encode()


def in_bundle(key: signing.Key, stated: bytes, name: str = "attestation") -> ev.Attestation:
    """An attestation of a referrer."""
    raw = bundle(key, stated)
    return ev.Attestation(ev.SigstoreBundle(raw, name), Digest.of(raw))


def classic(key: signing.Key, stated: bytes, name: str = "attestation", **annotations: str) -> ev.Attestation:
    """An attestation under an ``.att`` tag; annotations by their last word (bundle, certificate, chain)."""
    raw = json.dumps(envelope(key, stated)).encode()
    found = {f"dev.sigstore.cosign/{word}": text for word, text in annotations.items()}
    return ev.Attestation(ev.SigstoreSignature(raw, {ev.SIGNATURE: "", **found}, name, ev.DSSE_ENVELOPE), Digest.of(raw))


def attested(manifest: bytes, *found: ev.Attestation, **fields: Any) -> ev.Evidence:
    """The evidence of a manifest with these attestations."""
    return replace(ev.Evidence.of(manifest), attestations=found, **fields)


def referrer(subject: Built, key: signing.Key, stated: bytes) -> Built:
    """What ``cosign attest`` attaches to a manifest."""
    predicate_type = json.loads(stated)["predicateType"]
    told = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicate_type}
    return images.artifact(subject, ev.SIGSTORE_BUNDLE, bundle(key, stated), media_type=ev.SIGSTORE_BUNDLE, annotations=told)


def att_image(key: signing.Key, *stated: bytes) -> Built:
    """What cosign 2 puts under the ``.att`` tag: a layer for each attestation."""
    layers = [
        images.content(
            json.dumps(envelope(key, one)).encode(),
            ev.DSSE_ENVELOPE,
            annotations={ev.SIGNATURE: "", "predicateType": json.loads(one)["predicateType"]},
        )
        for one in stated
    ]
    return images.image(layers)
