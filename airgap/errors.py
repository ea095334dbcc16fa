"""Every error that airgap raises on purpose, and the exit code each one ends with.

    AirgapError
    ├── UsageError            2  wrong arguments, or an input file with a mistake in it
    │   └── SeveralBundles    2  one bundle must be chosen: the error names all that are there
    ├── Refused               3  policy, signature, serial or expiry forbids it
    ├── Damaged               4  a bundle or store is damaged, incomplete or inconsistent
    │   └── BaseMissing       4  the destination lacks what an incremental bundle builds on
    ├── RegistryError         5  a registry or the network failed
    │   ├── NotFound          5  the registry answered that there is no such thing
    │   │   └── Lacking       4  a bundle, a store or an archive has no such thing (also Damaged)
    │   └── NotTaken          5  the target rejected this item; a retry would not help
    └── MediaError            6  no space, read-only, I/O error on a local disk
        └── Busy              6  another command is using it, and waiting for it was not enough

    Interrupted             130  stopped by the user; the same command continues where it stopped
    Stopped                   -  a worker was told to stop because another part failed

An error carries facts, not only a sentence: what happened, where, what was expected, what was found and what to do next.
Anything that is not an ``AirgapError`` and reaches the command line is a bug (exit code 1).

``Interrupted`` and ``Stopped`` are not part of the tree and not an ``Exception``: much code catches errors to
draw a conclusion from them ("no valid signature", "a damaged disk", "try again"), and a signal permits none.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

#: Bundles that one error lists.
_MOST_SHOWN = 20


class _Facts(BaseException):
    """What the user is told when a command does not succeed.

    Args:
        what: one sentence without a final full stop: what went wrong.
        where: the file, reference, URL or volume it happened in.
        expected: what should have been there.
        got: what was there instead.
        hint: what the user can do next, in the imperative.
    """

    def __init__(self, what: str, *, where: str = "", expected: str = "", got: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.hint = hint

    def facts(self) -> dict[str, str]:
        """The non-empty facts in reading order, for a terminal or for ``--json``."""
        named = (("error", self.what), ("where", self.where), ("expected", self.expected), ("got", self.got), ("next", self.hint))
        return {name: value for name, value in named if value}

    def __str__(self) -> str:
        text = "; ".join(value if name == "error" else f"{name}: {value}" for name, value in self.facts().items())
        return one_line(text)


def one_line(text: str) -> str:
    """Several lines as one. A command on a line of its own gets a semicolon: what follows is not part of it."""
    lines = [line.strip() for line in text.split("\n")]
    ended = [f"{line};" if line.startswith("airgap ") else line for line in lines[:-1]]
    return " ".join(line for line in [*ended, lines[-1]] if line)


class AirgapError(_Facts, Exception):
    """Base of all deliberate errors; arguments as in ``_Facts``: what, where, expected, got, hint."""


class UsageError(AirgapError):
    """Wrong arguments or a mistake in an input file."""


class SeveralBundles(UsageError):
    """Media hold several bundles, and the command takes one: the operator has to say which.

    Args:
        choices: the name of every bundle and its directories, in order. The command line makes whole commands of them.
    """

    def __init__(self, choices: Sequence[tuple[str, Sequence[Path]]], what: str = "", *, hint: str = "") -> None:
        shown = [f"{name} in {', '.join(str(path) for path in paths)}" for name, paths in choices]
        more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
        super().__init__(
            what or "there are several bundles here, and this command takes one",
            expected="the directory of one bundle",
            got="; ".join(shown[:_MOST_SHOWN]) + more,
            hint=hint or "name one of them",
        )
        self.choices = tuple((name, tuple(paths)) for name, paths in choices)


class Refused(AirgapError):
    """The bundle or image was rejected: policy, signature, serial or expiry."""


class Damaged(AirgapError):
    """Bytes that should be there are missing, changed, or contradict each other."""


class BaseMissing(Damaged):
    """The bundle is complete, but what it builds on is not at the destination: import the earlier bundles first."""


class RegistryError(AirgapError):
    """A registry or the network failed, or a registry sent a response that must not be trusted."""


class NotFound(RegistryError):
    """The store answered clearly that the thing does not exist."""


class Lacking(NotFound, Damaged):
    """As ``NotFound``, for what is read on this machine: no registry is involved."""


class NotTaken(RegistryError):
    """A target does not accept this one item, or cannot make it findable; it may accept the others."""


class MediaError(AirgapError):
    """A local disk cannot be written or read: no space, read-only, I/O error."""


class Busy(MediaError):
    """Another command is writing where this one wants to write; nothing was changed."""


class Interrupted(_Facts):
    """The user stopped the work, by a signal to this program or to one that works for it."""

    def __init__(self, what: str = "interrupted", *, hint: str = "run the same command again to continue") -> None:
        super().__init__(what, hint=hint)


class Stopped(BaseException):
    """A worker ends because another part failed or the user stopped the work; the caller that stopped it knows why."""


BUG = 1

_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, 2),
    (Refused, 3),
    (Damaged, 4),
    (RegistryError, 5),
    (MediaError, 6),
    (Interrupted, 130),
    (KeyboardInterrupt, 130),
)


def exit_code(error: BaseException) -> int:
    """The process exit code for an error: the one place where errors become numbers."""
    for kind, code in _EXIT_CODES:
        if isinstance(error, kind):
            return code
    return BUG


_DISK_HINTS = {
    errno.ENOSPC: "free some space or choose another place, then run the same command again to continue",
    errno.EDQUOT: "raise the quota or choose another location, then run the same command again",
    errno.EROFS: "the file system is read-only: choose a writable location",
    errno.EACCES: "check the owner and the permissions",
    errno.EPERM: "check the owner and the permissions",
    errno.EFBIG: "the file system cannot hold files this large: use a smaller --volume-size, for instance fat32",
    errno.EIO: "the disk reported an I/O error: run the same command again; if it fails again, try another disk or cable",
}


def disk_error(error: OSError, what: str, where: str) -> MediaError:
    """Turn an ``OSError`` from local storage into a ``MediaError`` that says what to do about it."""
    reason = error.strerror or type(error).__name__
    hint = _DISK_HINTS.get(error.errno or 0, "check the path and the disk")
    return MediaError(f"{what}: {reason}", where=where, hint=hint)


def system_error(error: OSError) -> MediaError:
    """An ``OSError`` that nobody on the way has said anything about."""
    return disk_error(error, "system error", str(error.filename or ""))
