"""A reader of etcd's write-ahead log (server/storage/wal/{encoder,decoder,wal}.go, raftpb). Read-only, bounded.

A frame is eight bytes, little-endian: the record's length in the low 56 bits, the padding in the top byte when its
highest bit is set. A record is ``{1: type, 2: crc, 3: data}``; its crc is rolling: over the former record's crc and its
own data (CRC-32C). So any record can be checked by the one before it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from peerboot.checksum import crc32c

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
KINDS = (METADATA, ENTRY, STATE, CRC, SNAPSHOT)
MAX_SEGMENT = 512 << 20
MAX_RECORD = 64 << 20
CHECK_BYTES = 1 << 20
"""Records are taken apart and their checksums computed in so many bytes of the log's end, and of its beginning: in pure
Python a whole segment of 64 MB would take seconds of every start. What lies between is checked by etcd itself, which
exits on damage."""
CHUNK = 1 << 20
HEAD = struct.Struct("<QBB")
"""A frame, and the first two bytes of its record: the field of the type, and the type."""
SIZE = (1 << 56) - 1
TYPE_FIELD = 8
NOTHING = bytes(8)
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
    more: bool = False
    """Something lies behind the end of the log: it once said more."""


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
        if tag >> 3 == 0:
            raise WalError("a record is damaged")
        if wire == 0:
            fields[tag >> 3], at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            if at + size > len(data):
                raise WalError("a record is damaged")
            fields[tag >> 3] = data[at : at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > len(data):
                raise WalError("a record is damaged")
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
    """Sequence number, first index, path of each segment, in order; raises ``WalError`` for other logs, ``OSError``."""
    found, others = [], []
    try:
        for path in wal_dir.iterdir():
            match = NAME.fullmatch(path.name)
            if match:
                found.append((int(match[1], 16), int(match[2], 16), path))
            elif path.suffix == ".wal":
                others.append(path.name)
    except FileNotFoundError:
        return []
    if others and not found:
        # etcd takes any *.wal for a log, and does not start with one of another name.
        raise WalError(f"{min(others)} is no name of a log segment")
    return sorted(found)


def read(wal_dir: Path, *, running: bool = False) -> Log | None:
    """The log, None when there are no segments; raises ``WalError`` for damage and ``OSError``.

    ``running``: a server writes it, so what lies behind its end is not looked at.
    """
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
    _segment(found[-1][2], log, running=running)
    if not log.last_term and len(found) > 1:
        # It was just begun, and the entry before it is in the one before.
        before = Log()
        _segment(found[-2][2], before, running=True)
        log.last_term = before.last_term if before.last_index == log.last_index else 0
    if not log.cluster:
        raise WalError(f"{found[-1][2].name} does not say whose it is")
    return log


class _File:
    """A segment, read in pieces: it must not take the memory of a whole one."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def close(self) -> None:
        os.close(self._fd)

    def part(self, at: int, size: int) -> bytes:
        return os.pread(self._fd, size, at)


