"""Images found where deployments name them: Kubernetes YAML, what charts render, Compose, Quadlet units, Containerfiles.

``discover`` looks through files and directories, ``as_text`` and ``as_yaml`` write what it found as an image list. Finders are
pure and take text; only ``tree`` and ``search`` read files.
"""

from airgap.discover.listing import Discovery, Image, as_text, as_yaml
from airgap.discover.search import discover
from airgap.discover.tree import Limits

__all__ = ["Discovery", "Image", "Limits", "as_text", "as_yaml", "discover"]
