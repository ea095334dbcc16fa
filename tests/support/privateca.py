"""A private certificate authority, for registries with TLS of their own."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class PrivateCa:
    """Issues certificates into ``root``: ``ca.crt``, ``NAME.cert``, ``NAME.key``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"private CA {root.parent.name} {root.name}")])
        builder = _builder(self._name, self._name, self._key.public_key(), 0)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = root / "ca.crt"
        self.file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, address: str = "127.0.0.1", days: int = 1) -> tuple[Path, Path]:
        """A certificate for server and client at ``address`` (an IP address or a name), and its key.

        Args:
            days: until when it holds; a negative number makes one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        at = x509.IPAddress(ipaddress.ip_address(address)) if address[0].isdigit() else x509.DNSName(address)
        names = x509.SubjectAlternativeName([at])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder(subject, self._name, key.public_key(), days).add_extension(names, critical=False)
        certificate = builder.add_extension(usage, critical=False).sign(self._key, hashes.SHA256())
        files = self.root / f"{name}.cert", self.root / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encryption = serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return files


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    end = now + datetime.timedelta(days=days or 1)
    return (
        builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(end)
    )
