"""The readers of etcd's files against damage that the fuzzer found, or that it looks for; no server is needed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from peerboot.checksum import crc32c, fnv64a
from peerboot.systems.etcd import datadir, wal
from peerboot.systems.etcd.bolt import Bolt, BoltError
from tests.etcd.damage import record
from tests.fuzz.harness import SAMPLES, dense

PAGE = 4096
ELEMENTS = 16
"""Bytes of a page's header."""


def database(folder: Path) -> Path:
    """A member's database as a real server left it, without a log."""
    path = folder / "member/snap/db"
    path.parent.mkdir(parents=True)
    path.write_bytes(dense((SAMPLES / "young.db").read_bytes()))
    return path


def root_page(content: bytes | bytearray) -> int:
    """Where the tree begins: by the newer of both headers."""
    metas = [struct.unpack_from("<IIIIQQQQQ", content, at + ELEMENTS) for at in (0, PAGE)]
    return int(max(metas, key=lambda meta: meta[8])[4]) * PAGE


def test_a_database_that_lost_its_tree_is_not_blank(tmp_path: Path) -> None:
    """With no log and a root page of no entries a database names no members, and yet a member's URLs stand in it."""
    path = database(tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, root_page(content) + 10, 0)
    path.write_bytes(content)
    disk = datadir.read(tmp_path)
    reason = "the log is missing, and the database's tree is damaged: it names no members, whose URLs stand in it"
    assert ("corrupt", reason) == (disk.kind, disk.reason)


def test_a_large_database_without_members_is_not_blank(tmp_path: Path) -> None:
    """A server that failed to start leaves 16 MB at most: of one that is far larger it is not known what it held."""
    path = database(tmp_path)
    path.write_bytes(dense((SAMPLES / "blank.db").read_bytes()))
    assert datadir.read(tmp_path).kind == "blank"
    with path.open("r+b") as file:
        file.truncate(datadir.MOST_BLANK + 1)
    assert datadir.read(tmp_path).kind == "corrupt"


def test_a_page_beyond_every_file_is_damage(tmp_path: Path) -> None:
    """A bucket whose root is page 2**63: no file offset can say where that is."""
    path = database(tmp_path)
    content = bytearray(path.read_bytes())
    root = root_page(content)
    _, count = struct.unpack_from("<HH", content, root + 8)
    for index in range(count):
        at = root + ELEMENTS + index * 16
        _, pos, ksize, _ = struct.unpack_from("<IIII", content, at)
        struct.pack_into("<Q", content, at + pos + ksize, 1 << 63)
    path.write_bytes(content)
    bolt = Bolt(path)
    with pytest.raises(BoltError, match="the database's tree leads out of the file"):
        bolt.items(b"members")
    bolt.close()
    assert datadir.read(tmp_path).kind == "corrupt"


def made(folder: Path, value: bytes) -> Path:
    """A database with one member of that value: two headers, and one leaf with the bucket in it."""
    path = folder / "member/snap/db"
    path.parent.mkdir(parents=True)
    pairs = struct.pack("<QHHI", 0, 2, 1, 0) + struct.pack("<IIII", 0, 16, 4, len(value)) + b"beef" + value
    bucket = struct.pack("<QQ", 0, 0) + pairs
    root = struct.pack("<IIII", 1, 16, 7, len(bucket)) + b"members" + bucket
    overflow = (ELEMENTS + len(root)) // PAGE
    meta = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, 2, 0, 0, 3 + overflow, 1)
    head = (struct.pack("<QHHI", 0, 4, 0, 0) + meta + fnv64a(meta).to_bytes(8, "little")).ljust(PAGE, b"\0")
    leaf = struct.pack("<QHHI", 2, 2, 1, overflow) + root
    path.write_bytes(head + head + leaf.ljust((1 + overflow) * PAGE, b"\0"))
    return path


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        (b'{"peerURLs":["http://a:2380"]}', ("http://a:2380",)),
        (b'{"peerURLs":null}', ()),
        (b'{"peerURLs":7}', ()),
        (b"null", ()),
        (b"\xff", ()),
        (b"[" * 100_000, ()),
    ],
    ids=["one", "null", "a-number", "no-object", "no-text", "nested-without-end"],
)
def test_a_member_without_urls(value: bytes, urls: tuple[str, ...], tmp_path: Path) -> None:
    """A member of the database whose URLs are null, as Go writes none, or damaged, is listed without URLs."""
    assert {"beef": urls} == datadir.members_of(made(tmp_path, value))
    assert datadir.read(tmp_path).kind == "corrupt"


def log(folder: Path, *metadata: bytes) -> Path:
    """A log that says whose it is, as often as there are bodies."""
    path = folder / "member/wal/0000000000000000-0000000000000000.wal"
    path.parent.mkdir(parents=True)
    crc, content = 0, record(wal.CRC, 0, b"")
    for body in metadata:
        crc = crc32c(crc, body)
        content += record(wal.METADATA, crc, body)
    path.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("bodies", "kind"),
    [
        ([b"\x08\x05\x10\x07"], "interrupted"),
        ([b"\x08\x05\x10\x07", b"\x08\x05\x10\x07"], "interrupted"),
        ([b"\x08\x05\x10\x07", b"\x08\x06\x10\x07"], "corrupt"),
        ([b"\x08\x05\x10\x07", b"\x08\x05\x10\x08"], "corrupt"),
        ([b"\x08\x05\x10\x07\x15\0\0\0\0"], "interrupted"),
        ([b"\x08\x05\x10\x07\0\0"], "corrupt"),
        ([b"\x08\x05\x10\x07\x15\0\0\0"], "corrupt"),
        ([b"\x08\x05\x10\x07\x19\0\0\0"], "corrupt"),
        ([b"\x10\x07"], "corrupt"),
        ([b"\x08\x05", b"\x08\x05\x10\x07"], "corrupt"),
        ([b"\x08\x05"], "corrupt"),
        ([], "corrupt"),
    ],
    ids=[
        "once",
        "twice",
        "two-members",
        "two-clusters",
        "four-bytes",
        "zeros-behind",
        "three-of-four",
        "three-of-eight",
        "no-member",
        "no-cluster-at-first",
        "no-cluster",
        "nobody",
    ],
)
def test_whose_log_it_is(bodies: list[bytes], kind: str, tmp_path: Path) -> None:
    """A log that names two owners, or no whole one, is damaged: etcd does not start with the former either
    (wal.go, ErrMetadataConflict)."""
    assert kind == datadir.read(log(tmp_path, *bodies)).kind
