"""An API server on loopback for tests: TLS with a CA of its own, tokens, and bad manners on demand."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.run.api_model import Api

Manners = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Answers a request in place of the API."""


@dataclass(frozen=True)
class Certificates:
    """A CA, and what it signed for an address."""

    ca: Path
    chain: Path
    key: Path


def make_certificates(folder: Path, name: str, address: str = "127.0.0.1") -> Certificates:
    """A new CA and a server's certificate; by the ``openssl`` command, which every system of the tests has."""
    base = folder / name
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    made = Certificates(Path(f"{base}-ca.crt"), Path(f"{base}.crt"), Path(f"{base}.key"))
    _openssl("req", "-x509", *curve, "-subj", f"/CN={name}", "-keyout", f"{base}-ca.key", "-out", str(made.ca))
    _openssl(
        "req", "-x509", *curve, "-subj", "/CN=kube-apiserver", "-addext", f"subjectAltName=IP:{address}",
        "-addext", "basicConstraints=critical,CA:FALSE", "-CA", str(made.ca), "-CAkey", f"{base}-ca.key",
        "-keyout", str(made.key), "-out", str(made.chain),
    )  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - our own words


@dataclass
class ApiServer:
    """One that listens."""

    api: Api
    tokens: set[str]
    tls: ssl.SSLContext
    port: int = 0
    manners: Manners | None = None
    heads: list[bytes] = field(default_factory=list)

    @property
    def base(self) -> str:
        """What ``base_of`` makes of the environment."""
        return f"https://127.0.0.1:{self.port}"

    def present(self, certificates: Certificates) -> None:
        """From the next connection on it shows this certificate."""
        self.tls.load_cert_chain(certificates.chain, certificates.key)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if self.manners is not None:
            await self.manners(writer)
            return
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            status, answer = 401, b'{"kind":"Status","message":"Unauthorized","code":401}'
        else:
            status, answer = self.api.answer(method, path, body)
        writer.write(reply(answer, status))
        await writer.drain()


def reply(body: bytes, status: int = 200, length: int | None = None) -> bytes:
    """An HTTP reply that closes."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def api_server(certificates: Certificates, *tokens: str) -> AsyncIterator[ApiServer]:
    """An API server with the things that the manifests ship; all its connections end with it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found = ApiServer(Api(), set(tokens), tls)
    found.api.ship()
    found.present(certificates)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await found.serve(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    found.port = listening.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
