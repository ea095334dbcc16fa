"""Which children of an index match the requested platforms, and which of those platforms are missing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airgap.errors import AirgapError
from airgap.limits import MAX_MANIFEST
from airgap.oci import media, strictjson
from airgap.oci.descriptor import PLATFORM_FIELDS, Descriptor, Platform
from airgap.oci.manifest import Manifest

#: BuildKit puts attestations into the index itself, as children of platform unknown/unknown that name their subject here.
_BUILDKIT_SUBJECT = "vnd.docker.reference.digest"


@dataclass
class PlatformFilter:
    """The platforms that are asked for of one image, and what the walk through the image has met.

    A filter speaks of what can run. A manifest that states no platform, neither in its index nor in its config (a chart, an SBOM, a
    wasm module), is an artifact and is kept whatever is asked for. ``unknown/unknown`` is a statement: it is no artifact, and no
    wish covers it.

    Attributes:
        wishes: what is asked for; empty means everything.
        there: every platform that was met, taken or not.
        artifacts: whether something was met that states no platform.
    """

    wishes: tuple[Platform, ...]
    there: dict[Platform, None] = field(default_factory=dict)
    artifacts: bool = False

    def select(self, children: Sequence[Descriptor], platform_of: Callable[[Descriptor], Platform | None]) -> list[Descriptor]:
        """The children to keep: all without a wish; else those a wish covers, nested indexes, and what is attached to kept ones.

        Args:
            children: of an index.
            platform_of: what the config of a child states, for those of which the index states nothing; None for an artifact.
        """
        if not self.wishes:
            return list(children)
        chosen = {child.digest for child in children if child.media_type in media.INDEXES or self._keeps(child, platform_of)}
        return [child for child in children if child.digest in chosen or child.annotations.get(_BUILDKIT_SUBJECT) in chosen]

    def takes(self, platform: Platform | None) -> bool:
        """Whether an image of this platform is wanted. Remembers the platform."""
        if platform is None:
            self.artifacts = True
            return True
        self.there[platform] = None
        return not self.wishes or any(wish.covers(platform) for wish in self.wishes)

    @property
    def missing(self) -> list[Platform]:
        """The platforms that are asked for and that nothing has; never any of what is an artifact as a whole."""
        if self.artifacts and not self.there:
            return []
        return [wish for wish in self.wishes if not any(wish.covers(platform) for platform in self.there)]

    @property
    def is_beside_the_point(self) -> bool:
        """Whether platforms were asked for and there is nothing but artifacts."""
        return bool(self.wishes) and self.artifacts and not self.there

    def _keeps(self, child: Descriptor, platform_of: Callable[[Descriptor], Platform | None]) -> bool:
        if child.platform is not None and child.platform.is_stated:
            return self.takes(child.platform)
        return child.media_type in media.IMAGES and self.takes(platform_of(child))


def attested(child: Descriptor) -> str:
    """The digest of the image that a child of an index is BuildKit's attestation of; ``""`` for anything else."""
    return child.annotations.get(_BUILDKIT_SUBJECT, "")


def config_of(manifest: Manifest, where: str, failure: type[AirgapError]) -> Descriptor | None:
    """The config that states the platform of an image (image-spec config.md); None when it has none of that kind.

    Raises:
        AirgapError: of kind ``failure``, when it is too large to be read.
    """
    config = manifest.config
    if config is None or config.media_type not in media.CONFIGS:
        return None
    if config.size > MAX_MANIFEST:
        raise failure(
            "the image's platform cannot be determined",
            where=where,
            expected=f"a config of at most {MAX_MANIFEST} bytes",
            got=f"{config.size} bytes",
            hint="leave the image out, or take all of it by not selecting platforms",
        )
    return config


def platform_in(config: bytes, where: str) -> Platform | None:
    """What the config of an image states; None when it states nothing, as those of no bytes or ``null``. Raises ``Damaged``."""
    if config.strip() in (b"", b"null"):  # of artifacts, which some tools give the type of an image's
        return None
    fields = strictjson.parse_object(config, where)
    strictjson.refuse_lookalikes(fields, PLATFORM_FIELDS, where)
    found = Platform.from_json({name: fields[name] for name in PLATFORM_FIELDS if name in fields}, where)
    return found if found.is_stated else None
