"""Map source references to names at the target, by the operator's rules alone, never by the bundle. Pure."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from airgap.errors import UsageError
from airgap.naming.meant import either_target, meant_target
from airgap.naming.renaming import KEEP, RenameRules, parse_rules
from airgap.oci.digest import Digest
from airgap.oci.hosts import canonical_host
from airgap.oci.image import keeping_tag
from airgap.oci.reference import Reference, Repository
from airgap.text import printable


class Form(enum.StrEnum):
    """A target that every import creates afresh, by its transport's name."""

    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DIRECTORY = "dir"
    STORAGE = "containers-storage"
    K3S = "k3s"


@dataclass(frozen=True)
class RegistryTarget:
    """``docker://HOST[:PORT][/PREFIX]``."""

    host: str
    prefix: str
    rules: RenameRules = KEEP

    def __str__(self) -> str:
        return f"docker://{self.host}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def exclusive_place(self) -> str:
        """What only one command at a time writes to: the whole registry, because maps lead anywhere in it."""
        return f"docker://{self.host}"

    def repository(self, source: Repository) -> Repository:
        """Where a source repository goes: ``docker.io/library/nginx`` -> ``HOST/PREFIX/docker.io/library/nginx``."""
        return self._at(self.rules.place(source)[0])

    def destination(self, source: Reference) -> Reference:
        """Where an image goes; rules for single images may change its tag."""
        path, tag = self.rules.place(source.repository, source.tag)
        return Reference(self._at(path), tag, source.digest)

    def _at(self, path: str) -> Repository:
        return Repository.parse("/".join(part for part in (self.host, self.prefix, path) if part))


@dataclass(frozen=True)
class LayoutTarget:
    """``oci:DIR``: an OCI layout in which every image keeps its full source reference."""

    directory: Path

    def __str__(self) -> str:
        return f"oci:{self.directory.absolute()}"

    @property
    def exclusive_place(self) -> str:
        """What only one command at a time writes to, however the path is spelled."""
        return place_of(self.directory)

    def repository(self, source: Repository) -> Repository:
        """The source repository itself."""
        return source

    def destination(self, source: Reference) -> Reference:
        """The source reference itself."""
        return source


@dataclass(frozen=True)
class FileTarget:
    """An archive, a directory or an engine's storage: images keep their full source references.

    Attributes:
        form: the kind of target.
        place: the path; for a storage what skopeo writes in brackets, ``""`` for the user's own.
    """

    form: Form
    place: str

    def __str__(self) -> str:
        return f"{self.form}:{self.place if self.form is Form.STORAGE else self.path.absolute()}"

    @property
    def takes_several(self) -> bool:
        """Whether one bundle after another can be imported into it."""
        return self.form in (Form.STORAGE, Form.K3S)

    @property
    def exclusive_place(self) -> str:
        """What only one command at a time writes to, however the path is spelled."""
        return str(self) if self.form is Form.STORAGE else place_of(self.path)

    @property
    def path(self) -> Path:
        """The file or directory."""
        return Path(self.place)

    def repository(self, source: Repository) -> Repository:
        """The source repository itself."""
        return source

    def destination(self, source: Reference) -> Reference:
        """The source reference itself."""
        return source


#: A target that can be asked what it holds; and any target.
StoreSpec: TypeAlias = RegistryTarget | LayoutTarget
TargetSpec: TypeAlias = RegistryTarget | LayoutTarget | FileTarget

_STORES = "docker://HOST[:PORT][/PREFIX] or oci:DIR"
_FILES = "oci-archive:FILE, docker-archive:FILE, dir:DIR, containers-storage: or k3s:DIR"


def place_of(path: Path) -> str:
    """A file or directory as a place that only one command at a time writes to."""
    return f"file:{os.path.realpath(path)}"


