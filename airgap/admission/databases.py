"""Databases of vulnerability scanners that a bundle carries, and how old they are: a scanner without a network finds nothing newer.

trivy's are artifacts with layers of its own types, dated by their manifest's annotation; grype's are files, dated by their name.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator

from airgap.admission.closure import Closure
from airgap.bundle.store import BundleStore
from airgap.errors import UsageError
from airgap.format.times import parse_time
from airgap.oci import media
from airgap.oci.descriptor import Descriptor

#: From here on a database is remarked on: grype refuses one that is older, as long as it is not told otherwise.
STALE = dt.timedelta(days=5)

_TRIVY = re.compile(r"application/vnd\.aquasec\.trivy\.(?:db|javadb)\.layer\.v1\.tar\+gzip", re.ASCII)
_GRYPE = re.compile(r"vulnerability-db_v\d{1,3}[^/]*?_(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)[^/]*\.tar\.(?:zst|gz|xz)", re.ASCII)
_CREATED = "org.opencontainers.image.created"


def stale_databases(store: BundleStore, closures: Iterable[Closure], now: dt.datetime) -> Iterator[str]:
    """A line for each image that is a scanner's database from more than ``STALE`` ago.

    Args:
        store: the bundle's content.
        closures: its images.
        now: the time.
    """
    made = parse_time(store.catalog.created)
    for closure in closures:
        for layer in closure.blobs.values():
            trivys = _TRIVY.fullmatch(layer.media_type) is not None
            grypes = _GRYPE.fullmatch(layer.annotations.get(media.TITLE, ""))
            if not (trivys or grypes):
                continue
            said = grypes[1] if grypes else _created(store, closure, layer)
            age = now - min(_time(said) or made, made)  # what a bundle carries is not younger than the bundle
            if age > STALE:
                refuses = "grype refuses it unless it is told to take it; " if grypes else ""
                text = f"a scanner's database that is {age.days} days old; {refuses}what was found since is not in it"
                yield f"{closure.image.reference} is {text}"


def _created(store: BundleStore, closure: Closure, layer: Descriptor) -> str:
    for digest in closure.manifests:
        if digest not in closure.rebuilt:
            manifest = store.find_manifest(digest)
            if any(one.digest == layer.digest for one in manifest.layers):
                return manifest.annotations.get(_CREATED, "")
    return ""


def _time(text: str) -> dt.datetime | None:
    try:
        return parse_time(text)
    except UsageError:
        return None
