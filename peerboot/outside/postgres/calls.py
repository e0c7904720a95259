"""What a server is asked, and the few calls that change something. Each is one connection, which ends with it.

All take ``address``, ``port`` and what ``How`` names, and raise ``PostgresError``. A call may have been carried out
although it failed (``PostgresError.sent``): look again.
"""

from __future__ import annotations

import asyncio
import re
from typing import Unpack

import msgspec

from peerboot.outside.postgres import log
from peerboot.outside.postgres.connection import Connection, How, connected
from peerboot.outside.postgres.errors import (
    NO_FILE,
    NO_SLOT,
    NOT_ALLOWED,
    SLOT_EXISTS,
    TOO_MANY,
    PostgresError,
)
from peerboot.outside.postgres.values import Seen
from peerboot.outside.postgres.wire import Row, odd

SLOT = re.compile(r"[a-z0-9_]{1,63}")
WAITING = ("RecoveryRetrieveRetryInterval", "RecoveryWalStream")
"""What the startup process of 15 to 18 waits for when all sources of log have no more: the next try, or the WAL
receiver. Neither it says while it replays, nor while replay is paused (RecoveryPause) or delayed (RecoveryApplyDelay).
"""
PAUSED = "RecoveryPause"

ACTIVITY = """
SELECT string_agg(wait_event, ',') FILTER (WHERE backend_type = 'startup'),
       count(*) FILTER (WHERE wait_event = 'SyncRep')
FROM pg_stat_activity
"""
"""First, for what is replayed is compared with what had come before: who waits at this moment, and has replayed all
that it has by the next one, had nothing left."""

# pg_is_in_recovery() is asked once: a promotion may end in the middle. A primary never goes back. What is replayed is
# read before what was received, so that of a standby that has both alike nothing was left at that moment.
STATE = """
WITH me AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby, pg_last_wal_replay_lsn() AS replayed),
     receiver AS MATERIALIZED (SELECT * FROM pg_stat_wal_receiver),
     streams AS (SELECT * FROM pg_stat_replication WHERE state <> 'startup' ORDER BY pid LIMIT 256),
     slots AS (SELECT * FROM pg_replication_slots ORDER BY slot_type DESC, slot_name LIMIT 256),
     pending AS (SELECT name FROM pg_settings WHERE pending_restart ORDER BY name LIMIT 256)
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'started', extract(epoch FROM pg_postmaster_start_time()),
    'loaded', extract(epoch FROM pg_conf_load_time()),
    'standby', me.standby,
    'system', (SELECT system_identifier::text FROM pg_control_system()),
    'term', CASE WHEN me.standby
        THEN coalesce(receiver.received_tli, (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::bigint END,
    'position', CASE WHEN me.standby THEN 0 ELSE pg_current_wal_flush_lsn() - '0/0' END,
    'replayed', coalesce(me.replayed - '0/0', 0),
    'received', coalesce(pg_last_wal_receive_lsn() - '0/0', 0),
    'receiving', coalesce(receiver.status, ''),
    'received_term', coalesce(receiver.received_tli, 0),
    'upstream', coalesce(receiver.sender_host, ''),
    'lag', CASE WHEN receiver.latest_end_lsn IS NULL THEN -1
        ELSE greatest(receiver.latest_end_lsn - me.replayed, 0) END,
    'streams', (SELECT coalesce(json_agg(json_build_object(
        'name', application_name, 'state', state, 'sync', coalesce(sync_state, ''),
        'flushed', coalesce(flush_lsn - '0/0', 0), 'replayed', coalesce(replay_lsn - '0/0', 0))), '[]') FROM streams),
    'slots', (SELECT coalesce(json_agg(json_build_object(
        'name', slot_name, 'active', active, 'wal_status', coalesce(wal_status, ''),
        'safe_wal_size', CASE WHEN safe_wal_size IS NULL THEN -1 ELSE greatest(safe_wal_size, 0) END,
        'physical', slot_type = 'physical')), '[]') FROM slots),
    'restart_pending', (SELECT coalesce(json_agg(name), '[]') FROM pending),
    'generation', coalesce(current_setting('peerboot.generation', true), ''),
    'read_only', current_setting('default_transaction_read_only') = 'on',
    'segment', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'))
FROM me LEFT JOIN receiver ON true
"""
IDENTITY = "IDENTIFY_SYSTEM"
"""System identifier, timeline, position, database. Of a standby: the timeline of what it has replayed last, and the end
of what it has of that (GetStandbyFlushRecPtr in walsender.c). No SQL tells it: while no WAL receiver runs,
min_recovery_end_timeline is that of the last restartpoint, which may be of a timeline before."""


# Looked for first: an error would be in the server's log each time.
SLOT_MADE = """
SELECT count(pg_create_physical_replication_slot('{slot}', true))
WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}')
"""
SLOT_DROPPED = """
SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots
WHERE slot_name = '{slot}' AND slot_type = 'physical'
"""


