"""Bundles: catalog, encryption, volumes and their frame, parity, blobs, closure (docs/format.md)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.support.formatreader import patches
from tests.support.formatreader.strict import Bad, canonical, digest_of, key_id, number, parse, sha256, want

BLOCK, PIECE = 16777216, 1048576
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
IMAGES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
NAME = "org.opencontainers.image.ref.name"
OUTER = {
    *("schema", "stream", "serial", "created", "expires", "block_size", "volume_size", "volumes", "parity"),
    *("piece_size", "recipients", "catalog", "tags"),
}
SUFFIXES = {"cosign-signature": ".sig", "cosign-attestation": ".att", "cosign-sbom": ".sbom", "referrers-tag": ""}


class Bundle:
    """A bundle, read whole and proved. ``blobs`` has the bytes of everything that is carried or made from what is.

    Args:
        directories: where its files lie.
        site_key: PEM of the private key of a recipient, for an encrypted one.
        held: blobs that the site has, by digest.
        supplied: blocks that take the place of those in the files, by file and number (a supplement's).
    """

    def __init__(
        self,
        *directories: Path,
        site_key: bytes | None = None,
        held: Mapping[str, bytes] | None = None,
        supplied: Mapping[tuple[str, int], bytes] | None = None,
    ) -> None:
        self.raw = (directories[0] / "catalog.json").read_bytes()
        want(all((one / "catalog.json").read_bytes() == self.raw for one in directories), "two catalogs")
        self.outer = parse(self.raw)
        self._held, self._supplied = held or {}, supplied or {}
        secret = _content_key(self.outer, site_key) if self.outer["schema"] == "airgap.sealed/1" else None
        self.inner_raw = self.raw if secret is None else _open(secret, self.outer, "catalog")
        self.catalog = parse(self.inner_raw)
        want(self.catalog["schema"] == "airgap.catalog/1", "unknown schema")
        self._check_head()
        files = self._files(directories)
        self.rebuilt = sorted(name for name, data in files.items() if data is None)
        whole = _repaired(self.catalog, files) if self.rebuilt else {name: data for name, data in files.items() if data is not None}
        plain = [whole[one["name"]] for one in self.catalog["volumes"]]
        self.volumes = plain if secret is None else _decrypted(secret, self.outer, plain)
        self._check_frame()
        self.blobs: dict[str, bytes] = {}
        for digest in self.catalog["blobs"]:
            self._blob(digest)
        self.reached = self._closure()

    @property
    def name(self) -> str:
        return f"{self.catalog['stream']}-{self.catalog['serial']:04d}"

    def _check_head(self) -> None:
        top = self.catalog
        want(top["block_size"] == BLOCK, "block size")
        want(number(top["serial"]) >= 1, "serial")
        for both in ("stream", "serial", "created", "expires", "volume_size", "volumes", "parity"):
            want(top[both] == self.outer[both], f"outer and inner catalog differ in {both}")
        for kind, form in (("volumes", "volume-{:04d}.tar"), ("parity", "parity-{:04d}.bin")):
            for count, one in enumerate(top[kind], 1):
                want(one["name"] == form.format(count), "name of a file")
                want(len(one["blocks"]) == -(-one["size"] // BLOCK), "number of blocks")
                want(kind == "parity" or top["volume_size"] is None or one["size"] <= top["volume_size"], "size of a volume")
        largest = max(one["size"] for one in top["volumes"])
        want(all(one["size"] == largest for one in top["parity"]), "size of a parity file")

    def _files(self, directories: Sequence[Path]) -> dict[str, bytes | None]:
        """Every file by name; None for one that is lost or damaged."""
        found: dict[str, bytes | None] = {}
        for one in (*self.catalog["volumes"], *self.catalog["parity"]):
            candidates = [path.read_bytes() for where in directories if (path := where / one["name"]).exists()] or [b""]
            mended = [self._mended(one, data) for data in candidates]
            found[one["name"]] = next((data for data in mended if _is_whole(one, data)), None)
        return found

    def _mended(self, one: Mapping[str, Any], data: bytes) -> bytes:
        blocks = [data[i * BLOCK : (i + 1) * BLOCK] for i in range(len(one["blocks"]))]
        return b"".join(self._supplied.get((one["name"], i), block) for i, block in enumerate(blocks))

    # the frame

    def _check_frame(self) -> None:
        """Every byte that is no blob's follows from the catalog, and blobs lie where the rules put them."""
        placed: dict[str, list[list[int]]] = {}
        volumes: list[bytearray] = [bytearray()]
        most = (self.catalog["volume_size"] or 2**63 - 512) // 512 * 512

        def room() -> int:
            return most - len(volumes[-1])

        def begin(length: int) -> None:
            if room() < length:
                volumes.append(bytearray())

        for name, size, content in self._members():
            head = _header(name, size)
            begin(len(head) + (512 if size else 0))
            volumes[-1] += head
            done = 0
            while done < size or (not size and name not in placed):
                if size and not room():
                    volumes.append(bytearray(_continuation(name, size, done)))
                length = min(size - done, room())
                where = [len(volumes), len(volumes[-1]), length]
                placed.setdefault(name, []).append(where)
                volume = self.volumes[where[0] - 1] if where[0] <= len(self.volumes) else b""
                volumes[-1] += volume[where[1] : where[1] + length] if content is None else content[done : done + length]
                done += length
            volumes[-1] += bytes(-size % 512)
        begin(1024)
        volumes[-1] += bytes(1024)
        want([bytes(one) for one in volumes] == self.volumes, "the frame is not the one that follows from the catalog")
        for digest, entry in self.catalog["blobs"].items():
            want(entry.get("extents", []) == placed.get(_path(digest), []), f"extents of {digest}")

    def _members(self) -> Iterator[tuple[str, int, bytes | None]]:
        index = self._index()
        yield "oci-layout", len(LAYOUT), LAYOUT
        yield "index.json", len(index), index
        carried = sorted(
            (one["extents"][0], digest, one["size"]) for digest, one in self.catalog["blobs"].items() if "extents" in one
        )
        yield from ((_path(digest), size, None) for _, digest, size in carried)

    def _index(self) -> bytes:
        entries: dict[tuple[str, str], dict[str, Any]] = {}
        for image in self.catalog["images"]:
            entries.setdefault((image["reference"], image["digest"]), _entry(image, image["reference"]))
        for image in self.catalog["images"]:
            for one in image.get("attachments", []):
                if one["kind"] != "lookaside-signature":
                    name = f"{_repository(image['reference'])}:{one['tag']}" if "tag" in one else ""
                    entries.setdefault((name, one["digest"]), _entry(one, name))
        return canonical({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": list(entries.values())})

    # blobs

    def _blob(self, digest: str) -> bytes | None:
        """The bytes of one, by its digest; None where only the site has it."""
        entry = self.catalog["blobs"][digest]
        want(sum(kind in entry for kind in ("extents", "held", "patch")) == 1, f"{digest} is not one of carried, held, made")
        if digest not in self.blobs:
            if "extents" in entry:
                data = b"".join(self.volumes[v - 1][at : at + length] for v, at, length in entry["extents"])
            elif "held" in entry:
                if digest not in self._held:
                    return None
                data = self._held[digest]
            else:
                patch, base = self._blob(entry["patch"]["blob"]), None
                want(patch is not None and "extents" in self.catalog["blobs"][entry["patch"]["blob"]], "a patch is not carried")
                if entry["patch"]["base"] is not None:
                    base = self._blob(entry["patch"]["base"])
                    if base is None:
                        return None
                data = patches.apply(entry["patch"]["codec"], patch or b"", base)
            want(len(data) == entry["size"] and digest_of(data, digest) == digest, f"wrong bytes for {digest}")
            self.blobs[digest] = data
        return self.blobs[digest]

    # what images reach

    def _closure(self) -> dict[str, set[str]]:
        """By reference, what an image reaches; nothing is missing and nothing is extra."""
        found: dict[str, set[str]] = {}
        for image in self.catalog["images"]:
            reached: set[str] = set()
            manifests: set[str] = set()
            self._walk(image, image, 0, reached, manifests)
            for one in image.get("attachments", []):
                if one["kind"] == "lookaside-signature":
                    self._listed(one, reached)
                    continue
                want(one.get("tag") == _tag(one["kind"], one["subject"]), "an attachment's tag")
                if one["subject"] in manifests:
                    self._walk(image, one, 1, reached, manifests)
            found[image["reference"]] = reached
        every = set().union(*found.values())
        for digest in sorted(every):
            todo = [digest]
            while todo:
                patch = self.catalog["blobs"][todo.pop()].get("patch")
                more = {patch["blob"], *([patch["base"]] if patch["base"] else [])} - every if patch else set()
                every |= more
                todo += more
        want(every == set(self.catalog["blobs"]), "a blob that no image reaches")
        return found

    def _walk(
        self, image: Mapping[str, Any], descriptor: Mapping[str, Any], level: int, reached: set[str], manifests: set[str]
    ) -> None:
        digest, kind = descriptor["digest"], descriptor["mediaType"]
        if digest in manifests:
            return
        want(level <= 8 and kind in (*INDEXES, *IMAGES), "no manifest")
        self._listed(descriptor, reached)
        want("extents" in self.catalog["blobs"][digest], "a manifest that is not carried")
        manifest = parse(self.blobs[digest])
        want(
            manifest.get("mediaType", kind) == kind and ("manifests" in manifest) == (kind in INDEXES), "a manifest of another kind"
        )
        manifests.add(digest)
        for child in manifest.get("manifests", []):
            if child["digest"] not in image.get("omitted", []):
                self._walk(image, child, level + 1, reached, manifests)
        for blob in [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", [])]:
            foreign = ".foreign." in blob["mediaType"] or "nondistributable" in blob["mediaType"]
            if not (foreign and blob["digest"] in image.get("foreign", [])):
                self._listed(blob, reached)

    def _listed(self, descriptor: Mapping[str, Any], reached: set[str]) -> None:
        entry = self.catalog["blobs"].get(descriptor["digest"])
        want(entry is not None and entry["size"] == descriptor["size"], f"{descriptor['digest']} is not listed as it is described")
        reached.add(descriptor["digest"])


def _repository(reference: str) -> str:
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _tag(kind: str, subject: str) -> str | None:
    algorithm, _, digits = subject.partition(":")
    digits = digits[:64] if kind == "referrers-tag" else digits
    return None if kind == "referrer" else f"{algorithm}-{digits}{SUFFIXES[kind]}"


def _entry(descriptor: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = {
        key: descriptor[key]
        for key in ("mediaType", "digest", "size", "artifactType", "platform", "annotations")
        if key in descriptor
    }
    return found | {"annotations": {NAME: name}} if name else found


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _is_whole(one: Mapping[str, Any], data: bytes) -> bool:
    blocks = [sha256(data[i : i + BLOCK]) for i in range(0, len(data), BLOCK)]
    return (len(data), sha256(data), blocks) == (one["size"], one["sha256"], one["blocks"])


# tar headers


def _record(name: bytes, mode: int, size: int, kind: bytes) -> bytearray:
    record = bytearray(512)
    record[: len(name)] = name
    record[100:108] = b"%07o\0" % mode
    record[108:116] = record[116:124] = b"%07o\0" % 0
    record[124:136] = _twelve(size)
    record[136:148] = b"%011o\0" % 0
    record[156:157] = kind
    record[257:265] = b"ustar  \0"
    return record


def _summed(record: bytearray) -> bytes:
    record[148:156] = b" " * 8
    record[148:156] = b"%06o\0 " % sum(record)
    return bytes(record)


def _twelve(value: int) -> bytes:
    return b"%011o\0" % value if value < 2**33 else b"\x80" + value.to_bytes(11, "big")


def _header(name: str, size: int) -> bytes:
    raw, long = name.encode(), b""
    if len(raw) > 100:
        body = raw + b"\0"
        long = _summed(_record(b"././@LongLink", 0, len(body), b"L")) + body + bytes(-len(body) % 512)
    return long + _summed(_record(raw[:100], 0o644, size, b"0"))


def _continuation(name: str, size: int, done: int) -> bytes:
    record = _record(name.encode()[:100], 0o644, size - done, b"M")
    record[369:381], record[483:495] = _twelve(done), _twelve(size)
    return _summed(record)


# parity


def _times(a: int, b: int) -> int:
    result = 0
    while b:
        if b & 1:
            result ^= a
        a, b = a << 1, b >> 1
        if a & 0x100:
            a ^= 0x11D
    return result


TIMES = [bytes(_times(a, b) for b in range(256)) for a in range(256)]
INVERSE = [0] + [TIMES[a].index(1) for a in range(1, 256)]
POINTS = [0, 1]
while len(POINTS) < 256:
    POINTS.append(_times(POINTS[-1], 2))


def _repaired(catalog: Mapping[str, Any], files: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The volumes, those that are lost or damaged from any V files that are whole."""
    volumes = catalog["volumes"]
    size = max(one["size"] for one in volumes)
    known = [(POINTS[i], data.ljust(size, b"\0")) for i, data in enumerate(files.values()) if data is not None][: len(volumes)]
    want(len(known) == len(volumes), "too many files are lost")
    found = {}
    for position, one in enumerate(volumes):
        data = files[one["name"]]
        if data is None:
            data = _at(POINTS[position], known)[: one["size"]]
            if not _is_whole(one, data):
                raise Bad("parity gives other bytes")
        found[one["name"]] = data
    return found


def _at(point: int, known: Sequence[tuple[int, bytes]]) -> bytes:
    """The value at a point of the polynomial through the known ones, for every byte position."""
    total = 0
    for own, data in known:
        factor = 1
        for other, _ in known:
            if other != own:
                factor = TIMES[factor][TIMES[point ^ other][INVERSE[own ^ other]]]
        total ^= int.from_bytes(data.translate(TIMES[factor]), "big")
    return total.to_bytes(len(known[0][1]), "big")


# encryption


def _derive(secret: bytes, info: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def _content_key(outer: Mapping[str, Any], site_key: bytes | None) -> bytes:
    want(
        set(outer) == OUTER and outer["piece_size"] == PIECE and 1 <= len(outer["recipients"]) <= 256, "the outer catalog's members"
    )
    private = serialization.load_pem_private_key(site_key or b"", None)
    if not isinstance(private, X25519PrivateKey):
        raise Bad("no X25519 key")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    own = key_id(private.public_key().public_bytes(serialization.Encoding.PEM, form))
    [mine] = [one for one in outer["recipients"] if one["key"] == own]
    ephemeral = base64.b64decode(mine["ephemeral"], validate=True)
    shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    kek = _derive(shared, b"airgap content key", ephemeral + private.public_key().public_bytes_raw())
    return AESGCM(kek).decrypt(bytes(12), base64.b64decode(mine["secret"], validate=True), None)


def _open(secret: bytes, outer: Mapping[str, Any], what: str) -> bytes:
    data = base64.b64decode(outer[what], validate=True)
    return AESGCM(_derive(secret, b"airgap catalog")).decrypt(data[:12], data[12:], f"airgap.sealed/1 {what}".encode())


def _decrypted(secret: bytes, outer: Mapping[str, Any], volumes: Sequence[bytes]) -> list[bytes]:
    tags, cipher, plain = _open(secret, outer, "tags"), AESGCM(_derive(secret, b"airgap volumes")), []
    for count, volume in enumerate(volumes, 1):
        pieces = [volume[i : i + PIECE] for i in range(0, len(volume), PIECE)]
        nonces = (count.to_bytes(4, "big") + i.to_bytes(8, "big") for i in range(len(pieces)))
        own, tags = tags[: 16 * len(pieces)], tags[16 * len(pieces) :]
        joined = zip(nonces, pieces, range(0, len(own), 16), strict=True)
        plain.append(b"".join(cipher.decrypt(nonce, piece + own[at : at + 16], None) for nonce, piece, at in joined))
    want(not tags, "more tags than pieces")
    return plain
