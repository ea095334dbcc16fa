"""Changes of what is signed, of the names in it and in the policy, and of the log's promise."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from tests.support.policycases import DIGEST, MANIFEST
from tests.support.sigstoreparts import ALL, KEYS, LOGS, Edit, last_bits

# JSON


def _double(text: str) -> str:
    value = json.loads(text)
    name = next(iter(value))
    return json.dumps(value)[:-1] + f", {json.dumps(name)}: {json.dumps(value[name])}}}"


_TEXTS: dict[str, Callable[[str], str]] = {
    "spaced": lambda text: json.dumps(json.loads(text), indent=2),
    "newline": lambda text: text + "\n",
    "more": lambda text: text + "{}",
    "byte-order-mark": lambda text: "\ufeff" + text,
    "doubled": _double,
    "unknown": lambda text: json.dumps(json.loads(text) | {"x": 1}),
    "case": lambda text: json.dumps({key.swapcase(): value for key, value in json.loads(text).items()}),
    "both-cases": lambda text: json.dumps(
        {**json.loads(text), **{key.swapcase(): value for key, value in json.loads(text).items()}}
    ),
    "reversed": lambda text: json.dumps(dict(reversed(json.loads(text).items()))),
    "list": lambda text: f"[{text}]",
    "escaped": lambda text: (
        text.replace('"', '"\\u00', 1)
        .replace("\\u00", f"\\u00{ord(text[text.index(chr(34)) + 1]):02x}", 1)
        .replace(text[text.index(chr(34)) + 1], "", 0)
    ),
    "null": lambda _: "null",
    "none": lambda _: "",
    "comma": lambda text: text[:-1] + ",}",
    "slashes": lambda text: text.replace("/", "\\/"),
}


def json_edits() -> Iterable[Edit]:
    for name, change in _TEXTS.items():
        if name == "escaped":
            continue
        yield Edit(f"payload {name}", "payload", ALL, partial(lambda change, raw, _: change(raw.decode()).encode(), change))
        yield Edit(f"set {name}", "set-text", LOGS, partial(lambda change, text, _: change(text), change))
        yield Edit(f"body {name}", "body", LOGS, partial(lambda change, raw, _: change(raw.decode()).encode(), change))
    yield Edit("payload not-utf8", "payload", ALL, lambda raw, _: raw.replace(b'"optional":null', b'"optional":{"x":"\xff"}'))
    yield Edit("payload surrogate", "payload", ALL, lambda raw, _: raw.replace(b'"optional":null', b'"optional":{"x":"\\ud800"}'))
    yield Edit(
        "payload deep",
        "payload",
        ALL,
        lambda raw, _: raw.replace(b'"optional":null', b'"optional":{"x":' + b"[" * 40 + b"]" * 40 + b"}"),
    )
    yield Edit(
        "payload large",
        "payload",
        ALL,
        lambda raw, _: raw.replace(b'"optional":null', b'"optional":{"x":"' + b"x" * 70_000 + b'"}'),
    )
    optional: dict[str, Any] = {
        "empty": {},
        "text": "x",
        "list": [],
        "creator": {"creator": "x"},
        "creator-null": {"creator": None},
        "creator-number": {"creator": 1},
        "timestamp": {"timestamp": 1},
        "timestamp-half": {"timestamp": 1.5},
        "timestamp-whole": {"timestamp": 1.0},
        "timestamp-text": {"timestamp": "1"},
        "timestamp-null": {"timestamp": None},
        "timestamp-huge": {"timestamp": 2**63},
        "timestamp-2**70": {"timestamp": 2**70},
        "timestamp-1e300": {"timestamp": 1e300},
        "timestamp-negative": {"timestamp": -1},
        "more": {"x": {"y": [1, None, True]}},
        "number-huge": {"x": 10**400},
        "timestamp-true": {"timestamp": True},
        "false": False,
        "zero": 0,
    }
    for name, value in optional.items():
        yield Edit(f"optional {name}", "claim", ALL, partial(lambda value, claim, _: claim | {"optional": value}, value))
    yield Edit("claim no-optional", "claim", ALL, lambda claim, _: {"critical": claim["critical"]})
    for name in ("type", "image", "identity"):
        yield Edit(f"claim no-{name}", "claim", ALL, partial(lambda name, claim, _: _critical(claim, lambda c: c.pop(name)), name))
        yield Edit(
            f"claim {name}-null",
            "claim",
            ALL,
            partial(lambda name, claim, _: _critical(claim, lambda c: c.update({name: None})), name),
        )
    for kind in (
        "atomic container signature",
        "cosign container image signature ",
        "Cosign container image signature",
        "",
        "https://sigstore.dev/cosign/sign/v1",
    ):
        yield Edit(
            f"claim type {kind!r}",
            "claim",
            ALL,
            partial(lambda kind, claim, _: _critical(claim, lambda c: c.update(type=kind)), kind),
        )
    yield Edit("claim unknown", "claim", ALL, lambda claim, _: _critical(claim, lambda c: c.update(x=1)))
    yield Edit("claim image-unknown", "claim", ALL, lambda claim, _: _critical(claim, lambda c: c["image"].update(x=1)))
    yield Edit("claim identity-unknown", "claim", ALL, lambda claim, _: _critical(claim, lambda c: c["identity"].update(x=1)))
    digests = {
        "another": f"sha256:{'1' * 64}",
        "upper": DIGEST.upper(),
        "upper-hex": "sha256:" + DIGEST[7:].upper(),
        "short": DIGEST[:-1],
        "long": DIGEST + "0",
        "bare": DIGEST[7:],
        "sha512": f"sha512:{hashlib.sha512(MANIFEST).hexdigest()}",
        "blank": DIGEST + " ",
        "none": "",
    }
    for name, digest in digests.items():
        yield Edit(f"digest {name}", "digest", ALL, partial(lambda digest, _, d: digest, digest))


def _critical(claim: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    critical = json.loads(json.dumps(claim["critical"]))
    change(critical)
    return claim | {"critical": critical}


# names


def name_edits() -> Iterable[Edit]:
    names: dict[str, Callable[[Any], str]] = {
        "repository": lambda d: d.repository,
        "other-tag": lambda d: f"{d.repository}:other",
        "digest": lambda d: f"{d.repository}@{DIGEST}",
        "other-digest": lambda d: f"{d.repository}@sha256:{'0' * 64}",
        "sha384": lambda d: f"{d.repository}@sha384:{'0' * 96}",
        "tag-and-digest": lambda d: f"{d.repository}:1.36@{DIGEST}",
        "other-host": lambda d: f"vendor.example/{d.repository.partition('/')[2]}:1.36",
        "upper": lambda d: d.reference.upper(),
        "host-upper": lambda d: d.reference.partition("/")[0].upper() + "/" + d.reference.partition("/")[2],
        "short": lambda d: d.reference.removeprefix("docker.io/library/").removeprefix("docker.io/"),
        "index": lambda d: d.reference.replace("docker.io", "index.docker.io"),
        "blank": lambda d: d.reference + " ",
        "newline": lambda d: d.reference + "\n",
        "url": lambda d: f"https://{d.reference}",
        "none": lambda d: "",
        "ipv6": lambda d: f"[::1]/{d.reference.partition('/')[2]}",
        "image-id": lambda d: "0" * 64,
    }
    for name, make in names.items():
        yield Edit(f"name {name}", "name", ALL, partial(lambda make, _, d: make(d), make))
    identities: dict[str, Callable[[Any], dict[str, Any]]] = {
        "exact": lambda d: {"type": "matchExact"},
        "digest-or-exact": lambda d: {"type": "matchRepoDigestOrExact"},
        "repository": lambda d: {"type": "matchRepository"},
        "exact-reference": lambda d: {"type": "exactReference", "dockerReference": d.reference},
        "exact-other": lambda d: {"type": "exactReference", "dockerReference": f"{d.repository}:other"},
        "exact-repository": lambda d: {"type": "exactRepository", "dockerRepository": d.repository},
        "exact-repository-tag": lambda d: {"type": "exactRepository", "dockerRepository": f"{d.repository}:other"},
        "remap": lambda d: {"type": "remapIdentity", "prefix": d.repository.partition("/")[0], "signedPrefix": "vendor.example"},
        "remap-same": lambda d: {"type": "remapIdentity", "prefix": d.repository, "signedPrefix": d.repository},
        "remap-elsewhere": lambda d: {"type": "remapIdentity", "prefix": "elsewhere.example", "signedPrefix": "vendor.example"},
        "remap-ipv6": lambda d: {"type": "remapIdentity", "prefix": "[::1]:80", "signedPrefix": "vendor.example"},
    }
    for name, identity in identities.items():
        yield Edit(
            f"identity {name}",
            "requirement",
            ALL,
            partial(lambda identity, found, d: found | {"signedIdentity": identity(d)}, identity),
        )
    requirements: dict[str, dict[str, Any]] = {"no-log": {}, "path-missing": {"keyPath": "/no/such/file"}}
    yield Edit(
        "requirement no-log",
        "requirement",
        ("logged",),
        lambda found, _: {k: v for k, v in found.items() if not k.startswith("rekor")},
    )
    yield Edit(
        "requirement path-missing",
        "requirement",
        KEYS,
        lambda found, _: {k: v for k, v in found.items() if not k.startswith("key")} | requirements["path-missing"],
    )
    for kind, field in (("fulcio", "subjectEmail"), ("fulcio", "oidcIssuer"), ("pki", "subjectEmail"), ("pki", "subjectHostname")):
        for name, change in _SUBJECTS.items():
            yield Edit(
                f"{kind} {field} {name}",
                "requirement",
                (kind,),
                partial(
                    lambda kind, field, change, found, _: found | {kind: found[kind] | {field: change(found[kind][field])}},
                    kind,
                    field,
                    change,
                ),
            )
    for left in ("subjectEmail", "subjectHostname"):
        yield Edit(
            f"pki without {left}",
            "requirement",
            ("pki",),
            partial(lambda left, found, _: found | {"pki": {k: v for k, v in found["pki"].items() if k != left}}, left),
        )


_SUBJECTS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "blank": lambda text: text + " ",
    "dot": lambda text: text + ".",
    "another": lambda text: "x" + text,
    "slash": lambda text: text + "/",
    "star": lambda text: "*." + text.partition(".")[2],
    "parent": lambda text: text.partition(".")[2] or text,
    "below": lambda text: "x." + text,
    "address": lambda text: "127.0.0.1",
    "bracketed": lambda text: "[127.0.0.1]",
}


# the log


def log_edits() -> Iterable[Edit]:
    contents: dict[str, Any] = {
        "integratedTime": [1.5, "1", -1, 0, 2**62, 2**63, None, True, 1e9, 10**30],
        "logIndex": [1.5, "7", -1, 0, 2**53, 2**60, None, True, 1e3],
        "logID": ["", "AB" * 32, "not hex", "é", 'a"b', "a\\b", "a/b", "<a>", "a\u2028b", None, 1, "x" * 200],
        "body": ["", None, 1],
    }
    for field, values in contents.items():
        for value in values:
            label = f"{value!r}"[:20]
            yield Edit(
                f"content {field} {label}",
                "content",
                LOGS,
                partial(lambda field, value, content, _: content | {field: value}, field, value),
            )
            yield Edit(
                f"content later {field} {label}",
                "content-later",
                LOGS,
                partial(lambda field, value, content, _: content | {field: value}, field, value),
            )
    yield Edit("content unknown", "content", LOGS, lambda content, _: content | {"x": 1})
    yield Edit("content missing", "content", LOGS, lambda content, _: {k: v for k, v in content.items() if k != "logIndex"})
    yield Edit("content case", "content", LOGS, lambda content, _: {k.lower(): v for k, v in content.items()})
    for hours in (-900, -2, 25, 2000):
        yield Edit(
            f"content at {hours} hours",
            "content",
            LOGS,
            partial(
                lambda hours, content, d: content | {"integratedTime": int((d.vault.now + timedelta(hours=hours)).timestamp())},
                hours,
            ),
        )
    entries: dict[str, Callable[[dict[str, Any], Any], object]] = {
        "kind": lambda e, d: e.update(kind="rekord"),
        "kind-case": lambda e, d: e.update(kind="Hashedrekord"),
        "version": lambda e, d: e.update(apiVersion="0.0.2"),
        "version-missing": lambda e, d: e.pop("apiVersion"),
        "unknown": lambda e, d: e.update(x=1),
        "kind-key-case": lambda e, d: e.update(Kind=e.pop("kind")),
        "kind-two": lambda e, d: e.update(Kind="x"),
        "spec-unknown": lambda e, d: e["spec"].update(x=1),
        "hash-unknown": lambda e, d: e["spec"]["data"]["hash"].update(x=1),
        "data-unknown": lambda e, d: e["spec"]["data"].update(x=1),
        "signature-unknown": lambda e, d: e["spec"]["signature"].update(format="x509"),
        "key-unknown": lambda e, d: e["spec"]["signature"]["publicKey"].update(x=1),
        "hash-upper": lambda e, d: _hash(e, lambda h: h.update(value=h["value"].upper())),
        "hash-algorithm-upper": lambda e, d: _hash(e, lambda h: h.update(algorithm="SHA256")),
        "hash-sha512": lambda e, d: _hash(e, lambda h: h.update(algorithm="sha512")),
        "hash-another": lambda e, d: _hash(e, lambda h: h.update(value="0" * 64)),
        "hash-missing": lambda e, d: e["spec"]["data"].pop("hash"),
        "hash-short": lambda e, d: _hash(e, lambda h: h.update(value=h["value"][:-2])),
        "signature-missing": lambda e, d: e["spec"].pop("signature"),
        "content-missing": lambda e, d: e["spec"]["signature"].pop("content"),
        "content-null": lambda e, d: e["spec"]["signature"].update(content=None),
        "key-missing": lambda e, d: e["spec"]["signature"].pop("publicKey"),
        "spec-null": lambda e, d: e.update(spec=None),
        "spec-text": lambda e, d: e.update(spec="x"),
        "content-newline": lambda e, d: _signature(e, lambda s: s.update(content=s["content"] + "\n")),
        "content-blank": lambda e, d: _signature(e, lambda s: s.update(content=s["content"] + " ")),
        "content-last-bits": lambda e, d: _signature(e, lambda s: s.update(content=last_bits(s["content"]))),
        "content-another": lambda e, d: _signature(e, lambda s: s.update(content="AAAA")),
        "key-newline": lambda e, d: _signature(e, lambda s: s["publicKey"].update(content=s["publicKey"]["content"] + "\n")),
        "key-another": lambda e, d: _signature(
            e, lambda s: s["publicKey"].update(content=base64.b64encode(d.vault.key("other").pem).decode())
        ),
    }
    for name, change in entries.items():
        yield Edit(f"entry {name}", "entry", LOGS, partial(_changed, change))
    yield Edit("set by-another-log", "canonical", LOGS, lambda raw, d: raw + b" ")


def _changed(change: Callable[[dict[str, Any], Any], object], entry: dict[str, Any], draft: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(entry))
    change(copy, draft)
    return copy


def _hash(entry: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    change(entry["spec"]["data"]["hash"])


def _signature(entry: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    change(entry["spec"]["signature"])
