"""What the site already has, according to the bases that the operator names with ``--since``. Pure rules.

A base can be wrong: the importer asks the target before it writes anything. Obvious mistakes are refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.bundle.store import BundleStore
from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import Receipt
from airgap.errors import Damaged, NotFound, UsageError
from airgap.format.catalog import Catalog
from airgap.oci.digest import Digest
from airgap.oci.stores import Browsable

#: A catalog without its volumes does not tell which image has which blob: with more repositories than this, none is named.
_MAX_GUESSES = 16


@dataclass(frozen=True)
class Base:
    """One base.

    Attributes:
        label: how the operator named it.
        digest: of the receipt or catalog; for a scan, of the receipt that it would give.
        holdings: what the site holds, according to it.
        catalog: the catalog, if it is an earlier bundle.
        receipt: the receipt, if it is one.
        content: where the bytes can be read cheaply.
    """

    label: str
    digest: Digest
    holdings: Holdings
    catalog: Catalog | None = None
    receipt: Receipt | None = None
    content: Browsable | None = field(default=None, compare=False)


def of_catalog(label: str, raw: bytes, catalog: Catalog, store: BundleStore | None) -> Base:
    """A base from an earlier bundle.

    Args:
        label: how the operator named it.
        raw: the catalog's exact bytes.
        catalog: the parsed catalog.
        store: the bundle, if its volumes are available.
    """
    patches = {blob.patch.blob for blob in catalog.blobs.values() if blob.patch}
    users = _users(catalog, store) if store else {}
    everywhere = sorted({str(image.reference.repository) for image in catalog.images})
    guess = tuple(everywhere) if not store and len(everywhere) <= _MAX_GUESSES else ()
    blobs = {
        digest: Held(blob.size, tuple(dict.fromkeys((*sorted(users.get(digest, ())), *blob.repositories, *guess))))
        for digest, blob in catalog.blobs.items()
        if digest not in patches
    }
    images = {str(image.reference): image.root.digest for image in catalog.images}
    return Base(label, Digest.of(raw), Holdings(blobs, images), catalog=catalog, content=store)


def check_bases(bases: Sequence[Base], stream: str, serial: int, exported: Callable[[int], Digest | None]) -> None:
    """Refuse bases that cannot be right for this bundle.

    Args:
        bases: the bases.
        stream: of the bundle to be created.
        serial: of the bundle to be created.
        exported: the catalog that was exported here under a serial of the stream, if known.

    Raises:
        UsageError: another stream, a later bundle, one not exported here, a site that is ahead, several receipts.
    """
    for base in bases:
        if base.catalog is not None:
            _check_catalog(base, base.catalog, stream, serial, exported)
        taken = base.receipt.streams.get(stream) if base.receipt else None
        if taken is not None and taken.serial >= serial:
            raise UsageError(
                "the site is already ahead of this bundle",
                where=base.label,
                expected=f"a site that has imported less than serial {serial} of stream {stream}",
                got=f"serial {taken.serial}",
                hint="omit --serial, or give the state directory that the stream is exported with",
            )
    receipts = [base.receipt for base in bases if base.receipt]
    if len(receipts) > 1:
        raise UsageError(
            "several receipts are given as bases",
            where=", ".join(base.label for base in bases if base.receipt),
            expected="the newest receipt of the one site that the bundle is for",
            got=", ".join(f"{receipt.site} at {receipt.created}" for receipt in receipts),
            hint="export one bundle per site: a blob that only one of them holds would be missing at the other",
        )


def held_by(bases: Sequence[Base]) -> dict[Digest, Held]:
    """Everything that any of the bases holds.

    Raises:
        UsageError: two of them contradict each other.
    """
    found: dict[Digest, Held] = {}
    joined = _Joined()
    for base in bases:
        for digest, held in base.holdings.blobs.items():
            known = found.setdefault(digest, held)
            if known.size != held.size:
                raise UsageError(
                    "two bases state different sizes of one blob",
                    where=base.label,
                    expected=f"{known.size} bytes",
                    got=str(held.size),
                )
            if known is not held:
                found[digest] = Held(held.size, joined.of(known.repositories, held.repositories))
    return found


class _Joined:
    """Joins tuples of repositories. Many blobs share a tuple, and each pair is joined only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[tuple[str, ...], ...]] = {}

    def of(self, one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
        key = id(one), id(other)
        if key not in self._known:  # both are kept, so that nothing else gets their ids
            self._known[key] = tuple(dict.fromkeys((*one, *other))), one, other
        return self._known[key][0]


def _check_catalog(base: Base, catalog: Catalog, stream: str, serial: int, exported: Callable[[int], Digest | None]) -> None:
    if catalog.stream != stream:
        raise UsageError(
            "the base is a bundle of another stream",
            where=base.label,
            expected=f"stream {stream}",
            got=f"stream {catalog.stream}",
            hint="give an earlier bundle of this stream, or a receipt of the site",
        )
    if catalog.serial >= serial:
        raise UsageError(
            "the base is not earlier than the bundle",
            where=base.label,
            expected=f"a serial below {serial}",
            got=str(catalog.serial),
        )
    known = exported(catalog.serial)
    if known is not None and known != base.digest:
        raise UsageError(
            "the base is not the bundle that was exported here with its serial",
            where=base.label,
            expected=f"catalog {known}",
            got=f"catalog {base.digest}",
            hint="find out from a receipt of the site which of the two it has imported",
        )


def _users(catalog: Catalog, store: BundleStore) -> Mapping[Digest, set[str]]:
    """Which repositories use a blob, from the manifests in the bundle."""
    found: dict[Digest, set[str]] = {}
    for image in catalog.images:
        repository = str(image.reference.repository)
        todo = [image.root.digest, *(attachment.descriptor.digest for attachment in image.attachments)]
        seen: set[Digest] = set()
        while todo:
            digest = todo.pop()
            if digest in seen or digest not in catalog.blobs:
                continue
            seen.add(digest)
            try:
                manifest = store.find_manifest(digest)
            except (NotFound, Damaged):  # a volume that is not at hand
                continue
            for blob in (*manifest.blobs(), manifest.descriptor):
                found.setdefault(blob.digest, set()).add(repository)
            todo += [child.digest for child in manifest.children]
    return found
