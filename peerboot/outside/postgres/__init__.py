"""The door to running Postgres servers: what each says of itself, and the calls that change something.

errors.py      what went wrong, in a closed set of words       wire.py   the protocol's bytes, read with bounds
values.py      what a server says of itself                    log.py    where a standby's log ends
connection.py  one connection: TLS, login, queries             calls.py  the questions and calls

It speaks the protocol itself, for what decides is in the replication protocol alone: the timeline that a standby has
come to. asyncpg gives no rows of its commands, sends the password in clear to whoever asks for it, and lets a server
make it compute for minutes. Cost beside aiohttp, dnspython and structlog: 0.9 MiB when it is imported, 1.3 MiB after
twenty looks (asyncpg 0.32: 2.6 and 3.3, and 12 MB installed), 8 ms for a look on loopback.
"""

from __future__ import annotations

from peerboot.outside.postgres.calls import (
    checkpoint,
    drop_slot,
    history,
    look,
    make_slot,
    promote,
    reload,
)
from peerboot.outside.postgres.connection import How
from peerboot.outside.postgres.errors import SLOT_IN_USE, Kind, PostgresError
from peerboot.outside.postgres.values import Seen, Slot, Stream

__all__ = [
    "look", "Seen", "Stream", "Slot",
    "promote", "checkpoint", "reload", "make_slot", "drop_slot", "history",
    "How", "PostgresError", "Kind", "SLOT_IN_USE",
]  # fmt: skip
