"""A token server as docker-registry believes it: signed tokens with just the scopes that were asked for."""

from __future__ import annotations

import base64
import datetime
import json
import threading
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from tests.support.hostile import Hostile, Reply, Request


class TokenServer:
    """Signs the tokens that docker-registry accepts (distribution "Token Authentication Implementation"). A context manager.

    Args:
        root: a directory for the certificate.
        basic: the only ``Authorization`` that gets a token; None for everybody.
        withheld: actions that nobody is granted.

    Attributes:
        config: the registry's ``auth`` section.
        server: what was asked for is in its ``requests``.
        issued: all tokens, in order.
    """

    def __init__(self, root: Path, basic: str | None = None, withheld: frozenset[str] = frozenset()) -> None:
        self._basic = basic
        self._withheld = withheld
        self._lock = threading.Lock()
        self.issued: list[str] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token server")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = (
            builder.serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        root.mkdir(parents=True, exist_ok=True)
        (root / "bundle.pem").write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.server = Hostile(self.issue)
        self.config = (
            f"auth: {{token: {{realm: '{self.server.url}/token', service: site, issuer: us, rootcertbundle: {root}/bundle.pem}}}}\n"
        )

    def __enter__(self) -> TokenServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()

    def issue(self, request: Request) -> Reply:
        """A token, or 401 for the wrong name and password."""
        if self._basic is not None and request.headers.get("Authorization") != self._basic:
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}')
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        granted = [scope.split(":") for scope in request.query.get("scope", [])]
        now = int(time.time())
        with self._lock:
            number = len(self.issued) + 1
            self.issued.append("")
        claims = {
            "iss": "us", "sub": "me", "aud": "site", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(number),
            "access": [
                {"type": kind, "name": name, "actions": [one for one in actions.split(",") if one not in self._withheld]}
                for kind, name, actions in granted
            ],
        }  # fmt: skip
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        token = f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
        self.issued[number - 1] = token
        return Reply(200, json.dumps({"token": token, "expires_in": 300}).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
