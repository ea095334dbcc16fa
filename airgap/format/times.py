"""Times as bundles and their documents write them: RFC 3339 in UTC, ``2026-01-31T12:00:00Z``. Pure."""

from __future__ import annotations

import datetime as dt

from airgap.errors import Damaged, UsageError
from airgap.oci import strictjson
from airgap.text import printable


def check_time(value: object, where: str) -> str:
    """An RFC 3339 time in UTC, ``2026-01-31T12:00:00Z``. Raises ``Damaged``."""
    text = strictjson.string(value, where)
    try:
        parse_time(text)
    except UsageError as error:
        raise Damaged(error.what, where=where, expected=error.expected, got=error.got) from error
    return text


def parse_time(text: str) -> dt.datetime:
    """Read an RFC 3339 time; a time zone is required. Raises ``UsageError``."""
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None and "T" in text.upper():
            return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError("not a valid time", expected="RFC 3339, such as 2026-01-31T12:00:00Z", got=printable(text, 60))


def format_time(moment: dt.datetime) -> str:
    """Write a time as RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
