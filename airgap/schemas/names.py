"""What a JSON document is called: ``airgap.NAME/VERSION`` under the key ``schema``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The version of all results.
VERSION = 1


def full_name(name: str) -> str:
    """``airgap.import/1`` for ``import``."""
    return f"airgap.{name}/{VERSION}"


def headed(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the name of its schema as the first key."""
    return {"schema": full_name(name), **facts}
