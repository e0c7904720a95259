"""etcd's write-ahead log and the class of its data directory: any bytes as the last segment of a log.

Input: a byte that says what lies beside it (which database, a snapshot, a second segment, zeros behind, whether the
checksums are made anew so that what lies behind them is reached), a byte of further variants, the segment.

Held: nothing is raised; the directory is left as it was; ``blank`` is only said where there is no log, no snapshot and
no database with members; the member and the cluster that are named are those of a metadata record whose checksum is
right, and of all such records that were read.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from peerboot.checksum import crc32c
from peerboot.systems.etcd import datadir, wal
from tests.fuzz.harness import SAMPLES, dense, expect, expect_line, scratch

WORDS = (
    b"\x08\x01\x10", b"\x08\x02\x10", b"\x08\x03\x10", b"\x08\x04\x10", b"\x08\x05\x10", b"\x1a", b"\x80\x80\x80\x00",
    b"\x00\x00\x00\x84", bytes(8), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
)  # fmt: skip
LONGEST = 2048
DATABASES = ("", "empty", "blank", "young")
DATABASE, SNAPSHOT, SIGNED, PADDED, NO_LOG, SECOND = 0x03, 0x04, 0x08, 0x10, 0x20, 0x40
BEGUN, GAP, OTHER_NAME, APART = 0x01, 0x02, 0x04, 0x08
METADATA, CRC = 1, 4


@cache
def sample(name: str) -> bytes:
    """A database that a real server made."""
    return dense((SAMPLES / f"{name}.db").read_bytes())


def check(data: bytes) -> None:
    """One input."""
    layout, variant, segment = (*data[:2], *bytes(2))[0], (*data[:2], *bytes(2))[1], data[2:]
    if layout & SIGNED:
        segment = signed(segment)
    apart = bool(variant & APART)
    data_dir, log_dir, name = _made(layout & ~(SIGNED | PADDED), variant & 0x0F)
    has_log = name != ""
    if layout & PADDED:
        segment += bytes(4096)
    if has_log:
        (log_dir / name).write_bytes(segment)
    # It remembers by the time of the last change, which is too coarse for so many in a second.
    wal._zero_from.cache_clear()
    datadir._names_urls.cache_clear()
    before = _changed(data_dir, log_dir)
    disk = datadir.read(data_dir, log_dir if apart else None)
    expect(_changed(data_dir, log_dir) == before, "reading changed the directory")
    expect(disk.kind in ("blank", "interrupted", "bootstrap", "data", "corrupt", "unknown"), disk.kind)
    expect_line(disk.reason + disk.warning, "a reason")
    expect(disk.kind not in ("corrupt", "unknown") or disk.reason, f"{disk.kind} without a reason")
    if disk.kind == "blank":
        something = has_log or layout & SNAPSHOT or DATABASES[layout & DATABASE] == "young"
        expect(not something, "blank, and there is something")
        expect(not disk.member and not disk.cluster, "blank, and it has ids")
    if disk.kind in ("interrupted", "bootstrap", "data"):
        expect(has_log, f"{disk.kind} without a log")
        said = {(member, cluster) for member, cluster in _owners(segment)}
        whose = (int(disk.member, 16), int(disk.cluster, 16))
        expect(whose in said and len(said) == 1, f"{disk.kind} of {whose}, and the log says {said}")
        expect(0 not in whose, f"{disk.kind} of nobody: {whose}")


@cache
def _made(layout: int, variant: int) -> tuple[Path, Path, str]:
    """The directory of that layout, its log's, and the name of the segment that is read; made once and kept."""
    data_dir = scratch() / f"wal-{layout}-{variant}" / "etcd"
    log_dir = data_dir.parent / "apart" if variant & APART else data_dir / "member/wal"
    snap = data_dir / "member/snap"
    snap.mkdir(parents=True)
    database = DATABASES[layout & DATABASE]
    if database:
        (snap / "db").write_bytes(b"" if database == "empty" else sample(database))
    if layout & SNAPSHOT:
        (snap / "0000000000000002-000000000000000a.snap").write_bytes(b"x")
    if layout & NO_LOG:
        return data_dir, log_dir, ""
    log_dir.mkdir(parents=True)
    first = 4 if variant & BEGUN else 0
    name = "old.wal" if variant & OTHER_NAME else f"{first:016x}-{first * 10:016x}.wal"
    if layout & SECOND:
        (log_dir / name).write_bytes(b"\1" * 8)
        first += 2 if variant & GAP else 1
        name = f"{first:016x}-{first * 10:016x}.wal"
    return data_dir, log_dir, name


