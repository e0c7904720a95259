"""One record at the end of etcd's log, by which all its entries count as committed.

``force-new-cluster`` drops what lies beyond the commit index of the last hard state (server/etcdserver/bootstrap.go,
raft.go ``restartAsStandaloneNode``), and that index lags: it is not synced by itself, so a server that was killed may
have the last acknowledged writes in its log without knowing that they are. Where a quorum is lost the log that goes
furthest has all of them (Raft, section 5.4.1). An entry that nobody acknowledged may come to count too, which is right
for a request whose client never heard what became of it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from peerboot.checksum import crc32c
from peerboot.systems.etcd import wal


def commit_all(wal_dir: Path) -> int:
    """Append that hard state, synced, unless the log says so already; returns how many entries it adds. Whoever calls
    holds etcd's locks. Raises ``WalError`` for a damaged log, ``OSError``.
    """
    log = wal.read(wal_dir)
    if log is None or log.commit >= log.last_index:
        return 0
    path = wal.segments(wal_dir)[-1][2]
    end, crc, term, vote = _last(path)
    state = _number(1, max(term, log.last_term)) + _number(2, vote) + _number(3, log.last_index)
    body = _number(1, wal.STATE) + _number(2, crc32c(crc, state)) + _blob(3, state)
    padding = -len(body) % 8
    size = len(body) | ((0x80 | padding) << 56 if padding else 0)
    frame = struct.pack("<Q", size) + body + bytes(padding)
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), frame, end)
        if log.torn:
            # What was cut off behind it is no record: etcd drops it as well.
            os.ftruncate(file.fileno(), end + len(frame))
        os.fsync(file.fileno())
    after = wal.read(wal_dir)
    if after is None or (after.commit, after.last_index) != (log.last_index, log.last_index):
        raise wal.WalError("the log does not read as it was written")
    return log.last_index - log.commit


def _last(path: Path) -> tuple[int, int, int, int]:
    """Where the records of a segment end, the checksum of the last one, and the last hard state's term and vote."""
    place, crc, term, vote = 0, 0, 0, 0
    last: tuple[int, int] | None = None
    with wal.opened(path) as file:
        for at, end, kind in wal.frames(file, wal.Log()):
            last = (at, end)
            if kind == wal.STATE:
                state = wal.message(wal.blob(wal.message(file.part(at + 8, end - at - 8)), 3))
                term, vote = wal.number(state, 1), wal.number(state, 2)
        if last is not None:
            at, end = last
            crc = wal.number(wal.message(file.part(at + 8, end - at - 8)), 2)
            place = end + -(end - at - 8) % 8
    return place, crc, term, vote


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _blob(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
