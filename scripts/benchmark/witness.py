"""skopeo as the witness: what a site's registry holds after the imports is what the source holds, byte for byte."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.registry import Registry
from benchmark.vendor import signature_tag

_INSECURE = "--tls-verify=false"


@dataclass
class Seen:
    """What was found equal on both sides.

    Attributes:
        tags: image tags.
        manifests: indexes, instances and those of signatures, each in its repository.
        signatures: signature tags, each in its repository.
        blobs: every digest that the target's storage must hold, manifests included.
    """

    tags: int = 0
    manifests: int = 0
    signatures: int = 0
    blobs: set[str] = field(default_factory=set)


class Witness:
    """Compares two registries; the first difference ends the benchmark.

    Args:
        source: the registry that the bundles were made from.
        target: the registry that they were loaded into.
        prefix: what comes before the source's repositories there.
        storage: the target's storage directory.
    """

    def __init__(self, source: Registry, target: Registry, prefix: str, storage: Path) -> None:
        self._source = source
        self._target = target
        self._prefix = prefix
        self._storage = storage
        self._seen = Seen()
        self._tags: dict[str, set[str]] = {}

    def compare(self, names: Iterable[str]) -> Seen:
        """Compare every image with its instances, signatures and blobs, then look for anything that is too much or damaged."""
        for name in names:
            repository, _, tag = name.rpartition(":")
            root, index = self._same(repository, f":{tag}", tag)
            self._seen.tags += 1
            self._signature(repository, root)
            for child in index["manifests"]:
                digest, manifest = self._same(repository, f"@{child['digest']}", None)
                self._blobs(repository, manifest)
                self._signature(repository, digest)
        for repository, tags in self._tags.items():
            _equal(f"tags of {repository}", sorted(tags), sorted(_tags(self._target, self._prefix + repository)))
        self._check_storage()
        return self._seen

    def _signature(self, repository: str, digest: str) -> None:
        tag = signature_tag(digest)
        _, signature = self._same(repository, f":{tag}", tag)
        self._seen.signatures += 1
        self._blobs(repository, signature)

    def _blobs(self, repository: str, manifest: dict[str, Any]) -> None:
        for part in (manifest["config"], *manifest["layers"]):
            digest = part["digest"]
            if not self._target.has_blob(self._prefix + repository, digest):
                raise SystemExit(f"bench: {self._prefix}{repository} in the target does not have blob {digest}")
            self._seen.blobs.add(digest)

    def _same(self, repository: str, what: str, tag: str | None) -> tuple[str, dict[str, Any]]:
        """The digest and content of a manifest that is the same on both sides."""
        raw = _raw(self._source, repository + what)
        _equal(repository + what, raw, _raw(self._target, self._prefix + repository + what))
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        self._seen.blobs.add(digest)
        self._seen.manifests += 1
        if tag is not None:
            self._tags.setdefault(repository, set()).add(tag)
        return digest, json.loads(raw)

    def _check_storage(self) -> None:
        """Everything in the storage is what its name says, and it is all that there should be."""
        found = set()
        for path in (self._storage / "docker/registry/v2/blobs/sha256").glob("*/*/data"):
            digest = f"sha256:{path.parent.name}"
            with path.open("rb") as file:
                _equal(str(path), digest, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
            found.add(digest)
        _equal("blobs in the target", sorted(self._seen.blobs), sorted(found))


def _raw(registry: Registry, name: str) -> bytes:
    return _skopeo(["inspect", "--raw", _INSECURE, f"docker://{registry.address}/{name}"])


def _tags(registry: Registry, repository: str) -> list[str]:
    tags: list[str] = json.loads(_skopeo(["list-tags", _INSECURE, f"docker://{registry.address}/{repository}"]))["Tags"]
    return tags


def _skopeo(arguments: list[str]) -> bytes:
    done = subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True)
    if done.returncode:
        raise SystemExit(f"bench: skopeo {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _equal(what: str, wanted: object, got: object) -> None:
    if wanted == got:
        return
    if isinstance(wanted, list) and isinstance(got, list):
        wanted, got = sorted(set(wanted) - set(got))[:5], sorted(set(got) - set(wanted))[:5]
        raise SystemExit(f"bench: {what} differ: missing {wanted}, too many {got}")
    raise SystemExit(f"bench: {what} differs: {wanted!r} at the source, {got!r} in the target")
