"""``airgap serve``: a read-only OCI registry over anything browsable (distribution-spec: pull, content discovery, referrers).

``catalogue`` knows what can be requested, ``routes`` turns a request into an answer, ``wire`` reads and writes HTTP heads; none of
them uses sockets. ``connection`` and ``http`` have the sockets, ``monitor`` counts.
"""

from airgap.server.catalogue import Catalogue
from airgap.server.service import RegistryServer

__all__ = ["Catalogue", "RegistryServer"]
