"""Commands that read bundles also take them from buckets: a local copy is what they see."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def from_buckets(parameter: str, *, whole: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator below ``grouped``: each ``s3://BUCKET/PREFIX`` among the paths of a parameter becomes a local directory.

    Args:
        parameter: the command's parameter with its paths.
        whole: as of ``staged``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            if not any(path.parts[:1] == ("s3:",) for path in given[parameter]):
                command(**given)
                return
            from airgap.buckets.staging import staged  # here, for most bundles lie on media

            scratch = getattr(given.get("loading"), "scratch", None) or Path(tempfile.gettempdir())
            with staged(given[parameter], scratch, given["said"].console(), whole=whole) as paths:
                command(**{**given, parameter: paths})

        return run

    return decorate
