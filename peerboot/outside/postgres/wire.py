"""The bytes of Postgres' protocol, version 3.0, as far as peerboot speaks it (PostgreSQL's manual, "Message Formats").

Writers give whole messages; readers take the part behind the length, and raise ``PostgresError``, ``odd``, for what is
no such message, before they make room for anything. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from peerboot.outside.postgres.errors import PostgresError

PROTOCOL = 3 << 16
TLS_REQUEST = struct.pack("!ii", 8, 80877103)
TERMINATE = struct.pack("!ci", b"X", 4)
HEAD = struct.Struct("!ci")
"""Of each message: its type, and its length with itself and without the type."""
OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
"""Of an Authentication message."""
WAYS = {2: "Kerberos", 3: "the password in clear", 5: "MD5", 7: "GSSAPI", 8: "GSSAPI", 9: "SSPI"}
MECHANISM = "SCRAM-SHA-256"
COLUMNS = 16
"""More than any answer has that is asked for here."""

Row = tuple[str | None, ...]


def startup(parameters: Mapping[str, str]) -> bytes:
    """StartupMessage: user, database, and settings of the session."""
    body = struct.pack("!i", PROTOCOL) + b"".join(_text(part) for pair in parameters.items() for part in pair) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    """Query: one or more statements, or one command of the replication protocol."""
    return _message(b"Q", _text(sql))


def sasl_initial(first: bytes) -> bytes:
    """SASLInitialResponse."""
    return _message(b"p", _text(MECHANISM) + struct.pack("!i", len(first)) + first)


def sasl_response(data: bytes) -> bytes:
    """SASLResponse."""
    return _message(b"p", data)


def authentication(body: bytes) -> tuple[int, bytes]:
    """What is asked for, and what more it says."""
    if len(body) < 4:
        raise odd("a login without a kind")
    return int.from_bytes(body[:4], "big"), body[4:]


def mechanisms(body: bytes) -> list[str]:
    """The ways of SASL that a server offers."""
    return [name.decode("ascii", "replace") for name in body.split(b"\0") if name]


def fields(body: bytes) -> dict[str, str]:
    """ErrorResponse: texts by letter. Before the login the encoding is the server's own, so not all may be readable."""
    found = {}
    for part in body.split(b"\0"):
        if part:
            found[chr(part[0])] = part[1:].decode("utf-8", "replace")
    return found


def row(body: bytes) -> Row:
    """DataRow: each value as text, None for NULL."""
    if len(body) < 2:
        raise odd("a row without columns")
    count, at = int.from_bytes(body[:2], "big"), 2
    if count > COLUMNS:
        raise odd(f"a row of {count} columns")
    values: list[str | None] = []
    for _ in range(count):
        if at + 4 > len(body):
            raise odd("a row that is cut off")
        length, at = int.from_bytes(body[at : at + 4], "big", signed=True), at + 4
        if length == -1:
            values.append(None)
            continue
        if not 0 <= length <= len(body) - at:
            raise odd(f"a value of {length} bytes in a row of {len(body)}")
        try:
            values.append(body[at : at + length].decode())
        except UnicodeDecodeError:
            raise odd("text that is not UTF-8") from None
        at += length
    if at != len(body):
        raise odd("a row with more behind its columns")
    return tuple(values)


def odd(what: str) -> PostgresError:
    """What answers is no Postgres."""
    return PostgresError("odd", f"it answered with {what}: is that a Postgres?")


def _message(kind: bytes, body: bytes) -> bytes:
    return HEAD.pack(kind, len(body) + 4) + body


def _text(text: str) -> bytes:
    data = text.encode()
    if b"\0" in data:
        raise ValueError("no text of Postgres' protocol has a zero byte")
    return data + b"\0"
