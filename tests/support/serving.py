"""``airgap serve`` as a process of its own, as a service manager would run it."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import bcrypt

from tests.support.served import Reply

_ADDRESS = re.compile(r" on https?://(\S+)/v2/")
_STATUS = re.compile(r"status page: https?://(\S+)/status")


def htpasswd(file: Path, **users: str) -> Path:
    """Write a file as ``htpasswd -B`` does, cheap on purpose."""
    entries = (f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4, b'2b')).decode()}\n" for user, word in users.items())
    file.write_text("".join(entries).replace("$2b$", "$2y$"))
    return file


class Serving:
    """A running ``airgap serve``; ended hard when the block ends before :meth:`stop`.

    Args:
        work: a directory of the test, for its home.
        arguments: after ``airgap serve``; ``--listen`` is added.

    Attributes:
        address: of the registry.
        desk: of the status page.
        log: what it said so far.
    """

    def __init__(self, work: Path, *arguments: object, ca: Path | None = None) -> None:
        self._context = ssl.create_default_context(cafile=str(ca)) if ca else None
        environment = {"PATH": os.environ["PATH"], "HOME": str(work)}
        command = [sys.executable, "-m", "airgap", "serve", *map(str, arguments), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.log: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.address = self.said(_ADDRESS)[1]
            self.desk = self.said(_STATUS)[1]
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def said(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """Wait until it has said something."""
        with self._news:
            while True:
                for line in self.log:
                    if found := re.search(pattern, line):
                        return found
                if not self._news.wait(timeout=60) or self.process.poll() is not None:
                    raise AssertionError(f"airgap serve never said {pattern}: {''.join(self.log)}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait()

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def connect(self, address: str = "") -> http.client.HTTPConnection:
        """A connection to the registry or another address."""
        if self._context is not None:
            return http.client.HTTPSConnection(address or self.address, timeout=60, context=self._context)
        return http.client.HTTPConnection(address or self.address, timeout=60)

    def ask(self, path: str, user: str = "", *, at: str = "", method: str = "GET") -> Reply:
        """One request; ``user`` is ``NAME:PASSWORD``."""
        headers = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}
        connection = self.connect(at)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.log.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()
