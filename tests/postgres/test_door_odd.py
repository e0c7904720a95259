"""What the door makes of servers that are none, lie, or never end: one error, in time, and nothing that stays."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot.outside import postgres
from peerboot.outside.postgres import PostgresError, wire
from peerboot.outside.postgres.connection import MOST
from peerboot.outside.postgres.errors import told
from peerboot.outside.postgres.log import LONG, PAGE, SHORT, _heads
from tests.doors.hostile import no_one

PASSWORD = "pencil"
SECONDS = 0.4
"""What the door gets where nothing else ends it."""
SALT, ROUNDS = b"salt" * 4, 4096

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A whole one."""
    return kind + struct.pack("!i", len(body) + 4) + body


def asks(what: int, more: bytes = b"") -> bytes:
    """An Authentication message."""
    return message(b"R", struct.pack("!i", what) + more)


def row(*values: bytes | None) -> bytes:
    """A DataRow."""
    parts = [struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in values]
    return message(b"D", struct.pack("!h", len(values)) + b"".join(parts))


SASL = asks(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
READY = message(b"Z", b"I")


class There:
    """A fake that listens."""

    def __init__(self) -> None:
        self.place = ("", 0)
        self.asked: list[bytes] = []
        """What came, message by message."""
        self.arrived, self.gone = asyncio.Event(), asyncio.Event()


@asynccontextmanager
async def fake(behave: Behaviour) -> AsyncIterator[There]:
    """Takes one startup message at each connection, and behaves."""
    tasks: set[asyncio.Task[None]] = set()
    there = There()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                (length,) = struct.unpack("!i", await reader.readexactly(4))
                there.asked.append(await reader.readexactly(length - 4))
                there.arrived.set()
                await behave(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            there.gone.set()
            writer.close()
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    there.place = listening.sockets[0].getsockname()
    try:
        yield there
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(*parts: bytes) -> Behaviour:
    """These bytes, then the end."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()

    return behave


def endless(head: bytes, again: bytes, pause: float = 0.0) -> Behaviour:
    """A begin, then the same again and again."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Nothing until the other side goes."""
    await reader.read()


async def _told(reader: asyncio.StreamReader) -> bytes:
    """The body of the next message."""
    _, length = struct.unpack("!ci", await reader.readexactly(5))
    return await reader.readexactly(length - 4)


def lets_in(then: Behaviour, *, rounds: int = ROUNDS, proves: bool = True) -> Behaviour:
    """SCRAM as a server does it, of a server that knows the password."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SASL)
        first = (await _told(reader)).partition(b"n,,")[2]
        challenge = first.partition(b"r=")[2] + b"more,s=" + base64.b64encode(SALT) + b",i=%d" % rounds
        challenge = b"r=" + challenge
        writer.write(asks(11, challenge))
        without_proof = (await _told(reader)).partition(b",p=")[0]
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, rounds)
        key = hmac.digest(salted, b"Server Key" if proves else b"another", "sha256")
        proof = hmac.digest(key, b",".join([first, challenge, without_proof]), "sha256")
        writer.write(asks(12, b"v=" + base64.b64encode(proof)) + asks(0) + message(b"K", bytes(8)) + READY)
        await then(reader, writer)

    return behave


def answers(*parts: bytes) -> Behaviour:
    """To IDENTIFY_SYSTEM as a server does, to the next query with these bytes, then nothing."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _told(reader)
        writer.write(row(b"7", b"1", b"0/10", b"postgres") + message(b"C", b"IDENTIFY_SYSTEM\0") + READY)
        await _told(reader)
        for part in parts:
            writer.write(part)
        await silence(reader, writer)

    return lets_in(behave)


def error(code: bytes, text: bytes, **more: bytes) -> bytes:
    """An ErrorResponse."""
    fields = {"S": b"FATAL", "C": code, "M": text, **more}
    return message(b"E", b"".join(name.encode() + value + b"\0" for name, value in fields.items()) + b"\0")


async def failure(there: There, timeout: float = 30.0) -> PostgresError:
    """The error of a look; nothing of it is left."""
    with pytest.raises(PostgresError) as caught:
        await postgres.look(*there.place, password=PASSWORD, tls=None, timeout=timeout)
    await asyncio.wait_for(there.gone.wait(), 30)
    return caught.value


LATE = ("timeout", "no whole answer in 0.4 s")


def odd(what: str) -> tuple[str, str]:
    """What is said of somebody who is no Postgres."""
    return "odd", f"it answered with {what}: is that a Postgres?"


NOT_PROTOCOL = odd("something that is not its protocol")

LATER: dict[str, tuple[Behaviour, tuple[str, str]]] = {
    "silence": (silence, LATE),
    "silence after the login": (lets_in(silence), LATE),
    "a byte a moment": (endless(b"R\0\0\1\0", b"\0", 0.05), LATE),
    "notices without end, slowly": (endless(b"", message(b"N", b"MX\0\0"), 0.02), LATE),
}
"""By name: what it does, and what becomes of it within 0.4 seconds."""

ODD: dict[str, tuple[Behaviour, tuple[str, str]]] = {
    "closed without a word": (says(), ("refused", "it closed the connection without an answer")),
    "closed within a head": (says(b"R\0"), NOT_PROTOCOL),
    "closed within a message": (says(b"R\0\0\0\x20abc"), ("refused", "it closed the connection")),
    "HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), NOT_PROTOCOL),
    "SSH": (says(b"SSH-2.0-OpenSSH_9.2p1\r\n"), NOT_PROTOCOL),
    "TLS": (says(b"\x15\x03\x01\0\x02\x02\x46" * 9), NOT_PROTOCOL),
    "a row first": (says(row(b"1")), NOT_PROTOCOL),
    "a length of two gigabytes": (
        says(b"R\x7f\xff\xff\xff"), odd("a message of 2147483647 bytes"),
    ),
    "a negative length": (says(b"E\xff\xff\xff\xff"), odd("a message of -1 bytes")),
    "a length without itself": (says(b"R\0\0\0\x03"), odd("a message of 3 bytes")),
    "notices without end": (
        endless(b"", message(b"N", b"M" + b"x" * 9000 + b"\0\0")),
        odd(f"more than {MOST} bytes"),
    ),
    "a login without a kind": (
        says(message(b"R", b"\0")), odd("a login without a kind"),
    ),
    "no password": (
        says(asks(0)),
        ("hba", "its pg_hba.conf lets this role in without a password: the line of this role has to say scram-sha-256"),
    ),
    "the password in clear": (
        says(asks(3)),
        (
            "hba",
            "its pg_hba.conf asks this role for the password in clear: the line of this role has to say scram-sha-256",
        ),
    ),
    "MD5": (
        says(asks(5, b"salt")),
        ("hba", "its pg_hba.conf asks this role for MD5: the line of this role has to say scram-sha-256"),
    ),
    "another SASL": (
        says(asks(10, b"OAUTHBEARER\0\0")),
        odd("a login that is not SCRAM-SHA-256"),
    ),
    "an end before the proof": (
        says(SASL, asks(0), READY),
        odd("a step of the login that does not follow"),
    ),
    "an endless computation": (
        lets_in(silence, rounds=ROUNDS * 17),
        ("password", "the server's login answer has 69632 iterations, where 4096 to 65536 are taken"),
    ),
    "no proof": (
        lets_in(silence, proves=False),
        (
            "password",
            "the server's login answer has no proof that it knows the password: another server, or other credentials",
        ),
    ),
    "in its own language": (
        says(error(b"28P01", "Passwort-Authentifizierung für „x“ fehlgeschlagen".encode("latin-1", "replace"))),
        ("password", "Passwort-Authentifizierung f\ufffdr ?x? fehlgeschlagen"),
    ),
    "an error without words": (says(message(b"E", b"\0")), ("sql", "an error without words")),
    "an error with lines": (
        says(error(b"XX000", b"two\nlines\x1b[1m")), ("sql", "two lines [1m (SQLSTATE XX000)"),
    ),
    "no rows": (answers(READY), odd("another number of rows than was asked for")),
    "a row that lies": (
        answers(message(b"D", struct.pack("!hi", 1, 1 << 30) + b"x")),
        odd("a value of 1073741824 bytes in a row of 7"),
    ),
    "a row of thousands": (
        answers(message(b"D", struct.pack("!H", 65535))),
        odd("a row of 65535 columns"),
    ),
    "no JSON": (
        answers(row(None, b"0") + row(b"{]") + READY),
        odd("something else than was asked for"),
    ),
    "other JSON": (
        answers(row(None, b"0") + row(b'{"version": "x"}') + READY),
        odd("something else than was asked for"),
    ),
    "a copy": (answers(message(b"H", b"\0\0\0")), odd("a message that nobody asked for")),
    "an end in the middle": (
        answers(error(b"57P01", b"terminating connection")), ("starting", "terminating connection"),
    ),
}  # fmt: skip
"""By name: what it does, and what the door says of it, however long it may take."""


@pytest.mark.parametrize(("behave", "expected"), LATER.values(), ids=LATER.keys())
async def test_what_never_ends_is_ended(behave: Behaviour, expected: tuple[str, str]) -> None:
    """In time, with the connection closed."""
    async with fake(behave) as there:
        found = await failure(there, SECONDS)
        assert (found.kind, str(found)) == expected
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("behave", "expected"), ODD.values(), ids=ODD.keys())
async def test_what_is_no_postgres_is_told_from_one(behave: Behaviour, expected: tuple[str, str]) -> None:
    """Each in one line, with the connection closed."""
    async with fake(behave) as there:
        found = await failure(there)
        assert (found.kind, str(found)) == expected
        assert PASSWORD.encode() not in b"".join(there.asked)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nobody_listens() -> None:
    """The system says so at once."""
    with no_one() as place, pytest.raises(PostgresError) as caught:
        await postgres.look(*place, password=PASSWORD, tls=None, timeout=30)
    assert (caught.value.kind, str(caught.value)) == ("refused", "connection refused")


async def test_what_became_of_a_call_is_not_known() -> None:
    """An end before the answer says so; an answer, also one that refuses, does not."""
    for behave, expected in (
        (lets_in(says()), ("refused", True)),
        (lets_in(says(error(b"57P01", b"terminating"))), ("starting", True)),
        (lets_in(says(error(b"55000", b"recovery is not in progress"))), ("sql", False)),
        (says(), ("refused", False)),
    ):
        async with fake(behave) as there:
            with pytest.raises(PostgresError) as caught:
                await postgres.promote(*there.place, password=PASSWORD, tls=None, timeout=30)
        assert (caught.value.kind, caught.value.sent) == expected


async def test_a_look_that_is_given_up_is_gone() -> None:
    """A cancelled one closes its connection before it ends."""
    for behave in (silence, lets_in(silence)):
        async with fake(behave) as there:
            task = asyncio.create_task(postgres.look(*there.place, password=PASSWORD, tls=None, timeout=30))
            await there.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(there.gone.wait(), 30)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_asks_is_told() -> None:
    """In the server's views and logs it is peerboot, for a bounded time, and with no names but the system's."""
    async with fake(says()) as there:
        await failure(there, 2.0)
    parts = there.asked[0][4:].split(b"\0")
    assert dict(zip(parts[::2], parts[1::2], strict=False)) == {
        b"user": b"peerboot", b"database": b"postgres", b"application_name": b"peerboot", b"client_encoding": b"UTF8",
        b"search_path": b"pg_catalog", b"statement_timeout": b"2000", b"idle_session_timeout": b"60000",
        b"replication": b"database", b"": b"",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "Pg", "a b", "a'", "a" * 64, "a\0", "ä"])
