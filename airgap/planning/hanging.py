"""Whose referrers a registry is asked for, where it has said of all of an image that it serves no such lists.

Most of what hangs off an image is a signature, and off that hangs nothing: the question costs a request and the last round trip
of an image. It is held back only where the answer is known already (``docs/adr/0020-referrers-by-manifest.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Referrers
from airgap.planning.ahead import Ahead
from airgap.planning.findings import Strays

#: Of so many manifests of an image itself the registry must have said it, and of every one of them.
_ENOUGH = 3


class Hanging:
    """The referrers of what one walk finds. For one thread.

    The manifests of the image itself are always asked about, those that hang off them unless every one of the first was answered
    with ``Referrers.unserved``. So what is asked depends on the image alone and not on the order of threads or images.

    Args:
        source: is asked.
        findings: takes notes.
        thorough: hold nothing back.
    """

    def __init__(self, source: Ahead, findings: Strays, *, thorough: bool) -> None:
        self._source = source
        self._findings = findings
        self._thorough = thorough
        self._own: Sequence[Digest] = ()
        self._served: dict[Repository, bool] = {}
        self._unserved: dict[tuple[Repository, Digest], bool] = {}
        self._waiting: dict[tuple[Repository, Digest], Referrers] = {}

    def expect(self, place: Repository, subjects: Sequence[Digest], depth: int) -> None:
        """The walk will ask about these, in about this order; at depth 0 they are the image itself."""
        if not depth:
            self._own = subjects
        if subjects:
            self._source.expect_referrers(place, subjects, served=self._asks(place, depth))

    def of(self, place: Repository, subject: Digest, depth: int) -> Referrers:
        """The referrers of a manifest. Raises as ``Source.referrers``."""
        if self._asks(place, depth):
            found = self._waiting.pop((place, subject), None) or self._ask(place, subject)
        else:
            self._findings.held.add(place)
            found = self._source.tagged_referrers(place, subject)
        self._findings.answered(place, subject, found)
        return found

    def _asks(self, place: Repository, depth: int) -> bool:
        if not depth or self._thorough or len(self._own) < _ENOUGH:
            return True
        if place not in self._served:
            self._served[place] = not all(self._is_unserved(place, subject) for subject in self._own)
        return self._served[place]

    def _is_unserved(self, place: Repository, subject: Digest) -> bool:
        """Looked up in advance where the walk has not come to it: an answer that ends the looking, or one without a list."""
        if (place, subject) not in self._unserved:
            self._waiting[place, subject] = self._ask(place, subject)
        return self._unserved[place, subject]

    def _ask(self, place: Repository, subject: Digest) -> Referrers:
        found = self._source.referrers(place, subject)
        self._unserved[place, subject] = found.unserved
        return found


def held_wrongly(findings: Iterable[tuple[int, Strays]]) -> list[int]:
    """The numbers of those walks that held questions back in a repository of which any walk was given a list."""
    known = list(findings)
    listed = {place for _, found in known for place in found.listed}
    return [number for number, found in known if found.held & listed]
