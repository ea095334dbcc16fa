"""Images found where deployments name them: Kubernetes YAML, what charts render, Compose, Quadlet units, Containerfiles.

``discover`` looks through files and directories, ``as_text`` and ``as_yaml`` write what it found as an image list. Finders are
pure and take text; only ``tree`` and ``search`` read files.
"""

from airgap.discover.listing import Discovery, FoundImage, as_text, as_yaml
from airgap.discover.search import discover
from airgap.discover.tree import SearchLimits

__all__ = ["Discovery", "FoundImage", "SearchLimits", "as_text", "as_yaml", "discover"]
