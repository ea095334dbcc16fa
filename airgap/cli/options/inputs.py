"""Read the inputs named on the command line: lists, locks, policies, keys, times, the state directory."""

from __future__ import annotations

import codecs
import datetime as dt
import getpass
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.admission import site
from airgap.cli.options.groups import PassphraseOption as PassphraseOption
from airgap.errors import UsageError
from airgap.format.times import format_time, parse_time
from airgap.lists import Wishes, merge_wishes, parse_list, together
from airgap.lists.placed import ChartImages, Places, images_unknown
from airgap.naming.meant import meant_image
from airgap.oci.descriptor import Platform
from airgap.oci.places import is_place
from airgap.planning.lock import Lock, is_lock
from airgap.state import State
from airgap.text import printable
from airgap.trust.keys.signers import Signer, load_signer

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="State directory (serials, history).", show_default="~/.local/state/airgap"),
]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="The site's containers-policy.json(5), with an `airgap` transport.")
]
InitStateOption = Annotated[
    bool, typer.Option("--init-state", help="Start a new, empty state because the old one was lost. Recorded in the history.")
]
MaxAgeOption = Annotated[
    str | None, typer.Option("--max-age", metavar="DAYSd", help="Refuse bundles created longer ago than this, such as 90d.")
]
RevokedOption = Annotated[
    Path | None,
    typer.Option(
        "--revoked", metavar="FILE", help="Revoked key ids or fingerprints, one per line; revoked.txt in the state is also read."
    ),
]
ClockOption = Annotated[
    bool, typer.Option("--allow-clock-behind", help="Continue although this machine's clock is behind the latest time seen.")
]
KeyOption = Annotated[list[str], typer.Option("--key", help="Private key file or gpg:FINGERPRINT; may be repeated.")]
OptionalKeys = Annotated[list[str] | None, KeyOption.__metadata__[0]]

_MAX_LIST = 256 * 1024 * 1024
_SECRET_VARIABLE = "AIRGAP_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
_MOST_SHOWN = 100
_DAYS = re.compile(r"(\d{1,5})d")


def read_lists(
    names: Sequence[str],
    platforms: Sequence[str],
    places: Places,
    expand: Callable[[str], str] = str,
    without: frozenset[str] = frozenset(),
    *,
    values: Mapping[str, str] | None = None,
    allows_left_out: bool = False,
    chart_images: ChartImages = images_unknown,
) -> Wishes | Lock:
    """Read one lock, or one or several lists of any kind; ``-`` is standard input.

    A place such as ``oci-archive:FILE`` counts as a list with one line. ``places`` tells which images a place means, ``expand``
    what a short name is an alias of; ``without`` names kinds of attachments to leave out, whatever a list says. ``values`` and
    ``allows_left_out`` are for the lists of other tools, ``chart_images`` for charts, as in ``parse_list``.

    Raises:
        UsageError: a mistake in a list, lists that contradict each other, a lock among several inputs, or everything was left out.
    """
    wanted = tuple(Platform.parse(text) for text in platforms)
    found: list[Wishes] = []
    mistakes: list[UsageError] = []
    for name in names:
        data, shown = _read(name)
        if is_lock(data):
            if len(names) > 1 or wanted or without:
                expected = "one LOCK without --platform and --without, or lists"
                raise UsageError("a lock cannot be combined with anything else", where=shown, expected=expected)
            return Lock.from_bytes(data, shown)
        try:
            wishes = parse_list(
                data, shown, places, expand, values=values, allows_left_out=allows_left_out, chart_images=chart_images
            )
            found.append(wishes.for_platforms(wanted).without(without))
        except UsageError as error:
            mistakes.append(error)
    if mistakes:
        raise together(mistakes)
    merged = merge_wishes(found)
    if not merged.wanted:
        got = "\n".join(merged.left_out[:_MOST_SHOWN])
        raise UsageError("nothing that the lists ask for is carried by airgap", where=", ".join(map(printable, names)), got=got)
    return merged


def _read(name: str) -> tuple[bytes, str]:
    if is_place(name):
        return name.encode("utf-8", "surrogateescape"), "LIST"
    if name == "-":
        data = sys.stdin.buffer.read(_MAX_LIST + 1)
        if len(data) > _MAX_LIST:
            raise UsageError("the list is too large", where="standard input", expected=f"{_MAX_LIST} bytes at most")
        return data.removeprefix(codecs.BOM_UTF8), "standard input"
    try:
        return fsio.read_input(Path(name), _MAX_LIST, "image list").removeprefix(codecs.BOM_UTF8), printable(name)
    except UsageError as error:
        image = meant_image(name)
        if image is not None:
            error.hint = f"did you mean the image? put it into a list: echo {image} > images.txt, and name images.txt here"
        raise


