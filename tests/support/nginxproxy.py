"""A real nginx before a registry, as sites have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

_CONFIG = """\
{user} daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log notice; worker_processes 1;
events {{}}
http {{
  access_log {work}/access.log; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{
    listen {address};
    client_max_body_size {limit};
    location / {{ proxy_pass http://{upstream}; proxy_set_header Host $http_host; proxy_http_version 1.1; }}
  }}
}}
"""


class NginxProxy:
    """nginx with ``client_max_body_size`` before a registry. A context manager.

    Args:
        work: an empty directory.
        upstream: the registry's ``host:port``.
        address: a free ``host:port`` to listen on.
        limit: the largest body of a request, as nginx writes it: ``10m``.
    """

    def __init__(self, work: Path, upstream: str, address: str, limit: str) -> None:
        work.mkdir(parents=True)
        self.address = address
        self._log = work / "access.log"
        config = work / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # its workers keep large bodies in our directory
        config.write_text(_CONFIG.format(work=work, upstream=upstream, address=address, limit=limit, user=user))
        binary = shutil.which("nginx")
        assert binary is not None
        self._process = subprocess.Popen([binary, "-p", str(work), "-c", str(config)], stderr=subprocess.DEVNULL)
        while not (work / "nginx.log").exists() or b"start worker process" not in (work / "nginx.log").read_bytes():
            assert self._process.poll() is None, (work / "nginx.log").read_text()
            time.sleep(0.005)

    def answered(self, status: int) -> int:
        """How many requests it answered with a status."""
        return sum(f'" {status} ' in line for line in self._log.read_text().splitlines())

    def __enter__(self) -> NginxProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
