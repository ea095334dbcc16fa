"""A tag that is not there: which ones are, for the message about it. Only ever a help, so whatever fails here is silent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from airgap.errors import AirgapError
from airgap.oci.reference import Reference, Repository
from airgap.text import like

_MOST_READ = 1000
# Tags of attachments, such as sha256-HEX.sig: nobody meant those.
_OF_DIGEST = re.compile(r"sha(?:256|512)-[0-9a-f]{64}", re.ASCII)


@runtime_checkable
class FirstTags(Protocol):
    """A source that shows the beginning of its list of tags with a single request, such as a registry."""

    def first_tags(self, repository: Repository) -> tuple[str, ...]:
        """The tags on the first page. Raises ``AirgapError``."""


def near_tags(source: object) -> Callable[[Reference], str]:
    """What tells which tags a repository has that are like one that it lacks, as an expectation; empty where that is not known."""

    def tell(wanted: Reference) -> str:
        if wanted.tag is None or wanted.digest is not None or not isinstance(source, FirstTags):
            return ""
        try:
            found = source.first_tags(wanted.repository)[:_MOST_READ]
        except AirgapError:
            return ""
        tags = [tag for tag in found if len(tag) <= 128 and not _OF_DIGEST.match(tag)]
        return f"a tag of this repository, which has {like(wanted.tag, tags)}" if tags else ""

    return tell
