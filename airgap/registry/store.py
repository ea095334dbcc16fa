"""The registry store: what the command line builds and the flows use as ``Source`` and ``Target``."""

from __future__ import annotations

from types import TracebackType

from airgap.registry.options import RegistryOptions
from airgap.registry.target import RegistryTarget


class RegistryStore(RegistryTarget):
    """All registries, as one ``Source`` and ``Target``: repositories name their hosts themselves.

    One connection pool, one token cache, shared by all threads. A context manager.

    Args:
        options: how registries are spoken to; the defaults when left out.
    """

    def __init__(self, options: RegistryOptions | None = None) -> None:
        super().__init__(RegistryOptions() if options is None else options)

    def __enter__(self) -> RegistryStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
