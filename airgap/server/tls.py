"""TLS for the server: 1.2 or newer, OpenSSL's own choice of ciphers."""

from __future__ import annotations

import ssl
from pathlib import Path

from airgap.errors import UsageError
from airgap.text import printable


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS settings from PEM files.

    Args:
        certificate: the server's certificate, then those between it and the CA.
        key: its private key, not encrypted.

    Raises:
        UsageError: a file cannot be read, or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # never ask at a terminal
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or "not PEM"
        raise UsageError(
            f"cannot use the TLS certificate and key: {printable(str(reason)).replace('_', ' ').lower()}",
            where=printable(f"{certificate}, {key}"),
            expected="PEM files: the certificate with its chain, and its private key without a passphrase",
        ) from error
    return context
