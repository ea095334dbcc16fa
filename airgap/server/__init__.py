"""``airgap serve``: a read-only OCI registry over anything browsable (distribution-spec: pull, content discovery, referrers).

``catalogue`` knows what may be asked for, ``routes`` turns a request into an answer, ``wire`` reads and writes HTTP heads; all of
them without sockets. ``connection`` and ``http`` have the sockets, ``monitor`` counts.
"""

from airgap.server.catalogue import Catalogue
from airgap.server.service import RegistryServer

__all__ = ["Catalogue", "RegistryServer"]
