"""Sigstore bundles with what proves them, and trusted roots."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from airgap.trust.keys.certificates import read_certificate
from airgap.trust.sigstore.bundle import read
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support.parserrow import WHERE, Parser, document
from tests.support.parserseeds import Grow, of_value, repeated
from tests.support.sigstoreinstance.instance import Instance
from tests.support.sigstoreinstance.parts import b64
from tests.support.sigstoreinstance.verdicts import ours, requirement

_DATA = b"data"


def rows() -> Iterator[Parser]:
    """The rows."""
    instance = Instance()
    root = instance.trusted_root_json()
    wanted = requirement(root)
    made = [instance.message_bundle(_DATA, version=version, log=log) for version, log in (("0.3", 2), ("0.1", 1), ("0.3", 1))]
    yield document(
        "Sigstore bundle of any content", read, json.dumps(made[0]).encode(), "airgap.trust.sigstore.bundle:read", most=4 << 20
    )

    def changed(at: int, change: Callable[[dict[str, Any], int], None]) -> Grow:
        def make(count: int) -> dict[str, Any]:
            bundle: dict[str, Any] = json.loads(json.dumps(made[at]))
            change(bundle["verificationMaterial"], count)
            return bundle

        return of_value(make)

    def proof(**fields: Callable[[int], Any]) -> Grow:
        return changed(
            0, lambda material, n: material["tlogEntries"][0]["inclusionProof"].update({key: f(n) for key, f in fields.items()})
        )

    yield document(
        "Sigstore bundle, judged",
        lambda raw: ours(raw, _DATA, root, wanted),
        json.dumps(made[0]).encode(),
        seeds=tuple(json.dumps(one).encode() for one in made[1:]),
        grow={
            "hashes": proof(hashes=lambda n: [b64(bytes(32))] * n),
            "lines of a checkpoint": proof(checkpoint=lambda n: {"envelope": f"a\n1\nAAAA\n\n{'— a AAAAAAAA' * n}\n"}),
            "text of a checkpoint": proof(checkpoint=lambda n: {"envelope": "a\n1\nAAAA\n" + "b\n" * n}),
            "entries": changed(0, lambda material, n: material["tlogEntries"].extend(material["tlogEntries"] * n)),
            "certificates": changed(
                1, lambda material, n: material["x509CertificateChain"]["certificates"].extend([{"rawBytes": "AAAA"}] * n)
            ),
        },
        most=4 << 20,
    )
    certificate = base64.b64decode(made[0]["verificationMaterial"]["certificate"]["rawBytes"])
    yield Parser(
        "certificate in a Sigstore bundle",
        read_certificate,
        (certificate,),
        {"DER": repeated(b"\x30\x80"), "behind it": lambda n: certificate + b"x" * n},
        ("airgap.trust.keys.certificates:read_certificate",),
        most=4 << 20,
    )
    yield document(
        "trusted root",
        lambda raw: TrustedRoot.parse(raw, WHERE),
        root,
        "airgap.trust.sigstore.trustedroot:TrustedRoot.parse",
        grow={"logs": of_value(lambda n: instance.trusted_root() | {"tlogs": instance.trusted_root()["tlogs"] * n})},
        most=1 << 20,
    )
