"""Names as the state keeps them. They are functions of the database, too: it finds repositories with them and mends what is old."""

from __future__ import annotations

import sqlite3

from airgap.errors import UsageError
from airgap.oci.hosts import canonical_scope
from airgap.oci.reference import Reference

_DOCKER = "docker://"


def add_functions(connection: sqlite3.Connection) -> None:
    """Let statements use the functions below."""
    for function in (repository_of, respelled_name, respelled_target):
        connection.create_function(function.__name__, 1, function, deterministic=True)


def repository_of(name: str) -> str | None:
    """The repository of a name; None for what is no name."""
    try:
        return str(Reference.parse(name).repository)
    except UsageError:
        return None


def respelled_name(name: str) -> str:
    """A name with its host in the one spelling (``oci.hosts``): older versions kept it as it was written."""
    return canonical_scope(name)


def respelled_target(target: str) -> str:
    """The same for a target as it was named; what follows a blank says how it was used."""
    if not target.startswith(_DOCKER):
        return target
    name, blank, rest = target.removeprefix(_DOCKER).partition(" ")
    return f"{_DOCKER}{canonical_scope(name)}{blank}{rest}"
