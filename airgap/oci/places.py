"""Images outside registries, with skopeo's transport names (containers-transports(5)): ``oci-archive:/srv/app.tar:1.0``."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.text import printable

#: Transports whose rest is ``PATH[:NAME]``. skopeo, too, ends the path at the first colon.
_PATH_AND_NAME = frozenset({"oci", "oci-archive", "docker-archive", "bundle"})
_PATH = frozenset({"dir", "file", "chart", "git"})
_NAME = frozenset({"containers-storage", "docker-daemon"})
TRANSPORTS = _PATH_AND_NAME | _PATH | _NAME
#: How the address of a chart begins that is in a repository on a web server.
WEB = ("https://", "http://")
#: What a person may write, for messages.
EXPECTED = (
    "docker://REF, oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:REF|:@INDEX], dir:DIR, containers-storage:REF, "
    "docker-daemon:REF, bundle:DIR[:REF], file:FILE, file:https://HOST/PATH[#sha256=HEX], chart:FILE, "
    "chart:https://HOST/PATH/NAME:VERSION, or git:https://HOST/PATH[#ref=NAME] or git:DIRECTORY[#ref=NAME]"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One place that is not a registry.

    Attributes:
        transport: one of ``TRANSPORTS``.
        path: the file or directory; empty for the stores of container engines.
        name: the image in it, as the place calls it; empty when none is said.
    """

    transport: str
    path: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``TRANSPORT:REST``.

        Raises:
            UsageError: an unknown transport, no path, or no name where one is needed.
        """
        transport, colon, rest = text.partition(":")
        if not colon or transport not in TRANSPORTS:
            raise UsageError("not a valid image location", got=printable(text), expected=EXPECTED)
        if transport in _NAME:
            path, name = "", rest
        elif transport in _PATH:
            path, name = rest, ""
        else:
            path, _, name = rest.partition(":")
        if not (path or name) or (transport not in _NAME and not path) or "\0" in rest:
            raise UsageError("the transport is not followed by a location", got=printable(text), expected=EXPECTED)
        return cls(transport, path, name)

    @property
    def is_remote(self) -> bool:
        """Whether it has to be asked what it holds now: on a web server, or a git repository anywhere."""
        return self.transport == "git" or (self.transport in ("file", "chart") and self.path.startswith(WEB))

    def called(self, name: str) -> Place:
        """The same place, with an image in it."""
        return Place(self.transport, self.path, name)

    def __str__(self) -> str:
        return ":".join(part for part in (self.transport, self.path, self.name) if part)


def is_place(text: str) -> bool:
    """Whether a text names a place other than a registry. An image called ``oci`` is written ``docker.io/library/oci``.

    ``oci://HOST/...`` is how Helm writes an artifact in a registry.
    """
    return text.partition(":")[0] in TRANSPORTS and ":" in text and not text.startswith("oci://")
