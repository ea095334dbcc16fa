"""Exports whose bundle goes into a bucket: it is made on this machine, copied there, and removed here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.buckets.place import BucketPlace, place_of
from airgap.cli.terminal.console import Console
from airgap.errors import MediaError
from airgap.exporter.export import Exported
from airgap.format import names
from airgap.text import printable


@dataclass(frozen=True)
class Out:
    """Where a bundle is made, and where it goes from there.

    Attributes:
        directory: where it is made.
        place: the bucket that it is copied into, if any.
        taken: the serials that the stream has there.
    """

    directory: Path
    place: BucketPlace | None = None
    taken: frozenset[int] = frozenset()

    @classmethod
    def of(cls, out: Path, stream: str, serial: int | None, scratch: Path, console: Console) -> Out:
        """What ``--out`` says.

        Args:
            out: the option.
            stream: the bundle's stream.
            serial: the serial that was asked for.
            scratch: a directory that is there when the command is run again; the bundle is made in a place of its own below it.
            console: told what is being done.

        Raises:
            UsageError: it is no place, no such bucket, or that serial is taken there; or the extra is not installed.
            RegistryError: the bucket does not answer, or denies access.
        """
        place = place_of(out)
        if place is None:
            return cls(out)
        from airgap.buckets import shipping

        directory, name = scratch / "buckets" / place.bucket / place.prefix, names.bundle_name(stream, serial or 0)
        taken = shipping.taken_serials(place, stream)
        if serial in taken and not any(fsio.is_there(directory / one) for one in (name, name + names.PARTIAL)):
            raise shipping.taken(place.below(name))
        console.say(f"the bundle is made in {printable(str(directory))} and goes to {place} from there")
        return cls(directory, place, taken)

    @contextmanager
    def shipped(self, done: Exported, console: Console) -> Iterator[str]:
        """Copy the bundle to its place, which the block is told; its copy here is removed when that ends well."""
        if self.place is None:
            yield str(done.path)
            return
        from airgap.buckets.shipping import ship

        there = ship(done.path, self.place, console)
        yield str(there)
        try:
            shutil.rmtree(done.path)
        except OSError as error:
            raise MediaError(
                "the bundle is in the bucket, and its copy on this machine cannot be removed",
                where=printable(str(done.path)),
                got=error.strerror or "",
                hint="remove it",
            ) from error
