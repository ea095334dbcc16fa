"""RE2, loaded when the first regular expression is met: machines with musl have no wheel of it, and do without."""

from __future__ import annotations

import functools
from typing import Any

from airgap.errors import UsageError


@functools.cache
def engine() -> Any:
    """The module ``re2``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import re2  # type: ignore[import-untyped] # it comes without types
    except ImportError as error:
        hint = "use exact tags or ranges of versions, or run this on a machine with glibc"
        raise UsageError(
            "this airgap cannot evaluate regular expressions", expected="the package google-re2", got="not installed", hint=hint
        ) from error
    return re2


@functools.lru_cache(maxsize=1024)
def compiled(text: str) -> Any:
    """An expression, ready to match; what is wrong with one is for its user to say, not for standard error.

    Raises:
        re2.error: it is invalid.
        UsageError: RE2 is not installed.
    """
    options = engine().Options()
    options.log_errors = False
    return engine().compile(text, options)
