"""Which children of an index belong to the platforms that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform

#: BuildKit puts attestations into the index itself, as children of platform unknown/unknown that name their subject here.
_BUILDKIT_SUBJECT = "vnd.docker.reference.digest"


def select_children(children: Sequence[Descriptor], platforms: Sequence[Platform]) -> list[Descriptor]:
    """The children to keep: all without a wish; else those a wish covers, nested indexes, and what is attached to kept ones."""
    if not platforms:
        return list(children)
    chosen = {child.digest for child in children if child.media_type in media.INDEXES or _covered(child.platform, platforms)}
    return [child for child in children if child.digest in chosen or child.annotations.get(_BUILDKIT_SUBJECT) in chosen]


def _covered(platform: Platform | None, platforms: Sequence[Platform]) -> bool:
    return platform is not None and any(wish.covers(platform) for wish in platforms)