def max_age(text: str | None) -> dt.timedelta | None:
    """``--max-age``. Raises ``UsageError``."""
    return None if text is None else days_of(text, "--max-age")


def days_of(text: str, where: str) -> dt.timedelta:
    """An age in days. Raises ``UsageError``."""
    days = _DAYS.fullmatch(text)
    if days is None:
        raise UsageError("not an age", where=where, expected="days, such as 90d", got=printable(text))
    return dt.timedelta(days=int(days[1]))


def passphrase(file: Path | None, prompt: str) -> bytes | None:
    """The passphrase from a file, the environment, or a prompt on a terminal; None if it is empty or there is no terminal.

    Raises:
        UsageError: the file cannot be read.
    """
    if file is not None:
        return fsio.read_input(file, 4096, "passphrase file").rstrip(b"\r\n") or None
    if _SECRET_VARIABLE in os.environ:
        return os.environb[_SECRET_VARIABLE.encode()] or None
    if not sys.stdin.isatty():
        return None
    return os.fsencode(getpass.getpass(f"{prompt}: ")) or None


def new_passphrase(file: Path | None, prompt: str) -> bytes | None:
    """The passphrase for a new key. None, for a key that is not encrypted, only if somebody at a terminal leaves it empty.

    Raises:
        UsageError: the file cannot be read, the two entries differ, or there is no passphrase and nobody to ask.
    """
    found = passphrase(file, prompt)
    if file is None and _SECRET_VARIABLE not in os.environ and sys.stdin.isatty():
        if found and os.fsencode(getpass.getpass("Repeat passphrase: ")) != found:
            raise UsageError("the two passphrases differ")
        return found
    if found is None:
        empty = str(file) if file is not None else _SECRET_VARIABLE if _SECRET_VARIABLE in os.environ else ""
        raise UsageError(
            "there is no passphrase for the new key",
            where=printable(empty) or "standard input",
            expected="a passphrase, so that the private key is encrypted",
            got="nothing" if empty else "no terminal to ask on",
            hint=f"give --passphrase-file FILE or set {_SECRET_VARIABLE}; --no-passphrase leaves the key unencrypted",
        )
    return found


def signers(keys: Sequence[str], passphrase_file: Path | None) -> list[Signer]:
    """What ``--key`` names, each key once. Raises ``UsageError``."""

    def ask() -> bytes | None:
        return passphrase(passphrase_file, "passphrase of the key")

    return list({signer.key_id: signer for signer in (load_signer(key, ask) for key in keys)}.values())


def created_time(text: str | None) -> str | None:
    """``--created``, else SOURCE_DATE_EPOCH, else None. Raises ``UsageError``."""
    if text is not None:
        return format_time(parse_time(text))
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return None
    if not epoch.isascii() or not epoch.isdigit() or len(epoch) > 11:
        raise UsageError("SOURCE_DATE_EPOCH is not a number of seconds", got=printable(epoch))
    return format_time(dt.datetime.fromtimestamp(int(epoch), dt.UTC))


def expiry(text: str | None) -> str | dt.timedelta | None:
    """``--expires``: a time, or a number of days such as ``90d``. Raises ``UsageError``."""
    if text is None:
        return None
    days = _DAYS.fullmatch(text)
    if days:
        return dt.timedelta(days=int(days[1]))
    try:
        return format_time(parse_time(text))
    except UsageError as error:
        error.expected = "RFC 3339, such as 2026-01-31T12:00:00Z, or days, such as 90d"
        raise


def check_period(created: str | None, expires: str | dt.timedelta | None) -> None:
    """Refuse an expiry that is not after the creation, or beyond the calendar. Raises ``UsageError``."""
    start = parse_time(created) if created else dt.datetime.now(dt.UTC)
    try:
        end = start + expires if isinstance(expires, dt.timedelta) else parse_time(expires) if expires else None
    except OverflowError:
        raise UsageError("the expiry is out of range", expected="a year up to 9999") from None
    if end is not None and end <= start:
        raise UsageError(
            "the bundle would expire before it is created", expected=f"a time after {format_time(start)}", got=format_time(end)
        )


def state_directory(path: Path | None) -> Path:
    """The state directory: the option or AIRGAP_STATE, else XDG's. Write permission for others is removed.

    Raises:
        Refused: it belongs to another user or is shared.
    """
    base = os.environ.get("XDG_STATE_HOME")
    place = path if path is not None else (Path(base) if base else site.home() / ".local/state") / "airgap"
    remark = State.protect(place)
    if remark:
        sys.stderr.write(f"airgap: {remark}\n")
    return place
