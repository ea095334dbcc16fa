"""Sending a blob in pieces (distribution-spec "Pushing a blob in chunks"): where something before the registry limits the size of
requests, and to resume an interrupted upload.

A registry's word about how far it is (``Range``) is often wrong. What it has acknowledged counts; where its word contradicts that,
the upload begins again. In the end the digest decides.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from airgap.errors import AirgapError, Damaged, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK, skipped
from airgap.registry.http.failures import NETWORK, network_failure
from airgap.registry.http.patience import Waiting
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import PUSH, Call, Transport, redirect_target
from airgap.registry.http.wire import Answer
from airgap.registry.settings.limits import Bucket
from airgap.text import human_size

#: Statuses after which the upload may continue or start again.
LOST = frozenset({401, 404, 408, 416, 429, 500, 502, 503, 504})
#: A registry may need long to store a large blob after its last byte, before it answers.
PATIENCE = 5
_TOO_LARGE = 413
_LEAST = 64 * 1024
#: Size of the pieces of a resumed upload.
_USUAL = 64 * 1024 * 1024
_RANGE = re.compile(r"(?:bytes[ =])?0-(\d{1,15})", re.ASCII)


class BodySizes:
    """How large a request each registry lets through, as far as it is known: learned from what was refused. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._most: dict[str, int] = {}
        self._least: dict[str, int] = {}

    def most(self, host: str) -> int | None:
        """Bytes that one request may have; None when nothing was ever refused."""
        with self._lock:
            return self._most.get(host)

    def fits(self, host: str, size: int) -> bool:
        """Whether a request of this many bytes may pass."""
        most = self.most(host)
        return most is None or size <= most

    def refused(self, host: str, size: int) -> bool:
        """Half of what was too large is tried next; False when there is nothing smaller worth trying."""
        with self._lock:
            half = max(size // 2 // _LEAST * _LEAST, _LEAST, self._least.get(host, 0))
            if half >= size:
                return False
            self._most[host] = min(half, self._most.get(host, half))
            return True

    def at_least(self, host: str, text: str) -> None:
        """What ``OCI-Chunk-Min-Length`` said: no piece but the last may be smaller."""
        if text.isascii() and text.isdigit() and len(text) < 15:
            with self._lock:
                self._least[host] = int(text)


@dataclass
class Session:
    """An upload in progress: where it continues, and how many bytes the registry has acknowledged."""

    repository: Repository
    descriptor: Descriptor
    url: str
    offset: int = 0


class ChunkedUploader:
    """Sends blobs in pieces. Thread-safe.

    Args:
        begin: opens a new upload session; its URL.
    """

    def __init__(self, transport: Transport, sizes: BodySizes, begin: Callable[[Repository], str]) -> None:
        self._transport = transport
        self._sizes = sizes
        self._begin = begin

    def send(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], session: Session | None = None
    ) -> Answer:
        """Send a blob; the answer to its last request, a 201 that was not read yet.

        Args:
            opener: opens a reader of the whole blob; called each time the upload continues.
            session: one to resume.

        Raises:
            RegistryError: the registry does not take it.
            AirgapError: whatever the reader raised.
        """
        session = session or Session(repository, descriptor, self._begin(repository))
        furthest, failures, waiting = session.offset, 0, Waiting()
        while True:
            last = failures >= self._transport.options.retries
            answer: Answer | None = None
            try:
                answer = self._run(session, opener)
                if answer.status == 201:
                    return answer
                if answer.status == _TOO_LARGE and self._is_smaller_possible(session):
                    answer.finish()
                    continue
                patient = self._transport.patience.allows(answer, waiting)
                if not patient and (last or answer.status not in LOST):
                    raise refusal(answer, "the registry does not accept a blob")
            except NETWORK as error:
                if last or not self._transport.patience.may_pass(error, session.url):
                    raise network_failure(error, "PATCH", session.url) from None
            if not self._transport.patience.wait_out(answer, waiting):
                failures = 0 if session.offset > furthest else failures + 1
                self._before_next(session, answer, failures)
            furthest = max(furthest, session.offset)
            # With nothing to lose the question is left out now and then: repeats must not keep step with a registry's failures.
            known = self.found(session) if session.offset or failures % 2 else None
            session = known or Session(repository, descriptor, self._begin(repository))

    def found(self, session: Session) -> Session | None:
        """The session as the registry knows it; None when it does not, or not in a way that could be relied on."""
        try:
            answer = self._transport.call(Call("GET", session.repository, session.url, PUSH))
        except RegistryError:
            return None
        match = _RANGE.fullmatch(answer.header("Range").strip())
        have = int(match[1]) + 1 if match is not None else 0
        # "0-0" is said for one byte and for none
        if answer.status != 204 or not max(session.offset, 2) <= have <= session.descriptor.size:
            answer.finish()
            return None
        url = redirect_target(answer) if answer.header("Location") else session.url
        answer.finish()
        return Session(session.repository, session.descriptor, url, have)

    def _run(self, session: Session, opener: Callable[[], Reader]) -> Answer:
        """Send pieces until one is refused, else everything; the last answer."""
        reader = opener()
        try:
            skipped(reader, session.offset)
            while session.offset < session.descriptor.size:
                length = min(self._piece(session), session.descriptor.size - session.offset)
                answer = self._patch(session, _Piece(reader, session.descriptor, length, self._transport.options.bucket), length)
                if answer.status not in (201, 202, 204):
                    return answer
                session.url = redirect_target(answer) if answer.header("Location") else session.url
                session.offset += length
                answer.finish()
            if reader.readinto(memoryview(bytearray(1))):
                raise Damaged(
                    f"blob {session.descriptor.digest} is too long", expected=f"{session.descriptor.size} bytes", got="more"
                )
            return self._close(session)
        except AirgapError:
            self._cancel(session)
            raise
        finally:
            reader.close()

    def _piece(self, session: Session) -> int:
        return self._sizes.most(session.repository.host) or _USUAL

    def _is_smaller_possible(self, session: Session) -> bool:
        host = session.repository.host
        length = min(self._piece(session), session.descriptor.size - session.offset)
        if not self._sizes.refused(host, length):
            return False
        self._transport.options.say(f"registry {host} refuses large requests: sending {human_size(self._piece(session))} at a time")
        return True

    def _patch(self, session: Session, body: Iterator[memoryview], length: int) -> Answer:
        headers = {
            "Content-Type": media.OCTETS,
            "Content-Length": str(length),
            "Content-Range": f"{session.offset}-{session.offset + length - 1}",
        }
        return self._transport.once(Call("PATCH", session.repository, session.url, PUSH, headers=headers, body=body))

    def _close(self, session: Session) -> Answer:
        url = finishing(session.url, session.descriptor)
        patience = PATIENCE * self._transport.options.timeout
        call = Call("PUT", session.repository, url, PUSH, headers={"Content-Length": "0"}, patience=patience)
        return self._transport.once(call)

    def _before_next(self, session: Session, answer: Answer | None, failures: int) -> None:
        """Wait, and get a new token where that was the reason."""
        if answer is not None and answer.status == 401 and answer.own:
            self._transport.refresh(Call("PATCH", session.repository, session.url, PUSH), answer)
        self._transport.patience.pause(failures, answer)

    def _cancel(self, session: Session) -> None:
        try:
            self._transport.call(Call("DELETE", session.repository, session.url, PUSH, repeatable=False)).finish()
        except RegistryError:
            return  # the session will expire


class _Piece(Iterator[memoryview]):
    """Feeds a number of bytes of a reader to the socket through one buffer."""

    def __init__(self, reader: Reader, descriptor: Descriptor, length: int, bucket: Bucket | None) -> None:
        self._reader = reader
        self._descriptor = descriptor
        self._left = length
        self._bucket = bucket
        self._buffer = memoryview(bytearray(min(CHUNK if bucket is None else bucket.piece, CHUNK, length)))

    def __next__(self) -> memoryview:
        if not self._left:
            raise StopIteration
        count = self._reader.readinto(self._buffer[: min(len(self._buffer), self._left)])
        if not count:
            raise Damaged(f"blob {self._descriptor.digest} ended too early", expected=f"{self._left} bytes more")
        self._left -= count
        if self._bucket is not None:
            self._bucket.take(count)
        return self._buffer[:count]


def finishing(session: str, descriptor: Descriptor) -> str:
    """The URL that ends an upload. The Location is kept as it is: its query holds the server's state."""
    return f"{session}{'&' if '?' in session else '?'}digest={quote(descriptor.digest, safe='')}"
