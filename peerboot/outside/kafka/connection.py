"""One connection to one broker or controller: TLS, versions, login, then one request at a time.

The caller bounds each wait; a connection on which anything but an answer happened is closed, for its next bytes could
belong to the request that was given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from peerboot import __version__
from peerboot.outside.kafka import requests, responses
from peerboot.outside.kafka.errors import KafkaError, check
from peerboot.outside.kafka.requests import Api
from peerboot.outside.kafka.scram import Login, Scram, plain
from peerboot.outside.kafka.values import Server
from peerboot.outside.kafka.wire import Reader

T = TypeVar("T")
CLIENT = "peerboot"
SMALLEST_FRAME = 4
FRAME = 8 << 20
"""Bytes of an answer that are taken, as the default."""
TLS_ALERT = b"\x15\x03"
"""How a listener with TLS answers to somebody without."""
CLOSE_SECONDS = 1.0
ALL_REFUSED = f"[Errno {errno.ECONNREFUSED}]"
"""In the text of the error for a name with several addresses."""
RENEW = 0.8
"""Of the time that a login holds; after that the next request gets a new connection (KIP-368)."""

MAX_GREETING = 10_000
"""Entries of an answer before the login: Kafka 4.3 has some ninety calls and ten features."""
UNSUPPORTED_MECHANISM = 33
SASL_ERRORS = ("UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "SASL_AUTHENTICATION_FAILED")


class Address(NamedTuple):
    """Host (a name, IPv4 or IPv6 without brackets) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """``host:port`` or ``[ip6]:port``; raises ``ValueError``."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not host:port")
        return cls(host, int(port))


class Connection:
    """Made by ``connect``."""

    def __init__(
        self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int
    ) -> None:
        self.address = address
        self.server = Server(ranges={})
        """What it can do."""
        self._reader = reader
        self._writer = writer
        self._limit = limit
        self._correlation = 0
        self._ends = float("inf")
        self._busy = asyncio.Lock()

    @property
    def usable(self) -> bool:
        """Open on both sides, as far as is known, and the login holds."""
        ended = self._writer.transport.is_closing() or self._reader.at_eof() or self._reader.exception() is not None
        return not ended and asyncio.get_running_loop().time() < self._ends

    @property
    def busy(self) -> bool:
        """A call is under way."""
        return self._busy.locked()

    def version(self, api: Api) -> int:
        """The highest that both sides know; raises ``KafkaError``: ``unsupported``."""
        low, high = self.server.ranges.get(api.key, (0, -1))
        found = min(high, api.highest)
        if found >= max(low, api.lowest):
            return found
        theirs = f"it has {low} to {high}" if high >= low else "it has none"
        ours = str(api.lowest) if api.lowest == api.highest else f"{api.lowest} to {api.highest}"
        raise KafkaError("unsupported", f"{api.name} is needed in version {ours}, {theirs}")

    async def call(
        self, api: Api, version: int, body: bytes, decode: Callable[[Reader], T], *, deadline: float, entries: int
    ) -> T:
        """Send one request and take its answer apart. Raises ``KafkaError``; ``sent`` if no whole answer came."""
        try:
            async with _until(deadline):
                await self._busy.acquire()
        except TimeoutError:
            raise KafkaError("timeout", "no time left behind other calls") from None
        try:
            if asyncio.get_running_loop().time() >= deadline:
                raise KafkaError("timeout", "no time left")
            if self._writer.transport.is_closing():
                raise KafkaError("refused", "the connection was closed by a call before this one")
            raw = await self._exchange(api, version, body, deadline)
        finally:
            self._busy.release()
        reader = Reader(raw, entries=entries)
        try:
            # ApiVersions keeps the header of version 0, so that every release can read it (KIP-511).
            if api.flexible and api is not requests.API_VERSIONS:
                reader.tags()
            return decode(reader)
        except KafkaError as error:
            if error.outcome == "protocol":
                await self.close()
                raise error.at(api.name, sent=True) from None
            raise

    async def _exchange(self, api: Api, version: int, body: bytes, deadline: float) -> bytes:
        """What stands behind the correlation id of the answer."""
        self._correlation = (self._correlation + 1) & 0x7FFFFFFF
        message = requests.frame(api, version, self._correlation, CLIENT, body)
        done = False
        try:
            async with _until(deadline):
                self._writer.write(message)
                await self._writer.drain()
                raw = await self._frame()
            done = True
            return raw
        except TimeoutError:
            raise KafkaError("timeout", "no answer in time", sent=True) from None
        except asyncio.IncompleteReadError:
            raise KafkaError("refused", "the connection was closed in the middle of an answer", sent=True) from None
        except OSError as error:
            raise _failed(error, sent=True) from None
        finally:
            if not done:
                # Also where this task is cancelled: the answer may still be on its way.
                self._writer.transport.abort()

    async def _frame(self) -> bytes:
        try:
            head = await self._reader.readexactly(4)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise KafkaError("refused", "the connection was closed without an answer", sent=True) from None
        size = int.from_bytes(head, "big", signed=True)
        if head.startswith(TLS_ALERT):
            raise KafkaError("tls", "it speaks TLS, and was spoken to without", sent=True)
        if not SMALLEST_FRAME <= size <= self._limit:
            raise KafkaError("protocol", f"an answer of {size} bytes, where up to {self._limit} are taken", sent=True)
        # Read apart, so that the rest, which may be large, is not copied to be without it.
        if int.from_bytes(await self._reader.readexactly(4), "big", signed=True) != self._correlation:
            raise KafkaError("protocol", "an answer to another request", sent=True)
        return await self._reader.readexactly(size - 4)

    async def greet(self, deadline: float) -> None:
        """Learn what it can do. Version 4 of ApiVersions, for 3 leaves out features that begin at 0, else 3."""
        api = requests.API_VERSIONS
        body = requests.api_versions(CLIENT, _release())
        for version in (api.highest, api.lowest):
            accepted, self.server = await self.call(
                api, version, body, responses.api_versions, deadline=deadline, entries=MAX_GREETING
            )
            if accepted:
                return
            self.version(api)
        raise KafkaError("unsupported", "ApiVersions was refused in the version that the server named")

    async def login(self, login: Login, deadline: float) -> None:
        """SaslHandshake 1 and SaslAuthenticate 2; raises ``KafkaError``: ``sasl`` if it is not accepted."""
        try:
            await self._login(login, deadline)
        except KafkaError as error:
            if error.outcome == "answered" and error.name in SASL_ERRORS:
                raise KafkaError("sasl", str(error), code=error.code) from None
            raise

    async def _login(self, login: Login, deadline: float) -> None:
        lifetime = 0

        async def send(token: bytes) -> bytes:
            nonlocal lifetime
            api = requests.SASL_AUTHENTICATE
            body = requests.sasl_authenticate(token)
            found, lifetime = await self.call(
                api, self.version(api), body, responses.sasl_authenticate, deadline=deadline, entries=MAX_GREETING
            )
            return found

        shake = requests.SASL_HANDSHAKE
        code, offered = await self.call(
            shake,
            self.version(shake),
            requests.sasl_handshake(login.mechanism),
            responses.sasl_handshake,
            deadline=deadline,
            entries=MAX_GREETING,
        )
        if code == UNSUPPORTED_MECHANISM:
            raise KafkaError("sasl", f"it takes {', '.join(offered) or 'no SASL'}, not {login.mechanism}", code=code)
        check(code)
        await _exchange_tokens(login, send)
        if lifetime:
            self._ends = asyncio.get_running_loop().time() + lifetime / 1000 * RENEW

    async def close(self) -> None:
        """Close it at once; TLS is not asked to say good-bye."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()


