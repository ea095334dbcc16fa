"""The values inside an image list, whatever its kind: references, repositories, platforms and registries as people write them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.placed import placed_images
from airgap.lists.yamltree import ListReader, spot_of
from airgap.oci.descriptor import Platform
from airgap.oci.hosts import begins_with_host, canonical_host
from airgap.oci.places import is_place
from airgap.oci.reference import Reference, Repository, is_path
from airgap.yamlnodes.nodes import Node

#: What Helm writes before an artifact in a registry, which is an image to us.
OCI = "oci://"
#: No image list may ask for more images.
MAX_ENTRIES = 100_000

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,99})\}", re.ASCII)  # what envsubst fills in
# Stricter than Platform.parse: "linux/amd64, linux/arm64" in one string has three parts too.
_PLATFORM = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){1,2}", re.IGNORECASE | re.ASCII)
_KERNELS_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}  # what uname says, and docker and podman take, too


def wished_reference(
    text: str, spot: Spot, mistakes: Mistakes, registry: str = "", expand: Callable[[str], str] = str
) -> Reference | None:
    """A reference, with or without skopeo's ``docker://`` or Helm's ``oci://`` before it; None when it is a mistake.

    A version with ``+`` has ``_`` in its tag, for a tag cannot have the other.

    Args:
        registry: where names without a host are; Docker Hub when empty.
        expand: what short names are aliases of, when ``registry`` is empty.
    """
    name = text.removeprefix(OCI).replace("+", "_") if text.startswith(OCI) else text.removeprefix("docker://")
    name = name if registry else expand(name)
    try:
        return Reference.parse(name if begins_with_host(name) or not registry else f"{registry}/{name}")
    except UsageError as error:
        mistakes.add_error(spot, error)
        return None


def wished_repository(
    text: str, spot: Spot, mistakes: Mistakes, registry: str = "", expand: Callable[[str], str] = str
) -> Repository | None:
    """A repository, without tag and digest; None when it is a mistake."""
    if "@" in text or ":" in text.removeprefix("docker://").removeprefix(OCI).rpartition("/")[2]:
        mistakes.add(spot, "not a valid repository", expected="a name without tag and digest, like quay.io/team/app", got=text)
        return None
    reference = wished_reference(text, spot, mistakes, registry, expand)
    return None if reference is None else reference.repository


def wished_registry(text: str, spot: Spot, mistakes: Mistakes) -> str:
    """``HOST[:PORT]``, with or without a path, in its one spelling: what stands before names without a host. Empty: a mistake."""
    host, slash, path = text.partition("/")
    try:
        if begins_with_host(f"{host}/") and (not slash or is_path(path)):
            return canonical_host(host) + slash + path
    except UsageError:
        pass
    mistakes.add(spot, "not a valid registry", expected="HOST[:PORT] or HOST[:PORT]/path, such as quay.io", got=text)
    return ""


def wished_platform(text: str, spot: Spot, mistakes: Mistakes) -> Platform | None:
    """A platform; None when it is a mistake."""
    with contextlib.suppress(UsageError):
        if _PLATFORM.fullmatch(text):
            parts = text.split("/")
            return Platform.parse("/".join((parts[0], _KERNELS_NAMES.get(parts[1].lower(), parts[1]), *parts[2:])))
    mistakes.add(spot, "not a valid platform", expected="os/architecture[/variant], such as linux/arm64", got=text)
    return None


def read_reference(reader: ListReader, node: Node, registry: str = "", what: str = "an image reference") -> Reference | None:
    """The reference that a node holds, ``${NAME}`` in it filled; None when it is a mistake, or when a name has no value."""
    text = reader.text(node, what)
    if text is not None and "${" in text:
        text = reader.filled(node, _VARIABLE) or None
    return None if text is None else wished_reference(text, spot_of(node), reader.mistakes, registry, reader.expand)


def read_images(reader: ListReader, node: Node, registry: str = "") -> list[tuple[Reference, str]]:
    """The images that a node asks for, each with its source (``Entry.source``); none when it is a mistake."""
    text = reader.text(node, "an image reference")
    if text is not None and is_place(text):
        return placed_images(text, reader.places, spot_of(node), reader.mistakes)
    reference = None if text is None else wished_reference(text, spot_of(node), reader.mistakes, registry, reader.expand)
    return [] if reference is None else [(reference, "")]


def read_repository(reader: ListReader, node: Node, registry: str = "") -> Repository | None:
    """The repository that a node holds; None when it is a mistake."""
    text = reader.text(node, "a repository")
    return None if text is None else wished_repository(text, spot_of(node), reader.mistakes, registry, reader.expand)


def read_platform(reader: ListReader, node: Node) -> Platform | None:
    """The platform that a node holds; None when it is a mistake."""
    text = reader.text(node, "a platform")
    return None if text is None else wished_platform(text, spot_of(node), reader.mistakes)


def too_many(spot: Spot, mistakes: Mistakes) -> None:
    """Note that the list is too long."""
    mistakes.add(spot, "the image list is too long", expected=f"at most {MAX_ENTRIES} images", hint="split it into several bundles")
