"""GPG signatures in every form that the differential test wants, good, bad and odd, and the keys that make them."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import signing
from tests.support.policycases import KEYS, MANIFEST, Blob
from tests.support.trustkit import GpgHome, gpg_home

_PAST = ("--faked-system-time", "20200101T000000!")
#: What containers/image takes for a signature by its first byte; anything else is an error there.
_SIGNED = frozenset([*range(0xA0, 0xA4), 0xC8, *range(0x90, 0x93), 0xC4, *range(0x88, 0x8C), 0xC2])
_SIGSTORE = b"\0sigstore-json\n"


@dataclass
class Forge:
    """Keys, their files, and signatures by them. May be sent to another process."""

    home: GpgHome
    directory: Path
    fingerprints: dict[str, str]
    _made: dict[Blob, bytes] = field(default_factory=dict, compare=False, repr=False)

    def filled(self, policy: bytes) -> bytes:
        """A policy with the places of the keys filled in."""
        for name in KEYS:
            path = self.directory / name
            policy = policy.replace(f"@{name}@".encode(), str(path).encode())
            data = path.read_bytes() if path.exists() else b""
            policy = policy.replace(f"@data:{name}@".encode(), base64.b64encode(data))
        return policy

    def blob(self, blob: Blob) -> bytes:
        """The signature, made when first asked for."""
        if blob not in self._made:
            self._made[blob] = _FORMS[blob.form](self, blob)
        return self._made[blob]

    def sign(
        self, blob: Blob, *options: str, payload: bytes | None = None, how: str = "--sign", hash_name: str = "SHA256"
    ) -> bytes:
        """A signature by the blob's signer."""
        data = _payload(blob) if payload is None else payload
        name = blob.signer
        when = _PAST if name in ("expired", "outdated") else ()
        lasting = ("--default-sig-expire", "1d") if name == "outdated" else ()
        who = self.fingerprints[name.removesuffix("-primary")] + ("!" if name.endswith("-primary") else "")
        return self.home.run(*when, *lasting, *options, "--digest-algo", hash_name, how, "-u", who, data=data)


@contextlib.contextmanager
def open_forge() -> Iterator[Forge]:
    """A fresh set of keys."""
    with gpg_home() as home, tempfile.TemporaryDirectory(prefix="airgap-keys-") as directory:
        forge = Forge(home, Path(directory), _fingerprints(home))
        _write_keys(forge)
        yield forge


def _fingerprints(home: GpgHome) -> dict[str, str]:
    found = {name: home.new_key(name) for name in ("other", "team", "revoked", "stranger")}
    found["vendor"] = home.new_key("vendor", algorithm="rsa2048")
    found["expired"] = home.new_key("expired", *_PAST, expires="1d")
    found["outdated"] = home.new_key("outdated", *_PAST)
    home.run("--quick-add-key", found["team"], "ed25519", "sign")
    return found


def _write_keys(forge: Forge) -> None:
    home, names = forge.home, forge.fingerprints
    files = {name: home.export(names[name]) for name in ("other", "team", "expired")}
    files["vendor"] = home.export(names["vendor"], names["outdated"], armor=False)
    files["both"] = home.export(names["vendor"], names["other"])
    files["not-a-key"], files["empty"] = b"this is not a key\n", b""
    with gpg_home() as other:
        other.run("--import", data=home.run("--export-secret-keys", names["revoked"], names["team"]))
        certificate = (home.path / "openpgp-revocs.d" / f"{names['revoked']}.rev").read_text(encoding="utf-8")
        other.run("--import", data=certificate.replace(":-----BEGIN", "-----BEGIN").encode())
        other.run("--command-fd", "0", "--edit-key", names["team"], data=b"key 1\nrevkey\ny\n0\n\ny\nsave\n")
        files["revoked"], files["team-revoked"] = other.export(names["revoked"]), other.export(names["team"])
    for name, content in files.items():
        (forge.directory / name).write_bytes(content)


def _payload(blob: Blob, **changes: Any) -> bytes:
    return signing.payload(MANIFEST, blob.reference, digest=blob.digest, **changes)


def _nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    return value


