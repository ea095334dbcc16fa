"""What a person must be told of how attachments were found: what was under the tags of referrers and is no list of them, what
registries answered oddly, and what was not asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from airgap.lists import Entry
from airgap.oci.digest import Digest
from airgap.oci.image import EVERY_KIND, REFERRERS_TAG, digest_tag
from airgap.oci.reference import Repository
from airgap.oci.stores import Referrers
from airgap.text import listing, plural

_EXAMPLES = 3


@dataclass
class Findings:
    """What the walk over one image found out.

    Attributes:
        strangers: fallback tags with something else under them, by repository.
        listed: repositories that listed the referrers of some manifest themselves.
        unlisted: manifests whose referrers were under no list at all, by repository.
        words: what stores said about it themselves.
        is_artifact: platforms were asked of something that has none.
    """

    strangers: dict[Repository, dict[str, None]] = field(default_factory=dict)
    listed: set[Repository] = field(default_factory=set)
    unlisted: dict[Repository, dict[Digest, None]] = field(default_factory=dict)
    words: dict[str, None] = field(default_factory=dict)
    is_artifact: bool = False

    def answered(self, place: Repository, subject: Digest, referrers: Referrers) -> None:
        """A place was asked what refers to a manifest."""
        if referrers.remark:
            self.words[referrers.remark] = None
        if referrers.listed:
            self.listed.add(place)
        elif not referrers.tagged and not referrers.remark:
            self.unlisted.setdefault(place, {})[subject] = None

    def stranger(self, place: Repository, subject: Digest) -> None:
        """Under the fallback tag of a manifest there is something else than a list of its referrers."""
        self.strangers.setdefault(place, {})[digest_tag(subject)] = None


def remarks(findings: Iterable[Findings], entries: Sequence[Entry]) -> tuple[str, ...]:
    """One line for everything of a kind, always in the same order, whatever order the images were looked at in."""
    all_of_it = list(findings)
    return (
        *_of_strangers(all_of_it),
        *_of_odd_answers(all_of_it),
        *sorted({word for one in all_of_it for word in one.words}),
        *_of_choices(entries),
    )


def _of_strangers(findings: Sequence[Findings]) -> Iterator[str]:
    found: dict[Repository, set[str]] = {}
    for one in findings:
        for place, tags in one.strangers.items():
            found.setdefault(place, set()).update(tags)
    for place in sorted(found, key=str):
        names = sorted(found[place])
        yield f"{place}: {_are(len(names))} no list of referrers and was not taken for one: {listing(names, _EXAMPLES)}"


def _are(count: int) -> str:
    return "what is under one tag is" if count == 1 else f"what is under {plural(count, 'tag')} is"


def _of_odd_answers(findings: Sequence[Findings]) -> Iterator[str]:
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
            f"{place} lists the referrers of other manifests and answered that there is no such list for "
            f"{plural(len(names), 'manifest')}, taken as having none: {listing([str(name) for name in names], _EXAMPLES)}"
        )


def _of_choices(entries: Sequence[Entry]) -> Iterator[str]:
    left_out: dict[frozenset[str], list[str]] = {}
    for entry in entries:
        if entry.attachments is not None and (missing := EVERY_KIND - entry.attachments - {REFERRERS_TAG}):
            left_out.setdefault(missing, []).append(str(entry.reference))
    for kinds in sorted(left_out, key=sorted):
        yield f"not asked for: {', '.join(sorted(kinds))} of {listing(left_out[kinds], _EXAMPLES)}"
