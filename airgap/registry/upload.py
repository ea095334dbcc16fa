"""Sending blobs: one upload session, one PUT, streamed (distribution-spec "POST then PUT" and "Mounting a blob")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn
from urllib.parse import quote, urlencode

from airgap.errors import AirgapError, Damaged, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK
from airgap.registry.auth import scope
from airgap.registry.failures import NETWORK, is_transient, network_failure, redact, refusal
from airgap.registry.limits import Bucket
from airgap.registry.transport import PUSH, Call, Transport, redirect_target
from airgap.registry.wire import Answer
from airgap.text import printable

#: Statuses of a PUT after which a new session may succeed: the session was lost, the token ran out, or the server had a bad moment.
_LOST = frozenset({401, 404, 408, 416, 429, 500, 502, 503, 504})
#: A registry may need long to store a large blob after its last byte, before it answers.
_PATIENCE = 5
_MAX_REFUSALS = 2


class Uploader:
    """Sends blobs to registries. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def mount(self, repository: Repository, digest: Digest, origin: Repository) -> bool:
        """Ask the registry to link a blob of another of its repositories; False when it must be sent.

        Raises:
            RegistryError: the network failed.
        """
        if origin.host != repository.host or origin == repository:
            return False
        query = urlencode({"mount": digest, "from": origin.path})
        answer = self._transport.call(
            Call(
                "POST",
                repository,
                f"blobs/uploads/?{query}",
                PUSH,
                headers={"Content-Length": "0"},
                also=(scope(origin.path, "pull"),),
            )
        )
        if answer.status == 202:
            session = redirect_target(answer)
            answer.finish()
            self._cancel(repository, session)
            return False
        if answer.status >= 500:
            raise refusal(answer)
        answer.finish()
        return answer.status == 201

    def write(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], arrived: Callable[[], bool]
    ) -> None:
        """Send a blob, again from the start when the connection breaks.

        Args:
            opener: gives a reader of the whole blob, once per attempt.
            arrived: whether the blob is there after all, asked before it is sent again.

        Raises:
            RegistryError: the registry does not take it.
            AirgapError: whatever the reader raised; nothing is stored then.
        """
        retries = self._transport.options.retries
        for attempt in range(retries + 1):
            if attempt and arrived():
                return
            with self._transport.slots.held(repository.host):
                if self._attempt(repository, descriptor, opener, attempt, last=attempt == retries):
                    return

    def _attempt(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], attempt: int, *, last: bool
    ) -> bool:
        """Send once; False when it should be tried again, after a pause that was made here."""
        reader = opener()
        try:
            session = self._start(repository)
            call = self._put(repository, descriptor, session)
            try:
                answer = self._transport.once(replace(call, body=_Body(reader, descriptor, self._transport.options.bucket)))
            except NETWORK as error:
                if last or not is_transient(error):
                    raise network_failure(error, "PUT", session) from None
                self._transport.pause(attempt)
                return False
            except AirgapError:
                self._cancel(repository, session)
                raise
        finally:
            reader.close()
        if answer.status == 201:
            _check_digest(answer, descriptor.digest)
            return True
        self._before_next(call, answer, attempt, last=last)
        return False

    def _before_next(self, call: Call, answer: Answer, attempt: int, *, last: bool) -> None:
        """Wait, and get a new token where that was the reason; raises when another attempt would end the same way."""
        hopeless = answer.status not in _LOST or (answer.status in (401, 404, 416) and attempt >= _MAX_REFUSALS)
        if last or hopeless:
            raise refusal(answer, "the registry does not take a blob")
        if answer.status == 401 and answer.own:
            self._transport.refresh(call, answer)
        self._transport.pause(attempt, answer)

    def _start(self, repository: Repository) -> str:
        """Open an upload session; its URL. Sessions that get lost expire, so this may be repeated."""
        answer = self._transport.call(Call("POST", repository, "blobs/uploads/", PUSH, headers={"Content-Length": "0"}))
        if answer.status not in (201, 202):
            raise refusal(answer, "the registry does not accept an upload")
        session = redirect_target(answer)
        answer.finish()
        return session

    def _put(self, repository: Repository, descriptor: Descriptor, session: str) -> Call:
        # The Location is kept as it is: its query holds the server's state.
        url = f"{session}{'&' if '?' in session else '?'}digest={quote(descriptor.digest, safe='')}"
        headers = {"Content-Type": media.OCTETS, "Content-Length": str(descriptor.size)}
        return Call("PUT", repository, url, PUSH, headers=headers, patience=_PATIENCE * self._transport.options.timeout)

    def _cancel(self, repository: Repository, session: str) -> None:
        try:
            self._transport.call(Call("DELETE", repository, session, PUSH, repeatable=False)).finish()
        except RegistryError:
            return  # the session will expire


class _Body(Iterator[memoryview]):
    """Feeds a reader to the socket through one buffer: each piece is sent before the next one is asked for."""

    def __init__(self, reader: Reader, descriptor: Descriptor, bucket: Bucket | None) -> None:
        self._bucket = bucket
        self._reader = reader
        self._descriptor = descriptor
        self._left = descriptor.size
        self._buffer = memoryview(bytearray(min(CHUNK if bucket is None else bucket.piece, CHUNK, max(descriptor.size, 1))))

    def __next__(self) -> memoryview:
        if not self._left:
            self._end()
        count = self._reader.readinto(self._buffer[: min(len(self._buffer), self._left)])
        if not count:
            size = self._descriptor.size
            raise Damaged(
                f"blob {self._descriptor.digest} ended too early", expected=f"{size} bytes", got=f"{size - self._left} bytes"
            )
        self._left -= count
        if self._bucket is not None:
            self._bucket.take(count)
        return self._buffer[:count]

    def _end(self) -> NoReturn:
        """The reader must agree that this is the end: that is where an empty blob gets verified."""
        if self._reader.readinto(self._buffer[:1]):
            raise Damaged(f"blob {self._descriptor.digest} is too long", expected=f"{self._descriptor.size} bytes", got="more")
        raise StopIteration


def _check_digest(answer: Answer, digest: Digest) -> None:
    stated = answer.header("Docker-Content-Digest")
    answer.finish()
    # Compared only within one algorithm: registries name a sha512 blob by its sha256.
    if stated.startswith(f"{digest.algorithm}:") and stated != digest:
        raise RegistryError(
            "the registry stored something else than what was sent",
            where=f"{answer.method} {redact(answer.url)}",
            expected=digest,
            got=printable(stated, 150),
        )
