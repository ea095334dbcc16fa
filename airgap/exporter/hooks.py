"""Run the operator's own commands, such as scanners, for one image each.

A command gets no shell, no standard input and none of our secrets. All its output is read, but little of it is kept. When it ends
or its time is up, everything that it has started is ended, too.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from airgap.errors import Stopped, UsageError
from airgap.text import printable

#: So many bytes of what a command wrote last are kept.
KEPT = 64 * 1024
_PLATFORM = ("platform", "platform-digest", "platform-layout")
_PLACEHOLDERS = ("image", "digest", "registry", "layout", *_PLATFORM)
#: What says where credentials are, or holds them; everything of ours (``AIRGAP_...``) goes as well.
_SECRET = frozenset({"REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG"})
_LINES = 5
_LONGEST = 16 * 1024


@dataclass(frozen=True)
class View:
    """One image as a command sees it.

    Attributes:
        image: its source reference.
        digest: of its root.
        registry: the reference under which our loopback registry serves it.
        layout: the directory of an OCI layout with it; empty if no command asks for one.
        platform: the platform that this run is about; empty if the image states none, or the command asks for none.
        platform_digest: of that platform's manifest.
        platform_layout: the directory of an OCI layout with that manifest alone.
    """

    image: str
    digest: str
    registry: str
    layout: str = ""
    platform: str = ""
    platform_digest: str = ""
    platform_layout: str = ""

    def variables(self) -> dict[str, str]:
        """The environment variables with the values of the placeholders."""
        named = {
            "AIRGAP_IMAGE": self.image,
            "AIRGAP_DIGEST": self.digest,
            "AIRGAP_REGISTRY_REFERENCE": self.registry,
            "AIRGAP_LAYOUT": self.layout,
            "AIRGAP_PLATFORM": self.platform,
            "AIRGAP_PLATFORM_DIGEST": self.platform_digest,
            "AIRGAP_PLATFORM_LAYOUT": self.platform_layout,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Hook:
    """A command, as written by the operator and split into words."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Hook:
        """Read a command line.

        Raises:
            UsageError: quotes do not match, the command is empty, or the program does not exist.
        """
        if len(text) > _LONGEST:
            raise UsageError("the command is too long", where="--gate", expected=f"{_LONGEST} characters at most")
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"not a command: {error}", where="--gate", got=printable(text)) from error
        if not words or "\0" in text:
            raise UsageError("not a command", where="--gate", got=printable(text), expected="'trivy image {registry}'")
        if shutil.which(words[0]) is None:
            raise UsageError(
                "the program does not exist",
                where=f"--gate {printable(text, 200)}",
                got=printable(words[0]),
                hint="install it, or give its path",
            )
        return cls(text, words)

    @property
    def wants_layout(self) -> bool:
        """Whether it asks for a directory with the image, which needs a copy."""
        return self._asks_for("layout")

    @property
    def wants_platform_layout(self) -> bool:
        """Whether it asks for a directory with one platform of the image."""
        return self._asks_for("platform-layout")

    @property
    def is_for_platforms(self) -> bool:
        """Whether it runs once for each platform of an image."""
        return any(map(self._asks_for, _PLATFORM))

    def _asks_for(self, name: str) -> bool:
        return any(f"{{{name}}}" in word for word in self.words)

    def arguments(self, view: View) -> list[str]:
        """The words, with the placeholders filled in. Other braces are left alone."""
        return [_fill(word, view) for word in self.words]


def _fill(word: str, view: View) -> str:
    """In one pass, so that nothing in a value is taken for a placeholder."""
    parts, rest = [], word
    while rest:
        before, brace, after = rest.partition("{")
        name, closing, behind = after.partition("}")
        parts.append(before)
        if brace and closing and name in _PLACEHOLDERS:
            parts.append(getattr(view, name.replace("-", "_")))
            rest = behind
        else:
            parts.append(brace)
            rest = after
    return "".join(parts)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (negative: that signal; None: timeout) and the end of its output."""

    status: int | None
    output: bytes

    @property
    def passed(self) -> bool:
        """Whether it accepts the image."""
        return self.status == 0

    def lines(self, most: int = 1_000_000) -> list[str]:
        """The last lines of its output, made printable."""
        return [printable(line, 1000) for line in self.output.decode("utf-8", "replace").splitlines()[-most:]]

    def say(self, seconds: int) -> str:
        """The outcome in one line for people."""
        if self.status is None:
            return f"not finished after {seconds} seconds (--gate-timeout)"
        return f"exit status {self.status}" if self.status >= 0 else f"ended by signal {-self.status}"

    def last_words(self) -> list[str]:
        """The last few lines of its output."""
        return [line for line in self.lines() if line.strip()][-_LINES:]


class Runner:
    """Runs commands, several at a time.

    Args:
        seconds: the longest time that a command may take.
        environment: passed on without secrets.
    """

    def __init__(self, seconds: int, environment: Mapping[str, str] = os.environ) -> None:
        self._seconds = seconds
        self._environment = {
            name: value for name, value in environment.items() if not name.startswith("AIRGAP_") and name not in _SECRET
        }
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End every command at once."""
        self._stopped.set()

    def check(self) -> None:
        """Raise ``Stopped`` if ``stop`` was called."""
        if self._stopped.is_set():
            raise Stopped

    def run(self, hook: Hook, view: View) -> Ended:
        """Run one command and wait for it.

        Raises:
            UsageError: it cannot be started.
            Stopped: ``stop`` was called.
        """
        try:
            process = subprocess.Popen(
                hook.arguments(view),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**self._environment, **view.variables()},
                start_new_session=True,  # so that all it starts can be ended with it, and a Ctrl-C is ours to pass on
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot run a gate: {printable(reason)}", where=printable(hook.text, 200)) from error
        with process:
            output = _Output(process)
            try:
                ended = self._wait(process, output)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
                process.wait()
        self.check()
        return Ended(process.returncode if ended else None, output.kept)

    def _wait(self, process: subprocess.Popen[bytes], output: _Output) -> bool:
        """Until it ends by itself (True), its time is up, or all is stopped."""
        limit = time.monotonic() + self._seconds
        while time.monotonic() < limit and not self._stopped.is_set():
            output.read(0.1)
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                output.drain()
                return True
        return False


class _Output:
    """The output of a command, of which only the end is kept."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        self._fd = process.stdout.fileno()
        self._open = True
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.kept = b""
        os.set_blocking(self._fd, False)

    def read(self, seconds: float) -> None:
        """Read what is available, or wait briefly for it."""
        if not self._open:
            time.sleep(min(seconds, 0.01))  # its end is near
        elif self._poll.poll(seconds * 1000):
            self._take()

    def drain(self) -> None:
        """Read the rest of the pipe; whatever others write to it after the command has ended is ignored."""
        for _ in range(KEPT // 1024):
            if not self._open or not self._poll.poll(0):
                return
            self._take()

    def _take(self) -> None:
        data = os.read(self._fd, KEPT)
        self._open = bool(data)
        self.kept = (self.kept + data)[-KEPT:]
