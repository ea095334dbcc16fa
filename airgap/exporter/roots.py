"""Take what a TUF repository says today into a bundle: everything from its first root on to the trusted root, verified before."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.documents.tufrepository import CarriedRepository
from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_FOLDER, MAX_TUF_FILE, MAX_TUF_REPOSITORY
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.sigstore.trustedroot import TrustedRoot
from airgap.trust.sigstore.tuftrust import TARGET, TIMESTAMP, Fetch, Trust, root_name


@dataclass(frozen=True)
class CarriedRoot:
    """What is carried.

    Attributes:
        raw: the exact bytes of the file in the bundle.
        version: of the newest root in it.
        source: where it is from.
    """

    raw: bytes
    version: int
    source: str

    @property
    def digest(self) -> Digest:
        """As the catalog has it."""
        return Digest.of(self.raw)


def collect(fetch: Fetch, first: int, source: str, now: dt.datetime) -> CarriedRoot:
    """Everything that a site needs which trusts any root from the first one on.

    It is verified here from that first root, so that what would be refused at the site is known before media travel. That proves
    nothing about the first root itself: only the site, which has pinned one, can tell.

    Args:
        fetch: gives the repository's files.
        first: the version of its oldest root.
        source: where it is, for people.
        now: the time by which it must be current, UTC.

    Raises:
        Refused: something in it does not fit together, or has expired.
        Damaged: a file is missing.
        UsageError: its target is no trusted root, or it is too large to carry.
    """
    from airgap.trust.sigstore.tufchain import follow  # here, for its library takes time to load, and few need it

    taken: dict[str, bytes] = {}

    def take(name: str) -> bytes | None:
        raw = fetch(name)
        if raw is not None:
            taken[name] = raw
        return raw

    root = take(root_name(first))
    if root is None:
        raise Damaged("the repository has no root", where=printable(source), expected=root_name(first))
    found = follow(Trust(root), take, now)
    TrustedRoot.parse(found.target, f"{printable(source)}: {TARGET}")
    raw = CarriedRepository(source, taken).to_bytes()
    if len(raw) > MAX_TUF_REPOSITORY:
        raise UsageError("the repository is too large", where=printable(source), expected=f"at most {MAX_TUF_REPOSITORY} bytes")
    return CarriedRoot(raw, found.version, source)


def in_directory(path: Path) -> tuple[Fetch, int]:
    """The files of a copy of a repository, and the version of its oldest root.

    Raises:
        UsageError: it is none.
        MediaError: the disk refuses.
    """
    base = next((place for place in (path, path / "metadata") if fsio.is_there(place / TIMESTAMP)), None)
    if base is None:
        hint = "copy the whole repository, with every root"
        raise UsageError("not a TUF repository", where=printable(str(path)), expected=f"a directory with {TIMESTAMP}", hint=hint)
    with fsio.disk_errors("cannot read the directory", base):
        entries = [entry.name for entry, _ in zip(base.iterdir(), range(MAX_FOLDER), strict=False)]
    versions = [int(name.partition(".")[0]) for name in entries if _is_root(name)]
    if not versions:
        raise UsageError("a TUF repository without a root", where=printable(str(base)), expected=root_name(1))

    def fetch(name: str) -> bytes | None:
        for place in dict.fromkeys((base, path)):
            if (found := fsio.read_if_there(place / name, MAX_TUF_FILE)) is not None:
                return found
        return None

    return fetch, min(versions)


def _is_root(name: str) -> bool:
    number, _, rest = name.partition(".")
    return rest == "root.json" and len(number) < 5 and number.isascii() and number.isdigit() and int(number) > 0
