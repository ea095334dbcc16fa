"""Signing certificates: a chain from the signer to a root that the site trusts (RFC 5280, the part that code signing needs).

Anything not understood is refused: critical extensions, name constraints, and certificates whose dates or uses do not fit.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from airgap.errors import Refused
from airgap.text import printable
from airgap.trust.keys.pem import read_pem
from airgap.trust.keys.signatures import PublicKey, public_key
from airgap.trust.policy.requirements import Fulcio, Pki

#: What the library raises for certificates that are not as they should be.
_MALFORMED = (
    ValueError,
    LookupError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_MAX_DEPTH = 8
_MAX_TRIES = 64
_KNOWN_CRITICAL = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
)
_HASHES = ("sha256", "sha384", "sha512")
_ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_UTF8_STRING = 0x0C
_SUBJECT = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
#: The URIs that everybody reads alike; a certificate with another one is refused.
_PLAIN = r"([A-Za-z0-9._~/?#@!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(//[A-Za-z0-9.-]+(:[0-9]{{1,5}})?(?=[/?#]|\Z)|(?!//)){_PLAIN}")

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Roots:
    """What the site trusts: roots, and intermediates that help to reach them."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()


def load_certificates(text: bytes, *, alone: bool = False) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text.

    Args:
        text: what a key file or an annotation holds.
        alone: nothing but blanks may follow the last one.

    Raises:
        Refused: there is none, or one is malformed.
    """
    pem = read_pem(text)
    blocks = pem.all("CERTIFICATE")
    if alone and pem.rest.strip():
        raise Refused("there is text after a PEM certificate")
    try:
        return tuple(_parsed(block.der) for block in blocks)
    except _MALFORMED as error:
        raise Refused("a malformed certificate", got=printable(str(error), 120)) from error


def written(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def subject(certificate: x509.Certificate) -> tuple[str, str]:
    """Its organization and its common name; ``""`` for one that it does not have."""
    names = ([str(one.value) for one in certificate.subject.get_attributes_for_oid(oid)] for oid in _SUBJECT)
    organization, common = (found[0] if found else "" for found in names)
    return organization, common


def _parsed(der: bytes) -> x509.Certificate:
    """A certificate of which every part could be read: the library reads most of them late."""
    certificate = x509.load_der_x509_certificate(der)
    certificate.public_key()
    names = _extension(certificate, x509.SubjectAlternativeName)
    for uri in () if names is None else names.get_values_for_type(x509.UniformResourceIdentifier):
        if not _URI.fullmatch(uri):
            raise ValueError(f"not a URI: {uri}")
    return certificate


@contextlib.contextmanager
def strictly() -> Iterator[None]:
    """What the library only warns of, such as serial numbers below one and odd names, it raises here (``Warning``)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read_certificate(der: bytes) -> x509.Certificate:
    """One certificate, DER, all of which can be read. Raises ``Refused``: malformed."""
    try:
        with strictly():
            certificate = _parsed(der)
            _ = certificate.issuer, certificate.subject, certificate.serial_number, certificate.not_valid_after_utc
            list(certificate.extensions)
        return certificate
    except (Warning, *_MALFORMED) as error:
        raise Refused("a malformed certificate", got=printable(str(error), 120)) from error


def fulcio_key(rule: Fulcio, trusted: Roots, certificate: str, chain: str, when: datetime) -> PublicKey:
    """The key of a keyless signer whose certificate was valid when the log recorded the signature.

    Raises:
        Refused: no chain to the site's Fulcio root, or another person or issuer than the policy names.
    """
    leaf = _verified(trusted, certificate, chain, when)
    check_identity(rule, leaf)
    return public_key(leaf.public_key())


def check_identity(rule: Fulcio, leaf: x509.Certificate, *, uris: bool = False) -> None:
    """Check whom a certificate of Fulcio names.

    Args:
        rule: whom the policy wants.
        leaf: the certificate.
        uris: the policy may name a URI instead of an e-mail address, such as a workflow's. Podman and skopeo know addresses only.

    Raises:
        Refused: another person, or one whom another issuer has authenticated.
    """
    names = _names(leaf, x509.RFC822Name) + (_names(leaf, x509.UniformResourceIdentifier) if uris else [])
    if rule.subject_email not in names:
        raise Refused("the certificate is for another subject", expected=rule.subject_email, got=printable(", ".join(names)))
    issuer = _oidc_issuer(leaf)
    if issuer != rule.oidc_issuer:
        raise Refused("the certificate's identity comes from another issuer", expected=rule.oidc_issuer, got=printable(issuer))


