"""Output files named by options: every command writes them in the same way, whatever already exists there."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from airgap import fsio
from airgap.documents.receiptsignatures import signature_paths
from airgap.errors import AirgapError, UsageError
from airgap.exporter.seal import write_signatures
from airgap.text import printable
from airgap.trust.keys.signers import Signer

#: The end of every help text of such an option.
HELP = "- for standard output."

_STANDARD_OUTPUT = "-"
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self|([0-9]+)))/fd/([0-9]+)")
_MOST_LINKS = 40


class Output:
    """Where a command writes a document.

    ``-`` is standard output. An existing path that is not a regular file (a device, a FIFO, ``/dev/stdout``, the ``/dev/fd/63`` of
    a shell's ``>(...)``) is written to. Any other file is replaced atomically, at the target of a symbolic link; an existing file
    keeps its mode, a new one gets it from the umask.

    Args:
        name: the name given by the user.
        option: the option, for error messages.

    Attributes:
        name: as given.
        is_stdout: whether it is standard output, so that nothing else may be printed there.

    Raises:
        UsageError: it is a directory.
        MediaError: it cannot be accessed.
    """

    def __init__(self, name: str | Path, option: str) -> None:
        self.name = str(name)
        self._path = Path(name)
        self._descriptor = 1 if self.name == _STANDARD_OUTPUT else _descriptor(self._path)
        self.is_stdout = self._descriptor == 1
        status = self._status()
        if self._descriptor is None and (self.name.endswith("/") or (status is not None and stat.S_ISDIR(status.st_mode))):
            raise UsageError("expected a file, not a directory", where=option, got=printable(self.name))

    @property
    def is_file(self) -> bool:
        """Whether it is, or will be, a regular file, which can be signed and compared."""
        status = self._status()
        return self._descriptor is None and (status is None or stat.S_ISREG(status.st_mode))

    @property
    def exists(self) -> bool:
        """Whether a regular file would be replaced."""
        return self.is_file and self._status() is not None

    def write(self, data: bytes) -> None:
        """Write the whole document.

        Raises:
            MediaError: the disk or device refuses.
        """
        if self.is_stdout:
            _write_to_stdout(data)
            return
        with fsio.disk_errors("cannot write", self._path):
            if self._descriptor is not None:
                sys.stderr.flush()
                _write_to(os.dup(self._descriptor), data)
            elif self.is_file:
                self._replace(data)
            else:
                _write_to(os.open(self._path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), data)

    def _replace(self, data: bytes) -> None:
        target, before = Path(os.path.realpath(self._path)), self._status()
        with fsio.new_file(target) as fd:
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(OSError):  # only root can leave a file to its owner
                    os.fchown(fd, before.st_uid, before.st_gid)
            with contextlib.suppress(OSError):  # some file systems know no modes
                os.fchmod(fd, 0o666 & ~_umask() if before is None else stat.S_IMODE(before.st_mode))
            fsio.write_at(fd, data, 0)

    def _status(self) -> os.stat_result | None:
        if self._descriptor is not None:
            return None
        with fsio.disk_errors("cannot access the file", self._path):
            try:
                return self._path.stat()
            except FileNotFoundError:
                return None


def write_signed(output: Output, document: bytes, signers: Sequence[Signer]) -> list[Path]:
    """Write a document and its signatures; old signatures are removed first, so that none ever lies beside other bytes.

    Returns:
        The signature files; none if the output is not a regular file.
    """
    if not output.is_file:
        output.write(document)
        return []
    path = Path(output.name)
    for old in signature_paths(path):
        with fsio.disk_errors("cannot remove an old signature", old):
            old.unlink()
    output.write(document)
    return write_signatures(path.parent, document, signers, path.name)


def taken(*outputs: Output | None) -> bool:
    """Whether one of them is standard output, so that results are printed on standard error."""
    return any(output is not None and output.is_stdout for output in outputs)


def _descriptor(path: Path) -> int | None:
    """The number of our open descriptor that a path refers to, through links; None if it refers to none."""
    for _ in range(_MOST_LINKS):
        found = _DESCRIPTOR.fullmatch(os.path.normpath(path.absolute()))
        if found and found[1] in (None, str(os.getpid())):
            return int(found[2])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _write_to_stdout(data: bytes) -> None:
    sys.stdout.flush()
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # whoever runs a command in this process may have put a text stream there
        sys.stdout.write(data.decode("utf-8", "replace"))
    else:
        stream.write(data)
    sys.stdout.flush()


def _write_to(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before


def check_replaceable(path: Path, limit: int, what: str, is_same: Callable[[bytes], bool]) -> None:
    """Refuse to replace a file that is not an earlier edition of what is to be written.

    Args:
        path: the file, which need not exist; devices and pipes hold nothing that could be lost.
        limit: the largest size of an earlier edition in bytes.
        what: what an earlier edition is, such as ``a receipt of site plant-7``.
        is_same: recognises one; it may raise ``AirgapError`` for anything else.

    Raises:
        UsageError: the file is something else, or damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return
    except OSError:  # nothing there, or what writing will complain about
        return
    raw = fsio.read_input(path, limit, "file that is there")
    try:
        same = is_same(raw)
    except AirgapError:
        same = False
    if not same:
        raise UsageError(
            "a different file already exists",
            where=printable(str(path)),
            expected=f"no file yet, or {what}, which is replaced",
            hint="choose another name, or move the file away; it was left unchanged",
        )
