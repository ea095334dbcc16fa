"""``airgap import --dry-run``: verify everything, ask the target, and write nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.admission.door import Found, Judged, Signed
from airgap.admission.terms import Terms
from airgap.admission.wanted import Wanted
from airgap.bundle.check import check_volumes
from airgap.bundle.diagnosis import diagnosing
from airgap.errors import RegistryError
from airgap.format.catalog import Catalog
from airgap.importer.custody import check_custody, remarks_of
from airgap.importer.fitting import check_room
from airgap.importer.held import locate, require_codecs
from airgap.importer.owning import check_keeping_tags, check_places
from airgap.importer.run import Destination, Examined, examine, lacking, memory_key
from airgap.naming.mapping import FileTarget, Form, TargetSpec, visible
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Foretelling, Limited, Outlook, Rehearsing, Target
from airgap.progress import Progress
from airgap.state import Known, State
from airgap.text import listing, plural
from airgap.work import Pool


@dataclass(frozen=True)
class Change:
    """The change of one name: it refers to ``before`` (None if it is new) and would refer to ``after``."""

    source: Reference
    destination: Reference
    before: Digest | None
    after: Digest

    @property
    def word(self) -> str:
        """``new``, ``same`` or ``moved``."""
        return "new" if self.before is None else "same" if self.before == self.after else "moved"


@dataclass(frozen=True)
class Preview:
    """The result of a dry run.

    Attributes:
        found: the bundle, verified, with its names.
        changes: the change of every name.
        to_send, to_send_bytes: blobs that the target lacks, each counted once.
        present: blobs that the target has.
        held: blobs that the bundle does not carry; the target has all of them.
        remarks: the remarks that an import would make.
        outlooks: what a registry says about every repository; none of them says that it will refuse.
        unknown: what only the import itself can tell, in words.
    """

    found: Examined
    changes: tuple[Change, ...]
    to_send: int
    to_send_bytes: int
    present: int
    held: int
    remarks: tuple[str, ...]
    outlooks: tuple[Outlook, ...] = ()
    unknown: tuple[str, ...] = ()


def preview(paths: Sequence[Path], destination: Destination, terms: Terms, state: State | None, progress: Progress) -> Preview:
    """Verify every byte of a bundle as an import would, and ask the target what it has.

    Args:
        paths: bundle directories or mount points.
        destination: the target; it is only read.
        terms: the site's terms.
        state: the site's state, None if there is none yet; it is not changed.
        progress: told about every step.

    Raises:
        UsageError, Refused, Damaged, RegistryError, MediaError: as an import would; all blobs that the target lacks and all
            repositories that would refuse the push are named.
    """
    progress.stage("reading the bundle", 0)
    with diagnosing(progress, terms.threads):
        return _preview(Found.at(paths).signed(terms), destination, terms, state, progress)


def _preview(signed: Signed, destination: Destination, terms: Terms, state: State | None, progress: Progress) -> Preview:
    catalog, digest = signed.catalog, signed.digest
    known = state.known(catalog.stream, catalog.serial, catalog.previous) if state is not None else Known()
    admitted = signed.admitted(known)
    custody = check_custody(signed, progress)
    progress.stage("judging the images", 0)
    opened: Judged = admitted.whole().judged()
    remarks = (*admitted.remarks, *remarks_of(custody), *lacking(opened))
    found = examine(opened, destination.spec)
    taken = check_places(found.names, destination.spec, state, replace=terms.replace_names)
    remarks = (*remarks, *(f"{place} would be taken over (--replace-names)" for place in taken))
    remarks = (*remarks, *found.choices)
    check_volumes(catalog, opened.volumes, progress, terms.threads)
    with destination.build(catalog.name) as target, Pool(terms.threads, "preview") as pool:
        require_codecs(catalog)
        progress.stage("asking the target", 0)
        outlooks = _foretell(target, found, pool, str(destination.spec))
        held = locate(catalog, found.closures, found.names, destination.spec, target, terms.threads)
        check_keeping_tags(found.closures, found.names, target, terms.threads)
        names = [(closure, found.names[closure.image.reference]) for closure in found.closures]
        before = pool.map(target.resolve, (visible(name) for _, name in names))
        changes = tuple(Change(c.image.reference, name, old, c.root.digest) for (c, name), old in zip(names, before, strict=True))
        wanted = Wanted(names)
        missing = 0
        to_send = 0
        progress.stage("asking for blobs", 0, len(wanted), "blob")
        asked = pool.unordered(lambda blob: (blob, _is_there(target, blob, wanted.repositories(blob.digest))), wanted)
        for blob, is_there in asked:
            progress.advance(0, 1)
            if not is_there and blob.digest not in held:
                missing += 1
                to_send += blob.size
        # what is new with every import is left alone only by a site that remembers to have made it
        settled = not isinstance(target, Limited) or _is_remembered(state, catalog, digest, destination.spec, terms)
        if isinstance(target, Rehearsing) and not (settled and all(change.word == "same" for change in changes)):
            check_room(target.rehearse(), to_send)
    return Preview(
        found=found,
        changes=changes,
        to_send=missing,
        to_send_bytes=to_send,
        present=len(wanted) - missing,
        held=len(held),
        remarks=(*remarks, *found.remarks),
        outlooks=outlooks,
        unknown=tuple(_unknown(outlooks, destination.spec)),
    )


def _is_remembered(state: State | None, catalog: Catalog, digest: Digest, spec: TargetSpec, terms: Terms) -> bool:
    return state is not None and state.imported_into(catalog.stream, catalog.serial, memory_key(spec, terms, None)) == digest


def _foretell(target: Target, found: Examined, pool: Pool, where: str) -> tuple[Outlook, ...]:
    """Ask a registry about every repository.

    Raises:
        RegistryError: it says of some that they will not take what is written; all are named.
    """
    if not isinstance(target, Foretelling):
        return ()
    names = {name.repository: visible(name) for name in found.names.values()}
    outlooks = tuple(pool.map(target.foretell, names.values()))
    refused = [one for one in outlooks if one.allowed is False]
    if refused:
        lines = [f"{one.repository}{' (not there yet)' if one.exists is False else ''}: {one.why}" for one in refused]
        raise RegistryError(
            f"{len(refused)} of {plural(len(outlooks), 'repository')} will refuse the push",
            where=where,
            got="".join(f"\n  {line}" for line in lines),
            hint="create what is missing, or get the right to push, then try again; nothing was written",
        )
    return outlooks


def _unknown(outlooks: Sequence[Outlook], spec: TargetSpec) -> Iterator[str]:
    """What the import alone can tell."""
    missing = [str(one.repository) for one in outlooks if one.exists is False and not one.allowed]
    if missing:
        yield (
            f"{plural(len(missing), 'repository')} not there yet; only a push can tell whether the registry creates them itself "
            f"(Amazon ECR does not, nor does Harbor create projects): {listing(missing)}"
        )
    hidden = [str(one.repository) for one in outlooks if one.exists is None]
    if hidden:
        yield f"the registry does not tell whether these repositories exist: {listing(hidden)}"
    untold = [str(one.repository) for one in outlooks if one.allowed is None and one.exists is not False]
    if untold:
        yield f"the registry does not tell whether we may push to these repositories: {listing(untold)}"
    if isinstance(spec, FileTarget) and spec.form is Form.STORAGE:
        yield "how much space the unpacked images take in the storage"


def _is_there(target: Target, blob: Descriptor, repositories: Iterable[Repository]) -> bool:
    """Whether one of the repositories has it: the others can take it from there."""
    return any(target.has(repository, blob) for repository in repositories)
