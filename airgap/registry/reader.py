"""A blob as a stream that survives dropped connections: the missing rest is requested again, and nothing is delivered twice."""

from __future__ import annotations

import re
from dataclasses import replace

from airgap.errors import RegistryError
from airgap.oci.descriptor import Descriptor
from airgap.registry.http.failures import NETWORK, is_too_slow, network_failure, redact
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import Call, FileCall, Transport
from airgap.registry.http.wire import Answer
from airgap.text import printable

#: A connection that brings less than this many bytes counts as no progress.
_PROGRESS = 64 * 1024
#: How often a source may ignore the range and start from the beginning: each time costs the whole way again.
_MAX_RESTARTS = 3
_SCRATCH = 256 * 1024
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


class BlobReader:
    """The bytes of one blob from ``offset`` on; a ``Reader``. The length is checked here, the digest is not.

    Args:
        call: the GET for the whole blob.

    Raises:
        RegistryError: the registry does not have it, or has it in another size.
    """

    failure = RegistryError

    def __init__(self, transport: Transport, call: Call | FileCall, descriptor: Descriptor, offset: int) -> None:
        self._transport = transport
        self._call = call
        self._size = descriptor.size
        self._what = f"blob {descriptor.digest}" if isinstance(call, Call) else "the file"
        self._position = offset
        self._to_skip = 0
        self._stalls = 0
        self._restarts = 0
        self._brought = 0
        self._answer: Answer | None = None
        self._bucket = transport.options.bucket
        self._piece = self._size if self._bucket is None else self._bucket.piece
        self._release = transport.slots.acquire(call.host)
        try:
            if offset == 0 or offset < self._size:
                self._connect()
            else:
                self._release()
        except BaseException:
            self._release()
            raise

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``.

        Raises:
            RegistryError: the blob cannot be had completely, or is longer than expected.
        """
        while self._answer is not None and self._position < self._size and len(buffer):
            count, problem = 0, None
            try:
                self._skip(self._answer)
                count = self._answer.readinto(buffer[: min(len(buffer), self._size - self._position, self._piece)])
            except NETWORK as error:
                problem = error
            if count:
                self._position += count
                self._brought += count
                if self._bucket is not None:
                    self._bucket.take(count)
                return count
            self._reconnect(self._answer, problem)
        if self._position >= self._size:
            self._finish()
        return 0

    def close(self) -> None:
        """Drop the connection, unless everything was read: then others may use it."""
        self._drop()
        self._release()

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _connect(self) -> None:
        call = self._call
        if self._position:
            # A closed range: some registries answer 416 to an open one. Accept-Ranges does not matter: most do not send it.
            call = replace(call, headers={**call.headers, "Range": f"bytes={self._position}-{self._size - 1}"})
        answer = self._transport.ask(call)
        self._brought = 0
        self._to_skip = 0
        if answer.status == 206 and self._position:
            self._check_range(answer)
        elif answer.status == 200:
            self._check_length(answer, self._size)
            self._restart(answer)
        elif answer.status >= 400:
            raise refusal(answer, "" if isinstance(call, Call) else "the web server does not return the file")
        else:
            raise self._wrong(answer, "status 200, or 206 to a range", f"status {answer.status}")
        self._answer = answer

    def _restart(self, answer: Answer) -> None:
        """The source sends everything although only the rest was asked for: what was delivered already is read past."""
        if self._position:
            self._to_skip = self._position
            self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise self._wrong(answer, f"a partial response from byte {self._position} on", "the whole blob every time")

    def _check_range(self, answer: Answer) -> None:
        text = answer.header("Content-Range").strip()
        match = _RANGE.fullmatch(text)
        if (
            match is None
            or (int(match[1]), int(match[2])) != (self._position, self._size - 1)
            or match[3] not in ("*", str(self._size))
        ):
            expected = f"Content-Range: bytes {self._position}-{self._size - 1}/{self._size}"
            raise self._wrong(answer, expected, text or "no Content-Range")
        self._check_length(answer, self._size - self._position)

    def _check_length(self, answer: Answer, expected: int) -> None:
        if answer.length not in (None, expected):
            raise self._wrong(answer, f"{expected} bytes", f"{answer.length} bytes")

    def _skip(self, answer: Answer) -> None:
        scratch = memoryview(bytearray(min(_SCRATCH, self._to_skip)))
        while self._to_skip:
            count = answer.readinto(scratch[: min(len(scratch), self._to_skip)])
            if not count:
                raise OSError("the response ended too early")
            self._to_skip -= count

    def _reconnect(self, answer: Answer, problem: BaseException | None) -> None:
        """The connection broke or ended too early: continue after the delivered bytes, as long as that makes progress."""
        self._drop()
        self._stalls = 0 if self._brought >= _PROGRESS and not is_too_slow(problem) else self._stalls + 1
        if problem is not None and not self._transport.patience.may_pass(problem, answer.url):
            raise network_failure(problem, "GET", answer.url) from None
        if self._stalls > self._transport.options.retries:
            why = (
                network_failure(problem, "GET", answer.url).what
                if problem is not None
                else "the registry ended the response too early"
            )
            raise RegistryError(
                f"{self._what} cannot be read completely: {why}",
                where=f"GET {redact(answer.url)}",
                expected=f"{self._size} bytes",
                got=f"{self._position} bytes",
                hint="run the same command again to continue",
            )
        if problem is None:
            self._transport.patience.pause(self._stalls)
        else:
            self._transport.patience.pause_after(problem, "GET", answer.url, self._stalls)
        self._connect()

    def _finish(self) -> None:
        self._release()
        answer, self._answer = self._answer, None
        if answer is None:
            return
        try:
            surplus = answer.length is None and answer.readinto(memoryview(bytearray(1)))
        except NETWORK:
            answer.close()  # every byte that was expected is here
            return
        if surplus:
            raise self._wrong(answer, f"{self._size} bytes", "more")
        answer.end()

    def _wrong(self, answer: Answer, expected: str, got: str) -> RegistryError:
        answer.close()
        return RegistryError(
            f"{self._what}: unexpected response",
            where=f"GET {redact(answer.url)}",
            expected=expected,
            got=printable(got, 120),
        )
