"""OCI image layout directories, called stores: a ``Source``, a ``Target`` and a ``Browsable`` (image-spec image-layout.md).

``index`` knows what index.json says and how it is edited (no I/O), ``reading`` reads a layout, ``writing`` adds to it,
``pruning`` removes from it.
"""

from airgap.layout.pruning import PrunableLayout
from airgap.layout.reading import LayoutReader
from airgap.layout.writing import LayoutStore

__all__ = ["LayoutReader", "LayoutStore", "PrunableLayout"]
