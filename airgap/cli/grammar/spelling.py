"""Former spellings of options: they still work, and no help shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: By command, "" for all: the spelling of before, and the one of now, without dashes.
FORMER: Mapping[str, Mapping[str, str]] = {
    "": {"accept-unnamed-bundles": "accept-unnamed-sigstore-bundles"},
    "media check": {"by": "who"},
    "media copy": {"plan": "dry-run"},
    "policy add": {"key": "public-key"},
    "policy init": {"key": "public-key"},
    "policy remove": {"key": "public-key"},
    "receipt": {"output": "out"},
    "report": {"output": "out"},
    "rollback": {"to": "serial"},
}


def present(command: str) -> Callable[[str], str]:
    """What turns a spelling of before into the present one, for one command such as ``media check``."""
    names = {**FORMER[""], **FORMER.get(command, {})}
    return lambda name: names.get(name, name)
