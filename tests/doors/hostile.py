"""Servers on this machine's own addresses that answer HTTP badly on purpose, and what each is called."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from peerboot.outside.clock import SystemClock

Misbehaviour = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Gets the head of a request and the connection."""
LIMIT = 64 * 1024
MORE = b"x" * 65536


class Server:
    """A listening address that counts its connections and what it could send."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.connections = 0
        self.open = 0
        self.most = 0
        self.sent = 0
        self.asked: list[bytes] = []
        """The head of each request."""
        self.arrived = asyncio.Event()
        """A whole head came."""
        self.gone = asyncio.Event()
        """A connection has ended."""

    @property
    def place(self) -> tuple[str, int]:
        """Address and port."""
        return self.address, self.port

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{self.address}:{self.port}/"


@asynccontextmanager
async def server(behave: Misbehaviour, address: str = "127.0.0.1", path: Path | None = None) -> AsyncIterator[Server]:
    """Reads one request's head, then misbehaves, then closes. All its tasks end with it."""
    tasks: set[asyncio.Task[None]] = set()
    found = Server(address, 0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        found.connections += 1
        found.open += 1
        found.most = max(found.most, found.open)
        write = writer.write

        def counted(data: bytes) -> None:
            found.sent += len(data)
            write(data)

        writer.write = counted  # type: ignore[method-assign, assignment]  # counts what goes out
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                found.asked.append(head)
                found.arrived.set()
                await behave(head, reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            found.open -= 1
            found.gone.set()
            writer.close()
            if task is not None:
                tasks.discard(task)

    if path is not None:
        listening = await asyncio.start_unix_server(serve, path)
    else:
        listening = await asyncio.start_server(serve, address, 0)
        found.port = listening.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def unix_server(behave: Misbehaviour, path: Path) -> AsyncIterator[str]:
    """The same on a socket in the file system; gives its path."""
    async with server(behave, path=path):
        yield str(path)


@contextmanager
def no_one() -> Iterator[tuple[str, int]]:
    """An address on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


def reply(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Misbehaviour:
    """One whole answer."""

    async def behave(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw(body, *headers, status=status))
        await writer.drain()

    return behave


def raw(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """The bytes of one whole answer."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def bytes_of(data: bytes) -> Misbehaviour:
    """Exactly these bytes, then the end."""

    async def behave(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def endless(head: bytes, again: bytes, pause: float = 0.0) -> Misbehaviour:
    """A head, then the same again and again."""

    async def behave(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def silence(_head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Nothing until the other side goes."""
    await reader.read()


async def reset(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RST instead of an answer."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"\0" * (20 << 20))
LATE = "no answer in 0.4 s"
HEADERS = "its headers are too many or too long"
NOT_HTTP = "it answered something that is not HTTP"

HOSTILE: dict[str, tuple[Misbehaviour, str]] = {
    "silence": (silence, LATE),
    "reset": (reset, "connection reset by peer"),
    "closed without a word": (bytes_of(b""), "it closed the connection without an answer"),
    "garbage": (bytes_of(b"\x16\x03\x01\x02\0\x01\0\x01\xfc" * 100), NOT_HTTP),
    "another protocol": (bytes_of(b"SSH-2.0-OpenSSH_9.2p1\r\n"), NOT_HTTP),
    "status without a number": (bytes_of(b"HTTP/1.1 abc OK\r\n\r\n"), NOT_HTTP),
    "one header too long": (reply(b"", b"A: " + b"x" * 100_000), HEADERS),
    "too many headers": (reply(b"", *(b"A%d: x" % i for i in range(2000))), HEADERS),
    "headers without end": (endless(b"HTTP/1.1 200 OK\r\n", b"A: " + b"x" * 500 + b"\r\n"), HEADERS),
    "a header a moment": (endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0.05), LATE),
    "100 Continue without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), LATE),
    "body larger than the limit": (reply(b"x" * (LIMIT + 1)), f"a body larger than {LIMIT} bytes"),
    "length of a terabyte": (
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n", MORE),
        f"a body larger than {LIMIT} bytes",
    ),
    "chunks without end": (endless(CHUNKED, b"10000\r\n" + MORE + b"\r\n"), f"a body larger than {LIMIT} bytes"),
    "a chunk a moment": (endless(CHUNKED, b"1\r\nx\r\n", 0.05), LATE),
    "a body byte a moment": (endless(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", b"x", 0.05), LATE),
    "body until close, without end": (endless(b"HTTP/1.0 200 OK\r\n\r\n", MORE), f"a body larger than {LIMIT} bytes"),
    "body that breaks off": (bytes_of(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx"), "its body broke off"),
    "chunk with a bad length": (bytes_of(CHUNKED + b"zz\r\nx\r\n0\r\n\r\n"), NOT_HTTP),
}
"""By name: what it does, and what the client says of it with 0.4 seconds and ``LIMIT`` bytes."""


class TurnedClock(SystemClock):
    """Real randomness; the time is what the test says."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time
