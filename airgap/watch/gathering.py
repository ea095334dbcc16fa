"""Sort the folders of a drop directory into bundles, and find out what each bundle still lacks.

Folders with the same catalog form one bundle. A folder with volumes but no catalog belongs to the bundle whose signed catalog has
the size and the first block of one of its volumes; names say nothing, because every bundle has a ``volume-0001.tar``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airgap import fsio
from airgap.admission.door import Found, Signed
from airgap.admission.terms import Terms
from airgap.bundle.damage import Damage, Fault, lost_blocks, wrong_size
from airgap.bundle.media import completes
from airgap.bundle.several import first_block
from airgap.bundle.supplement import read_supplements
from airgap.bundle.volumes import Stretch
from airgap.errors import AirgapError, Damaged, MediaError, Refused, UsageError, disk_error
from airgap.format import names
from airgap.format.catalog import Catalog, Volume
from airgap.limits import MAX_CATALOG
from airgap.oci.digest import Digest
from airgap.text import listing, plural, printable
from airgap.watch.arrivals import Folder, Stamp

_ARRIVING = "is still being written"


@dataclass
class Gathered:
    """What has arrived of one bundle.

    Attributes:
        digest: the digest of the catalog.
        folders: those with the catalog, then those with only volumes.
        catalog: None if its signatures are not enough for the site.
        signed: whether there are signatures at all.
    """

    digest: Digest
    folders: list[Folder]
    catalog: Catalog | None = None
    signed: bool = True

    @property
    def name(self) -> str:
        """The bundle's name; for an untrusted one, a name that no sender can choose."""
        return self.catalog.name if self.catalog else f"untrusted-{self.digest.hex[:16]}"

    @property
    def moving(self) -> list[str]:
        """The small files that are still being written."""
        return [printable(str(folder.path / name)) for folder in self.folders for name in folder.moving]

    def lacks(self) -> str:
        """What is missing or still being written, which images that affects, and what to do; empty if the bundle is complete."""
        if self.moving:
            return f"still being written: {listing(self.moving)}"
        try:
            damage = self.damage()
        except (Damaged, MediaError, OSError) as error:
            return str(error)
        if damage is None:
            return ""
        arriving = any(fault.problem == _ARRIVING for fault in damage.faults)
        return f"{damage.faulty}: {damage.costs}" if arriving else damage.remark

    def healable(self) -> bool:
        """Whether what is missing can be rebuilt from what has arrived, and nothing is still being written."""
        try:
            damage = self.damage()
        except (Damaged, MediaError, OSError):
            return False
        arriving = damage is None or any(fault.problem == _ARRIVING for fault in damage.faults)
        return damage is not None and damage.healable and not arriving

    def damage(self) -> Damage | None:
        """What is wrong with the volumes by their sizes; None if nothing is, or the catalog has no accepted signature.

        Raises:
            Damaged, MediaError: a supplement cannot be used.
        """
        if self.catalog is None:
            return None
        supplements = [folder.path for folder in self.folders if names.SUPPLEMENT in folder.files]
        brought = read_supplements(supplements, self.catalog, self.digest)
        volumes = enumerate(self.catalog.volumes, 1)
        faults = tuple(bad for number, one in volumes if (bad := self._fault(number, one, brought.get(one.name, {}))) is not None)
        if not faults:
            return None
        sizes = {one.name: [f.files[one.name][0] for f in self.folders if one.name in f.settled] for one in self.catalog.files}
        lost = {one.name: lost_blocks(one, sizes[one.name], brought.get(one.name, ())) for one in self.catalog.files}
        return Damage(self.catalog, faults, tuple(folder.path for folder in self.folders), lost)

    def _fault(self, number: int, volume: Volume, resent: Mapping[int, Stretch]) -> Fault | None:
        worst = Fault(number, volume, "is missing")
        if len(resent) == len(volume.blocks):
            return None
        for folder in self.folders:
            stamp = folder.files.get(volume.name)
            if stamp is None:
                continue
            if volume.name not in folder.settled:
                worst = replace(worst, problem=_ARRIVING)
            elif stamp[0] == volume.size or completes(volume, stamp[0], resent):
                return None
            elif worst.problem != _ARRIVING:
                worst = replace(worst, problem=wrong_size(volume, stamp[0]), path=folder.path / volume.name)
        return worst


