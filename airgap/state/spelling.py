"""Spelling of names in the state. The database uses these functions, too, to find repositories and to update old entries."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable

from airgap.errors import Interrupted, UsageError
from airgap.oci.hosts import canonical_scope
from airgap.oci.reference import Reference

_DOCKER = "docker://"


class Functions:
    """Lets SQL use the functions below, and keeps their exceptions, which SQLite would hide behind a single error."""

    def __init__(self) -> None:
        self._raised: BaseException | None = None

    def add(self, connection: sqlite3.Connection) -> None:
        """Register them with a connection."""
        for function in (repository_of, respelled_name, respelled_target):
            connection.create_function(function.__name__, 1, self._keeping(function), deterministic=True)

    def raised(self, error: BaseException) -> BaseException | None:
        """The exception of a function, if that is what SQLite complains about: a signal stays a signal."""
        raised, self._raised = self._raised, None
        if "user-defined function raised exception" not in str(error):
            return None
        return raised or Interrupted()  # before its first line only a signal can strike

    def _keeping(self, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
        @functools.wraps(function)
        def run(text: str) -> str | None:
            try:
                return function(text)
            except BaseException as error:
                self._raised = error
                raise

        return run


def repository_of(name: str) -> str | None:
    """The repository of a name; None for an invalid name."""
    try:
        return str(Reference.parse(name).repository)
    except UsageError:
        return None


def respelled_name(name: str) -> str:
    """A name with its host in canonical spelling (``oci.hosts``): older versions kept it as written."""
    return canonical_scope(name)


def respelled_target(target: str) -> str:
    """The same for a target as it was named; what follows a space says how it was used."""
    if not target.startswith(_DOCKER):
        return target
    name, blank, rest = target.removeprefix(_DOCKER).partition(" ")
    return f"{_DOCKER}{canonical_scope(name)}{blank}{rest}"
