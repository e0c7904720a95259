"""One connection to one server: TLS, login by SCRAM, then one query at a time.

By default it is one of the kind that both speaks SQL and knows the commands of the replication protocol
(``replication=database``). Those tell what no SQL does (the timeline that a standby has come to), and such connections
are counted against ``max_wal_senders``, so that applications that have taken all others leave peerboot its own.

A server proves that it knows the password, or nothing that it says is believed: an address may have gone to another
Pod. The password itself is never sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NotRequired, Required, TypedDict, Unpack

from peerboot.outside.postgres import wire
from peerboot.outside.postgres.errors import PostgresError, told
from peerboot.outside.scram import Exchange
from peerboot.saslprep import prepared

MESSAGE = 1 << 20
"""Bytes of one message that are taken."""
MOST = 4 << 20
"""Bytes of all messages of a connection."""
BUFFER = 1 << 16
CLOSE_SECONDS = 1.0
IDLE_SECONDS = 60
"""Then the server ends a connection on which nothing comes, as when this process was frozen."""
APPLICATION = "peerboot"
FIRST = b"RENv"
"""Types of messages with which a server may begin: Authentication, ErrorResponse, NoticeResponse,
NegotiateProtocolVersion."""
TAKEN = b"RDZvNSAKTCI"
"""Those that may come later: also rows, their descriptions and ends, settings, notifications, the key to cancel."""


class How(TypedDict, total=False):
    """How a server is reached; the same for each call."""

    password: Required[str]
    tls: Required[ssl.SSLContext | None]
    """Whom to trust. None: nothing is encrypted."""
    timeout: Required[float]
    """Seconds for the call as a whole."""
    name: NotRequired[str]
    """What the certificate has to name; the address if it is empty."""
    user: NotRequired[str]
    database: NotRequired[str]


class Connection:
    """Made by ``connected``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._left = MOST
        self.silent = True
        """It has not said anything."""
        self.sent = False
        """A query may have reached the server, and it has not been answered."""
        self._ready = False
        """It takes queries."""

    async def login(self, parameters: dict[str, str], password: str) -> None:
        """Say who we are, and go on until it takes queries. Raises ``PostgresError``."""
        self._writer.write(wire.startup(parameters))
        # The server looks for the role by the name above, and ignores the one in SCRAM.
        scram = Exchange(
            "sha256", parameters["user"], prepared(password), secrets.token_urlsafe(24),
            error=lambda say: PostgresError("password", say),
        )  # fmt: skip
        step: int | None = wire.SASL
        while True:
            kind, body = await self._message()
            if kind != b"R":
                if kind == b"Z" and step is None:
                    self._ready = True
                    return
                continue
            asked, data = wire.authentication(body)
            if asked != step:
                raise _unwanted(asked, step)
            if asked == wire.SASL:
                if wire.MECHANISM not in wire.mechanisms(data):
                    raise wire.odd(f"a login that is not {wire.MECHANISM}")
                self._writer.write(wire.sasl_initial(scram.first()))
            elif asked == wire.SASL_CONTINUE:
                self._writer.write(wire.sasl_response(scram.final(data)))
            elif asked == wire.SASL_FINAL:
                scram.verify(data)
            step = AFTER[asked]

    async def query(self, sql: str) -> list[wire.Row]:
        """All rows of all its statements. Raises ``PostgresError``; the connection is of no use then."""
        self.sent = True
        self._writer.write(wire.query(sql))
        rows = []
        while True:
            kind, body = await self._message()
            if kind == b"D":
                rows.append(wire.row(body))
            elif kind == b"Z":
                self.sent = False
                return rows

    async def _message(self) -> tuple[bytes, bytes]:
        """The next one, its type and what it says; an error is raised."""
        await self._writer.drain()
        kind, length = wire.HEAD.unpack(await self._reader.readexactly(wire.HEAD.size))
        if self.silent and kind not in FIRST:
            raise wire.odd("something that is not its protocol")
        self.silent = False
        length -= 4
        if not 0 <= length <= MESSAGE:
            raise wire.odd(f"a message of {length + 4} bytes")
        self._left -= wire.HEAD.size + length
        if self._left < 0:
            raise wire.odd(f"more than {MOST} bytes")
        body = await self._reader.readexactly(length)
        if kind == b"E":
            raise told(wire.fields(body), sent=self.sent)
        if kind not in TAKEN:
            raise wire.odd("a message that nobody asked for")
        return kind, body

    async def close(self) -> None:
        """Close it at once. The server is told, or it would log a connection that broke; TLS is not asked to say
        good-bye.
        """
        if self._ready:
            self._writer.write(wire.TERMINATE)
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()


AFTER: dict[int, int | None] = {
    wire.SASL: wire.SASL_CONTINUE, wire.SASL_CONTINUE: wire.SASL_FINAL, wire.SASL_FINAL: wire.OK, wire.OK: None,
}  # fmt: skip
"""What follows each step of a login; after the last nothing does."""