@dataclass
class Gathering:
    """Remembers what it read from one scan to the next, so that a file is read again only if it has changed.

    Attributes:
        remarks: what the latest scan skipped, in sentences.
        failures: disks that the latest scan could not read.
    """

    remarks: list[str] = field(default_factory=list)
    failures: list[MediaError] = field(default_factory=list)
    _digests: dict[tuple[str, Stamp], Digest] = field(default_factory=dict)
    _blocks: dict[tuple[str, Stamp], str] = field(default_factory=dict)
    _catalogs: dict[tuple[object, ...], Catalog | None] = field(default_factory=dict)

    def bundles(self, folders: Iterable[Folder], terms: Terms, conditions: str, done: Collection[str]) -> list[Gathered]:
        """The bundles that have arrived, trusted ones first, by stream and serial.

        Args:
            folders: the drop directory.
            terms: the site's terms.
            conditions: changes when the terms change.
            done: catalogs to ignore.
        """
        self.remarks, self.failures = [], []
        holders: dict[Digest, list[Folder]] = {}
        loose: list[Folder] = []
        digests, blocks, catalogs = self._digests, self._blocks, self._catalogs
        self._digests, self._blocks, self._catalogs = {}, {}, {}
        for folder in folders:
            if names.CATALOG not in folder.files:
                loose.append(folder)
            elif names.CATALOG not in folder.settled:
                self.remarks.append(f"still being written: {printable(str(folder.path / names.CATALOG))}")
            elif (digest := self._digest(folder, digests)) is not None:
                holders.setdefault(digest, []).append(folder)
        found = [self._open(digest, held, terms, conditions, catalogs) for digest, held in holders.items() if digest not in done]
        believed = [bundle for bundle in found if bundle is not None and bundle.catalog is not None]
        for folder in loose:
            self._assign(folder, believed, blocks)
        believed.sort(key=lambda bundle: (bundle.catalog.stream, bundle.catalog.serial) if bundle.catalog else ("", 0))
        return believed + [bundle for bundle in found if bundle is not None and bundle.catalog is None]

    def _digest(self, folder: Folder, before: dict[tuple[str, Stamp], Digest]) -> Digest | None:
        path = folder.path / names.CATALOG
        key = (str(path), folder.files[names.CATALOG])
        try:
            self._digests[key] = before.get(key) or Digest.of(fsio.read_capped(path, MAX_CATALOG))
        except (Damaged, MediaError) as error:
            self._pass_over(error)
        return self._digests.get(key)

    def _open(
        self,
        digest: Digest,
        folders: list[Folder],
        terms: Terms,
        conditions: str,
        before: dict[tuple[object, ...], Catalog | None],
    ) -> Gathered | None:
        """Check the signatures, and only then parse; None when the files are not what they were a moment ago."""
        signatures = [(str(f.path), name, f.files[name]) for f in folders for name in sorted(f.files) if names.is_signature(name)]
        gathered = Gathered(digest, folders, signed=bool(signatures))
        if gathered.moving:
            return gathered
        key = (digest, conditions, *signatures)
        if key in before:
            self._catalogs[key] = gathered.catalog = before[key]
            return gathered
        try:
            found = Found.at([folder.path for folder in folders])
            if found.digest != digest:
                return None
            signed: Signed = found.signed(terms)
            gathered.catalog = signed.catalog
        except (Refused, Damaged) as error:
            if not all(folder.is_there() for folder in folders):
                where = listing([printable(str(folder.path)) for folder in folders])
                self._pass_over(MediaError("a medium was removed while it was being read", where=where, got=error.what))
                return None
            # else the import will say why, and keep it in the history
        except (UsageError, MediaError) as error:
            self._pass_over(error)
            return None
        except OSError as error:
            self._pass_over(disk_error(error, "cannot read a bundle", printable(str(folders[0].path))))
            return None
        self._catalogs[key] = gathered.catalog
        return gathered

    def _assign(self, folder: Folder, bundles: Sequence[Gathered], before: dict[tuple[str, Stamp], str]) -> None:
        """Add a folder without a catalog to the bundles that a volume in it belongs to."""
        volumes = [name for name in sorted(folder.files) if names.is_volume(name)]
        owners = [bundle for bundle in bundles if any(self._fits(folder, name, bundle, before) for name in volumes)]
        for bundle in owners:
            bundle.folders.append(folder)
        if volumes and not owners and folder.settled.issuperset(volumes):
            what = plural(len(volumes), "volume")
            self.remarks.append(f"{what} in {printable(str(folder.path))}: their content matches no catalog that is waiting")

    def _fits(self, folder: Folder, name: str, bundle: Gathered, before: dict[tuple[str, Stamp], str]) -> bool:
        volume = next((one for one in bundle.catalog.volumes if one.name == name), None) if bundle.catalog else None
        if volume is None or not volume.blocks or name not in folder.settled or folder.files[name][0] != volume.size:
            return False
        path = folder.path / name
        key = (str(path), folder.files[name])
        try:
            self._blocks[key] = self._blocks.get(key) or before.get(key) or first_block(path, folder.files[name][0])
        except (Damaged, MediaError) as error:
            self._pass_over(error)
            return False
        return self._blocks[key] == volume.blocks[0]

    def _pass_over(self, error: AirgapError) -> None:
        self.remarks.append(str(error))
        if isinstance(error, MediaError):
            self.failures.append(error)
