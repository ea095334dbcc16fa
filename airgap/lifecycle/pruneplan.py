"""The plan of a removal as a document: written by ``airgap prune --plan``, reviewed by a person, executed by ``--apply``. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.lifecycle.pruning import Removal, ShelfEntry
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import printable

SCHEMA = "airgap.prune/1"


@dataclass(frozen=True)
class Kept:
    """A generation when the plan was made; the one in force may change with every import and rollback."""

    stream: str
    serial: int
    catalog: str
    in_force: bool
    stays: bool


@dataclass(frozen=True)
class PlanStep:
    """What is removed from one repository (``""``: from the layout).

    Attributes:
        space: the repository.
        removal: what is removed; of the sizes only the sum is written.
        names: every name that stays, with its digest.
    """

    space: str
    removal: Removal
    names: tuple[ShelfEntry, ...]


@dataclass(frozen=True)
class PrunePlan:
    """What is to be removed from a target.

    Attributes:
        target: as the operator named it.
        made: when it was made, RFC 3339 in UTC.
        generations: all generations of the target that the state knew.
        steps: the repositories in which something is removed, or a name stays that might have been removed.
        given_up: names to remove, unless something else needs them, although kept generations had them.
    """

    target: str
    made: str
    generations: tuple[Kept, ...]
    steps: tuple[PlanStep, ...]
    given_up: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be removed."""
        return not any(step.removal.names or step.removal.manifests for step in self.steps)

    @property
    def digest(self) -> Digest:
        """The digest of its content."""
        return Digest.of(strictjson.canonical(self._value()))

    def to_bytes(self) -> bytes:
        """The document, for people and ``--apply``; it ends with the digest of the rest."""
        return json.dumps({**self._value(), "digest": self.digest}, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, raw: bytes, where: str) -> PrunePlan:
        """Read a document.

        Raises:
            UsageError: it is not a plan, or it was changed.
        """
        try:
            fields = strictjson.parse_object(raw, where)
            if fields.get("schema") != SCHEMA:
                got = printable(str(fields.get("schema")), 60)
                raise UsageError("not a plan of airgap prune", where=where, expected=f"schema {SCHEMA}", got=got)
            stated = fields.pop("digest", None)
            if stated != Digest.of(strictjson.canonical(fields)):
                raise UsageError(
                    "the plan was changed since it was made",
                    where=where,
                    hint="make a new plan with airgap prune --plan; to keep more, tag it at the target or raise --keep",
                )
            return cls(
                strictjson.string(fields.get("target"), where),
                strictjson.string(fields.get("made"), where),
                tuple(_kept(item, where) for item in strictjson.array(fields.get("generations"), where)),
                tuple(_step(item, where) for item in strictjson.array(fields.get("steps"), where)),
                tuple(strictjson.string(item, where) for item in strictjson.array(fields.get("given_up", []), where)),
            )
        except Damaged as error:
            raise UsageError(error.what, where=error.where, expected=error.expected, got=error.got) from error

    def _value(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "target": self.target,
            "made": self.made,
            "generations": [
                {"stream": g.stream, "serial": g.serial, "catalog": g.catalog, "in_force": g.in_force, "keep": g.stays}
                for g in self.generations
            ],
            "steps": [
                {
                    "repository": step.space,
                    "remove": {
                        "names": _entries(step.removal.names),
                        "manifests": list(step.removal.manifests),
                        "blobs": [{"digest": digest, "size": size} for digest, size in step.removal.blobs],
                    },
                    "stay": list(step.removal.stay),
                    "names": _entries(step.names),
                }
                for step in self.steps
            ],
            "given_up": list(self.given_up),
        }


def _entries(entries: tuple[ShelfEntry, ...]) -> list[dict[str, str]]:
    return [{"name": entry.name, "digest": entry.digest} for entry in entries]


def _read_entries(value: object, where: str) -> tuple[ShelfEntry, ...]:
    items = (strictjson.mapping(item, where) for item in strictjson.array(value, where))
    return tuple(ShelfEntry(strictjson.string(item.get("name"), where), Digest.parse(item.get("digest"), where)) for item in items)


def _kept(value: object, where: str) -> Kept:
    fields = strictjson.mapping(value, where)
    return Kept(
        strictjson.string(fields.get("stream"), where),
        strictjson.integer(fields.get("serial"), where),
        strictjson.string(fields.get("catalog"), where),
        fields.get("in_force") is True,
        fields.get("keep") is not False,
    )


def _step(value: object, where: str) -> PlanStep:
    fields = strictjson.mapping(value, where)
    remove = strictjson.mapping(fields.get("remove"), where)
    blobs = (strictjson.mapping(item, where) for item in strictjson.array(remove.get("blobs"), where))
    removal = Removal(
        _read_entries(remove.get("names"), where),
        tuple(Digest.parse(item, where) for item in strictjson.array(remove.get("manifests"), where)),
        tuple((Digest.parse(blob.get("digest"), where), strictjson.integer(blob.get("size"), where)) for blob in blobs),
        tuple(strictjson.string(item, where) for item in strictjson.array(fields.get("stay"), where)),
    )
    return PlanStep(strictjson.string(fields.get("repository"), where), removal, _read_entries(fields.get("names"), where))
