"""Changes of key files, of PEM texts wherever they stand, and of signatures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.support.sigstoreparts import ALL, CERTIFICATES, KEYS, LOGS, Edit, last_bits, pem_body, pem_der, with_der

_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_SPKI, _PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


# text in PEM


_PEMS: dict[str, Callable[[bytes], bytes]] = {
    "text-before": lambda pem: b"the vendor's\n" + pem,
    "blank-before": lambda pem: b"\n\n" + pem,
    "indented": lambda pem: b"  " + pem,
    "text-before-on-its-line": lambda pem: b"x" + pem,
    "text-after": lambda pem: pem + b"the vendor's\n",
    "line-after": lambda pem: pem + b"\n",
    "blanks-after": lambda pem: pem + b"  \n",
    "blanks-at-end": lambda pem: pem.rstrip(b"\n") + b"  \n",
    "text-at-end": lambda pem: pem.rstrip(b"\n") + b"x\n",
    "crlf": lambda pem: pem.replace(b"\n", b"\r\n"),
    "no-newline": lambda pem: pem.rstrip(b"\n"),
    "headers": lambda pem: pem.replace(b"-----\n", b"-----\nComment: x\n\n", 1),
    "header-without-blank-line": lambda pem: pem.replace(b"-----\n", b"-----\nComment: x\n", 1),
    "blank-line-in-head": lambda pem: pem.replace(b"-----\n", b"-----\n\n", 1),
    "other-label": lambda pem: pem.replace(b"PUBLIC KEY", b"EC PUBLIC KEY").replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
    "x509-label": lambda pem: pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE").replace(b"PUBLIC KEY", b"RSA PUBLIC KEY"),
    "certificate-label": lambda pem: pem.replace(b"PUBLIC KEY", b"CERTIFICATE"),
    "labels-differ": lambda pem: pem.replace(b"END PUBLIC KEY", b"END KEY").replace(b"END CERTIFICATE", b"END X"),
    "lower-case": lambda pem: pem.replace(b"BEGIN", b"begin"),
    "four-dashes": lambda pem: pem.replace(b"-----BEGIN", b"----BEGIN"),
    "six-dashes": lambda pem: pem.replace(b"-----BEGIN", b"------BEGIN"),
    "blanks-in-body": lambda pem: pem_body(pem, lambda lines: [b" " + line for line in lines]),
    "blanks-at-line-ends": lambda pem: pem_body(pem, lambda lines: [line + b" \t" for line in lines]),
    "one-line": lambda pem: pem_body(pem, lambda lines: [b"".join(lines)]),
    "short-lines": lambda pem: pem_body(pem, lambda lines: [line[i : i + 10] for line in lines for i in range(0, len(line), 10)]),
    "empty-lines": lambda pem: pem_body(pem, lambda lines: [part for line in lines for part in (line, b"")]),
    "odd-character": lambda pem: pem_body(pem, lambda lines: [lines[0][:-1] + b"*", *lines[1:]]),
    "cut": lambda pem: pem[:-30],
    "cut-in-body": lambda pem: pem_body(pem, lambda lines: lines[:-1]),
    "no-padding": lambda pem: pem.replace(b"=", b""),
    "more-padding": lambda pem: pem_body(pem, lambda lines: [*lines[:-1], lines[-1] + b"="]),
    "twice": lambda pem: pem + pem,
    "der": pem_der,
    "empty": lambda _: b"",
    "byte-order-mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "zero-after": lambda pem: pem + b"\0",
    "der-with-more": lambda pem: with_der(pem, lambda der: der + b"\0"),
    "der-cut": lambda pem: with_der(pem, lambda der: der[:-1]),
    "checksum": lambda pem: pem.replace(b"-----END", b"=AbCd\n-----END"),
    "utf16": lambda pem: pem.decode().encode("utf-16"),
    "begin-twice": lambda pem: pem.split(b"\n")[0] + b"\n" + pem,
    "unfinished-block-before": lambda pem: b"-----BEGIN JUNK-----\nAAAA\n" + pem,
    "junk-block-before": lambda pem: b"-----BEGIN JUNK-----\nAAAA\n-----END JUNK-----\n" + pem,
    "junk-block-after": lambda pem: pem + b"-----BEGIN JUNK-----\nAAAA\n-----END JUNK-----\n",
}


def pem_edits() -> Iterable[Edit]:
    places = {
        "key-file": KEYS,
        "log-key-file": LOGS,
        "ca-file": CERTIFICATES,
        "certificate-text": CERTIFICATES,
        "chain-text": CERTIFICATES,
        "logged-pem": LOGS,
    }
    for point, kinds in places.items():
        for name, change in _PEMS.items():
            yield Edit(f"{point} {name}", point, kinds, partial(lambda change, pem, _: change(pem), change))


# keys


def _public(key: Any, encoding: Any = _PEM, form: Any = _SPKI) -> bytes:
    return bytes(key.public_bytes(encoding, form))


def _compressed(key: Any) -> bytes:
    point = _public(key, serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    body = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107") + bytes([3, len(point) + 1, 0]) + point
    text = base64.b64encode(bytes([0x30, len(body)]) + body)
    return b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----\n"


def key_edits() -> Iterable[Edit]:
    yield Edit("key pkcs1", "key-file", KEYS, lambda _, d: _public(d.signer.public, _PEM, _PKCS1), "rsa")
    yield Edit("key pkcs1-der", "key-file", KEYS, lambda _, d: _public(d.signer.public, _DER, _PKCS1), "rsa")
    yield Edit(
        "key pkcs1-as-spki",
        "key-file",
        KEYS,
        lambda _, d: _public(d.signer.public, _PEM, _PKCS1).replace(b"RSA PUBLIC", b"PUBLIC"),
        "rsa",
    )
    yield Edit("key spki-as-pkcs1", "key-file", KEYS, lambda pem, _: pem.replace(b"PUBLIC", b"RSA PUBLIC"), "rsa")
    yield Edit("key compressed", "key-file", KEYS, lambda _, d: _compressed(d.signer.public), "ecdsa")
    yield Edit("key private", "key-file", KEYS, lambda _, d: d.signer.private_pem)
    yield Edit("key certificate", "key-file", KEYS, lambda _, d: d.vault.root_pem)
    yield Edit("key another", "key-file", KEYS, lambda _, d: d.vault.key("other").pem)
    for sort in ("rsa1024", "rsa3072", "p224", "k1", "p521"):
        yield Edit(f"key {sort}", "key-file", KEYS, lambda pem, _: pem, sort)
    others: dict[str, Callable[[bytes, Any], list[bytes]]] = {
        "and-another": lambda pem, d: [pem, d.vault.key("other").pem],
        "after-another": lambda pem, d: [d.vault.key("other").pem, pem],
        "and-none": lambda pem, d: [pem, b"no key\n"],
        "and-der": lambda pem, d: [pem, _public(d.vault.key("other").public, _DER)],
        "and-p224": lambda pem, d: [pem, d.vault.key("p224").pem],
        "and-rsa1024": lambda pem, d: [pem, d.vault.key("rsa1024").pem],
        "and-k1": lambda pem, d: [pem, d.vault.key("k1").pem],
        "and-rsa": lambda pem, d: [pem, d.vault.key("rsa").pem],
        "twice": lambda pem, d: [pem, pem],
    }
    for name, change in others.items():
        yield Edit(f"keys {name}", "key-files", KEYS, partial(lambda change, files, d: change(files[0], d), change))
        yield Edit(f"log-keys {name}", "log-key-files", LOGS, partial(lambda change, files, d: change(files[0], d), change))
    for sort in ("log2", "rsa", "ed25519", "p384"):
        yield Edit(f"log-key another {sort}", "log-key-file", LOGS, partial(lambda sort, _, d: d.vault.key(sort).pem, sort))


# the signature itself


def _ecdsa(data: bytes, change: Callable[[int, int], tuple[int, int]]) -> bytes:
    return encode_dss_signature(*change(*decode_dss_signature(data)))


def _pss(_: bytes, draft: Any) -> bytes:
    layer = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return bytes(draft.signer.private.sign(b"anything", layer, hashes.SHA256()))


def signature_edits() -> Iterable[Edit]:
    yield Edit("signature flipped", "signature", ALL, lambda raw, _: bytes([raw[0] ^ 1]) + raw[1:])
    yield Edit("signature cut", "signature", ALL, lambda raw, _: raw[:-1])
    yield Edit("signature longer", "signature", ALL, lambda raw, _: raw + b"\0")
    yield Edit("signature empty", "signature", ALL, lambda raw, _: b"")
    yield Edit("signature high-s", "signature", KEYS, lambda raw, _: _ecdsa(raw, lambda r, s: (r, _P256_ORDER - s)), "ecdsa")
    yield Edit("signature larger-s", "signature", KEYS, lambda raw, _: _ecdsa(raw, lambda r, s: (r, s + _P256_ORDER)), "ecdsa")
    yield Edit("signature zero", "signature", KEYS, lambda raw, _: _ecdsa(raw, lambda r, s: (0, 0)), "ecdsa")
    yield Edit(
        "signature plain",
        "signature",
        KEYS,
        lambda raw, _: b"".join(x.to_bytes(32, "big") for x in decode_dss_signature(raw)),
        "ecdsa",
    )
    yield Edit("signature long-length", "signature", KEYS, lambda raw, _: raw[:1] + b"\x81" + raw[1:], "ecdsa")
    yield Edit("signature pss", "signature", KEYS, _pss, "rsa")
    texts: dict[str, Callable[[str], str]] = {
        "newline": lambda text: text + "\n",
        "newline-within": lambda text: text[:20] + "\n" + text[20:],
        "crlf-within": lambda text: text[:20] + "\r\n" + text[20:],
        "blank": lambda text: text + " ",
        "blank-within": lambda text: text[:20] + " " + text[20:],
        "no-padding": lambda text: text.rstrip("="),
        "url-safe": lambda text: text.replace("+", "-").replace("/", "_"),
        "last-bits": lambda text: last_bits(text),
        "twice": lambda text: text + text,
        "none": lambda text: "",
        "tab": lambda text: "\t" + text,
        "form-feed": lambda text: text + "\f",
    }
    for name, change in texts.items():
        yield Edit(f"signature-text {name}", "signature-text", ALL, partial(lambda change, text, _: change(text), change))
        yield Edit(f"set-signature {name}", "set-signature", LOGS, partial(lambda change, text, _: change(text), change))
        yield Edit(f"body-text {name}", "body-text", LOGS, partial(lambda change, text, _: change(text), change))
    for word in ("signature", "bundle", "certificate", "chain"):
        name = f"dev.{'cosignproject' if word == 'signature' else 'sigstore'}.cosign/{word}"
        kinds = {"signature": ALL, "bundle": LOGS, "certificate": CERTIFICATES, "chain": CERTIFICATES}[word]
        yield Edit(
            f"annotation {word}-missing",
            "annotations",
            kinds,
            partial(lambda name, found, _: {k: v for k, v in found.items() if k != name}, name),
        )
        yield Edit(f"annotation {word}-empty", "annotations", kinds, partial(lambda name, found, _: found | {name: ""}, name))
        yield Edit(f"annotation {word}-blank", "annotations", kinds, partial(lambda name, found, _: found | {name: " \n"}, name))
    yield Edit("annotation another", "annotations", ALL, lambda found, _: found | {"x": "y"})
    for kind in (
        "application/octet-stream",
        "application/vnd.dev.cosign.simplesigning.v1+JSON",
        "application/vnd.dev.cosign.simplesigning.v1+json; a=b",
        "",
    ):
        yield Edit(f"media-type {kind or 'none'}", "media-type", ALL, partial(lambda kind, _, d: kind, kind))