@lru_cache(maxsize=4)
def _zero_from(path: Path, at: int, _inode: int, _changed: int) -> bool:
    """Whether only zeros follow. Holes need no reading, and neither does a file that has not changed since."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return True
                if error.errno != errno.EINVAL:
                    raise
            if os.pread(file.fileno(), CHUNK, at).strip(b"\0"):
                return False
            at += CHUNK
    return True


@contextlib.contextmanager
def opened(path: Path) -> Iterator[_File]:
    """A segment to read."""
    file = _File(path)
    try:
        yield file
    finally:
        file.close()


def _segment(path: Path, log: Log, *, running: bool) -> None:
    with opened(path) as file:
        if file.size > MAX_SEGMENT:
            raise WalError(f"{file.name} is larger than {MAX_SEGMENT} bytes")
        end = _read(file, log)
    if log.only_bootstrap and not running:
        stat = path.stat()
        log.more = not _zero_from(path, end, stat.st_ino, stat.st_mtime_ns)


def _read(file: _File, log: Log) -> int:
    """Take the first and the last records apart; returns where the log ends."""
    crc, last = 0, 0
    tail: deque[tuple[int, int, int]] = deque()
    skipped: tuple[int, int, int] | None = None
    for at, end, kind in frames(file, log):
        last = end
        if at < CHECK_BYTES and not tail:
            crc = _record(file, log, at, end, crc)
            continue
        tail.append((at, end, kind))
        while tail[0][1] < end - CHECK_BYTES:
            skipped = tail.popleft()
            log.only_bootstrap = False
            log.entries += skipped[2] == ENTRY
    if skipped is not None:
        at, end, _ = skipped
        crc = number(message(file.part(at + 8, end - at - 8)), 2)
    for at, end, _ in tail:
        crc = _record(file, log, at, end, crc)
    return last


def _record(file: _File, log: Log, at: int, end: int, crc: int) -> int:
    """Take one record apart; returns its checksum, by which the next one is checked."""
    record = message(file.part(at + 8, end - at - 8))
    expected, body = number(record, 2), blob(record, 3)
    if number(record, 1) != CRC and len(body) <= CHECK_BYTES and crc32c(crc, body) != expected:
        raise WalError(f"crc mismatch in {file.name} at byte {at}")
    _take(log, number(record, 1), body)
    return expected


def frames(file: _File, log: Log) -> Iterator[tuple[int, int, int]]:
    """Start, end and type of each record up to the zeros, or to one that was cut off while it was written."""
    at, base, chunk = 0, 0, file.part(0, CHUNK)
    while at + 8 <= file.size:
        start = at - base
        if start + HEAD.size > len(chunk):
            base, start, chunk = at, 0, file.part(at, CHUNK)
        frame, first, kind = HEAD.unpack_from(chunk, start) if len(chunk) - start >= HEAD.size else (0, 0, 0)
        if frame == 0:
            return
        size = frame & SIZE
        padding = (frame >> 56) & 7 if frame >> 63 else 0
        end = at + 8 + size
        following = end + padding
        if following > file.size:
            if at == 0 or size > MAX_SEGMENT:
                raise WalError(f"{file.name} is not a log, or its record at byte {at} is damaged")
            # Once etcd has repaired a segment it is no longer allocated in advance.
            log.torn = True
            return
        if size > MAX_RECORD:
            raise WalError(f"a record of {size} bytes in {file.name} at byte {at}")
        # Writers put the type first, always. What was cut off is the last, and looks damaged.
        known = size >= 2 and first == TYPE_FIELD and kind in KINDS
        if not known or chunk[following - base : following - base + 8] in (b"", NOTHING):
            if not file.part(following, 8).strip(b"\0") and _is_torn(file, at + 8, end):
                log.torn = True
                return
            if not known:
                raise WalError(f"a record of unknown type in {file.name} at byte {at}")
        yield at, end, kind
        at = following


def _is_torn(file: _File, start: int, end: int) -> bool:
    """Whether a sector of the record is all zeros: it was cut off while it was written (decoder.go isTornEntry)."""
    data, base = file.part(start, end - start), start
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if not data[start - base : stop - base].strip(b"\0"):
            return True
        start = stop
    return False


def _take(log: Log, kind: int, body: bytes) -> None:
    fields = message(body)
    if kind == METADATA:
        whose = number(fields, 1), number(fields, 2)
        if 0 in whose:
            raise WalError("a record does not say whose the log is")
        if log.cluster and whose != (log.member, log.cluster):
            raise WalError("two records say that it is of different members")
        log.member, log.cluster = whose
    elif kind == STATE:
        log.has_state, log.commit = True, number(fields, 3)
    elif kind == SNAPSHOT:
        index = number(fields, 1)
        if index >= log.last_index:
            log.last_index, log.last_term = index, number(fields, 2)
        if index:
            log.only_bootstrap = False
    elif kind == ENTRY:
        log.entries += 1
        log.last_index, log.last_term = number(fields, 3), number(fields, 2)
        if number(fields, 1) not in (CONF_CHANGE, CONF_CHANGE_V2) or log.last_term != 1:
            log.only_bootstrap = False
        elif len(log.conf_changes) < 64:
            log.conf_changes.append(blob(fields, 4))
