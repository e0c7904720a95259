"""A reader of etcd's write-ahead log (server/storage/wal/{encoder,decoder,wal}.go, raftpb). Read-only, bounded.

A frame is eight bytes, little-endian: the record's length in the low 56 bits, the padding in the top byte when its
highest bit is set. A record is ``{1: type, 2: crc, 3: data}``; its crc is rolling: over the former record's crc and its
own data (CRC-32C). So any record can be checked by the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
MAX_SEGMENT = 512 << 20
CHECK_BYTES = 1 << 20
"""Checksums are computed for so many bytes of the log's end, and of its beginning: in pure Python a whole segment
of 64 MB would take seconds of every start. What lies between is checked by etcd itself, which exits on damage."""
SECTOR = 512
CONF_CHANGE, CONF_CHANGE_V2 = 1, 2


class WalError(Exception):
    """The log is damaged; one line why."""


@dataclass
class Log:
    """What the log says."""

    member: int = 0
    cluster: int = 0
    entries: int = 0
    """Entries in the segments that were read, none of older ones."""
    only_bootstrap: bool = True
    """Every entry is a configuration change of term 1."""
    last_index: int = 0
    last_term: int = 0
    commit: int = 0
    has_state: bool = False
    segments: int = 0
    conf_changes: list[bytes] = field(default_factory=list)
    torn: bool = False
    """The last record was being written when the machine stopped; etcd cuts it off."""


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


TABLE = _table()


def crc32c(crc: int, data: bytes) -> int:
    """Continue a CRC-32C (Castagnoli), as Go's ``crc32.Update`` does."""
    crc ^= 0xFFFFFFFF
    table = TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(data: bytes, at: int) -> tuple[int, int]:
    """One protobuf varint and the position after it; raises ``WalError``."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WalError("a record is damaged")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def message(data: bytes) -> dict[int, int | bytes]:
    """The last value of each field of one protobuf message; raises ``WalError``."""
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire = tag & 7
        if wire == 0:
            fields[tag >> 3], at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            if at + size > len(data):
                raise WalError("a record is damaged")
            fields[tag >> 3] = data[at : at + size]
            at += size
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        else:
            raise WalError("a record is damaged")
    return fields


def number(fields: dict[int, int | bytes], key: int) -> int:
    """An integer field, 0 when it is not there."""
    value = fields.get(key, 0)
    return value if isinstance(value, int) else 0


def blob(fields: dict[int, int | bytes], key: int) -> bytes:
    """A bytes field, empty when it is not there."""
    value = fields.get(key, b"")
    return value if isinstance(value, bytes) else b""


def segments(wal_dir: Path) -> list[tuple[int, int, Path]]:
    """Sequence number, first index, path of each segment, in order."""
    found = []
    try:
        for path in wal_dir.iterdir():
            match = NAME.fullmatch(path.name)
            if match:
                found.append((int(match[1], 16), int(match[2], 16), path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def read(wal_dir: Path) -> Log | None:
    """The log, None when there are no segments; raises ``WalError`` for damage and ``OSError``."""
    found = segments(wal_dir)
    if not found:
        return None
    log = Log(segments=len(found))
    for (one, _, _), (two, _, _) in pairwise(found):
        if two != one + 1:
            raise WalError(f"segment {one + 1:016x} is missing between others")
    if len(found) > 1 or found[0][0] > 0:
        # Segments are cut at 64 MB: there is far more than a bootstrap.
        log.only_bootstrap = False
        log.last_index = max(found[-1][1] - 1, 0)
    _segment(found[-1][2], log)
    if not log.cluster:
        raise WalError(f"{found[-1][2].name} does not say whose it is")
    return log


def _segment(path: Path, log: Log) -> None:
    if path.stat().st_size > MAX_SEGMENT:
        raise WalError(f"{path.name} is larger than {MAX_SEGMENT} bytes")
    data = path.read_bytes()
    crc, used = 0, len(data.rstrip(b"\0"))
    for offset, kind, expected, body in _records(data, path.name, log):
        if kind == CRC:
            crc = expected
            continue
        near = offset < CHECK_BYTES or offset > used - CHECK_BYTES
        if near and crc32c(crc, body) != expected:
            if _is_torn(data, offset, len(body)):
                log.torn = True
                return
            raise WalError(f"crc mismatch in {path.name} at byte {offset}")
        crc = expected
        _take(log, kind, body)


def _records(data: bytes, name: str, log: Log) -> Iterator[tuple[int, int, int, bytes]]:
    """Offset, type, crc and data of each record up to the preallocated zeros."""
    at = 0
    while at + 8 <= len(data):
        frame = int.from_bytes(data[at : at + 8], "little")
        if frame == 0:
            break
        size = frame & ((1 << 56) - 1)
        padding = (frame >> 56) & 7 if frame >> 63 else 0
        end = at + 8 + size
        if end + padding > len(data):
            if at == 0 or size > MAX_SEGMENT:
                raise WalError(f"{name} is not a log, or its record at byte {at} is damaged")
            log.torn = True
            return
        record = message(data[at + 8 : end])
        kind = number(record, 1)
        if kind not in (METADATA, ENTRY, STATE, CRC, SNAPSHOT):
            raise WalError(f"a record of unknown type {kind} in {name} at byte {at}")
        yield at, kind, number(record, 2), blob(record, 3)
        at = end + padding


def _is_torn(data: bytes, offset: int, size: int) -> bool:
    """Whether a sector of the record is all zeros: it was cut off while it was written (decoder.go isTornEntry)."""
    start, end = offset + 8, min(offset + 8 + size + 16, len(data))
    if data[end:].strip(b"\0"):
        return False
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if not data[start:stop].strip(b"\0"):
            return True
        start = stop
    return False


def _take(log: Log, kind: int, body: bytes) -> None:
    fields = message(body)
    if kind == METADATA:
        log.member, log.cluster = number(fields, 1), number(fields, 2)
    elif kind == STATE:
        log.has_state, log.commit = True, number(fields, 3)
    elif kind == SNAPSHOT:
        index = number(fields, 1)
        log.last_index = max(log.last_index, index)
        if index:
            log.only_bootstrap = False
    elif kind == ENTRY:
        log.entries += 1
        log.last_index, log.last_term = number(fields, 3), number(fields, 2)
        if number(fields, 1) not in (CONF_CHANGE, CONF_CHANGE_V2) or log.last_term != 1:
            log.only_bootstrap = False
        elif len(log.conf_changes) < 64:
            log.conf_changes.append(blob(fields, 4))