@asynccontextmanager
async def connected(
    address: str, port: int, *, replication: bool = True, **how: Unpack[How]
) -> AsyncIterator[Connection]:
    """A connection that is logged in, within ``timeout`` seconds for it and all that is done with it (see ``How``).

    Raises ``PostgresError``, and nothing else but for ``ValueError`` where an argument cannot be written.
    """
    found: Connection | None = None
    timeout = how["timeout"]
    parameters = {
        "user": how.get("user") or APPLICATION,
        "database": how.get("database") or "postgres",
        "application_name": APPLICATION,
        "client_encoding": "UTF8",
        # Names of functions are those of the system, whatever somebody made in this database.
        "search_path": "pg_catalog",
        "statement_timeout": f"{max(1, int(timeout * 1000))}",
        "idle_session_timeout": f"{IDLE_SECONDS * 1000}",
        **({"replication": "database"} if replication else {}),
    }
    try:
        async with asyncio.timeout(timeout):
            found = await _opened(address, port, how["tls"], how.get("name") or address)
            await found.login(parameters, how["password"])
            yield found
    except TimeoutError:
        what = "no connection" if found is None else "no whole answer"
        raise PostgresError("timeout", f"{what} in {timeout:g} s", sent=found is not None and found.sent) from None
    except asyncio.IncompleteReadError as error:
        raise _ended(found, error) from None
    except (OSError, UnicodeError) as error:
        raise _failed(error, sent=found is not None and found.sent) from None
    finally:
        if found is not None:
            await found.close()


async def _opened(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Connection:
    """TCP, then TLS where it is wanted. The limit is that of the reader's buffer, beyond which it stops to read."""
    sock = await _socket(address, port)
    try:
        if tls is None:
            reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER)
        else:
            await _ask_for_tls(sock)
            reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER, ssl=tls, server_hostname=name)
    except (ConnectionResetError, BrokenPipeError) as error:
        sock.close()
        if tls is None:
            raise
        raise PostgresError("tls", "the connection was closed where TLS should begin") from error
    except BaseException:
        sock.close()
        raise
    return Connection(reader, writer)


async def _socket(address: str, port: int) -> socket.socket:
    """Connected to the first of its addresses that takes it."""
    loop = asyncio.get_running_loop()
    try:
        version = ipaddress.ip_address(address).version
        places: list[tuple[int, Any]] = [(socket.AF_INET6 if version == 6 else socket.AF_INET, (address, port))]
    except ValueError:
        found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        places = [(one[0], one[4]) for one in found]
    failure: OSError = OSError("the name has no address")
    for family, place in places:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _ask_for_tls(sock: socket.socket) -> None:
    """SSLRequest. Not a byte more than the answer is read before TLS begins, or somebody in between could put words
    into the server's mouth (CVE-2021-23222).
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, wire.TLS_REQUEST)
    answer = await loop.sock_recv(sock, 1)
    if answer == b"S":
        return
    if answer == b"N":
        raise PostgresError("tls", "it does not speak TLS: ssl is off there")
    if answer == b"E":
        # Not to be read: nobody vouches for it (CVE-2024-10977).
        raise PostgresError("tls", "it answered with an error where TLS should begin: its log says more")
    if not answer:
        raise PostgresError("refused", "it closed the connection without an answer")
    raise wire.odd("something that is not its protocol")


def _unwanted(asked: int, step: int | None) -> PostgresError:
    if step == wire.SASL and (asked == wire.OK or asked in wire.WAYS):
        what = "lets this role in without a password" if asked == wire.OK else f"asks this role for {wire.WAYS[asked]}"
        return PostgresError("hba", f"its pg_hba.conf {what}: the line of this role has to say scram-sha-256")
    return wire.odd("a step of the login that does not follow")


def _ended(found: Connection | None, error: asyncio.IncompleteReadError) -> PostgresError:
    if found is not None and found.silent and not error.partial:
        return PostgresError("refused", "it closed the connection without an answer")
    if found is not None and found.silent:
        return wire.odd("something that is not its protocol")
    return PostgresError("refused", "it closed the connection", sent=found is not None and found.sent)


def _failed(error: OSError | UnicodeError, *, sent: bool) -> PostgresError:
    """``connection refused``, ``certificate has expired``, ``Name or service not known`` … in these kinds."""
    if isinstance(error, ssl.SSLError):
        text = getattr(error, "verify_message", None) or error.reason or "no TLS"
        return PostgresError("tls", str(text).lower().replace("_", " ").rstrip("."), sent=sent)
    if isinstance(error, ConnectionRefusedError):
        return PostgresError("refused", "connection refused")
    if isinstance(error, ConnectionResetError):
        return PostgresError("refused", "connection reset", sent=sent)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return PostgresError("refused", str(text).lower(), sent=sent)