def _literal_first(forge: Forge, blob: Blob) -> bytes:
    data = _payload(blob)
    body = b"b\0\0\0\0\0" + data
    return forge.sign(blob, how="--detach-sign") + b"\xcb\xff" + len(body).to_bytes(4, "big") + body


def _flipped(forge: Forge, blob: Blob) -> bytes:
    raw = bytearray(forge.sign(blob, "--compress-algo", "none"))
    raw[raw.index(b"atomic")] ^= 1
    return bytes(raw)


def _two(forge: Forge, blob: Blob) -> bytes:
    past = {"expired": "outdated", "outdated": "expired"}  # a key of today does not exist yet when these sign
    second = past.get(blob.signer, "vendor" if blob.signer == "other" else "other")
    return forge.sign(blob, "-u", forge.fingerprints[second])


def _duplicate(blob: Blob) -> bytes:
    return _payload(blob).replace(b'"optional":{}', b'"optional":{"x":1,"x":1}')


def _no_optional(blob: Blob) -> bytes:
    return _payload(blob).replace(b',"optional":{}', b"")


_FORMS: dict[str, Callable[[Forge, Blob], bytes]] = {
    "compressed": lambda forge, blob: forge.sign(blob),
    "uncompressed": lambda forge, blob: forge.sign(blob, "--compress-algo", "none"),
    "zlib": lambda forge, blob: forge.sign(blob, "--compress-algo", "zlib"),
    "sha512": lambda forge, blob: forge.sign(blob, hash_name="SHA512"),
    "two-signers": _two,
    "flipped": _flipped,
    "cut": lambda forge, blob: forge.sign(blob, "--compress-algo", "none")[:-20],
    "detached": lambda forge, blob: forge.sign(blob, how="--detach-sign"),
    "literal": lambda forge, blob: forge.home.run("--store", data=_payload(blob)),
    "bad-json": lambda forge, blob: forge.sign(blob, payload=_payload(blob) + b"{}"),
    "duplicate-key": lambda forge, blob: forge.sign(blob, payload=_duplicate(blob)),
    "timestamp-1.5": lambda forge, blob: forge.sign(blob, payload=_payload(blob, optional={"timestamp": 1.5})),
    "no-optional": lambda forge, blob: forge.sign(blob, payload=_no_optional(blob)),
    "cosign-type": lambda forge, blob: forge.sign(blob, payload=signing.cosign_payload(MANIFEST, blob.reference)),
    "armored": lambda forge, blob: forge.sign(blob, "--armor"),
    "cleartext": lambda forge, blob: forge.sign(blob, how="--clear-sign"),
    "garbage": lambda forge, blob: b"this is not a signature",
    "empty": lambda forge, blob: b"",
    "text-mode": lambda forge, blob: forge.sign(blob, "--textmode"),
    "trailing-packet": lambda forge, blob: forge.sign(blob, "--compress-algo", "none") + b"\xca\x03PGP",
    "sha1": lambda forge, blob: forge.sign(blob, "--allow-weak-digest-algos", hash_name="SHA1"),
    "bzip2": lambda forge, blob: forge.sign(blob, "--compress-algo", "bzip2"),
    "old-order": _literal_first,
    "large": lambda forge, blob: forge.sign(blob, "--compress-algo", "none", payload=_payload(blob, optional={"x": "x" * 70_000})),
    "invalid-utf8-payload": lambda forge, blob: forge.sign(
        blob, payload=_payload(blob, optional={"x": "@"}).replace(b'"@"', b'"\xff"')
    ),
    "deep-payload": lambda forge, blob: forge.sign(blob, payload=_payload(blob, optional=_nested(40))),
}


def is_garbage(blob: bytes) -> bool:
    """Whether containers/image cannot even tell what kind of signature this is."""
    return not blob or (blob[0] not in _SIGNED and not blob.startswith(_SIGSTORE))


def smaller_json(raw: bytes) -> Iterator[bytes]:
    """The document with one member of an object or one item of a list less, for every one of them; none when it does not parse."""
    try:
        value = json.loads(raw)
    except ValueError:
        return
    for smaller in _smaller(value):
        yield json.dumps(smaller).encode()


def _smaller(value: Any) -> Iterator[Any]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        yield {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value[:key] + value[key + 1 :]
    for key in keys:
        for child in _smaller(value[key]):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = child
            yield copy
