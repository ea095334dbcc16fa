"""Prove that the target has every blob that an incremental bundle does not carry, before anything is written there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from airgap.admission.closure import Closure
from airgap.errors import BaseMissing, UsageError
from airgap.format.catalog import Catalog
from airgap.naming.mapping import FileTarget, RegistryTarget, TargetSpec
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Target, width
from airgap.patch import zstd
from airgap.text import listing, plural, printable
from airgap.work import Pool

#: A bundle may name so many places for a blob, and so many missing blobs are listed.
_MAX_HINTS = 64
_MAX_LISTED = 4


def locate(
    catalog: Catalog,
    closures: Sequence[Closure],
    names: Mapping[Reference, Reference],
    spec: TargetSpec,
    target: Target,
    threads: int,
) -> dict[Digest, Repository]:
    """Locate every blob that these images need, as a part or as the base of a patch, and that the bundle does not carry.

    Args:
        catalog: the verified catalog.
        closures: the images as they will be loaded.
        names: their destinations, by source reference.
        spec: the target as named on the command line.
        target: the opened target; it is only read.
        threads: requests at a time.

    Raises:
        BaseMissing: some are missing; all of them are named.
        UsageError: the target is new and so cannot have any.
    """
    wanted = _wanted(catalog, closures, names)
    if wanted and isinstance(spec, FileTarget):
        raise UsageError(
            f"{catalog.name} builds on {plural(len(wanted), 'blob')} that it does not carry, and a new target has none",
            where=str(spec),
            expected="a registry or oci: store into which the earlier bundles were imported",
            hint="first merge it with the bundles that it builds on: airgap merge",
        )
    with Pool(width(target, threads), "held") as pool:
        found = dict(zip(wanted, pool.map(lambda item: _find(catalog, spec, target, *item), wanted.items()), strict=True))
    missing = [digest for digest, repository in found.items() if repository is None]
    if missing:
        raise _missing(catalog, missing, closures, spec)
    return {digest: repository for digest, repository in found.items() if repository is not None}


def require_codecs(catalog: Catalog) -> None:
    """Make sure that this machine can apply the patches of a bundle, before anything is touched.

    Raises:
        UsageError: a library is missing.
    """
    if any(blob.patch for blob in catalog.blobs.values()):
        zstd.require()


def _wanted(
    catalog: Catalog, closures: Sequence[Closure], names: Mapping[Reference, Reference]
) -> dict[Digest, dict[Repository, None]]:
    """The held blobs, each with the repositories that will need it."""
    wanted: dict[Digest, dict[Repository, None]] = {}
    for closure in closures:
        repository = names[closure.image.reference].repository
        for digest in _held(catalog, closure.blobs):
            wanted.setdefault(digest, {})[repository] = None
    return wanted


def _held(catalog: Catalog, blobs: Iterable[Digest]) -> Iterator[Digest]:
    for digest in blobs:
        blob = catalog.blobs[digest]
        if blob.held:
            yield digest
        elif blob.patch and blob.patch.base:
            yield from _held(catalog, [blob.patch.base])


def _find(
    catalog: Catalog, spec: TargetSpec, target: Target, digest: Digest, users: Mapping[Repository, None]
) -> Repository | None:
    blob = catalog.blobs[digest]
    descriptor = Descriptor("", digest, blob.size)
    places = dict.fromkeys([*users, *_hinted(spec, blob.repositories[:_MAX_HINTS])])
    return next((repository for repository in places if target.has(repository, descriptor)), None)


def _hinted(spec: TargetSpec, hints: Iterable[str]) -> Iterator[Repository]:
    """Where a blob may be, by what the base said: a source repository, or a path at this very target. These are only read from."""
    for hint in hints:
        host, _, path = hint.partition("/")
        with contextlib.suppress(UsageError):
            yield spec.repository(Repository(host, path))
        with contextlib.suppress(UsageError):
            if isinstance(spec, RegistryTarget):
                yield Repository(spec.host, hint)


def _missing(catalog: Catalog, missing: Sequence[Digest], closures: Sequence[Closure], spec: TargetSpec) -> BaseMissing:
    lines = []
    listed: dict[Digest, list[str]] = {digest: [] for digest in missing[:_MAX_LISTED]}
    for closure in closures:
        for digest in listed.keys() & set(_held(catalog, closure.blobs)):
            listed[digest].append(str(closure.image.reference))
    for digest, users in listed.items():
        more = f" and {len(users) - 1} more" if len(users) > 1 else ""
        lines.append(f"\n  {digest}  {catalog.blobs[digest].size} bytes, for {printable(users[0])}{more}")
    if len(missing) > _MAX_LISTED:
        lines.append(f"\n  and {len(missing) - _MAX_LISTED} more")
    return BaseMissing(
        f"the target lacks {plural(len(missing), 'blob')} that {catalog.name} does not carry",
        where=str(spec),
        expected=f"the content of the bundle's base ({_bases(catalog)})",
        got="".join(lines),
        hint="import the earlier bundles first, or use the same target as for them; "
        "or send a receipt of this site (airgap receipt) to the sender and ask for a bundle exported --since it",
    )


def _bases(catalog: Catalog) -> str:
    """What the bundle builds on. A catalog has no names of others, but it knows which one came before it in its stream."""
    before = f"the bundle before {catalog.name} in its stream: "
    named = [f"{before if base == catalog.previous else ''}{base}" for base in catalog.base]
    return listing(named, 3) or "no base is named"
