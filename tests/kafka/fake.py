"""A server on this machine's own address that speaks Kafka's wire, well or badly on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from peerboot.outside.kafka.connection import Address
from tests.kafka.vectors import find

OLD_HEADERS = (17, 18)
"""SaslHandshake is not flexible, and ApiVersions never has tags in its response header (KIP-511)."""
LARGEST = 100 << 20
"""Kafka's socket.request.max.bytes: it closes the connection of who names more, as a TLS hello seems to do."""


class Request(NamedTuple):
    """One request, without its size."""

    key: int
    version: int
    correlation: int
    client: str
    body: bytes


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer_bytes(request: Request, body: bytes) -> bytes:
    """The whole frame of a right answer."""
    tags = b"" if request.key in OLD_HEADERS else b"\0"
    raw = struct.pack(">i", request.correlation) + tags + body
    return struct.pack(">i", len(raw)) + raw


def say(body: bytes | Callable[[Request], bytes]) -> Answer:
    """A right answer: always the same, or made from the request."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_bytes(request, body if isinstance(body, bytes) else body(request)))
        await writer.drain()

    return behave


def raw(make: Callable[[bytes], bytes], body: bytes = b"") -> Answer:
    """The bytes of a right answer changed, then the end of the connection."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(make(answer_bytes(request, body)))
        await writer.drain()
        writer.close()

    return behave


async def silence(_request: Request, _writer: asyncio.StreamWriter) -> None:
    """Nothing, and the connection stays."""


async def goodbye(_request: Request, writer: asyncio.StreamWriter) -> None:
    """The end, without an answer."""
    writer.close()


def trickle(body: bytes) -> Answer:
    """A right answer, a byte each 20 ms: never still for long, and never done."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        for byte in answer_bytes(request, body):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    return behave


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last again and again."""
    left = list(answers)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return behave


GREETING = say(lambda request: find("ApiVersionsResponse", "a dynamic cluster", request.version).raw)


class Fake:
    """A listening address; ``answers`` may change at any time."""

    def __init__(self, answers: dict[int, Answer]) -> None:
        self.answers = {18: GREETING, **answers}
        self.address = Address("127.0.0.1", 0)
        self.asked: list[Request] = []
        self.connections = 0
        self.open = 0
        self.called = asyncio.Event()
        """A request other than ApiVersions came."""
        self._writers: set[asyncio.StreamWriter] = set()

    def calls(self) -> list[int]:
        """Which calls came, but for ApiVersions."""
        return [request.key for request in self.asked if request.key != 18]

    def drop(self) -> None:
        """End all connections, as a restart does."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            while True:
                size = struct.unpack(">i", await reader.readexactly(4))[0]
                if not 0 < size <= LARGEST:
                    return
                request = parse(await reader.readexactly(size))
                self.asked.append(request)
                if request.key != 18:
                    self.called.set()
                answer = self.answers.get(request.key)
                if answer is None:
                    # A broker closes the connection at a request that it does not expect.
                    return
                await answer(request, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()


def parse(frame: bytes) -> Request:
    """Request header 1 or 2, and what follows."""
    key, version, correlation, size = struct.unpack_from(">hhih", frame)
    client = frame[10 : 10 + size].decode()
    return Request(key, version, correlation, client, frame[10 + size + (0 if key == 17 else 1) :])


@asynccontextmanager
async def fake(answers: dict[int, Answer] | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Fake]:
    """Listens until the end of the block; all its tasks end with it."""
    found = Fake(answers or {})
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await found.serve(reader, writer)
        tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found.address = Address(*listening.sockets[0].getsockname()[:2])
    try:
        yield found
    finally:
        listening.close()
        found.drop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
