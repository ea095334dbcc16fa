"""Values of the configuration read as the commands will read them, so that a mistake is told where it is written.

Only what can be told from a value alone: no key, list, program or registry is looked for. A file of mapping rules is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airgap.cli.grammar.explained import choices
from airgap.errors import UsageError
from airgap.format.names import check_stream, volume_size
from airgap.text import parse_least_rate, parse_rate, printable


def check(name: str, option: Any, value: Any) -> None:
    """Read every value of one key. Raises ``UsageError``."""
    reader, few = _READERS.get(name), choices(option)
    for one in value if isinstance(value, list | tuple) else [value]:
        if few and str(one) not in few:
            raise UsageError("unknown value", expected=" or ".join(few), got=printable(str(one)))
        if reader is not None:
            reader(str(one))


# What follows is loaded by the commands that have the option, and by nobody else.


def _age(text: str) -> None:
    from airgap.cli.options.inputs import max_age

    max_age(text)


def _expiry(text: str) -> None:
    from airgap.cli.options.inputs import expiry

    expiry(text)


def _target(text: str) -> None:
    from airgap.naming.mapping import parse_target

    parse_target(text)


def _store(text: str) -> None:
    from airgap.naming.mapping import parse_store

    parse_store(text)


def _platform(text: str) -> None:
    from airgap.oci.descriptor import Platform

    Platform.parse(text)


def _kind(text: str) -> None:
    from airgap.oci.image import kinds_without

    kinds_without([text])


def _rule(text: str) -> None:
    from airgap.cli.options.maps import read_map

    read_map([text])


def _host(text: str) -> None:
    from airgap.oci.hosts import canonical_host

    canonical_host(text)


def _host_with_path(text: str) -> None:
    _host(text.strip("/").partition("/")[0])


def _root_age(text: str) -> None:
    from airgap.cli.options.inputs import days_of

    days_of(text, "")


_READERS: Mapping[str, Callable[[str], object]] = {
    "expires": _expiry,
    "held-at": _store,
    "insecure-registry": _host,
    "limit-rate": parse_rate,
    "map": _rule,
    "max-age": _age,
    "min-rate": parse_least_rate,
    "no-referrers-api": _host_with_path,
    "platform": _platform,
    "rate": parse_rate,
    "root-max-age": _root_age,
    "root-warn-age": _root_age,
    "stream": check_stream,
    "to": _target,
    "volume-size": volume_size,
    "without": _kind,
}
