"""A reader of ``global/pg_control`` (src/include/catalog/pg_control.h of each release). Read-only.

The server writes the file in place, within one sector of 512 bytes, so that a power cut does not tear it; a reader may
still see two halves, which the checksum tells, so it looks again, as pg_controldata does. Its layout is the C structure
of the release, in the machine's byte order: both machines that peerboot is made for are little-endian and align a
64-bit number to eight bytes. A release that is not known here is no reason to guess.
"""

from __future__ import annotations

import struct
from pathlib import Path
from time import sleep
from typing import NamedTuple

from peerboot.checksum import crc32c

SIZE = 8192
"""PG_CONTROL_FILE_SIZE: what is not used is zeros."""

VERSIONS = {1300: (13, 14, 15, 16), 1700: (17,), 1800: (18,)}
"""``PG_CONTROL_VERSION``: the major releases that have it. The layout of 1300 and of 1700 is the same."""

STATES = (
    "starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery", "in archive recovery",
    "in production",
)  # fmt: skip
"""``DBState``, in words of pg_controldata."""

HEAD = struct.Struct("<QIIi4xq")
"""system_identifier, pg_control_version, catalog_version_no, state, time."""
CHECKPOINT = struct.Struct("<QQII?7x")
"""checkPoint, and of its copy: redo, ThisTimeLineID, PrevTimeLineID, fullPageWrites; in 18 wal_level is in the gap."""
TRANSACTIONS = struct.Struct("<QIIIIIII4xqIII4x")
"""The rest of the copy: nextXid, nextOid, nextMulti, nextMultiOffset, oldestXid and its database, oldestMulti and its
database, time, oldestCommitTsXid, newestCommitTsXid, oldestActiveXid."""
RECOVERY = struct.Struct("<QQI4xQQ?3x")
"""unloggedLSN, minRecoveryPoint and its timeline, backupStartPoint, backupEndPoint, backupEndRequired."""
SETTINGS = struct.Struct("<i?3xiiiii?3x")
"""wal_level, wal_log_hints, MaxConnections, max_worker_processes, max_wal_senders, max_prepared_xacts,
max_locks_per_xact, track_commit_timestamp."""
SHAPE = struct.Struct("<IdIIIIIIII?3xI")
"""maxAlign, floatFormat, blcksz, relseg_size, xlog_blcksz, xlog_seg_size, nameDataLen, indexMaxKeys,
toast_max_chunk_size, loblksize, float8ByVal, data_checksum_version."""
TRIES, AGAIN_SECONDS = 5, 0.01
"""A wrong checksum is looked at again while the bytes change (src/common/controldata_utils.c)."""
FLOAT_FORMAT = 1234567.0
"""``FLOATFORMAT_VALUE``: read back as anything else, the byte order or the layout is another machine's."""


class ControlError(Exception):
    """The file is damaged, or another machine's, or of a release that is not known here; one line why."""


class ChecksumError(ControlError):
    """Its content does not match its checksum: damaged, or read while the server wrote it."""


class Control(NamedTuple):
    """What of the control file says who this server is and where its log ended."""

    version: int
    catalog: int
    sysid: str
    """``Database system identifier``, decimal: the cluster's identity, made by initdb."""
    state: str
    """One of ``STATES``."""
    written: int
    """Seconds since the Unix epoch."""
    checkpoint: int
    """Byte position of the last checkpoint's record: of a server that was shut down the *start* of the record that ends
    its log."""
    redo: int
    timeline: int
    """Of that checkpoint. Right after a promotion it is still the old one."""
    previous: int
    least: int
    """Minimum recovery ending location, 0 for none: where a standby has to come to before it may be read."""
    least_timeline: int
    backup_start: int
    backup_end: int
    backup_end_required: bool
    wal_level: int
    hints: bool
    """``wal_log_hints``."""
    connections: int
    workers: int
    senders: int
    prepared: int
    locks: int
    segment: int
    """Bytes of a WAL segment."""
    checksums: int
    """Data page checksum version, 0: off."""

    @property
    def known_timeline(self) -> int:
        """The highest timeline that the file shows: a standby may have read a later one than its checkpoint's."""
        return max(self.timeline, self.least_timeline)


def lsn(position: int) -> str:
    """A byte position of the log as Postgres prints it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def read(data_dir: Path) -> Control:
    """The control file of that directory; raises ``ControlError`` and ``OSError``."""
    before = b""
    for _ in range(TRIES - 1):
        data = _bytes(data_dir)
        try:
            return parse(data)
        except ChecksumError:
            if data == before:
                raise
        before = data
        sleep(AGAIN_SECONDS)
    return parse(_bytes(data_dir))


def _bytes(data_dir: Path) -> bytes:
    with (data_dir / "global" / "pg_control").open("rb") as file:
        return file.read(SIZE + 1)


def parse(data: bytes) -> Control:
    """Its content, 8192 bytes; raises ``ControlError``."""
    if len(data) != SIZE:
        raise ControlError(f"pg_control has {len(data)} bytes instead of {SIZE}")
    sysid, version, catalog, state, written = HEAD.unpack_from(data)
    if version not in VERSIONS:
        raise _foreign(version)
    at = HEAD.size
    checkpoint, redo, timeline, previous, _ = CHECKPOINT.unpack_from(data, at)
    at += CHECKPOINT.size + TRANSACTIONS.size
    _, least, least_timeline, backup_start, backup_end, end_required = RECOVERY.unpack_from(data, at)
    at += RECOVERY.size
    wal_level, hints, connections, workers, senders, prepared, locks, _ = SETTINGS.unpack_from(data, at)
    at += SETTINGS.size
    _, float_format, _, _, _, segment, *_, checksums = SHAPE.unpack_from(data, at)
    at += SHAPE.size
    at += (1 if version >= 1800 else 0) + 32  # default_char_signedness, mock_authentication_nonce
    at += -at % 4
    (stored,) = struct.unpack_from("<I", data, at)
    if stored != crc32c(0, data[:at]):
        raise ChecksumError("the checksum of pg_control does not match its content")
    if float_format != FLOAT_FORMAT:
        raise ControlError("pg_control was written by a machine with another layout of numbers")
    if not 0 <= state < len(STATES):
        raise ControlError(f"pg_control has the state {state}, which no release knows")
    return Control(
        version=version, catalog=catalog, sysid=str(sysid), state=STATES[state], written=written, checkpoint=checkpoint,
        redo=redo, timeline=timeline, previous=previous, least=least, least_timeline=least_timeline,
        backup_start=backup_start, backup_end=backup_end, backup_end_required=end_required, wal_level=wal_level,
        hints=hints, connections=connections, workers=workers, senders=senders, prepared=prepared, locks=locks,
        segment=segment, checksums=checksums,
    )  # fmt: skip


def _foreign(version: int) -> ControlError:
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in VERSIONS:
        return ControlError("pg_control was written by a machine of the other byte order")
    known = ", ".join(str(one) for one in VERSIONS)
    return ControlError(f"pg_control has version {version}; this peerboot reads {known} (Postgres 13 to 18)")
