"""Expand rules over tags to entries: ask registries for their tags and keep those that the rules of the list select."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from airgap.errors import NotFound, RegistryError, UsageError
from airgap.lists import Chooser, Entry, Selection, Wish, merge_entries
from airgap.oci.reference import Repository
from airgap.progress import Progress
from airgap.text import listing, plural

_MOST_EXAMPLES = 5
_MOST_FAILURES = 20


class Tags(Protocol):
    """A source that can list tags, such as a registry."""

    def tags(self, repository: Repository) -> Iterator[str]:
        """All tags of a repository, page by page. Raises ``NotFound`` if there is no such repository."""


@dataclass(frozen=True)
class _Found:
    """The tags of one repository that one selection matches."""

    entries: list[Entry]
    failure: str = ""


def expand(wanted: Sequence[Wish], source: Tags | None, progress: Progress) -> list[Entry]:
    """Replace each selection by the images that it selects; entries stay unchanged.

    Only lists of tags are requested, each once: memory is bounded by what is selected, whatever a registry has.

    Raises:
        UsageError: a rule selects nothing or too much, or contradicts an entry.
        RegistryError: a registry does not list its tags.
    """
    if source is None:
        return merge_entries(_without_rules(wanted))
    selections = [wish for wish in wanted if isinstance(wish, Selection)]
    repositories = list(dict.fromkeys(selection.repository for selection in selections))
    if repositories:
        progress.stage("listing tags", 0, len(repositories), "repository")
    found: dict[Selection, _Found] = {}
    for repository in repositories:
        progress.at(str(repository))
        found.update(_choose(repository, [one for one in selections if one.repository == repository], source))
        progress.advance(0, 1)
    _raise_failures([one.failure for one in found.values() if one.failure])
    return merge_entries(_in_place(wanted, found))


def _without_rules(wanted: Iterable[Wish]) -> Iterator[Entry]:
    for wish in wanted:
        if isinstance(wish, Selection):
            raise UsageError(
                "this source does not list tags", where=wish.origin, expected="a registry", hint="list the tags one by one"
            )
        yield wish


def _in_place(wanted: Iterable[Wish], found: dict[Selection, _Found]) -> Iterator[Entry]:
    for wish in wanted:
        if isinstance(wish, Entry):
            yield wish
        else:
            yield from found[wish].entries


def _choose(repository: Repository, selections: list[Selection], source: Tags) -> dict[Selection, _Found]:
    """One pass over the tags for all selections of a repository."""
    choosers = [(selection, Chooser(selection.rule)) for selection in selections]
    count, examples = 0, list[str]()
    try:
        for tag in source.tags(repository):
            count += 1
            if len(examples) < _MOST_EXAMPLES:
                examples.append(tag)
            for _, chooser in choosers:
                chooser.offer(tag)
    except NotFound as error:
        raise NotFound(
            "the registry has no such repository",
            where=f"{repository} ({selections[0].origin})",
            got=error.got,
            hint="correct the name in the list",
        ) from error
    except UsageError as error:
        error.where = error.where or f"{repository} ({selections[0].origin})"
        raise
    has = f"{plural(count, 'tag')}{f', such as {listing(examples)}' if examples else ''}"
    return {selection: _found(selection, chooser.chosen(), has) for selection, chooser in choosers}


def _found(selection: Selection, chosen: list[str], has: str) -> _Found:
    if not chosen:
        return _Found([], f"{selection.origin}: {selection.repository}: {selection.rule}: there are {has}")
    try:
        return _Found([selection.entry(tag) for tag in chosen])
    except UsageError as error:  # a registry that lists what cannot be a tag must not be believed
        where = str(selection.repository)
        raise RegistryError("the registry lists an invalid tag", where=where, got=error.got) from error


def _raise_failures(failures: list[str]) -> None:
    if failures:
        more = [f"and {len(failures) - _MOST_FAILURES} more"] if len(failures) > _MOST_FAILURES else []
        raise UsageError(
            f"{plural(len(failures), 'rule')} of the image list {'chooses' if len(failures) == 1 else 'choose'} no tag",
            where="\n".join(failures[:_MOST_FAILURES] + more),
            expected="at least one tag for every rule",
            hint="correct the rule, or remove the image",
        )
