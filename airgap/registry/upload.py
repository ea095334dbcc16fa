"""Sending blobs: one upload session, one PUT, streamed (distribution-spec "POST then PUT" and "Mounting a blob").

Blobs too large for that, and interrupted uploads, are sent in pieces (``chunks``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urlencode

from airgap.errors import AirgapError, Damaged, NotFound, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK
from airgap.registry.chunks import LOST, PATIENCE, BodySizes, ChunkedUploader, Session, finishing
from airgap.registry.http.auth import scope
from airgap.registry.http.failures import NETWORK, network_failure, redact
from airgap.registry.http.patience import Waiting
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import PUSH, Call, Transport, redirect_target
from airgap.registry.http.wire import Answer
from airgap.registry.settings.limits import Bucket
from airgap.text import human_size, printable

_MAX_REFUSALS = 2


class Uploader:
    """Sends blobs to registries. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._sizes = BodySizes()
        self._chunks = ChunkedUploader(transport, self._sizes, self._start)
        self._begun: dict[tuple[Repository, Digest], str] = {}

    def mount(self, repository: Repository, descriptor: Descriptor, origin: Repository) -> bool:
        """Ask the registry to link a blob of another of its repositories; False when it must be sent.

        Whoever does not link it has opened an upload session in place of that, which :meth:`write` then uses, or :meth:`forget`
        gives back.

        Raises:
            RegistryError: the network failed.
        """
        query = urlencode({"mount": descriptor.digest, "from": origin.path})
        call = Call(
            "POST",
            repository,
            f"blobs/uploads/?{query}",
            PUSH,
            headers={"Content-Length": "0"},
            also=(scope(origin.path, "pull"),),
        )
        with self._transport.slots.held(repository.host):
            answer = self._transport.call(call)
            if answer.status == 202:
                self._begun[repository, descriptor.digest] = self._session(repository, answer)
                return False
            if answer.status >= 500:
                raise refusal(answer)
            answer.finish()
            return answer.status == 201

    def forget(self, repository: Repository, descriptor: Descriptor) -> None:
        """A blob need not be sent after all."""
        if session := self._begun.pop((repository, descriptor.digest), None):
            self._cancel(repository, session)

    def write(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], arrived: Callable[[], bool]
    ) -> None:
        """Send a blob; when the connection breaks, resume if the registry allows it, else start again.

        Args:
            opener: gives a reader of the whole blob, once per attempt.
            arrived: whether the blob is there after all, asked before it is sent again.

        Raises:
            RegistryError: the registry does not take it.
            AirgapError: whatever the reader raised; nothing is stored then.
        """
        retries = self._transport.options.retries
        attempt, waiting = -1, Waiting()
        while (attempt := attempt + 1) <= retries + waiting.count:
            # Not before every repeat: with a fixed number of requests, who refuses each third would refuse the same one for ever.
            if attempt % 2 and arrived():
                return
            with self._transport.slots.held(repository.host):
                if self._sizes.fits(repository.host, descriptor.size):
                    outcome = self._attempt(repository, descriptor, opener, attempt, waiting)
                else:
                    outcome = None
                if outcome is None or isinstance(outcome, RegistryError):
                    self._in_pieces(repository, descriptor, opener, outcome)
                    return
                if outcome:
                    return

    def _attempt(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], attempt: int, waiting: Waiting
    ) -> bool | RegistryError:
        """Send once; False when it should be tried again, after a pause that was made here, and an error when in smaller pieces."""
        last = attempt == self._transport.options.retries + waiting.count
        reader = opener()
        try:
            session = self._begun.pop((repository, descriptor.digest), None) or self._start(repository)
            call = self._put(repository, descriptor, session)
            try:
                answer = self._transport.once(replace(call, body=_Body(reader, descriptor, self._transport.options.bucket)))
            except NETWORK as error:
                if last or not self._transport.patience.may_pass(error, session):
                    raise network_failure(error, "PUT", session) from None
                self._transport.patience.pause_after(error, "PUT", session, attempt)
                return self._go_on(Session(repository, descriptor, session), opener)
            except AirgapError:
                self._cancel(repository, session)
                raise
        finally:
            reader.close()
        if answer.status == 201:
            _check_digest(answer, descriptor.digest)
            return True
        if answer.status == 413 and self._sizes.refused(repository.host, descriptor.size):
            too_large = refusal(answer, "the registry does not accept a blob")
            self._cancel(repository, session)
            return too_large
        if not self._transport.patience.wait_out(answer, waiting):
            self._before_next(call, answer, attempt, last=last or self._transport.patience.is_hopeless(answer, waiting))
        return False

    def _in_pieces(
        self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader], why: RegistryError | None
    ) -> None:
        """Send a blob for which one request is not enough; ``why`` is what the registry said to that."""
        self.forget(repository, descriptor)
        if why is not None:
            self._transport.options.say(
                f"registry {repository.host} refuses requests of {human_size(descriptor.size)}: sending smaller pieces"
            )
        try:
            answer = self._chunks.send(repository, descriptor, opener)
        except NotFound:  # it does not know pieces: then its first word is the one to act on
            if why is None:
                raise
            raise why from None
        _check_digest(answer, descriptor.digest)

    def _go_on(self, session: Session, opener: Callable[[], Reader]) -> bool:
        """After the connection broke: send the rest, where the registry still has the beginning."""
        found = self._chunks.found(session)
        if found is None:
            return False
        answer = self._chunks.send(session.repository, session.descriptor, opener, found)
        _check_digest(answer, session.descriptor.digest)
        return True

    def _before_next(self, call: Call, answer: Answer, attempt: int, *, last: bool) -> None:
        """Wait, and get a new token where that was the reason; raises when another attempt would end the same way."""
        hopeless = answer.status not in LOST or (answer.status in (401, 404, 416) and attempt >= _MAX_REFUSALS)
        if last or hopeless:
            raise refusal(answer, "the registry does not accept a blob")
        if answer.status == 401 and answer.own:
            self._transport.refresh(call, answer)
        self._transport.patience.pause(attempt, answer)

    def _start(self, repository: Repository) -> str:
        """Open an upload session; its URL. Sessions that get lost expire, so this may be repeated."""
        answer = self._transport.call(Call("POST", repository, "blobs/uploads/", PUSH, headers={"Content-Length": "0"}))
        if answer.status not in (201, 202):
            raise refusal(answer, "the registry does not accept an upload")
        return self._session(repository, answer)

    def _session(self, repository: Repository, answer: Answer) -> str:
        session = redirect_target(answer)
        self._sizes.at_least(repository.host, answer.header("OCI-Chunk-Min-Length"))
        answer.finish()
        return session

    def _put(self, repository: Repository, descriptor: Descriptor, session: str) -> Call:
        url = finishing(session, descriptor)
        headers = {"Content-Type": media.OCTETS, "Content-Length": str(descriptor.size)}
        return Call("PUT", repository, url, PUSH, headers=headers, patience=PATIENCE * self._transport.options.timeout)

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
            "the registry stored something other than what was sent",
            where=f"{answer.method} {redact(answer.url)}",
            expected=digest,
            got=printable(stated, 150),
        )
