"""Which lookaside belongs to a repository: registries.d, merged from its files and searched as containers/image does it.

The manual says that only the most specific section counts; the code, which every podman and skopeo runs, goes on to the next wider
scope for a place that the section does not name. This follows the code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_SETTINGS
from airgap.lookaside.registriesd import Section, parse_registries_file
from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Repository
from airgap.text import printable

_MAX_FILES = 1000
_USER_DIRECTORY = ".config/containers/registries.d"
_SYSTEM_DIRECTORY = Path("/etc/containers/registries.d")
_USER_BASE = ".local/share/containers/sigstore"
_SYSTEM_BASE = Path("/var/lib/containers/sigstore")


class LookasideConfig:
    """The lookasides of all repositories; see :meth:`load`.

    Args:
        scopes: sections by scope.
        default: the section for everything that no scope speaks of.
        built_in: the directory for what no section speaks of; where podman looks, when left out.
    """

    def __init__(self, scopes: Mapping[str, Section], default: Section | None = None, built_in: Path | None = None) -> None:
        self._scopes = scopes
        self._default = default
        self._built_in = built_in_directory() if built_in is None else built_in

    @classmethod
    def load(cls, directories: Sequence[Path] | None = None) -> LookasideConfig:
        """Read every ``*.yaml`` of the directories.

        Args:
            directories: those that the user named. When None (or empty): the user's own where there is one, else the system's,
                and neither needs to exist.

        Raises:
            UsageError: a directory or file cannot be read, a file has a mistake, or two files speak of the same scope.
        """
        scopes: dict[str, Section] = {}
        default: Section | None = None
        for path in _files(directories or _usual_directories()):
            file = parse_registries_file(fsio.read_input(path, MAX_SETTINGS, "registries.d file"), str(path))
            if default is not None and file.default is not None:
                raise _twice("default-docker", default, file.default)
            default = default or file.default
            for scope, section in file.scopes.items():
                if scope in scopes:
                    raise _twice(scope, scopes[scope], section)
                scopes[scope] = section
        return cls(scopes, default)

    def read_base(self, repository: Repository) -> str:
        """The base URL (``file``, ``http`` or ``https``) below which a repository's signatures are read.

        Args:
            repository: the one that is really spoken to: the mirror, not the name it stands for.
        """
        found = (section.read for section in self._sections(repository))
        return next(filter(None, found), self._built_in.as_uri())

    def _sections(self, repository: Repository) -> Iterator[Section]:
        for scope in name_scopes(str(repository)):
            if scope in self._scopes:
                yield self._scopes[scope]
        if self._default is not None:
            yield self._default


def built_in_directory() -> Path:
    """Where podman keeps signatures when nothing is configured."""
    return _SYSTEM_BASE if os.geteuid() == 0 else Path.home() / _USER_BASE


def _usual_directories() -> tuple[Path, ...]:
    own = Path.home() / _USER_DIRECTORY
    return tuple(path for path in (own, _SYSTEM_DIRECTORY) if path.exists())[:1]


def _files(directories: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for directory in directories:
        try:
            found += sorted(path for path in directory.iterdir() if path.name.endswith(".yaml"))
        except OSError as error:
            raise UsageError(
                f"cannot read the registries.d directory: {error.strerror}", where=printable(str(directory))
            ) from error
    if len(found) > _MAX_FILES:
        raise UsageError("too many registries.d files", expected=f"at most {_MAX_FILES}", got=str(len(found)))
    return found


def _twice(scope: str, first: Section, second: Section) -> UsageError:
    return UsageError(
        "two registries.d files configure the same scope",
        where=second.origin,
        got=f"{printable(scope, 200)}, also in {first.origin}",
        hint="keep one of the two sections",
    )
