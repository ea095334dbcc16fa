"""Keys, certificate authorities and key files for the differential test with cosign signatures; to be sent to other processes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airgap.trust.keys.signers import PrivateKey

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
EMAIL, HOST, ISSUER = "release@vendor.example", "builder.vendor.example", "https://issuer.vendor.example"
_HOUR = timedelta(hours=1)


@dataclass
class SigningKey:
    """A private key as PEM, so that it can be sent."""

    private_pem: bytes
    _loaded: Any = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"private_pem": self.private_pem, "_loaded": None}

    @property
    def private(self) -> Any:
        if self._loaded is None:
            self._loaded = load_pem_private_key(self.private_pem, None)
        return self._loaded

    @property
    def public(self) -> Any:
        return self.private.public_key()

    @property
    def pem(self) -> bytes:
        return bytes(self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, data: bytes) -> bytes:
        """A raw signature, also by keys that airgap itself does not sign with."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return bytes(self.private.sign(data, ec.ECDSA(hashes.SHA256())))


@dataclass
class Vault:
    """All keys; ``now`` is the time of day, ``logged`` when the log took signatures, which certificates must cover."""

    directory: Path
    keys: dict[str, SigningKey]
    now: datetime
    certificates: dict[str, bytes] = field(default_factory=dict)

    @property
    def logged(self) -> datetime:
        return self.now

    def key(self, name: str) -> SigningKey:
        return self.keys[name]

    @property
    def leaf_key(self) -> SigningKey:
        return self.keys["leaf"]

    @property
    def root_pem(self) -> bytes:
        return self.certificates["root"]

    def file(self, content: bytes) -> Path:
        path = self.directory / hashlib.sha256(content).hexdigest()
        if not path.exists():  # another process may be reading it
            with tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as file:
                file.write(content)
            Path(file.name).rename(path)
        return path

    def authority(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificates[name])

    def leaf(self, kind: str, options: dict[str, Any]) -> tuple[x509.Certificate, list[x509.Certificate]]:
        """A certificate of the signer, and the chain that is carried with it: what the options say, else as it should be."""
        middle = self.authority(options.get("middle", "middle"))
        through = options.get("through", False) or "middle" in options
        parent, signer = (middle, "middle") if through else (self.authority("root"), "root")
        if options.get("signer"):
            signer = options["signer"]
        names: list[x509.GeneralName] = [x509.RFC822Name(one) for one in options["emails"]]
        names += [x509.DNSName(one) for one in options["hosts"]] + list(options.get("names", ()))
        start, end = options.get("start", self.now - _HOUR), options.get("end", self.now + 24 * _HOUR)
        builder = (
            x509.CertificateBuilder().subject_name(options.get("subject", x509.Name([]))).issuer_name(parent.subject)
            .public_key(self.leaf_key.public).serial_number(options.get("serial", x509.random_serial_number()))
            .not_valid_before(start).not_valid_after(end)
        )  # fmt: skip
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=options.get("critical-names", True))
        if options["use"] is not None:
            uses = options["use"] if isinstance(options["use"], list) else [options["use"]]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=options.get("critical-use", False))
        if kind == "fulcio":
            for oid, value in issuer_extensions(options):
                builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
        for extension, critical in options.get("extensions", ()):
            builder = builder.add_extension(extension, critical=critical)
        leaf = builder.sign(self.keys[signer].private, options.get("hash", hashes.SHA256()))
        return leaf, [middle, self.authority("root")] if through else []


def issuer_extensions(options: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Fulcio's two extensions that say where an identity comes from."""
    if "issuers" in options:
        return list(options["issuers"])
    text = options["issuer"].encode()
    return [("1.3.6.1.4.1.57264.1.1", text), ("1.3.6.1.4.1.57264.1.8", b"\x0c" + bytes([len(text)]) + text)]


@contextmanager
def open_vault() -> Iterator[Vault]:
    """A fresh set of keys."""
    with tempfile.TemporaryDirectory(prefix="airgap-vault-") as directory:
        keys = {name: SigningKey(_pem(key)) for name, key in _generated().items()}
        vault = Vault(Path(directory), keys, datetime.now(UTC).replace(microsecond=0))
        for name, options in _AUTHORITIES.items():
            vault.certificates[name] = _authority(vault, name, **options).public_bytes(Encoding.PEM)
        yield vault


def _generated() -> dict[str, PrivateKey]:
    found: dict[str, PrivateKey] = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate()}
    found |= {"rsa1024": rsa.generate_private_key(65537, 1024), "rsa3072": rsa.generate_private_key(65537, 3072)}
    curves: dict[str, type[ec.EllipticCurve]] = {
        "p384": ec.SECP384R1,
        "p521": ec.SECP521R1,
        "p224": ec.SECP224R1,
        "k1": ec.SECP256K1,
    }
    found |= {name: ec.generate_private_key(curve()) for name, curve in curves.items()}
    found |= {
        name: ec.generate_private_key(ec.SECP256R1())
        for name in ("ecdsa", "other", "log", "log2", "leaf", "root", "middle", "stranger")
    }
    return found


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


#: Certificate authorities: a root, what stands between, and what should not.
_AUTHORITIES: dict[str, dict[str, Any]] = {
    "root": {},
    "stranger": {},
    "middle": {"parent": "root"},
    "middle-no-ca": {"parent": "root", "key": "middle", "ca": False},
    "middle-old": {"parent": "root", "key": "middle", "end": -2 * _HOUR},
    "middle-server": {"parent": "root", "key": "middle", "use": ExtendedKeyUsageOID.SERVER_AUTH},
    "middle-code": {"parent": "root", "key": "middle", "use": CODE_SIGNING},
    "middle-any": {"parent": "root", "key": "middle", "use": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE},
    "middle-no-sign": {"parent": "root", "key": "middle", "usage": False},
    "middle-sign": {"parent": "root", "key": "middle", "usage": True},
    "middle-names": {"parent": "root", "key": "middle", "permitted": "vendor.example"},
    "middle-sha1": {"parent": "root", "key": "middle", "sha384": True},
    "middle-stranger": {"parent": "stranger", "key": "middle"},
    "middle-long": {"parent": "root", "key": "middle", "path_length": 0},
}  # fmt: skip


def _authority(vault: Vault, name: str, parent: str = "", key: str = "", **options: Any) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key or name)])
    issuer = vault.authority(parent).subject if parent else subject
    own = vault.keys[key or name]
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(own.public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(vault.now - 1000 * _HOUR).not_valid_after(vault.now + options.get("end", 1000 * _HOUR))
    )  # fmt: skip
    ca = options.get("ca", True)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=ca, path_length=options.get("path_length") if ca else None), critical=True
    )
    if "use" in options:
        builder = builder.add_extension(x509.ExtendedKeyUsage([options["use"]]), critical=False)
    if "usage" in options:
        flags = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            False,
        )
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=options["usage"], crl_sign=options["usage"], **flags)
        builder = builder.add_extension(usage, critical=True)
    if "permitted" in options:
        permitted = [x509.RFC822Name(options["permitted"]), x509.DNSName(options["permitted"])]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    signer = vault.keys[parent or name]
    return builder.sign(signer.private, hashes.SHA384() if options.get("sha384") else hashes.SHA256())
