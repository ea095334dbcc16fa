"""Changes of signing certificates, their chains and authorities."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.sigstorekeys import CODE_SIGNING, EMAIL, HOST, ISSUER
from tests.support.sigstoreparts import CERTIFICATES, Edit, pem_der, with_der

# certificates

_V1, _V2 = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"


def _utf8(text: bytes, tag: int = 12) -> bytes:
    return bytes([tag, len(text)]) + text


def _usage(**given: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**(dict.fromkeys(names, False) | given))


def certificate_edits() -> Iterable[Edit]:
    hour, right = timedelta(hours=1), ISSUER.encode()
    both: dict[str, Callable[[Any], dict[str, Any]]] = {
        "no-use": lambda d: {"use": None},
        "server": lambda d: {"use": ExtendedKeyUsageOID.SERVER_AUTH},
        "any-use": lambda d: {"use": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE},
        "two-uses": lambda d: {"use": [ExtendedKeyUsageOID.SERVER_AUTH, CODE_SIGNING]},
        "critical-use": lambda d: {"critical-use": True},
        "names-not-critical": lambda d: {"critical-names": False},
        "no-names": lambda d: {"emails": [], "hosts": []},
        "email-upper": lambda d: {"emails": [EMAIL.upper()]},
        "email-another": lambda d: {"emails": ["x@vendor.example"]},
        "emails": lambda d: {"emails": ["x@vendor.example", EMAIL]},
        "host-wildcard": lambda d: {"hosts": ["*.vendor.example"]},
        "host-upper": lambda d: {"hosts": [HOST.upper()]},
        "host-dot": lambda d: {"hosts": [HOST + "."]},
        "host-partial-wildcard": lambda d: {"hosts": ["b*.vendor.example"]},
        "host-deep-wildcard": lambda d: {"hosts": ["*.example"]},
        "host-star": lambda d: {"hosts": ["*"]},
        "host-inner-wildcard": lambda d: {"hosts": ["builder.*.example"]},
        "host-two": lambda d: {"hosts": ["x.example", HOST]},
        "host-none": lambda d: {"hosts": []},
        "host-empty": lambda d: {"hosts": [""]},
        "host-underscore": lambda d: {"hosts": ["a_b.vendor.example", HOST]},
        "host-invalid": lambda d: {"hosts": ["a b.vendor.example", HOST]},
        "host-address": lambda d: {"hosts": [], "names": [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]},
        "host-address-too": lambda d: {"names": [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]},
        "uri-too": lambda d: {"names": [x509.UniformResourceIdentifier("https://vendor.example/x")]},
        "uri-bad": lambda d: {"names": [x509.UniformResourceIdentifier("https://vendor.example:x:y/")]},
        "other-name": lambda d: {"names": [x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01x")]},
        "registered-id": lambda d: {"names": [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]},
        "subject-email": lambda d: {"emails": [], "subject": x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, EMAIL)])},
        "subject-host": lambda d: {"hosts": [], "subject": x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])},
        "expired": lambda d: {"start": d.vault.now - 9 * hour, "end": d.vault.now - hour},
        "not-yet": lambda d: {"start": d.vault.now + hour, "end": d.vault.now + 9 * hour},
        "just-expired": lambda d: {"start": d.vault.now - 9 * hour, "end": d.vault.now - timedelta(seconds=1)},
        "long": lambda d: {"end": d.vault.now + 5000 * hour},
        "by-stranger": lambda d: {"signer": "stranger"},
        "sha384": lambda d: {"hash": hashes.SHA384()},
        "sha512": lambda d: {"hash": hashes.SHA512()},
        "sha224": lambda d: {"hash": hashes.SHA224()},
        "unknown-critical": lambda d: {
            "extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True)]
        },
        "unknown": lambda d: {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), False)]},
        "usage": lambda d: {"extensions": [(_usage(digital_signature=True), True)]},
        "usage-other": lambda d: {"extensions": [(_usage(key_encipherment=True), True)]},
        "is-ca": lambda d: {"extensions": [(x509.BasicConstraints(True, None), True)]},
        "is-no-ca": lambda d: {"extensions": [(x509.BasicConstraints(False, None), True)]},
        "policies-critical": lambda d: {
            "extensions": [(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]), True)]
        },
        "inhibit-any-critical": lambda d: {"extensions": [(x509.InhibitAnyPolicy(0), True)]},
        "policy-constraints": lambda d: {"extensions": [(x509.PolicyConstraints(0, None), True)]},
        "names-constrained": lambda d: {"extensions": [(x509.NameConstraints([x509.DNSName("x.example")], None), True)]},
        "direct": lambda d: {"through": False},
        "serial-one": lambda d: {"serial": 1},
        "start-odd": lambda d: {"start": d.vault.now.replace(year=1960)},
        "end-far": lambda d: {"end": d.vault.now.replace(year=2100)},
    }
    for middle in (
        "middle",
        "middle-no-ca",
        "middle-old",
        "middle-server",
        "middle-code",
        "middle-any",
        "middle-no-sign",
        "middle-sign",
        "middle-names",
        "middle-sha1",
        "middle-stranger",
        "middle-long",
    ):
        both[middle] = partial(lambda middle, d: {"middle": middle}, middle)
    for name, options in both.items():
        yield Edit(
            f"certificate {name}", "certificate", CERTIFICATES, partial(lambda options, found, d: found | options(d), options)
        )
    issuers: dict[str, list[tuple[str, bytes]]] = {
        "v1": [(_V1, right)],
        "v2": [(_V2, _utf8(right))],
        "none": [],
        "differ": [(_V1, right), (_V2, _utf8(b"x"))],
        "differ-other": [(_V1, b"x"), (_V2, _utf8(right))],
        "v1-der": [(_V1, _utf8(right))],
        "v2-bare": [(_V2, right)],
        "v2-more": [(_V2, _utf8(right) + b"\0")],
        "v2-printable": [(_V2, _utf8(right, 19))],
        "v2-ia5": [(_V2, _utf8(right, 22))],
        "v2-octets": [(_V2, _utf8(right, 4))],
        "v2-t61": [(_V2, _utf8(right, 20))],
        "v2-general": [(_V2, _utf8(right, 27))],
        "v2-numeric": [(_V2, _utf8(right, 18))],
        "v2-visible": [(_V2, _utf8(right, 26))],
        "v2-long-length": [(_V2, b"\x0c\x81" + bytes([len(right)]) + right)],
        "v1-not-utf8": [(_V1, right + b"\xff")],
        "v2-not-utf8": [(_V2, _utf8(right + b"\xff"))],
        "v1-newline": [(_V1, right + b"\n")],
        "v1-empty": [(_V1, b""), (_V2, _utf8(right))],
        "v2-bmp": [(_V2, _utf8(ISSUER.encode("utf-16-be"), 30))],
        "v2-explicit": [(_V2, b"\xa0" + bytes([len(right) + 2]) + _utf8(right))],
    }
    for name, found in issuers.items():
        yield Edit(
            f"issuer {name}", "certificate", ("fulcio",), partial(lambda found, options, _: options | {"issuers": found}, found)
        )
    chains: dict[str, Callable[[list[Any], Any], list[Any]]] = {
        "none": lambda c, d: [],
        "root-only": lambda c, d: c[-1:],
        "middle-only": lambda c, d: c[:1],
        "middle-last": lambda c, d: list(reversed(c)),
        "doubled": lambda c, d: c + c,
        "without-root-but-stranger": lambda c, d: [*c[:1], d.vault.authority("stranger")],
        "stranger-first": lambda c, d: [d.vault.authority("stranger"), *c],
        "middle-twice": lambda c, d: [*c[:1], *c[:1]],
        "long": lambda c, d: [d.vault.authority("stranger")] * 7 + c,
        "longer": lambda c, d: [d.vault.authority("stranger")] * 12 + c,
    }
    for name, change in chains.items():
        yield Edit(f"chain {name}", "chain", CERTIFICATES, change)
    cas: dict[str, Callable[[Any], bytes]] = {
        "and-another": lambda d: d.vault.root_pem + d.vault.certificates["stranger"],
        "after-another": lambda d: d.vault.certificates["stranger"] + d.vault.root_pem,
        "another": lambda d: d.vault.certificates["stranger"],
        "middle": lambda d: d.vault.certificates["middle"],
        "middle-no-ca": lambda d: d.vault.certificates["middle-no-ca"],
        "middle-old": lambda d: d.vault.certificates["middle-old"],
        "and-broken": lambda d: d.vault.root_pem + with_der(d.vault.root_pem, lambda der: der[:-9] + b"\0"),
        "broken-first": lambda d: with_der(d.vault.root_pem, lambda der: der[:40]) + d.vault.root_pem,
        "and-key": lambda d: d.vault.root_pem + d.vault.key("root").pem,
        "middle-names": lambda d: d.vault.certificates["middle-names"],
    }
    for name, make in cas.items():
        yield Edit(f"ca {name}", "ca-file", CERTIFICATES, partial(lambda make, _, d: make(d), make))
    for name, make in (
        ("pki intermediates", lambda d: d.vault.certificates["middle"]),
        ("pki intermediates der", lambda d: pem_der(d.vault.certificates["middle"])),
        ("pki intermediates none", lambda d: b""),
        ("pki intermediates text", lambda d: d.vault.certificates["middle"] + b"text\n"),
        ("pki intermediates broken", lambda d: with_der(d.vault.certificates["middle"], lambda der: der[:40])),
    ):
        yield Edit(
            name,
            "requirement",
            ("pki",),
            partial(
                lambda make, found, d: found | {"pki": found["pki"] | {"caIntermediatesData": base64.b64encode(make(d)).decode()}},
                make,
            ),
        )
