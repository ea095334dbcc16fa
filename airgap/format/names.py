"""The names of a bundle and its files: computed, never read from a medium; safe on FAT32, exFAT, NTFS and ISO 9660/Joliet."""

from __future__ import annotations

import re

from airgap.errors import UsageError
from airgap.limits import MAX_STREAM
from airgap.oci.stream import is_stream
from airgap.text import parse_size, printable

CATALOG = "catalog.json"
SUMS = "SHA256SUMS"
CHECK = "CHECK.txt"
#: They check a bundle with what a machine has: a POSIX shell, PowerShell, Windows' command prompt.
SCRIPTS = ("check.sh", "check.ps1", "check.cmd")
SUPPLEMENT = "supplement.json"
CUSTODY = "custody.jsonl"
#: What a bundle carries of a TUF repository.
TRUSTED_ROOT = "trusted-root.json"
PARTIAL = ".partial"
JOURNAL = "journal.jsonl"
#: The directory of an unfinished bundle in which what workers have answered is kept.
FILLED = "filled"

BLOCK_SIZE = 16 * 1024 * 1024
MAX_SERIAL = 2**53 - 1
_VOLUME = re.compile(r"volume-[0-9]{4,}\.tar", re.ASCII)
_PARITY = re.compile(r"parity-[0-9]{4,}\.bin", re.ASCII)
_RESEND = re.compile(r"resend-[0-9]{4,}\.bin", re.ASCII)
_SIGNATURE = re.compile(r"catalog\.json\.(?:[0-9a-z]{1,64}\.(?:sig|asc|sigstore\.json)|sigstore\.json)", re.ASCII)

#: Named volume sizes in bytes. FAT32 ends one byte below 4 GiB; discs are what is left after their file system.
PRESETS = {
    "fat32": 2**32 - 1,
    "dvd": 4_700_000_000,
    "dvd-dl": 8_500_000_000,
    "bd25": 25_000_000_000,
    "bd50": 50_000_000_000,
}
#: Room left for catalog, signatures and the file system of a disc.
_DISC_RESERVE = 64 * 1024 * 1024
MIN_VOLUME = 10 * 1024


def check_stream(name: str) -> str:
    """The stream name, if it is one.

    Raises:
        UsageError: characters that a file system or a policy scope could stumble over.
    """
    if not is_stream(name):
        raise UsageError(
            "not a valid stream name",
            got=printable(name),
            expected=f"lower-case letters and digits, joined by single . _ or -, at most {MAX_STREAM}, like prod-site",
        )
    return name


def bundle_name(stream: str, serial: int) -> str:
    """The directory of a bundle: ``prod-site-0007``."""
    return f"{stream}-{serial:04d}"


def volume_name(number: int) -> str:
    """The file of volume ``number``, counted from 1."""
    return f"volume-{number:04d}.tar"


def supplement_name(bundle: str, request: str) -> str:
    """The directory of the answer to a resend request: ``prod-site-0007-resend-1a2b3c4d``."""
    return f"{bundle}-resend-{request}"


def resend_name(number: int) -> str:
    """File ``number`` of a supplement, counted from 1."""
    return f"resend-{number:04d}.bin"


def is_resend(name: str) -> bool:
    """Whether a file name claims to be a file of a supplement."""
    return _RESEND.fullmatch(name) is not None


def is_volume(name: str) -> bool:
    """Whether a file name claims to be a volume."""
    return _VOLUME.fullmatch(name) is not None


def parity_name(number: int) -> str:
    """The file of parity ``number``, counted from 1."""
    return f"parity-{number:04d}.bin"


def is_parity(name: str) -> bool:
    """Whether a file name claims to be a parity file."""
    return _PARITY.fullmatch(name) is not None


def is_signature(name: str) -> bool:
    """Whether a file name claims to be a signature over the catalog."""
    return _SIGNATURE.fullmatch(name) is not None


def blob_path(digest: str) -> str:
    """The member name of a blob inside the layout."""
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded}"


def volume_size(text: str) -> int:
    """A ``--volume-size`` in bytes: a preset name or a size; a hard upper bound for every volume.

    Raises:
        UsageError: not a size, or too small to hold anything.
    """
    preset = PRESETS.get(text.strip().lower())
    if preset is not None:
        return preset if text.strip().lower() == "fat32" else preset - _DISC_RESERVE
    try:
        size = parse_size(text)
    except UsageError as error:
        error.expected = f"a size such as 4GiB or 25GB, or one of {', '.join(PRESETS)}"
        raise
    if size < MIN_VOLUME:
        raise UsageError("the volume size is too small", expected=f"at least {MIN_VOLUME} bytes", got=printable(text))
    return size
