"""A proxy that puts a registry so many milliseconds away, and counts what is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import Counter
from types import TracebackType

_ASKED = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1")


class Distance:
    """Passes bytes on later, both ways, as a long line does: a round trip for each answer, and one for a new connection.

    Args:
        upstream: ``HOST:PORT``.
        seconds: of a round trip.

    Attributes:
        address: where clients find it.
        asked: every request line and how often it came.
    """

    def __init__(self, upstream: str, seconds: float) -> None:
        self._host, _, port = upstream.partition(":")
        self._port = int(port)
        self._half = seconds / 2
        self.asked: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def __enter__(self) -> Distance:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):  # of connections that are kept
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def _listen(self) -> str:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self._half)
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection(self._host, self._port)
            await asyncio.gather(self._pass(reader, forth, count=True), self._pass(back, writer, count=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.create_task(self._send(waiting, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                if count:
                    self.asked.update(f"{one[1].decode()} {one[2].decode()}" for one in _ASKED.finditer(data))
                waiting.put_nowait((self._loop.time() + self._half, data))
        waiting.put_nowait((self._loop.time() + self._half, b""))
        await sender

    async def _send(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                when, data = await waiting.get()
                await asyncio.sleep(max(0.0, when - self._loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
