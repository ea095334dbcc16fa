"""Find the API of a registry and how to reach it: TLS, TLS without verification, plain HTTP, or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace

from airgap.registry.http.failures import NETWORK
from airgap.registry.http.wire import Wire
from airgap.registry.settings.options import Endpoint, RegistryOptions
from airgap.text import printable

#: Seconds a registry that was called insecure has for its answer to a TLS greeting; servers without TLS may just keep waiting.
_PATIENCE = 5.0


class Endpoints:
    """Finds registries. Thread-safe; a registry that was called insecure is tried once, as docker and podman do: first with TLS."""

    def __init__(self, options: RegistryOptions, wire: Wire) -> None:
        self._options = options
        self._wire = wire
        self._lock = threading.Lock()
        self._tried: dict[str, Endpoint] = {}

    def find(self, host: str, path: str = "") -> Endpoint:
        """The API of the registry that references call ``host``, for one repository of it.

        Raises:
            Refused: registries.conf blocks it.
        """
        self._options.rules.check_open(host, path)
        if self._options.is_insecure(host, path):
            with self._lock:
                if host not in self._tried:
                    self._tried[host] = self._try(host)
                return self._tried[host]
        endpoint = self._options.endpoint(host)
        if endpoint.plain and self._wire.certificates.named(host) is not None:
            return endpoint.with_tls()  # a registry on this machine for which somebody took the trouble of certificates
        return endpoint

    def _try(self, host: str) -> Endpoint:
        endpoint = self._options.endpoint(host, insecure=True)
        tls = replace(endpoint.with_tls(), verified=False)
        try:
            self._wire.send("GET", f"{tls.base}/v2/", {}, patience=min(_PATIENCE, self._options.timeout), endpoint=tls).close()
        except NETWORK:
            return endpoint
        self._options.say(f"registry {printable(host, 120)} is marked insecure: its certificate is not verified")
        return tls