def check_profile(leaf: x509.Certificate) -> None:
    """Check that a certificate says itself that it is for signing code, as all of Fulcio's do. Raises ``Refused``."""
    usage = _extension(leaf, x509.KeyUsage)
    uses = _extension(leaf, x509.ExtendedKeyUsage)
    if usage is None or not usage.digital_signature or uses is None or ExtendedKeyUsageOID.CODE_SIGNING not in uses:
        raise Refused("the certificate does not say that it is meant for code signing")
    if is_authority(leaf):
        raise Refused("the signing certificate is a CA certificate")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it is a CA's."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def pki_key(rule: Pki, trusted: Roots, certificate: str, chain: str, when: datetime) -> PublicKey:
    """The key of a signer with a certificate of the site's own CA, valid now.

    Raises:
        Refused: no chain to the roots, or another subject than the policy names.
    """
    return _pki_key_of(rule, _verified(trusted, certificate, chain, when))


def pki_key_of(rule: Pki, trusted: Roots, leaf: x509.Certificate, carried: Sequence[x509.Certificate], when: datetime) -> PublicKey:
    """The same for certificates that have been read; ``carried`` are those that came with it. Raises ``Refused``."""
    issuers_of(leaf, trusted, carried, when)
    return _pki_key_of(rule, leaf)


def _pki_key_of(rule: Pki, leaf: x509.Certificate) -> PublicKey:
    emails = _names(leaf, x509.RFC822Name)
    if rule.subject_email and rule.subject_email not in emails:
        raise Refused("the certificate is for another subject", expected=rule.subject_email, got=printable(", ".join(emails)))
    if rule.subject_hostname and not _has_host(leaf, rule.subject_hostname):
        got = printable(", ".join(_names(leaf, x509.DNSName)))
        raise Refused("the certificate is for another host", expected=rule.subject_hostname, got=got)
    return public_key(leaf.public_key())


def _verified(trusted: Roots, certificate: str, chain: str, when: datetime) -> x509.Certificate:
    leaves = load_certificates(certificate.encode("utf-8"), alone=True)
    if len(leaves) != 1:
        raise Refused("not exactly one signing certificate", got=str(len(leaves)))
    # cosign ends a chain with its root, which only the policy can vouch for: the last one never helps (containers/image, too)
    carried = load_certificates(chain.encode("utf-8"), alone=True)[:-1] if chain.strip() else ()
    issuers_of(leaves[0], trusted, carried, when)
    return leaves[0]


def issuers_of(
    leaf: x509.Certificate, trusted: Roots, carried: Sequence[x509.Certificate], when: datetime
) -> tuple[x509.Certificate, ...]:
    """The certificates from a signer's issuer to a root, each valid at a time; none if the signer's is itself a root.

    Args:
        leaf: the signer's.
        trusted: the roots, and what helps to reach them.
        carried: what came with the signature, which may help, too.
        when: the time.

    Raises:
        Refused: there is no such chain, or a certificate of it is not meant for this.
    """
    if len(carried) > _MAX_DEPTH:
        raise Refused("too many certificates in the chain", expected=f"at most {_MAX_DEPTH}")
    try:
        _check_leaf(leaf, when)
        return _Search(trusted.roots, (*trusted.intermediates, *carried), when).climb(leaf)
    except _MALFORMED as error:
        raise Refused("a malformed certificate", got=printable(str(error), 120)) from error


def _check_leaf(leaf: x509.Certificate, when: datetime) -> None:
    _check_common(leaf, when)
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise Refused("the certificate is not meant for signatures")
    uses = _extension(leaf, x509.ExtendedKeyUsage)
    if uses is not None and ExtendedKeyUsageOID.CODE_SIGNING not in uses and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in uses:
        raise Refused("the certificate is not meant for code signing")


def _check_common(certificate: x509.Certificate, when: datetime) -> None:
    if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:
        span = f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        raise Refused("a certificate was not valid at that time", expected=span, got=f"{when:%Y-%m-%dT%H:%M:%SZ}")
    for extension in certificate.extensions:
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS or (extension.critical and extension.oid not in _KNOWN_CRITICAL):
            raise Refused("a certificate has an unsupported extension", got=extension.oid.dotted_string)