def parse_target(text: str, rules: RenameRules | str = "") -> TargetSpec:
    """Read a TARGET.

    Args:
        rules: the rules of ``--map``, parsed or as one rule.

    Raises:
        UsageError: an unknown transport or rule, or an invalid name.
    """
    chosen = parse_rules([rules] if rules else []) if isinstance(rules, str) else rules
    transport, _, rest = text.partition(":")
    if transport == "docker" and rest.startswith("//") and len(rest) > 2:
        host, _, prefix = rest[2:].partition("/")
        found = RegistryTarget(canonical_host(host), prefix.strip("/"), chosen)
        RegistryTarget(found.host, found.prefix).repository(Repository("example.org", "check"))
        return found
    forms = {form.value: form for form in Form}
    if (transport == "oci" and rest) or (transport in forms and (rest or transport == Form.STORAGE) and ":" in text):
        if chosen.said:
            raise UsageError(
                "--map is only for registries: in other targets images keep their full source references",
                where=printable(text),
                got=printable(str(chosen)),
            )
        local = LayoutTarget(Path(rest)) if transport == "oci" else FileTarget(forms[transport], _place(forms[transport], rest))
        return _as_text(local)
    known = ("oci", *forms)
    meant = meant_target(text, known) or either_target(text, known)
    raise UsageError(
        "not a target",
        got=printable(text),
        expected=f"{_STORES}; for an import also {_FILES}",
        hint=f"did you mean {printable(meant)}?" if meant else "",
    )


def _as_text(spec: LayoutTarget | FileTarget) -> LayoutTarget | FileTarget:
    """The same. A path may be any bytes, and the state remembers a target as text. Raises ``UsageError``."""
    try:
        str(spec).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the path of a target is not UTF-8 text",
            where=printable(str(spec)),
            expected="a path that the state can record",
            hint="rename the directory, or create a link to it with another name and use that",
        ) from error
    return spec


def parse_store(text: str) -> StoreSpec:
    """Read a TARGET whose content can be listed.

    Raises:
        UsageError: as :func:`parse_target`, or every import creates it afresh.
    """
    spec = parse_target(text)
    if isinstance(spec, FileTarget):
        raise UsageError("this target cannot be asked what it holds", got=printable(text), expected=_STORES)
    return spec


def destinations(
    roots: Iterable[tuple[Reference, Digest]], target: TargetSpec, *, digest_tags: bool = True
) -> dict[Reference, Reference]:
    """The name that every image gets at the target.

    Args:
        roots: every image and its root as it will be at the target: for an index with platforms left out, the rebuilt one.
        target: the target.
        digest_tags: give images that are listed by digest alone a tag at a registry (``oci.image.keeping_tag``).

    Raises:
        UsageError: two different images would get the same name, or two source repositories would share one at the target.
    """
    owners: dict[Repository, Repository] = {}
    taken: dict[str, tuple[Reference, Digest]] = {}
    result: dict[Reference, Reference] = {}
    for reference, root in roots:
        result[reference] = destination = _named(target, reference, root, digest_tags)
        owner = owners.setdefault(destination.repository, reference.repository)
        if owner != reference.repository:
            raise UsageError(
                "two source repositories would share a repository at the target",
                where=str(destination.repository),
                got=f"{owner} and {reference.repository}",
                hint="map one of them to another place (--map prefix=SOURCE=PATH), or keep the source hosts in the names (leave "
                "out --map strip-host)",
            )
        other, digest = taken.setdefault(tagged_name(destination), (reference, root))
        if digest != root:
            raise UsageError(
                "two images would get the same name",
                where=tagged_name(destination),
                got=f"{other} and {reference}",
                hint="give one of them another name: --map image=SOURCE:TAG=PATH:TAG",
            )
    return result


def _named(target: TargetSpec, reference: Reference, root: Digest, digest_tags: bool) -> Reference:
    destination = target.destination(reference)
    if destination.tag is None:
        keep = digest_tags and isinstance(target, RegistryTarget)
        return destination.repository.tagged(keeping_tag(root)) if keep else destination.at(root)
    return destination if destination.digest in (None, root) else destination.repository.tagged(destination.tag)


def visible(reference: Reference) -> Reference:
    """The name that would be moved: the tag if there is one, else the digest."""
    return reference.repository.tagged(reference.tag) if reference.tag else reference


def tagged_name(reference: Reference) -> str:
    """:func:`visible`, as text."""
    return str(visible(reference))


def _place(form: Form, text: str) -> str:
    if form is Form.STORAGE and text and not (text.startswith("[") and text.endswith("]")):
        raise UsageError(
            "a containers-storage: target takes no name: images keep their own",
            got=printable(f"{form}:{text}"),
            expected="containers-storage: or containers-storage:[DRIVER@ROOT+RUNROOT]",
        )
    return text
