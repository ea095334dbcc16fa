"""Access control: basic authentication against an htpasswd file with bcrypt entries (``htpasswd -B``).

bcrypt is slow on purpose, so its results are cached for a while under a keyed hash: neither a password stays in memory nor anything
that it could be guessed from without the key. bcrypt is imported only here.
"""

from __future__ import annotations

import base64
import binascii
import collections
import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus

import bcrypt

from airgap.errors import UsageError
from airgap.server.wire import Response, problem
from airgap.text import printable

#: Seconds for which a right and a wrong password are remembered.
GOOD, BAD = 300.0, 10.0
#: bcrypt looks at no more of a password, in bytes.
MAX_PASSWORD = 72
_MAX_COST = 15
_REMEMBERED = 4096
_MAX_HEADER = 1024
_ENTRY = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)
_HINT = "write entries with bcrypt: htpasswd -B FILE USER"


@dataclass(frozen=True)
class Users:
    """The entries of an htpasswd file: user -> bcrypt hash."""

    hashes: dict[str, bytes]

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Users:
        """Parse a file strictly: every line must be an entry or a comment.

        Raises:
            UsageError: with the number of the line, never with its content.
        """
        try:
            lines = raw.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError("the htpasswd file is not UTF-8", where=printable(where)) from error
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            user, _, entry = line.rstrip().partition(":")
            match = _ENTRY.fullmatch(entry)
            if not user or match is None or not 4 <= int(match[1]) <= _MAX_COST or user in hashes:
                what = "a duplicate user" if user in hashes else f"not a bcrypt entry (cost 4 to {_MAX_COST})"
                raise UsageError(f"a line of the htpasswd file is {what}", where=f"{printable(where)}, line {number}", hint=_HINT)
            hashes[user] = entry.encode("ascii")
        if not hashes:
            raise UsageError("the htpasswd file has no users", where=printable(where), hint=_HINT)
        return cls(hashes)


class Gate:
    """Checks passwords. May be used from every thread.

    Args:
        users: the known users.
        checks: passwords checked at a time; as many more wait, further requests are told to retry.
    """

    def __init__(self, users: Users, checks: int = 2) -> None:
        self._users = users.hashes
        # as slow as the slowest entry, so that the time does not tell which users there are
        cost = max(int(entry[4:6]) for entry in users.hashes.values())
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(cost))
        self._key = secrets.token_bytes(32)
        self._known: collections.OrderedDict[bytes, tuple[str, float]] = collections.OrderedDict()
        self._guard = threading.Lock()
        self._checking = threading.BoundedSemaphore(checks)
        self._waiting = threading.BoundedSemaphore(checks * 8)

    def admit(self, authorization: str | None) -> str | Response:
        """The user that an ``Authorization`` header authenticates, or the answer that refuses the request."""
        if authorization is None or len(authorization) > _MAX_HEADER:
            return _challenge("authentication required")
        name = hmac.digest(self._key, authorization.encode("latin-1", "replace"), hashlib.sha256)
        user = self._remembered(name)
        if user is None:
            if not self._waiting.acquire(blocking=False):
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", "too many password checks", {"Retry-After": "5"})
            try:
                with self._checking:
                    user = self._remembered(name)  # another thread may have checked the same one meanwhile
                    if user is None:
                        user = self._check(authorization)
                        self._remember(name, user)
            finally:
                self._waiting.release()
        return user or _challenge("wrong user or password")

    def _check(self, authorization: str) -> str:
        """The user, or an empty text."""
        user, password = _basic(authorization)
        entry = self._users.get(user)
        usable = password if 0 < len(password) <= MAX_PASSWORD and b"\0" not in password else b"unusable"
        good = bcrypt.checkpw(usable, entry or self._nobody)
        return user if good and entry is not None and usable is password else ""

    def _remembered(self, name: bytes) -> str | None:
        with self._guard:
            user, until = self._known.get(name, ("", 0.0))
            return user if until > time.monotonic() else None

    def _remember(self, name: bytes, user: str) -> None:
        with self._guard:
            self._known[name] = user, time.monotonic() + (GOOD if user else BAD)
            self._known.move_to_end(name)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _basic(authorization: str) -> tuple[str, bytes]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded.strip() if scheme.lower() == "basic" else "", validate=True).partition(
            b":"
        )
        return (user.decode("utf-8"), password) if colon else ("", b"")
    except (binascii.Error, ValueError):
        return "", b""


def _challenge(message: str) -> Response:
    challenge = {"WWW-Authenticate": 'Basic realm="airgap", charset="UTF-8"'}
    return problem(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", message, challenge)
