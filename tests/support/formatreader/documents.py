"""Documents: receipts, custody logs, resend requests, supplements, disks (docs/receipts.md, custody.md, format.md, media.md).

And locks, plans of a removal, results of checks and of watch (docs/json.md).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.formatreader.strict import canonical, digest_of, is_signed, number, parse, want

BLOCK = 16777216


def receipt(raw: bytes) -> dict[str, Any]:
    """A receipt; ``manifests`` and ``blobs`` as digest -> (size, repositories). There is one form for each content."""
    top = parse(raw)
    fields = ["schema", "site", "created", "tool", "target", "streams", "repositories", "images", "manifests", "blobs"]
    want(top["schema"] == "airgap.receipt/1" and list(top) == fields, "not a receipt")
    lines = [f'"{key}":{canonical(top[key]).decode()}' for key in fields[:-2]]
    for key in fields[-2:]:
        rows = ",\n".join(canonical(row).decode() for row in top[key])
        lines.append(f'"{key}":[\n{rows}\n]' if rows else f'"{key}":[]')
    want(("{\n" + ",\n".join(lines) + "\n}\n").encode() == raw, "another form of the same content")
    held: dict[str, tuple[int, tuple[str, ...]]] = {}
    for key in ("manifests", "blobs"):
        order = [("sha512" if "sha512" in row else "sha256", row["repositories"]) for row in top[key]]
        want(order == sorted(order), "rows that are not sorted")
        found = [one for row in top[key] for one in _row(row, top["repositories"])]
        want(not held.keys() & {digest for digest, _, _ in found}, "a digest that is there twice")
        held |= {digest: (size, places) for digest, size, places in found}
        top[key] = {digest: held[digest] for digest, _, _ in found}
    named = sorted({place for _, places in held.values() for place in places})
    want(named == top["repositories"], "repositories that no row names")
    want(
        all(digest in top["manifests"] for tags in top["images"].values() for digest in tags.values()),
        "an image without a manifest",
    )
    return top


def _row(row: Mapping[str, Any], repositories: list[str]) -> list[tuple[str, int, tuple[str, ...]]]:
    [algorithm] = set(row) - {"repositories", "sizes"}
    width = {"sha256": 32, "sha512": 64}[algorithm]
    digests = base64.b64decode(row[algorithm], validate=True)
    sizes, size, value, shift = [], 0, 0, 0
    for byte in base64.b64decode(row["sizes"], validate=True):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            want(byte or shift == 7, "a number in a longer form")
            size += value
            sizes.append(number(size))
            value = shift = 0
    want(not shift and len(digests) == width * len(sizes) and sizes, "digests and sizes")
    places = tuple(repositories[i] for i in row["repositories"])
    found = [(f"{algorithm}:{digests[i * width : (i + 1) * width].hex()}", one, places) for i, one in enumerate(sizes)]
    want(found == sorted(found, key=lambda one: (one[1], one[0])), "a row that is not sorted")
    return found


def custody(raw: bytes, catalog: str, public_pem: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The entries of a log whose chain is whole, each with ``signed`` (None: not signed), and a torn last line."""
    *lines, torn = raw.split(b"\n")
    entries: list[dict[str, Any]] = []
    previous = None
    fields = {"schema", "number", "catalog", "at", "who", "where", "note", "checked", "previous", "cut"}
    for count, line in enumerate(lines, 1):
        entry = parse(line)
        want(canonical(entry) == line and set(entry) - {"signature"} == fields, "not the form of an entry")
        want(entry["schema"] == "airgap.custody/1", "unknown schema")
        want((entry["number"], entry["catalog"], entry["previous"]) == (count, catalog, previous), "a broken chain")
        signature = entry.pop("signature", None)
        signed = None if signature is None else is_signed(canonical(entry), signature["content"].encode(), public_pem)
        entries.append(entry | {"signed": signed})
        previous = digest_of(line)
    return entries, torn


def request(raw: bytes) -> dict[str, Any]:
    """A resend request."""
    top = parse(raw)
    want(set(top) == {"schema", "stream", "serial", "catalog", "block_size", "files"}, "members of a request")
    want(top["schema"] == "airgap.request/1" and top["block_size"] == BLOCK, "not a request")
    want(canonical(top) + b"\n" == raw, "another form of the same content")
    for name, ranges in top["files"].items():
        want(re.fullmatch(r"volume-\d{4,}\.tar|parity-\d{4,}\.bin", name) and ranges, "a file")
        want(all(number(first) <= number(last) for first, last in ranges), "a range")
        want(all(one[1] + 1 < other[0] for one, other in pairwise(ranges)), "ranges that touch")
    return top