def _changed(*folders: Path) -> list[int]:
    """When something in a directory was last made, renamed or removed."""
    found = []
    for folder in (*folders, folders[0] / "member", folders[0] / "member/snap"):
        with contextlib.suppress(FileNotFoundError):
            found.append(folder.stat().st_mtime_ns)
    return found


# ------------------------------------------------- a reader of its own, to check with


def _records(segment: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and content of each frame; ends where nothing sensible follows."""
    at = 0
    while at + 8 <= len(segment):
        frame = int.from_bytes(segment[at : at + 8], "little")
        size, top = frame & ((1 << 56) - 1), frame >> 56
        end = at + 8 + size
        following = end + (top & 7 if top & 0x80 else 0)
        if frame == 0 or following > len(segment):
            return
        yield at, end, segment[at + 8 : end]
        at = following


def _fields(content: bytes) -> Iterator[tuple[int, int, int, int, int | bytes]]:
    """Number, start, where the value begins, end and value of each field of a message; ends at what is none."""
    at = 0
    while at < len(content):
        start = at
        tag, at = _varint(content, at)
        begins = at
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = _varint(content, at)
            case 2:
                size, at = _varint(content, at)
                value, at = content[at : at + size], at + size
            case 1 | 5:
                at += 8 if tag & 7 == 1 else 4
                continue
            case _:
                return
        yield tag >> 3, start, begins, at, value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value & 0xFFFFFFFFFFFFFFFF, at


def _owners(segment: bytes) -> Iterator[tuple[int, int]]:
    """Member and cluster of each metadata record whose checksum is right, the former record's given."""
    crc = 0
    for _, _, content in _records(segment):
        fields = {number: value for number, _, _, _, value in _fields(content)}
        kind, expected, body = fields.get(1, 0), fields.get(2, 0), fields.get(3, b"")
        body = body if isinstance(body, bytes) else b""
        expected = expected if isinstance(expected, int) else 0
        if kind == METADATA and crc32c(crc, body) == expected:
            ids = {number: value for number, _, _, _, value in _fields(body)}
            member, cluster = ids.get(1, 0), ids.get(2, 0)
            yield member if isinstance(member, int) else 0, cluster if isinstance(cluster, int) else 0
        crc = expected


def signed(segment: bytes) -> bytes:
    """The same records, each with the checksum that it should have, where that leaves its length as it is."""
    made = bytearray(segment)
    crc = 0
    for start, _, content in _records(segment):
        fields = list(_fields(content))
        bodies = [value for number, _, _, _, value in fields if number == 3]
        kinds = [value for number, _, _, _, value in fields if number == 1]
        body = bodies[-1] if bodies and isinstance(bodies[-1], bytes) else b""
        places = [(begins, end) for number, _, begins, end, value in fields if number == 2 and isinstance(value, int)]
        if kinds[-1:] != [CRC]:
            crc = crc32c(crc, body)
        elif places:
            crc = _varint(content, places[-1][0])[0] & 0xFFFFFFFF
        if places:
            begins, end = places[-1]
            made[start + 8 + begins : start + 8 + end] = _padded_varint(crc, end - begins)
    return bytes(made[: len(segment)])


def _padded_varint(value: int, size: int) -> bytes:
    """In exactly so many bytes; of one that is too large the low part."""
    digits = [(value >> (7 * place)) & 0x7F for place in range(size)]
    return bytes(digit | (0x80 if place < size - 1 else 0) for place, digit in enumerate(digits))


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """One record gone, doubled, or in another place; the frames stay right."""
    segment = data[2:]
    found = [segment[start : end + -(end - start) % 8] for start, end, _ in _records(segment)]
    if not found:
        return None
    rest = segment[sum(map(len, found)) :]
    one = chance.randrange(len(found))
    match chance.randrange(4):
        case 0:
            found.append(found[one])
        case 1:
            found.insert(chance.randrange(len(found)), found.pop(one))
        case 2:
            del found[one]
        case _:
            place = chance.randrange(len(found[one]))
            found[one] = found[one][:place] + bytes([chance.randrange(256)]) + found[one][place + 1 :]
    return data[:2] + b"".join(found) + rest
