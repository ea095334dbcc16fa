"""What a search found, in order: images with all their places; and the image list that ``airgap resolve`` takes."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.discover.findings import Find, Findings, Override, Position, Remark, Sheet
from airgap.oci.reference import Reference, Repository
from airgap.text import listing, plural, printable

_MOST_PLACES = 3
# Kustomizations of so many variants may give an image different names.
_MOST_NAMES = 20
_MOST_REMARKS = 1000
_WIDEST = 2000


@dataclass(frozen=True)
class FoundImage:
    """One image and all the places that name it; ``remarks`` are what a person should know about it."""

    reference: Reference
    places: tuple[Position, ...]
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"reference": str(self.reference), "places": [_place(place) for place in self.places], "remarks": list(self.remarks)}


@dataclass(frozen=True)
class Discovery:
    """The result of a search, sorted.

    Attributes:
        images: the list; each reference once, and no tag with two digests.
        possible: what looks like an image and is not in ``images``.
        unresolved: what may hide an image that is in neither.
        notes: what is good to know.
        files: how many files were looked at.
    """

    images: tuple[FoundImage, ...]
    possible: tuple[FoundImage, ...]
    unresolved: tuple[Remark, ...]
    notes: tuple[Remark, ...]
    files: int

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "images": [image.to_json() for image in self.images],
            "possible": [image.to_json() for image in self.possible],
            "unresolved": [_remark(remark) for remark in self.unresolved],
            "noted": [_remark(remark) for remark in self.notes],
            "file_count": self.files,
        }


def collect(findings: Findings, files: int, include_possible: bool = False, ignore: Sequence[str] = ()) -> Discovery:
    """Put in order what was found.

    Args:
        files: how many files were looked at.
        include_possible: take possible images for sure ones.
        ignore: shell patterns of references that are no images where they are only possible; a note says so.
    """
    spotted = [find for find in findings.spotted if not _explained(find.place, find.written, findings)]
    found = [*findings.images, *_renamed(findings), *spotted]
    certain = {(find.place, find.written) for find in found if find.sure}
    found = [find for find in found if find.sure or (find.place, find.written) not in certain]
    sure = {find.reference for find in found if find.sure}
    ignored = {find.reference for find in found if find.reference not in sure and _matches(find.reference, ignore)}
    taken = {find.reference for find in found if find.sure or (include_possible and find.reference not in ignored)}
    images = _unclashed(_joined((find for find in found if find.reference in taken), findings.overrides))
    left = taken | ignored
    possible = _joined((find for find in found if find.reference not in left), ())
    notes = [*findings.notes, *_passed_over(findings)]
    notes += [Remark(find.place, "ignored because of --ignore", str(find.reference)) for find in found if find.reference in ignored]
    return Discovery(tuple(images), tuple(possible), _sorted(_unresolved(findings)), _sorted(notes), files)


def _matches(reference: Reference, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(str(reference), pattern) for pattern in patterns)


def _unresolved(findings: Findings) -> Iterator[Remark]:
    """What no reader resolved, and what is written like a reference and that no reader explained."""
    told = {(remark.place, remark.got) for remark in findings.unresolved}
    yield from findings.unresolved
    yield from _unfollowed(findings)
    for remark in findings.open:
        if not _explained(remark.place, remark.got, findings) and (remark.place, remark.got) not in told:
            told.add((remark.place, remark.got))
            yield remark


def _explained(place: Position, text: str, findings: Findings) -> bool:
    return (place.file, place.line, printable(text, 200)) in findings.explained


def as_text(discovery: Discovery) -> str:
    """The images as a plain text list, with comments that say where they come from and what is missing."""
    lines = [*_heading(discovery)]
    for image in discovery.images:
        # in brackets a line would begin like YAML
        name = f"docker://{image.reference}" if str(image.reference).startswith("[") else str(image.reference)
        lines += [_comment(_origin(image)), name]
    return _whole([*lines, *_tail(discovery)])


def as_yaml(discovery: Discovery) -> str:
    """The same as :func:`as_text` as a YAML list."""
    lines = [*_heading(discovery), "images:"]
    for image in discovery.images:
        lines += ["  " + _comment(_origin(image)), f'  - "{image.reference}"']
    return _whole([*lines, *_tail(discovery)])


def _passed_over(findings: Findings) -> Iterator[Remark]:
    """One note for each reason that files were not looked into."""
    for why, names in findings.passed_over.items():
        names = sorted(names)
        yield Remark(Position(names[0], 1), f"{why} ({len(names)} in all)", listing(names, 3))


def _renamed(findings: Findings) -> Iterator[Find]:
    """What kustomizations that give a new name and no tag make of the images they replace."""
    renames, renamed = _renames(findings), 0
    for find in findings.images if renames else ():
        old, version = _split(find.written)
        for override in itertools.islice(renames.get(old, {}).values(), _MOST_NAMES):
            sheet = Sheet("", Findings(), sure=False)
            sheet.image(override.new + version, 0, sure=False)
            for made in sheet.findings.images:
                findings.check_size(renamed := renamed + 1)
                yield Find(made.reference, override.place, False, made.written, f"replaces {printable(find.written)}")


def _renames(findings: Findings) -> dict[str, dict[str, Override]]:
    """The new names of every old one, each with the kustomization that gives it first."""
    found: dict[str, dict[str, Override]] = {}
    for override in findings.overrides:
        if not override.version and override.new != override.old:
            found.setdefault(override.old, {}).setdefault(override.new, override)
    return found


def _unfollowed(findings: Findings) -> Iterator[Remark]:
    """The new names that are not followed: every image in place of every other one would be more than anybody can read."""
    for old, names in _renames(findings).items():
        for override in itertools.islice(names.values(), _MOST_NAMES, None):
            yield Remark(override.place, "an image has more than one new name", printable(f"{old} -> {override.new}", 200))


def _joined(found: Iterable[Find], overrides: Sequence[Override]) -> list[FoundImage]:
    replaced = {override.old: override for override in overrides}
    places: dict[Reference, dict[Position, None]] = {}
    remarks: dict[Reference, dict[str, None]] = {}
    for find in found:
        places.setdefault(find.reference, {})[find.place] = None
        said = remarks.setdefault(find.reference, {})
        old, version = _split(find.written)
        override = replaced.get(old)
        if find.remark:
            said[printable(find.remark, 200)] = None
        elif override is not None and override.place != find.place:
            said[f"{override.place} replaces it with {printable(override.new + (override.version or version), 200)}"] = None
        if find.reference.tag == "latest" and find.reference.digest is None and ":latest" not in find.written:
            said["no tag, so latest"] = None
    ordered = sorted(places, key=str)
    return [FoundImage(reference, tuple(sorted(places[reference])), tuple(remarks[reference])) for reference in ordered]


def _unclashed(images: list[FoundImage]) -> list[FoundImage]:
    """Take the tag from images that have it with different digests: a list that says both is refused."""
    pins: dict[tuple[Repository, str | None], set[str]] = {}
    for image in images:
        if image.reference.digest is not None:
            pins.setdefault((image.reference.repository, image.reference.tag), set()).add(image.reference.digest)
    places: dict[Reference, set[Position]] = {}
    said: dict[Reference, dict[str, None]] = {}
    for image in images:
        reference, remarks = image.reference, image.remarks
        if reference.tag and reference.digest and len(pins[reference.repository, reference.tag]) > 1:
            remarks = (*remarks, f"the tag {reference.tag} has a different digest elsewhere, so it is left out")
            reference = reference.at(reference.digest)
        places.setdefault(reference, set()).update(image.places)
        said.setdefault(reference, {}).update(dict.fromkeys(remarks))
    return [FoundImage(one, tuple(sorted(places[one])), tuple(said[one])) for one in sorted(places, key=str)]


def _split(written: str) -> tuple[str, str]:
    """An image as it is written: its name, and the tag and digest with their signs."""
    name = written.partition("@")[0]
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    return name, written[len(name) :]


def _heading(discovery: Discovery) -> list[str]:
    count = plural(len(discovery.images), "image")
    return [_comment(f"{count} found by airgap discover in {plural(discovery.files, 'file')}"), ""]


def _origin(image: FoundImage) -> str:
    shown = "; ".join(str(place) for place in image.places[:_MOST_PLACES])
    more = len(image.places) - _MOST_PLACES
    also = f" and {plural(more, 'more place')}" if more > 0 else ""
    return f"{shown}{also}" + (f" - {listing(list(image.remarks), 3)}" if image.remarks else "")


def _tail(discovery: Discovery) -> Iterator[str]:
    possible = [f"{image.reference}  {_origin(image)}" for image in discovery.possible]
    unresolved = [str(remark) for remark in discovery.unresolved]
    notes = [str(remark) for remark in discovery.notes]
    yield from _section("Not resolved and not in the list: these images may be missing at the site", unresolved)
    yield from _section("Possible images, not in the list (add them with --include-possible)", possible)
    yield from _section("Notes", notes)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield _comment(f"{title} ({len(lines)}):")
        yield from (_comment(f"  {line}") for line in lines[:_MOST_REMARKS])
        if len(lines) > _MOST_REMARKS:
            yield _comment(f"  and {len(lines) - _MOST_REMARKS} more")


def _comment(text: str) -> str:
    return f"# {printable(text, _WIDEST)}"


def _whole(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _sorted(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    return tuple(sorted(dict.fromkeys(remarks), key=lambda remark: (remark.place, remark.what, remark.got)))


def _place(place: Position) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, **({"inside": place.inside} if place.inside else {})}


def _remark(remark: Remark) -> dict[str, Any]:
    return {**_place(remark.place), "what": remark.what, "got": remark.got, "next": remark.hint}
