"""A command that ran into damage tells all of it: it reads the volumes once more, wholly, before it gives up.

What fails first is a blob, a manifest or a piece, and says little to the person who holds the media. So the bundles that a command
has opened are remembered, and a command that failed asks which of their blocks are bad.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle import presence
from airgap.bundle.check import THREADS, check_volumes
from airgap.bundle.damage import VolumesDamaged, VolumesUnreadable
from airgap.bundle.volumes import Volumes
from airgap.errors import AirgapError, BaseMissing, Damaged, MediaError
from airgap.format.outline import Outline
from airgap.progress import Progress


@dataclass(frozen=True)
class _Opened:
    """A bundle that is being read: its catalog, its volumes and its parity files."""

    catalog: Outline
    volumes: Volumes
    parity: Mapping[int, Path]


_opened: ContextVar[list[_Opened] | None] = ContextVar("opened", default=None)


@contextlib.contextmanager
def diagnosing(progress: Progress, threads: int = THREADS) -> Iterator[None]:
    """Say, when the block fails, what is wrong with the volumes of the bundles that were opened in it.

    Args:
        progress: told about what is read.
        threads: how many blocks are hashed at a time.

    Raises:
        VolumesDamaged, VolumesUnreadable: instead of what the block raised, if that is why.
    """
    token = _opened.set([])
    try:
        yield
    except (Damaged, MediaError) as error:
        for one in _opened.get() or () if _may_be_damage(error) else ():
            try:
                progress.say(f"looking for all damage of {one.catalog.name}")
                check_volumes(one.catalog, one.volumes, progress, threads, one.parity)
            except (VolumesDamaged, VolumesUnreadable) as found:
                raise found from error
            except AirgapError:  # it went away meanwhile, or contradicts itself: what came first says more
                continue
        raise
    finally:
        _opened.reset(token)


def attend(catalog: Outline, volumes: Volumes, parity: Mapping[int, Path]) -> None:
    """Remember a bundle that is being read. Does nothing where nobody diagnoses."""
    known = _opened.get()
    if known is not None:
        known.append(_Opened(catalog, volumes, parity))


def _may_be_damage(error: AirgapError) -> bool:
    """Whether bad volumes may be the reason: not if that has been said, or a medium is gone."""
    if isinstance(error, (VolumesDamaged, VolumesUnreadable, BaseMissing)) or presence.taken_away() is not None:
        return False
    cause = error.__cause__
    return isinstance(error, Damaged) or (isinstance(cause, OSError) and cause.errno == errno.EIO)