async def test_a_name_that_is_none_is_the_callers_mistake(name: str) -> None:
    """It is found before anybody is asked."""
    for call in (postgres.make_slot, postgres.drop_slot):
        with pytest.raises(ValueError, match="is no name of a slot"):
            await call("127.0.0.1", 1, name, password=PASSWORD, tls=None, timeout=30)


# --------------------------------------------------------------------- bytes


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_row_or_one_error(body: bytes) -> None:
    """Nothing but ``PostgresError`` is raised, and no room is made for what is not there."""
    found: wire.Row = ()
    with contextlib.suppress(PostgresError):
        found = wire.row(body)
    assert sum(len(value.encode()) for value in found if value) <= len(body)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_an_error_of_a_server(body: bytes) -> None:
    """Whatever is in one, it can be shown."""
    shown = str(told(wire.fields(body)))
    assert (shown.isprintable(), len(shown) <= 700) == (True, True)


def test_what_is_written_is_read() -> None:
    """Rows as servers write them: NULL, nothing, text."""
    assert wire.row(row(None, b"", "ä".encode())[5:]) == (None, "", "ä")


@given(pages=st.integers(2, 16), start=st.integers(0, 1 << 40).map(lambda n: n * 8), more=st.integers(4, 1 << 18))
def test_heads_of_pages_are_counted(pages: int, start: int, more: int) -> None:
    """Those that begin between two positions; the first of each file is longer."""
    segment = pages * PAGE
    begins = range(start // PAGE * PAGE + PAGE, start + more, PAGE)
    expected = sum(SHORT if at % segment else LONG for at in begins)
    assert expected == _heads(start, start + more, segment)
