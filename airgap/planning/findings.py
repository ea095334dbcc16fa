"""Notes on how attachments were found: fallback tags that hold something else, odd answers of registries, and attachments that
were not requested. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from airgap.lists import Entry
from airgap.oci.digest import Digest
from airgap.oci.image import EVERY_KIND, REFERRER, REFERRERS_TAG, TAG_KINDS, digest_tag
from airgap.oci.reference import Repository
from airgap.oci.stores import Referrers
from airgap.text import listing, plural

_EXAMPLES = 3
_ATTESTED = {REFERRER, TAG_KINDS[".att"]}


@dataclass
class Strays:
    """What the walk over one image found.

    Attributes:
        strangers: fallback tags that hold something else, by repository.
        listed: repositories whose own API listed the referrers of some manifest.
        unlisted: manifests for which no list of referrers exists, by repository.
        words: notes by the stores themselves.
        held: repositories whose API was not asked about what hangs off the image, as it serves no lists of referrers.
        is_artifact: platforms were requested of something that has none.
    """

    strangers: dict[Repository, dict[str, None]] = field(default_factory=dict)
    listed: set[Repository] = field(default_factory=set)
    unlisted: dict[Repository, dict[Digest, None]] = field(default_factory=dict)
    words: dict[str, None] = field(default_factory=dict)
    held: set[Repository] = field(default_factory=set)
    is_artifact: bool = False

    def answered(self, place: Repository, subject: Digest, referrers: Referrers) -> None:
        """Record that a place was asked for the referrers of a manifest."""
        if referrers.remark:
            self.words[referrers.remark] = None
        if referrers.listed:
            self.listed.add(place)
        elif not referrers.tagged and not referrers.remark:
            self.unlisted.setdefault(place, {})[subject] = None

    def stranger(self, place: Repository, subject: Digest) -> None:
        """Record that the fallback tag of a manifest holds something other than a list of its referrers."""
        self.strangers.setdefault(place, {})[digest_tag(subject)] = None


def remarks(findings: Iterable[Strays], entries: Sequence[Entry]) -> tuple[str, ...]:
    """One line per kind, always in the same order, whatever the order of the images."""
    all_of_it = list(findings)
    return (
        *_of_strangers(all_of_it),
        *_of_odd_answers(all_of_it),
        *sorted({word for one in all_of_it for word in one.words}),
        *_of_choices(entries),
    )


def _of_strangers(findings: Sequence[Strays]) -> Iterator[str]:
    found: dict[Repository, set[str]] = {}
    for one in findings:
        for place, tags in one.strangers.items():
            found.setdefault(place, set()).update(tags)
    for place in sorted(found, key=str):
        names = sorted(found[place])
        yield f"{place}: {_are(len(names))} no list of referrers, ignored: {listing(names, _EXAMPLES)}"


def _are(count: int) -> str:
    return "one fallback tag holds" if count == 1 else f"{plural(count, 'fallback tag')} hold"


def _of_odd_answers(findings: Sequence[Strays]) -> Iterator[str]:
    """A registry that lists the referrers of some manifests says of others, in the same repository, that it has no such lists."""
    listed = {place for one in findings for place in one.listed}
    odd: dict[Repository, set[Digest]] = {}
    for one in findings:
        for place, subjects in one.unlisted.items():
            if place in listed:
                odd.setdefault(place, set()).update(subjects)
    for place in sorted(odd, key=str):
        names = sorted(odd[place])
        yield (
            f"{place} lists referrers of other manifests but answered that there is no list for "
            f"{plural(len(names), 'manifest')}, treated as having none: {listing([str(name) for name in names], _EXAMPLES)}"
        )


def _of_choices(entries: Sequence[Entry]) -> Iterator[str]:
    left_out: dict[frozenset[str], list[str]] = {}
    for entry in entries:
        if entry.attachments is not None and (missing := EVERY_KIND - entry.attachments - {REFERRERS_TAG}):
            left_out.setdefault(missing, []).append(str(entry.reference))
    for kinds in sorted(left_out, key=sorted):
        missed = " (a site that demands attestations will refuse what lacks them)" if kinds & _ATTESTED else ""
        yield f"not requested: {', '.join(sorted(kinds))} of {listing(left_out[kinds], _EXAMPLES)}{missed}"
