"""``airgap serve``: a read-only OCI registry over anything browsable (distribution-spec: pull, content discovery, referrers).

``catalogue`` knows what may be asked for, ``routes`` turns a request into an answer without I/O on sockets, ``http`` does the rest.
"""

from airgap.server.catalogue import Catalogue
from airgap.server.http import RegistryServer

__all__ = ["Catalogue", "RegistryServer"]
