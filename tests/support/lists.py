"""Image lists as tests ask for them."""

from __future__ import annotations

from airgap.lists import Entry, parse_list
from airgap.oci.reference import Reference


def listed(raw: bytes, name: str = "list") -> list[Reference]:
    """The images of a list that names each of them and selects none."""
    found = []
    for wish in parse_list(raw, name).wanted:
        assert isinstance(wish, Entry)
        found.append(wish.reference)
    return found
