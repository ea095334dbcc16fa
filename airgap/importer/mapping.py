"""What a name becomes at the destination: from the operator's rules and the source reference only, never from the bundle. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference, Repository
from airgap.text import printable


class Rule(enum.StrEnum):
    """How a source repository becomes a path under the target's prefix."""

    KEEP_HOST = "keep-host"
    STRIP_HOST = "strip-host"


@dataclass(frozen=True)
class RegistryTarget:
    """``docker://HOST[:PORT][/PREFIX]``."""

    host: str
    prefix: str
    rule: Rule = Rule.KEEP_HOST

    def __str__(self) -> str:
        return f"docker://{self.host}" + (f"/{self.prefix}" if self.prefix else "")

    def repository(self, source: Repository) -> Repository:
        """Where a source repository goes: ``docker.io/library/nginx`` -> ``HOST/PREFIX/docker.io/library/nginx``."""
        parts = (self.prefix, source.flat_host if self.rule is Rule.KEEP_HOST else "", source.path)
        return Repository(self.host, "/".join(part for part in parts if part))


@dataclass(frozen=True)
class LayoutTarget:
    """``oci:DIR``: an OCI layout in which every image keeps its full source reference."""

    directory: Path

    def __str__(self) -> str:
        return f"oci:{self.directory.absolute()}"

    def repository(self, source: Repository) -> Repository:
        """The source repository itself."""
        return source


def parse_target(text: str, rule: str = "") -> RegistryTarget | LayoutTarget:
    """Read a TARGET.

    Raises:
        UsageError: an unknown transport or rule, or a name that cannot be one.
    """
    transport, _, rest = text.partition(":")
    try:
        chosen = Rule(rule or Rule.KEEP_HOST)
    except ValueError as error:
        raise UsageError("an unknown mapping rule", got=printable(rule), expected=" or ".join(Rule)) from error
    if transport == "docker" and rest.startswith("//") and len(rest) > 2:
        host, _, prefix = rest[2:].partition("/")
        RegistryTarget(host, prefix.strip("/"), chosen).repository(Repository("example.org", "check"))
        return RegistryTarget(host, prefix.strip("/"), chosen)
    if transport == "oci" and rest:
        if rule:
            raise UsageError("an OCI layout keeps full source references: --map does not apply", got=printable(rule))
        return LayoutTarget(Path(rest))
    raise UsageError("not a target", got=printable(text), expected="docker://HOST[:PORT][/PREFIX] or oci:DIR")


def destinations(images: Iterable[Image], target: RegistryTarget | LayoutTarget) -> dict[Reference, Reference]:
    """The destination of every image.

    Raises:
        UsageError: two different images would get the same name.
    """
    taken: dict[str, tuple[Reference, Digest]] = {}
    result: dict[Reference, Reference] = {}
    for image in images:
        destination = image.reference.moved(target.repository(image.reference.repository))
        name = str(destination.repository.tagged(destination.tag)) if destination.tag else str(destination)
        other, digest = taken.setdefault(name, (image.reference, image.root.digest))
        if digest != image.root.digest:
            raise UsageError(
                "two images would get the same name",
                where=name,
                got=f"{other} and {image.reference}",
                hint="keep the source host in the name (leave out --map strip-host) or import into different prefixes",
            )
        result[image.reference] = destination
    return result