def supplement(directory: Path, asked: bytes) -> dict[tuple[str, int], bytes]:
    """The blocks of a supplement, by file and number; they are proved by the catalog, in the bundle."""
    raw = (directory / "catalog.json").read_bytes()
    top, catalog = parse((directory / "supplement.json").read_bytes()), parse(raw)
    want(set(top) == {"schema", "catalog", "request", "files"} and top["schema"] == "airgap.supplement/1", "not a supplement")
    want((top["catalog"], top["request"]) == (digest_of(raw), digest_of(asked)), "for another bundle or request")
    want(directory.name == f"{catalog['stream']}-{catalog['serial']:04d}-resend-{top['request'][7:15]}", "the directory's name")
    sizes = {one["name"]: one["size"] for one in (*catalog["volumes"], *catalog["parity"])}
    found: dict[tuple[str, int], bytes] = {}
    for count, runs in enumerate(top["files"], 1):
        data, at = (directory / f"resend-{count:04d}.bin").read_bytes(), 0
        for name, first, last in runs:
            for block in range(first, last + 1):
                length = min(BLOCK, sizes[name] - block * BLOCK)
                want(length > 0, "a block that the bundle does not have")
                found[name, block] = data[at : at + length]
                at += length
        want(at == len(data), "a file of another size")
    return found


def disks(raw: bytes) -> dict[str, Any]:
    """``DISKS.json``."""
    top = parse(raw)
    want(top["schema"] == "airgap.disks/1" and top["disk"] in top["disks"], "not a list of disks")
    want(all(re.fullmatch(r"[A-Z]{1,3}", label) for label in top["disks"]), "a label")
    return top


def lock(raw: bytes) -> tuple[dict[str, str], dict[str, int]]:
    """The images of a lock, and every blob that they need with its size."""
    top = parse(raw)
    want(top["schema"] == "airgap.lock/1", "not a lock")
    nodes = {one["digest"]: one for one in top["manifests"]}
    blobs: dict[str, int] = {}
    for image in top["images"]:
        omitted, todo = set(image.get("omitted", [])), [image, *image.get("attachments", [])]
        while todo:
            digest = todo.pop()["digest"]
            if digest in omitted or digest in blobs:
                continue
            want(digest in nodes, f"no manifest {digest}")
            node = nodes[digest]
            blobs[digest] = number(node["size"])
            blobs |= {one["digest"]: number(one["size"]) for one in node.get("blobs", [])}
            todo += node.get("children", [])
    named = {image["reference"] for image in top["images"]}
    want(set(top.get("places", {})) <= named, "a place of no image")
    for digest, data in top.get("made", {}).items():
        want(digest_of(base64.b64decode(data, validate=True), digest) == digest, "made content with another digest")
    return {image["reference"]: image["digest"] for image in top["images"]}, blobs


def prune(raw: bytes) -> dict[str, Any]:
    """The plan of a removal: unchanged, and nothing in it is removed that a name needs."""
    top = parse(raw)
    want(top["schema"] == "airgap.prune/1", "not a plan")
    want(top.pop("digest") == digest_of(canonical(top)), "a plan that was changed")
    for step in top["steps"]:
        stay = {one["digest"] for one in step["names"]}
        want(not stay & set(step["remove"]["manifests"]), "a name without its manifest")
        want(all(number(one["size"]) >= 0 for one in step["remove"]["blobs"]), "a blob")
    return top


def check(raw: bytes) -> dict[str, Any]:
    """The result of a check; ``bad`` are the files of which there is no good copy, by bundle."""
    top = parse(raw)
    want(top["schema"] == "airgap.check/1", "not the result of a check")
    order = ["good", "damaged", "incomplete", "unreadable"]
    want(top["result"] in order and all(one["result"] in order for one in top["bundles"]), "unknown result")
    want((top["exit_code"] == 0) == (top["result"] == "good"), "an exit code that does not fit")
    bad = {}
    for bundle in top["bundles"]:
        files = bundle["files"]
        bad[bundle["bundle"]] = [one["name"] for one in files if not any(copy["good"] for copy in one["copies"])]
        volumes = [name for name in bad[bundle["bundle"]] if name.startswith("volume-")]
        want(bundle["complete"] == (not volumes), "complete without all volumes, or not with them")
    return top | {"bad": bad}


def result(raw: bytes) -> dict[str, Any]:
    """How the import of a bundle ended."""
    top = parse(raw)
    want(top["schema"] == "airgap.result/1", "not a result")
    want(("error" in top and "exit_code" in top) == (top["outcome"] in ("refused", "failed")), "an error that does not fit")
    return top


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What `diff` has to say of two catalogs: references, and digests of what they stand for; patches are only a way to it."""
    images = [{one["reference"]: one["digest"] for one in catalog["images"]} for catalog in (old, new)]
    blobs = [
        set(catalog["blobs"]) - {one["patch"]["blob"] for one in catalog["blobs"].values() if "patch" in one}
        for catalog in (old, new)
    ]
    return {
        "added": sorted(images[1].keys() - images[0].keys()),
        "removed": sorted(images[0].keys() - images[1].keys()),
        "unchanged_count": sum(images[1].get(name) == digest for name, digest in images[0].items()),
        "shared": sorted(blobs[0] & blobs[1]),
        "only_a": sorted(blobs[0] - blobs[1]),
        "only_b": sorted(blobs[1] - blobs[0]),
    }
