"""What image lists ask for: images, tags chosen by rules, settings of registries; and how several lists are joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap.errors import UsageError
from airgap.lists.tags import TagRule
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.image import EVERY_KIND
from airgap.oci.reference import Reference, Repository

_MOST_CLASHES = 20


@dataclass(frozen=True)
class Entry:
    """One image that is asked for.

    Attributes:
        reference: fully expanded.
        platforms: the only ones that are wanted; empty means all, byte for byte.
        origin: where it was asked for, ``file:line``, for messages.
        attachments: the kinds of attachments that are wanted (``oci.image.KINDS``, ``LOOKASIDE``); None means all.
        attachment_repositories: where else to look for attachments, beside the image's own repository.
        source: the place it comes from (``oci.places``); empty means the registry that the reference names.
    """

    reference: Reference
    platforms: tuple[Platform, ...] = ()
    origin: str = ""
    attachments: frozenset[str] | None = None
    attachment_repositories: tuple[Repository, ...] = ()
    source: str = ""

    def facts(self) -> dict[str, Any]:
        """Everything that decides what is carried, for a digest over it."""
        return {"image": str(self.reference), **_choices(self)}

    def wants(self, kind: str) -> bool:
        """Whether attachments of a kind are wanted."""
        return self.attachments is None or kind in self.attachments


@dataclass(frozen=True)
class Selection:
    """Images that are asked for by a rule over the tags of a repository; the rest is as in the entries that it becomes."""

    repository: Repository
    rule: TagRule
    platforms: tuple[Platform, ...] = ()
    origin: str = ""
    attachments: frozenset[str] | None = None
    attachment_repositories: tuple[Repository, ...] = ()

    def entry(self, tag: str) -> Entry:
        """The entry for one tag that was chosen. Raises ``UsageError`` when it is no tag."""
        named = self.repository.tagged(tag)
        return Entry(named, self.platforms, self.origin, self.attachments, self.attachment_repositories)

    def facts(self) -> dict[str, Any]:
        """As ``Entry.facts``."""
        return {"repository": str(self.repository), "tags": self.rule.facts(), **_choices(self)}


Wish = Entry | Selection


def _choices(wish: Wish) -> dict[str, Any]:
    said: dict[str, Any] = {
        "platforms": sorted(map(str, wish.platforms)),
        "attachments-from": [str(repository) for repository in wish.attachment_repositories],
        "source": [wish.source] if isinstance(wish, Entry) and wish.source else [],
    }
    chosen = {} if wish.attachments is None else {"attachments": sorted(wish.attachments)}
    return {name: value for name, value in said.items() if value} | chosen


@dataclass(frozen=True)
class RegistrySettings:
    """How a list wants a registry to be spoken to.

    Attributes:
        registry: ``HOST[:PORT]`` as in references, with a path where the settings are for a part of it.
        origin: ``file:line``, for messages.
        tls_verify: False when neither TLS nor its certificate is asked for; None when the list does not say.
        cert_dir: the directory with its CA and our client certificate.
        username, password: the login, both or neither.
    """

    registry: str
    origin: str = ""
    tls_verify: bool | None = None
    cert_dir: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """``HOST[:PORT]``: TLS is the whole host's."""
        return self.registry.partition("/")[0]


@dataclass(frozen=True)
class Wishes:
    """What one or several lists say.

    Attributes:
        wanted: entries and selections in the order of the lists.
        registries: settings, one for a registry at most, and of one mind about a host.
        notices: what a list asks for that is not done, one line each; nothing is missing from the bundle because of it.
        left_out: what a list asks for that is missing from the bundle by the operator's word, one line each.
    """

    wanted: tuple[Wish, ...] = ()
    registries: tuple[RegistrySettings, ...] = ()
    notices: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def for_platforms(self, platforms: Sequence[Platform]) -> Wishes:
        """The same for some platforms only, except where a list itself says which."""
        if not platforms:
            return self
        chosen = tuple(platforms)
        return replace(self, wanted=tuple(wish if wish.platforms else replace(wish, platforms=chosen) for wish in self.wanted))

    def without(self, kinds: Set[str]) -> Wishes:
        """The same without some kinds of attachments, whatever a list says."""
        if not kinds:
            return self
        kept = ((wish, EVERY_KIND if wish.attachments is None else wish.attachments) for wish in self.wanted)
        return replace(self, wanted=tuple(replace(wish, attachments=asked - kinds) for wish, asked in kept))


