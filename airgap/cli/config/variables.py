"""What the configuration is called outside of its file."""

from __future__ import annotations

#: Where click's context has what ``--config`` says, for whoever reads the file.
CHOICE = "airgap.config"


def variable_of(name: str) -> str:
    """``volume-size`` -> ``AIRGAP_VOLUME_SIZE``."""
    return "AIRGAP_" + name.upper().replace("-", "_")
