"""Which imported images a registry holds: from the site's state, from a file, or from the registry's own catalog.

In every case the registry is asked: only a name that exists there counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from airgap.errors import Damaged, NotFound, UsageError
from airgap.mirror.routes import Placed
from airgap.naming.mapping import RegistryTarget
from airgap.naming.renaming import RenameRule
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.hosts import host_of_flat
from airgap.oci.image import KEEPING, keeping_tag
from airgap.oci.reference import Reference, Repository
from airgap.progress import Progress
from airgap.text import plural, printable
from airgap.work import Pool

_ATTACHED = re.compile(r"sha(?:256|512)-[0-9a-f]{32,128}(?:\..*)?", re.ASCII)


class Asked(Protocol):
    """A registry that can be asked (``RegistryStore``)."""

    def resolve(self, reference: Reference) -> Digest | None:
        """The digest that a name refers to now, or None."""

    def repositories(self, host: str) -> Iterator[Repository]:
        """All repositories of a registry."""

    def tags(self, repository: Repository) -> Iterator[str]:
        """All tags of a repository. Raises ``NotFound``."""


def held_there(names: Iterable[tuple[Reference, Reference]], store: Asked, progress: Progress, threads: int = 4) -> list[Placed]:
    """Those of the names (source, destination) that exist, in order.

    Raises:
        RegistryError: the registry fails.
    """
    wanted = sorted(dict.fromkeys(names), key=lambda pair: (str(pair[0]), str(pair[1])))
    progress.stage("asking the target", 0, len(wanted))

    def ask(pair: tuple[Reference, Reference]) -> Digest | None:
        progress.at(str(pair[1]))
        digest = store.resolve(pair[1])
        progress.advance(0, 1)
        return digest

    with Pool(threads, "placed") as pool:
        digests = pool.map(ask, wanted)
    found = [Placed(source, place, digest) for (source, place), digest in zip(wanted, digests, strict=True) if digest]
    if len(found) < len(wanted):
        progress.say(f"{plural(len(wanted) - len(found), 'image')} that were imported are no longer at the target")
    return found


def listed_there(store: Asked, target: RegistryTarget) -> Iterator[tuple[Reference, Reference]]:
    """Every tag below the target's prefix, with the source reference that ``keep-host`` would have mapped to it.

    Raises:
        UsageError: the source cannot be derived from the names.
        RegistryError: the registry has no catalog.
    """
    if not target.rules.is_plain or target.rules.rest is RenameRule.STRIP_HOST:
        raise UsageError(
            "the sources of names cannot be derived with these mapping rules",
            where=str(target),
            got=str(target.rules),
            expected="the state of the machine that imported (--state), or --names FILE, written there with --format list",
        )
    root = f"{target.prefix}/" if target.prefix else ""
    for place in store.repositories(target.host):
        source = _source(place.path.removeprefix(root)) if place.path.startswith(root) else None
        if source is None:
            continue
        try:
            for tag in store.tags(place):
                if not _ATTACHED.fullmatch(tag):
                    yield _wanted(source, place.tagged(tag), store), place.tagged(tag)
        except NotFound:  # a catalog also lists repositories whose last tag was deleted
            continue


def _wanted(source: Repository, place: Reference, store: Asked) -> Reference:
    """The source of a tag: the digest, if the tag only protects an image that is listed by digest."""
    digest = store.resolve(place) if str(place.tag).startswith(KEEPING) else None
    return Reference(source, None, digest) if digest and keeping_tag(digest) == place.tag else source.tagged(str(place.tag))


def read_names(raw: bytes, name: str) -> list[tuple[Reference, Reference]]:
    """Names from a file: ``images.json`` of ``--format list``, or the output of ``import --json``.

    Raises:
        UsageError: it is neither.
    """
    where = printable(name)
    try:
        document = strictjson.parse_object(raw, where)
        if "images" in document and isinstance(document["images"], list):
            pairs = [_pair(entry, where) for entry in document["images"]]
        else:
            pairs = [_pair(entry, where) for entry in strictjson.array(document.get("names"), where)]
        return [(Reference.parse(source), Reference.parse(strictjson.string(place, where))) for source, place in pairs]
    except (Damaged, UsageError) as error:
        raise UsageError(
            f"not a file of names: {error.what}", where=where, expected="images.json of --format list, or output of import --json",
            got=error.got,
        ) from error  # fmt: skip


def below(names: Sequence[tuple[Reference, Reference]], target: RegistryTarget) -> list[tuple[Reference, Reference]]:
    """Those of the names that are at this target."""
    root = f"{target.host}/{target.prefix}".rstrip("/") + "/"
    return [pair for pair in names if str(pair[1].repository).startswith(root)]


def _pair(value: Any, where: str) -> tuple[str, Any]:
    fields = strictjson.mapping(value, where)
    return strictjson.string(fields.get("source"), where), fields.get("destination")


def _source(path: str) -> Repository | None:
    """The source that ``keep-host`` maps to this path, or None. No two hosts are mapped alike (``renaming.kept_host``)."""
    flat, _, rest = path.partition("/")
    host = host_of_flat(flat)
    try:
        return None if host is None else Repository(host, rest)
    except UsageError:
        return None
