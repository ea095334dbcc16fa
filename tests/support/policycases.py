"""Random policies, references and sets of signatures, each case a function of a seed and a number; for the differential test.

Policies hold ``@vendor@`` where the path of a key file belongs and ``@data:vendor@`` where its content does.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from airgap.oci.digest import Digest
from airgap.trust.policy.scopesyntax import respelled

CONFIG = b"{}"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": Digest.of(CONFIG)},
        "layers": [],
    }
).encode()
DIGEST = str(Digest.of(MANIFEST))

HOSTS = ("docker.io", "example.com", "sub.very.example.com", "a.b.example.com:8443", "localhost", "localhost:5000",
         "mixed.example.org", "quay.io")  # fmt: skip
REFERENCES = (
    "docker.io/library/busybox:1.36", f"docker.io/library/busybox@{DIGEST}", "docker.io/bitnami/redis:latest",
    "example.com/ns/repo:tag", f"example.com/ns/repo@{DIGEST}", "sub.very.example.com/testing/manifest:latest",
    "a.b.example.com:8443/ns/r:t", f"a.b.example.com:8443/ns/r@{DIGEST}", "localhost/x:1", "localhost:5000/x/y_z:1",
    "mixed.example.org/ns/repo:V1", "quay.io/org/deep/er/name:v1.0",
)  # fmt: skip

#: Keys by the name of their file; those that can sign are in SIGNERS.
KEYS = ("vendor", "other", "team", "both", "expired", "revoked", "team-revoked", "not-a-key", "empty", "missing")
SIGNERS = ("vendor", "other", "team", "team-primary", "expired", "revoked", "outdated", "stranger")
#: What a signature blob looks like; the plain ones are what everybody makes.
PLAIN = ("compressed", "uncompressed", "zlib", "sha512", "two-signers")
BROKEN = ("flipped", "cut", "detached", "literal", "bad-json", "duplicate-key", "timestamp-1.5", "no-optional", "cosign-type")
GARBAGE = ("armored", "cleartext", "garbage", "empty")
STRICTER = ("text-mode", "trailing-packet", "sha1", "bzip2", "old-order", "large", "invalid-utf8-payload", "deep-payload")

#: Scopes of other transports, good ones and bad ones: a bad one makes the whole policy bad.
OTHER_SCOPES = {
    "dir": (["/x", "/a/b", "/a b", ""], ["/", "a", "/a/", "//a", "/a/../b", "/./a"]),
    "oci": (["/x", "/a/b:c", ""], ["/a//b", "x"]),
    "oci-archive": (["/x.tar", ""], ["/./x", "x.tar"]),
    "sif": (["/x.sif", ""], ["x.sif"]),
    "atomic": (["h", "h/ns/s:t", "h:1/ns", ""], ["h/a/b/c", "h/ns/s:t:u"]),
    "docker-daemon": (["busybox", "0" * 64, f"sha256:{'0' * 63}", "md5:00", ""], [f"sha256:{'0' * 64}", f"sha384:{'0' * 96}"]),
    "docker-archive": ([""], ["x"]),
    "tarball": ([""], ["/x"]),
    "containers-storage": (
        ["[/r]", "[overlay@/r]", f"[/r]busybox@{DIGEST}", "[/r]x:y", f"[/r]x@{'a' * 64}", f"[/r]x@{DIGEST}@{'a' * 64}",
         f"[/r]x@sha384:{'0' * 96}", ""],
        ["busybox", "[", "[]", "[r]", "[@/r]", "[/r]x@", "[/r]x@y@z"],
    ),
    "ostree": (["x", ""], ["x"]),
    "no-such-transport": (["Any Thing", ""], ["/"]),
    "airgap": (["prod-site", ""], ["Prod/Site"]),
}  # fmt: skip
#: Parts of names about which skopeo 1.9.3 and we do not agree.
ODD_NAMES = {"@sha384:": "sha384-name", ":0123456/": "long-port", ":5000000": "long-port"}


class Pairs(list[tuple[Any, Any]]):
    """A JSON object as it is written: a key may stand there twice, and a key that is ``bytes`` is written as it is."""


@dataclass(frozen=True)
class Blob:
    """One signature to be made: by whom, over which claim, in which form. ``stop`` is a gap in the numbering before it."""

    signer: str = "vendor"
    reference: str = ""
    digest: str = DIGEST
    form: str = "compressed"
    gap: bool = False


@dataclass(frozen=True)
class Case:
    """One question to both judges. ``marks`` name what is special about the policy."""

    policy: bytes
    reference: str
    blobs: tuple[Blob, ...]
    marks: frozenset[str] = field(default=frozenset())


def dump(value: Any) -> bytes:
    """JSON, with ``Pairs`` as objects."""
    if isinstance(value, Pairs):
        inner = (b"%s:%s" % (key if isinstance(key, bytes) else json.dumps(key).encode(), dump(child)) for key, child in value)
        return b"{%s}" % b",".join(inner)
    if isinstance(value, list):
        return b"[%s]" % b",".join(map(dump, value))
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def pairs(value: Any) -> Any:
    """Plain JSON with every object as ``Pairs``."""
    if isinstance(value, dict):
        return Pairs((key, pairs(child)) for key, child in value.items())
    return [pairs(child) for child in value] if isinstance(value, list) else value


def make(seed: int, number: int) -> Case:
    """The case of this seed and number."""
    return _Maker(random.Random(f"{seed}:{number}")).case()


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.reference = chance.choice(REFERENCES)
        self.marks: set[str] = set()
        self.calm = self.often(0.45)

    def usual(self) -> bool:
        """In calm cases nearly everything is as it should be: those are the ones close to the border between yes and no."""
        return self.calm and self.often(0.93)

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def case(self) -> Case:
        document = pairs({"default": self.requirements(), "transports": self.transports()})
        if self.often(0.03):
            document = Pairs(pair for pair in document if pair[0] == "default")
        raw = self.mutated(document) if not self.usual() and self.often(0.35) else dump(document)
        return Case(raw, self.reference, self.blobs(), frozenset(self.marks))

    # policies

    def transports(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.often(0.95):
            scopes = self.chance.sample(self.scope_pool(), self.chance.randint(0, 5))
            found["docker"] = {scope: self.requirements() for scope in scopes}
            self.marks |= {"respelled" for scope in scopes if scope and respelled(scope)}
        for transport in self.chance.sample(sorted(OTHER_SCOPES), self.chance.choice((0, 0, 0, 0, 1, 2))):
            found[transport] = {scope: self.requirements() for scope in [self.other_scope(transport)]}
        return found

    def other_scope(self, transport: str) -> str:
        good, bad = OTHER_SCOPES[transport]
        if self.often(0.85):
            return self.chance.choice(good)
        self.marks |= {"airgap": {"not-a-stream"}, "atomic": {"atomic-scope"}}.get(transport, set())
        return self.chance.choice(bad)

    def scope_pool(self) -> list[str]:
        """All scopes that match the reference, some more often than not, and others that only look so."""
        name = self.repository()
        host, _, path = name.partition("/")
        bare = host.partition(":")[0]
        labels = bare.split(".")
        good = [self.reference, name, host, "", *("/".join([host, *path.split("/")[:i]]) for i in range(1, path.count("/") + 1))]
        good += ["*." + ".".join(labels[i:]) for i in range(1, len(labels))]
        near = [bare, f"*.{bare}", f"*{bare}", f"*.{bare}/{path}", name[:-1], name.lower(), path,
                f"{name}:", f"{name}:other", f"{name}:latest", f"docker.io/{path.rpartition('/')[2]}", "*", "*.*",
                "x.example"]  # fmt: skip
        found = [*good, *self.chance.sample(near, 7)]
        if self.often(0.05):
            found.append(self.chance.choice((f"{name}/", name.upper(), f"{host}/", f"{host.upper()}/{path}", " ")))
        return list(dict.fromkeys(found))

    def repository(self) -> str:
        name = self.reference.partition("@")[0]
        return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name

    def requirements(self) -> list[Any]:
        count = self.chance.choices((1, 2, 3), (82, 15, 3))[0]
        return [self.requirement() for _ in range(count)]

    def requirement(self) -> dict[str, Any]:
        kind = (
            "signedBy"
            if self.usual()
            else self.chance.choices(
                ("signedBy", "insecureAcceptAnything", "reject", "sigstoreSigned", "signedBaseLayer"), (74, 10, 8, 5, 3)
            )[0]
        )
        found: dict[str, Any] = {"type": kind}
        if kind == "signedBy":
            found |= {"keyType": self.chance.choices(("GPGKeys", "signedByX509CAs"), (97, 3))[0], **self.keys()}
        elif kind == "sigstoreSigned":
            found |= self.sigstore()
        elif kind == "signedBaseLayer":
            found["baseLayerIdentity"] = self.identity()
        if kind in ("signedBy", "sigstoreSigned") and self.often(0.5):
            found["signedIdentity"] = self.identity()
        return found

    def key(self) -> str:
        return "vendor" if self.usual() else self.chance.choices(KEYS, (50, 10, 10, 10, 4, 4, 4, 3, 2, 3))[0]

    def keys(self) -> dict[str, Any]:
        kind = self.chance.choices(("keyPath", "keyPaths", "keyData"), (60, 20, 20))[0]
        if kind == "keyPath":
            return {kind: f"@{self.key()}@"}
        if kind == "keyPaths":
            return {kind: [f"@{self.key()}@" for _ in range(self.chance.choice((0, 1, 2, 2, 3)))]}
        name = self.chance.choice([name for name in KEYS if name != "missing"])
        return {kind: f"@data:{name}@"}

    def sigstore(self) -> dict[str, Any]:
        if self.often(0.2):
            self.marks.add("newer-field")
            return self.chance.choice(({"keyPaths": ["/x"]}, {"keyDatas": ["eA=="]}, {"keyPath": "/x", "rekorPublicKeyPath": "/y"}))
        if self.often(0.1):
            self.marks.add("empty-path")
            return {"keyPath": ""}
        return self.chance.choice(({"keyPath": "/x"}, {"keyData": "eA=="}, {"keyData": ""}, {"keyData": "e A=="}, {}))

    def identity(self) -> dict[str, Any]:
        kind = self.chance.choice(
            ("matchExact", "matchRepoDigestOrExact", "matchRepository", "exactReference", "exactRepository", "remapIdentity")
        )
        found: dict[str, Any] = {"type": kind}
        if kind == "exactReference":
            found["dockerReference"] = self.reference if self.often(0.7) else self.name()
        elif kind == "exactRepository":
            found["dockerRepository"] = self.repository() if self.often(0.7) else self.name()
        elif kind == "remapIdentity":
            found |= {"prefix": self.prefix(), "signedPrefix": self.prefix()}
        texts = [text for name, text in found.items() if name != "type"]
        self.marks |= {mark for part, mark in ODD_NAMES.items() if any(part in text for text in texts)}
        self.marks |= {"respelled" for text in texts if respelled(text)}
        return found

    def prefix(self) -> str:
        name = self.repository()
        host = name.partition("/")[0]
        if self.often(0.85):
            return self.chance.choice(
                (name, host, "vendor.example", "vendor.example:5000/x", "docker.io", "docker.io/library", "busybox")
            )
        odd = (
            "vendor.example/",
            "vendor.example/X",
            f"{name}:tag",
            "a..b",
            "-a.b",
            "notlocalhost",
            "vendor.example:5000000",
            "[::1]:80",
        )
        return self.chance.choice((name.rpartition("/")[0], "", *odd))

    def name(self) -> str:
        """A name in a signature or a policy: mostly the image's own, else one that is close to it, or none at all."""
        if self.usual():
            return self.reference
        name = self.repository()
        host, _, path = name.partition("/")
        same = self.chance.choices((self.reference, f"{name}:1.36", f"{name}@{DIGEST}", name), (70, 10, 10, 10))[0]
        if self.often(0.6):
            return same
        return self.chance.choice(
            (f"{name}:other", f"vendor.example/{path}:1.36", f"vendor.example:5000/x/{path}:latest", f"{name}:1.36@{DIGEST}",
             f"{host}/another:1", path, f"{path}:1", path.rpartition("/")[2], f"{host}/library/{path}:1",
             f"index.docker.io/{path}:1.36", name.upper(), f"{name}:", f"{name}@sha256:{'0' * 63}", f"{name}@sha256:{'0' * 64}",
             f"{name}@sha512:{'0' * 128}", f"{name}@md5:{'0' * 32}", f"{name}@sha384:{'0' * 96}", f" {same}", f"{same}\n", "",
             "0" * 64, f"{host}/a__b/c--d:1", f"{host}/a___b:1", f"{host}/{'n' * 250}:1", f"{name}:{'t' * 129}",
             f"vendor.example:0123456/{path}:1", f"https://{same}", f"Vendor.example/{path}:1", f"{host}/-a:1", f"é/{path}:1")
        )  # fmt: skip

    # signatures

    def blobs(self) -> tuple[Blob, ...]:
        count = self.chance.choices((0, 1, 2, 3, 4), (8, 50, 25, 12, 5))[0]
        return tuple(self.blob() for _ in range(count))

    def blob(self) -> Blob:
        if self.calm and self.often(0.85):
            return Blob(reference=self.name())
        weights = (30, 20, 10, 40) if self.calm else (79, 10, 4, 7)
        group = self.chance.choices((PLAIN, BROKEN, GARBAGE, STRICTER), weights)[0]
        form = "compressed" if group is PLAIN and self.often(0.5) else self.chance.choice(group)
        signer = "vendor" if self.usual() else self.chance.choices(SIGNERS, (58, 10, 8, 8, 4, 4, 4, 4))[0]
        digests = (DIGEST, f"sha256:{'1' * 64}", DIGEST.upper(), str(Digest.of(MANIFEST, "sha512")))
        digest = DIGEST if self.usual() else self.chance.choices(digests, (90, 6, 2, 2))[0]
        return Blob(signer, self.name() if self.often(0.35) else self.reference, digest, form, gap=self.often(0.05))

    # subtly invalid policies

    def mutated(self, document: Pairs) -> bytes:
        if self.often(0.25):
            return self.mutated_text(dump(document))
        if self.often(0.05):
            return self.odd_scope(document)
        objects = list(_objects(document))
        target = self.chance.choice(objects)
        change = self.chance.choice((self.replace, self.replace, self.drop, self.rename, self.add, self.double, self.swap_case))
        change(target)
        return dump(document)

    def replace(self, target: Pairs) -> None:
        values: tuple[Any, ...] = (
            None,
            1,
            1.5,
            True,
            "",
            "x",
            [],
            Pairs(),
            [None],
            [1],
            b"1e400",
            b"NaN",
            [Pairs([("type", "reject")])],
        )
        self.on_one(target, lambda pair: (pair[0], self.chance.choice(values)))
        self.marks |= {"null"} if any(value is None for _, value in target) else set()
        self.mark(target)

    def drop(self, target: Pairs) -> None:
        if target:
            target.pop(self.chance.randrange(len(target)))

    def rename(self, target: Pairs) -> None:
        names = ("", "type", "Type", "keyPath", "keyData", "default", "x")
        self.on_one(target, lambda pair: (self.chance.choice(names), pair[1]))
        self.mark(target)

    def swap_case(self, target: Pairs) -> None:
        self.on_one(target, lambda pair: (pair[0].title(), pair[1]) if isinstance(pair[0], str) else pair)
        self.mark(target)

    def mark(self, target: Pairs) -> None:
        data = [value for key, value in target if key == "keyData"]
        self.marks |= {"byte-list"} if any(isinstance(value, list) and not isinstance(value, Pairs) for value in data) else set()
        self.marks |= {"respelled" for key, _ in target if isinstance(key, str) and key and respelled(key)}

    def add(self, target: Pairs) -> None:
        names = ("comment", "keyPath", "keyPaths", "keyData", "signedIdentity", "type", "", "default", "Transports")
        name = self.chance.choice(names)
        target.insert(self.chance.randint(0, len(target)), (name, self.chance.choice(("/x", None, [], "eA=="))))
        self.marks |= {"null"} if any(value is None for _, value in target) else set()
        self.mark(target)

    def double(self, target: Pairs) -> None:
        if target:
            key, value = self.chance.choice(target)
            escaped = "".join(f"\\u{ord(c):04x}" for c in key[:1]) + json.dumps(key[1:])[1:-1] if isinstance(key, str) else ""
            target.append((f'"{escaped}"'.encode() if self.often(0.5) else key, value))

    def on_one(self, target: Pairs, change: Any) -> None:
        if target:
            place = self.chance.randrange(len(target))
            target[place] = change(target[place])

    def mutated_text(self, raw: bytes) -> bytes:
        kind = self.chance.choice(("trailing", "cut", "bom", "space", "comma", "comment", "empty", "list"))
        return {
            "trailing": raw + self.chance.choice((b"x", b"{}", b"\0", b",")),
            "cut": raw[: self.chance.randrange(len(raw))],
            "bom": b"\xef\xbb\xbf" + raw,
            "space": b"\r\n\t " + raw.replace(b":", b" :\n") + b"\n",
            "comma": raw[:-1] + b",}",
            "comment": b"// policy\n" + raw,
            "empty": b"",
            "list": b"[" + raw + b"]",
        }[kind]

    def odd_scope(self, document: Pairs) -> bytes:
        """A scope that is no Unicode, where it harms nobody but strict readers."""
        self.marks.add("not-unicode")
        scope = self.chance.choice((b'"\xff"', b'"\\ud800"'))
        transports = next((value for key, value in document if key == "transports"), Pairs())
        transports.append(("no-such-thing", Pairs([(scope, pairs([{"type": "reject"}]))])))
        return dump(document)


def _objects(value: Any) -> Any:
    if isinstance(value, Pairs):
        yield value
        for _, child in value:
            yield from _objects(child)
    elif isinstance(value, list):
        for child in value:
            yield from _objects(child)