async def _exchange_tokens(login: Login, send: Callable[[bytes], Awaitable[bytes]]) -> None:
    if login.mechanism == "PLAIN":
        await send(plain(login))
        return
    scram = Scram(login, secrets.token_urlsafe(24))
    scram.verify(await send(scram.final(await send(scram.first()))))


async def connect(
    address: Address,
    *,
    tls: ssl.SSLContext | None = None,
    tls_name: str = "",
    login: Login | None = None,
    deadline: float,
    limit: int = FRAME,
) -> Connection:
    """An open connection that knows the server's versions and is logged in, by ``deadline`` (the loop's time).

    ``tls``: whom to trust; the certificate has to name ``tls_name``, or else ``address.host``. Raises ``KafkaError``.
    """
    name = (tls_name or address.host) if tls is not None else None
    try:
        async with _until(deadline):
            # The limit is that of the reader's buffer, beyond which it stops to read: not that of a frame.
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls, server_hostname=name)
    except TimeoutError:
        raise KafkaError("timeout", "no connection in time") from None
    except (OSError, UnicodeError) as error:
        raise _failed(error, tls=tls is not None) from None
    found = Connection(address, reader, writer, limit)
    try:
        await found.greet(deadline)
        if login is not None:
            await found.login(login, deadline)
    except BaseException as error:
        await found.close()
        if isinstance(error, KafkaError):
            # Nothing of what was asked for has been sent yet.
            raise KafkaError(error.outcome, str(error), code=error.code) from None
        raise
    return found


def _until(deadline: float) -> asyncio.Timeout:
    return asyncio.timeout_at(deadline)


def _failed(error: OSError | UnicodeError, *, tls: bool = False, sent: bool = False) -> KafkaError:
    """``connection refused``, ``certificate has expired``, ``Name or service not known`` … in Kafka's outcomes."""
    if isinstance(error, ssl.SSLError):
        text = getattr(error, "verify_message", None) or error.reason or "no TLS"
        return KafkaError("tls", str(text).lower().replace("_", " ").rstrip("."), sent=sent)
    if isinstance(error, ConnectionRefusedError) or ALL_REFUSED in str(error):
        return KafkaError("refused", "connection refused")
    if isinstance(error, ConnectionResetError):
        if tls and not sent:
            return KafkaError("tls", "the connection was closed where TLS should begin")
        return KafkaError("refused", "connection reset", sent=sent)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return KafkaError("refused", str(text).lower(), sent=sent)


def _release() -> str:
    """The version in the characters that KIP-511 allows; another would be refused as an invalid request."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in __version__).strip("-")
    return kept or "0"