class _State(Seen, frozen=True, kw_only=True):
    segment: int
    """Bytes of a file of the log."""


async def look(address: str, port: int, **how: Unpack[How]) -> Seen:
    """What the server says of itself, in two round trips on one connection."""
    clock = asyncio.get_running_loop().time
    end = clock() + how["timeout"]
    try:
        async with connected(address, port, **how) as connection:
            identity = await connection.query(IDENTITY)
            return await _looked(connection, identity)
    except PostgresError as error:
        if error.code not in (TOO_MANY, NOT_ALLOWED):
            raise
    how["timeout"] = max(0.0, end - clock())
    async with connected(address, port, replication=False, **how) as connection:
        return await _looked(connection, None)


async def _looked(connection: Connection, identity: list[Row] | None) -> Seen:
    rows = await connection.query(f"{ACTIVITY};{STATE}")
    if [len(row) for row in rows] != [2, 1]:
        raise odd("another number of rows than was asked for")
    (event, waits), (text,) = rows
    event = event or ""
    try:
        state = msgspec.json.decode(text or "", type=_State)
        found = msgspec.structs.asdict(state)
        found |= {"sync_waits": int(waits or ""), "paused": state.standby and event == PAUSED}
        # A signed number there, an unsigned one everywhere else.
        found["system"] = str(int(state.system) % (1 << 64))
        if not state.standby:
            found["replayed"] = state.position
        elif identity is None:
            found["position"] = max(state.replayed, state.received)
        else:
            found["term"], found["position"] = log.identity(identity)
        segment = found.pop("segment")
    except (msgspec.DecodeError, ValueError):
        raise odd("something else than was asked for") from None
    if identity is None:
        found["ordinary"] = True
    elif state.standby and event in WAITING and await _settled(connection, Seen(**found), segment):
        found |= {"settled": True, "position": state.replayed}
    return Seen(**found)


async def _settled(connection: Connection, seen: Seen, segment: int) -> bool:
    """Whether a standby that waits has replayed all that it has, and nothing came since its timeline was told."""
    if seen.replayed >= seen.received:
        return seen.position == seen.replayed
    # A primary that dies while it sends a long record leaves half of it, which is never replayed.
    return seen.position == seen.received and await log.ends_in_a_record(connection, seen, segment)


async def history(address: str, port: int, term: int, **how: Unpack[How]) -> str:
    """The history file of that timeline, as it is in ``pg_wal``; empty for the first one, and where there is none."""
    if term <= 1:
        return ""
    try:
        async with connected(address, port, **how) as connection:
            rows = await connection.query(f"TIMELINE_HISTORY {term:d}")
    except PostgresError as error:
        if error.code == NO_FILE:
            return ""
        raise
    if len(rows) != 1 or len(rows[0]) != 2:
        raise odd("another number of rows than was asked for")
    return rows[0][1] or ""


async def promote(address: str, port: int, *, seconds: int = 1, **how: Unpack[How]) -> bool:
    """Let a standby take writes; True when it does within ``seconds``, which are fewer than ``timeout``. Otherwise it
    may still come to it.
    """
    return await _one(address, port, f"SELECT pg_promote(true, {seconds:d})", how) == "t"


async def checkpoint(address: str, port: int, **how: Unpack[How]) -> None:
    """Returns when it is done, which may take minutes: what is not done in time is done nevertheless."""
    async with connected(address, port, **how) as connection:
        await connection.query("CHECKPOINT")


async def reload(address: str, port: int, **how: Unpack[How]) -> None:
    """Let it read its settings again. It does so soon after: ``Seen.loaded``."""
    if await _one(address, port, "SELECT pg_reload_conf()", how) != "t":
        raise PostgresError("sql", "it could not tell its own processes to read the settings again")


async def make_slot(address: str, port: int, slot: str, **how: Unpack[How]) -> bool:
    """A physical slot that keeps the log from the last checkpoint on; False if a slot of this name was there."""
    sql = SLOT_MADE.format(slot=_slot(slot))
    try:
        return await _one(address, port, sql, how) == "1"
    except PostgresError as error:
        if error.code == SLOT_EXISTS:  # since it was looked for
            return False
        raise


async def drop_slot(address: str, port: int, slot: str, **how: Unpack[How]) -> bool:
    """Drop a physical slot; False if there was none. ``PostgresError`` with the ``code`` SLOT_IN_USE while somebody
    copies by it.
    """
    sql = SLOT_DROPPED.format(slot=_slot(slot))
    try:
        return await _one(address, port, sql, how) == "1"
    except PostgresError as error:
        if error.code == NO_SLOT:  # since it was looked for
            return False
        raise


async def _one(address: str, port: int, sql: str, how: How) -> str | None:
    """The only value of the only row."""
    async with connected(address, port, **how) as connection:
        rows = await connection.query(sql)
    if len(rows) != 1 or len(rows[0]) != 1:
        raise odd("another number of rows than was asked for")
    return rows[0][0]


def _slot(name: str) -> str:
    if not SLOT.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a slot")
    return name
