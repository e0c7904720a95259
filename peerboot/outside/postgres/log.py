"""Where the log of a standby ends (src/include/access/xlog_internal.h, xlogrecord.h)."""

from __future__ import annotations

import re

from peerboot.outside.postgres.connection import Connection
from peerboot.outside.postgres.errors import PostgresError
from peerboot.outside.postgres.values import Seen
from peerboot.outside.postgres.wire import Row, odd

PAGE = 8192
"""XLOG_BLCKSZ of every build that is distributed; another is found out, for its files are not read so."""
SHORT, LONG = 24, 40
"""Bytes at the begin of a page, and of the first page of a file."""
LEAST = 24
"""Bytes of the shortest record: its head."""
LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.ASCII)


def identity(rows: list[Row]) -> tuple[int, int]:
    """Timeline and position of an answer to IDENTIFY_SYSTEM; raises ``ValueError``."""
    _system, term, position, *_ = rows[0] if rows else ()
    match = LSN.fullmatch(position or "")
    if match is None:
        raise ValueError("no position")
    return int(term or ""), int(match[1], 16) << 32 | int(match[2], 16)


async def ends_in_a_record(connection: Connection, seen: Seen, segment: int) -> bool:
    """Whether what follows the last record that was replayed is only the begin of another one. False where that
    cannot be read: without its right, or with pages of another size.
    """
    start, end = seen.replayed, seen.received
    if not PAGE <= segment <= 1 << 30 or segment % PAGE:
        return False
    start += _head(start, segment)
    if end < start + 4:
        return True
    high, low = divmod(start // segment, (1 << 32) // segment)
    read = f"pg_read_binary_file('pg_wal/{seen.term:08X}{high:08X}{low:08X}', {start % segment}, 4, true)"
    try:
        rows = await connection.query(f"SELECT encode({read}, 'hex'), current_setting('wal_block_size')")
    except PostgresError as error:
        if error.kind == "sql":
            return False
        raise
    if len(rows) != 1 or len(rows[0]) != 2:
        raise odd("another number of rows than was asked for")
    found, page = rows[0]
    if page != f"{PAGE}" or not found or len(found) != 8:
        return False
    length = int.from_bytes(bytes.fromhex(found), "little")
    return length >= LEAST and start + length > end - _heads(start, end, segment)


def _head(at: int, segment: int) -> int:
    """Bytes of the page's head, where one begins here."""
    if at % PAGE:
        return 0
    return SHORT if at % segment else LONG


def _heads(start: int, end: int, segment: int) -> int:
    """Bytes between them that are heads of pages."""
    first = start // PAGE + 1
    last = (end - 1) // PAGE
    if last < first:
        return 0
    longs = last * PAGE // segment - (first * PAGE - 1) // segment
    return (last - first + 1) * SHORT + longs * (LONG - SHORT)
