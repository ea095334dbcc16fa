"""Import a bundle: the attempt as a whole, with what is repaired on the way and what the history says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from airgap.admission.terms import Terms
from airgap.bundle import presence
from airgap.bundle.damage import VolumesDamaged, VolumesUnreadable
from airgap.bundle.diagnosis import diagnosing
from airgap.importer.attempt import Attempt, Mend, Mended
from airgap.importer.run import Destination, Imported, load_bundle
from airgap.importer.signing import SiteSigning
from airgap.progress import Progress
from airgap.state import State, Turn


def import_bundle(
    paths: Sequence[Path],
    destination: Destination,
    terms: Terms,
    state: State,
    progress: Progress,
    turn: Turn,
    signing: SiteSigning | None = None,
    mend: Mend | None = None,
    *,
    again: bool = False,
) -> Imported:
    """Verify a bundle and load it, as :func:`load_bundle`; what became of it is in the history, whatever it is.

    Args:
        paths, destination, terms, state, progress, turn, signing: as of :func:`load_bundle`.
        mend: rebuilds missing and damaged volumes. What it makes is verified like all that comes on media.
        again: whether a service tries by itself again what has failed before.

    Raises:
        Refused, Damaged, RegistryError, MediaError: no name was set at the target.
    """

    def load(places: Sequence[Path], asked: Terms, mended: Mended | None = None) -> Imported:
        with diagnosing(progress, terms.threads):
            return load_bundle(places, destination, asked, state, progress, turn, signing, attempt, mended)

    with Attempt(state, str(destination.spec), again=again) as attempt:
        if mend is None:
            return load(paths, terms)
        try:
            return load(paths, replace(terms, partial=False))
        except (VolumesDamaged, VolumesUnreadable) as error:
            if not error.damage.healable:
                if terms.partial:
                    return load(paths, terms)
                raise
            damage = error.damage
        with mend(damage, paths) as mended, presence.attending():
            return load([mended.directory, *paths], terms, mended)