def merge_wishes(lists: Iterable[Wishes]) -> Wishes:
    """Join lists in their order; what says exactly what an earlier one says is dropped.

    Raises:
        UsageError: they contradict each other, about an image or about a registry.
    """
    all_lists = list(lists)
    wanted = [wish for one in all_lists for wish in one.wanted]
    merge_entries(wish for wish in wanted if isinstance(wish, Entry))
    first = {wish_key(wish): wish for wish in reversed(wanted)}
    kept = tuple(wish for wish in wanted if first[wish_key(wish)] is wish)
    notices = tuple(dict.fromkeys(notice for one in all_lists for notice in one.notices))
    left_out = tuple(dict.fromkeys(line for one in all_lists for line in one.left_out))
    return Wishes(kept, _merge_settings(settings for one in all_lists for settings in one.registries), notices, left_out)


def wish_key(wish: Wish) -> Any:
    """Equal for two wishes when one of them is enough."""
    return wish.reference if isinstance(wish, Entry) else replace(wish, origin="")


def _merge_settings(settings: Iterable[RegistrySettings]) -> tuple[RegistrySettings, ...]:
    known: dict[str, RegistrySettings] = {}
    hosts: dict[tuple[str, str], RegistrySettings] = {}
    for one in settings:
        rivals = [(known.setdefault(one.registry, one), "username"), (known[one.registry], "password")]
        rivals += [(hosts.setdefault((one.host, name), one), name) for name in ("tls_verify", "cert_dir")]
        for other, name in rivals:
            if getattr(other, name) != getattr(one, name):
                raise UsageError(
                    "image lists disagree about a registry",
                    where=f"{one.host}: {other.origin} and {one.origin}",
                    expected="the same tls-verify, cert-dir and credentials wherever the registry is named",
                    hint="use the same settings in both places",
                )
    return tuple(known.values())


def merge_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Join entries in their order; one that says exactly what an earlier one says is dropped.

    A tag and a digest of the same repository are two wishes, not a contradiction.

    Raises:
        UsageError: entries contradict each other: a tag pinned to two digests, or an image with different platforms or attachments.
    """
    first: dict[Reference, Entry] = {}
    pins: dict[tuple[Repository, str], Entry] = {}
    clashes = []
    for entry in entries:
        known = first.setdefault(entry.reference, entry)
        if known is not entry:
            one, other = _choices(known), _choices(entry)
            if one != other:
                clashes.append(_clash(str(entry.reference), known, _shown(one, other), entry, _shown(other, one)))
            continue
        reference = entry.reference
        if reference.tag is not None and reference.digest is not None:
            pinned = pins.setdefault((reference.repository, reference.tag), entry)
            if pinned is not entry:
                name = f"{reference.repository}:{reference.tag}"
                clashes.append(_clash(name, pinned, _pin(pinned.reference.digest), entry, _pin(reference.digest)))
    if clashes:
        raise _clash_error(clashes)
    return list(first.values())


def _clash(name: str, one: Entry, one_says: str, other: Entry, other_says: str) -> str:
    return f"{name}: {one.origin or 'one entry'} says {one_says}, {other.origin or 'another'} says {other_says}"


def _clash_error(clashes: list[str]) -> UsageError:
    more = [f"and {len(clashes) - _MOST_CLASHES} more"] if len(clashes) > _MOST_CLASHES else []
    return UsageError(
        "entries of the image list disagree",
        where="\n".join(clashes[:_MOST_CLASHES] + more),
        expected="one digest and one selection of platforms and attachments for each image",
        hint="keep one of the two entries",
    )


def _shown(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What one of two entries says that the other does not."""
    names = [name for name in ("source", "platforms", "attachments", "attachments-from") if one.get(name) != other.get(name)]
    return ", ".join(f"{name}: {'+'.join(one[name]) or 'none'}" if name in one else f"no {name}:" for name in names)


def _pin(digest: Digest | None) -> str:
    return str(digest)