class _Search:
    """Looks for a path from a certificate to a root; tries are counted, since the carried chain comes from outside."""

    def __init__(self, roots: Sequence[x509.Certificate], intermediates: Sequence[x509.Certificate], when: datetime) -> None:
        self._roots = roots
        self._intermediates = intermediates
        self._when = when
        self._tries = 0
        self._reason = Refused("no chain leads from the certificate to a root that the policy names")

    def climb(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """The issuers up to a root. Raises ``Refused``: there is no way."""
        if certificate in self._roots:
            return ()
        found = self._found(certificate, 0)
        if not found:
            raise self._reason
        return found

    def _found(self, certificate: x509.Certificate, below: int) -> tuple[x509.Certificate, ...]:
        """The same, nothing where there is no way; ``below`` counts the intermediates already passed."""
        root = next((root for root in self._roots if self._issues(root, certificate, below)), None)
        if root is not None:
            return (root,)
        if below >= _MAX_DEPTH:
            return ()
        for issuer in self._intermediates:
            if issuer != certificate and self._issues(issuer, certificate, below) and (above := self._found(issuer, below + 1)):
                return (issuer, *above)
        return ()

    def _issues(self, issuer: x509.Certificate, certificate: x509.Certificate, below: int) -> bool:
        if issuer.subject != certificate.issuer:
            return False
        self._tries += 1
        if self._tries > _MAX_TRIES:
            raise Refused("too many possible chains for one certificate")
        try:
            _check_hash(certificate)
            certificate.verify_directly_issued_by(issuer)
            _check_common(issuer, self._when)
            _check_authority(issuer, below)
        except (InvalidSignature, TypeError):
            return False
        except Refused as error:
            self._reason = error
            return False
        return True


def _check_hash(certificate: x509.Certificate) -> None:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _HASHES:
        raise Refused("a certificate is signed with a weak hash", expected="SHA-256 or better", got=algorithm.name)


def _check_authority(issuer: x509.Certificate, below: int) -> None:
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Refused("a certificate in the chain is not a CA certificate")
    if constraints.path_length is not None and below > constraints.path_length:
        raise Refused("the certificate chain is longer than its CA allows")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Refused("a certificate in the chain may not issue certificates")
    uses = _extension(issuer, x509.ExtendedKeyUsage)
    if uses is not None and ExtendedKeyUsageOID.CODE_SIGNING not in uses and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in uses:
        raise Refused("a CA in the chain is not meant for code signing")


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _names(
    certificate: x509.Certificate, kind: type[x509.RFC822Name] | type[x509.DNSName] | type[x509.UniformResourceIdentifier]
) -> list[str]:
    names = _extension(certificate, x509.SubjectAlternativeName)
    return [] if names is None else list(names.get_values_for_type(kind))


def _oidc_issuer(certificate: x509.Certificate) -> str:
    """Fulcio's issuer extension: version 2 (DER) or 1 (bare text); where both are there, they must agree."""
    found = {extension.oid: extension.value for extension in certificate.extensions}
    values = []
    for oid in (_ISSUER_V2, _ISSUER_V1):
        value = found.get(oid)
        if isinstance(value, x509.UnrecognizedExtension):
            values.append(_utf8_string(value.value) if oid == _ISSUER_V2 else value.value)
    if not values or any(value != values[0] for value in values):
        raise Refused("the certificate does not name its OIDC issuer unambiguously")
    return values[0].decode("utf-8", errors="replace")


def _utf8_string(der: bytes) -> bytes:
    if len(der) < 2 or der[0] != _UTF8_STRING:
        raise Refused("the certificate's issuer extension is malformed")
    size, start = der[1], 2
    if size in (0x81, 0x82):
        start += size & 0x7F
        least = 0x80 if size == 0x81 else 0x100
        size = int.from_bytes(der[2:start], "big")
        if size < least:
            raise Refused("the certificate's issuer extension is malformed")
    elif size > 0x7F:
        raise Refused("the certificate's issuer extension is malformed")
    if len(der) != start + size:
        raise Refused("the certificate's issuer extension is malformed")
    return der[start:]


def _has_host(certificate: x509.Certificate, host: str) -> bool:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return any(_host_matches(name.lower(), host.lower()) for name in names.get_values_for_type(x509.DNSName))


def _host_matches(name: str, host: str) -> bool:
    """Equal, or a ``*`` for exactly the first label."""
    first, _, rest = host.partition(".")
    return bool(host) and (name == host or (bool(first and rest) and name == f"*.{rest}"))
