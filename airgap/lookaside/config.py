"""Which lookaside belongs to a repository: registries.d, merged from its files and searched as containers/image does it.

The manual says that only the most specific section counts; the code, which every podman and skopeo runs, goes on to the next wider
scope for a place that the section does not name. This follows the code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_SETTINGS
from airgap.lookaside.registriesd import RegistriesFile, Section, parse_registries_file
from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Repository
from airgap.text import printable

_MAX_FILES = 1000
_PORT = re.compile(r":[0-9]+$", re.ASCII)
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
        stray: keys that are no scopes, with what is wrong with them.
        mistake: why nothing can be told about any repository.
    """

    def __init__(
        self,
        scopes: Mapping[str, Section],
        default: Section | None = None,
        built_in: Path | None = None,
        *,
        stray: Sequence[tuple[str, UsageError]] = (),
        mistake: UsageError | None = None,
    ) -> None:
        self._scopes = scopes
        self._default = default
        self._stray = stray
        self._mistake = mistake
        self._built_in = built_in_directory() if built_in is None else built_in

    @classmethod
    def load(cls, directories: Sequence[Path] | None = None) -> LookasideConfig:
        """Read every ``*.yaml`` of the directories.

        Args:
            directories: those that the user named. When None (or empty): the user's own where there is one, else the system's,
                and neither needs to exist; what is wrong there stops only who asks for a lookaside.

        Raises:
            UsageError: a named directory or a file in it cannot be read, or a file has a mistake that is in no single section.
        """
        merged = _Merged()
        try:
            for path in _files(directories or _usual_directories()):
                merged.add(parse_registries_file(fsio.read_input(path, MAX_SETTINGS, "registries.d file"), str(path)))
        except UsageError as error:
            if directories:
                raise
            return cls({}, mistake=error)
        return cls(merged.scopes, merged.default, stray=merged.stray)

    def read_base(self, repository: Repository) -> str:
        """The base URL (``file``, ``http`` or ``https``) below which a repository's signatures are read.

        Args:
            repository: the one that is really spoken to: the mirror, not the name it stands for.

        Raises:
            UsageError: a section that concerns the repository has a mistake, or two files have such a section.
        """
        if self._mistake is not None:
            raise self._mistake
        name = _PORT.sub("", repository.host)
        meant = next((mistake for key, mistake in self._stray if name in key), None)
        if meant is not None:
            raise meant
        found = (section.read for section in self._sections(repository))
        return next(filter(None, found), self._built_in.as_uri())

    def _sections(self, repository: Repository) -> Iterator[Section]:
        wider = (self._scopes.get(scope) for scope in name_scopes(str(repository)))
        for section in (*wider, self._default):
            if section is not None and section.mistake is not None:
                raise section.mistake
            if section is not None:
                yield section


@dataclass
class _Merged:
    """What the files say together."""

    scopes: dict[str, Section] = field(default_factory=dict)
    default: Section | None = None
    stray: list[tuple[str, UsageError]] = field(default_factory=list)

    def add(self, file: RegistriesFile) -> None:
        """Add what one file says."""
        self.stray += file.stray
        if file.default is not None:
            self.default = _joined("default-docker", self.default, file.default)
        for scope, section in file.scopes.items():
            self.scopes[scope] = _joined(scope, self.scopes.get(scope), section)


def _joined(scope: str, first: Section | None, second: Section) -> Section:
    return second if first is None else replace(first, mistake=first.mistake or second.mistake or _twice(scope, first, second))


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
