"""A reader of bbolt files (etcd's ``member/snap/db``), just enough to look at a stopped server's own words.

Layout: bbolt internal/common/{page,meta,bucket}.go. Everything is bounded: pages, keys, bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from peerboot.checksum import fnv64a

MAGIC = 0xED0CDAED
VERSION = 2
META = struct.Struct("<IIIIQQQQQ")
PAGE = struct.Struct("<QHHI")
BRANCH, LEAF = 0x01, 0x02
MAX_PAGES = 4096
MAX_PAGE_BYTES = 16 << 20
MAX_BYTES = 64 << 20


class BoltError(Exception):
    """The file is no readable bbolt database; one line why."""


class Bolt:
    """One open database file."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise BoltError(f"{path.name} cannot be opened: {error.strerror}") from None
        try:
            self._size = path.stat().st_size
            self._page_size, self._root = self._meta()
        except BoltError:
            self._file.close()
            raise
        self._pages = 0
        self._bytes = 0

    def close(self) -> None:
        self._file.close()

    def _meta(self) -> tuple[int, int]:
        found: dict[int, tuple[int, int, int]] = {}
        head = self._read(0, 64 * 1024 + 80)
        for size in (4096, 8192, 16384, 32768, 65536, 1024, 2048):
            for offset in (0, size):
                raw = head[offset + PAGE.size : offset + PAGE.size + META.size + 8]
                if len(raw) < META.size + 8:
                    continue
                magic, version, page_size, _flags, root, _seq, _free, high, txid = META.unpack_from(raw)
                checksum = int.from_bytes(raw[META.size : META.size + 8], "little")
                if (magic, version) == (MAGIC, VERSION) and checksum == fnv64a(raw[: META.size]):
                    found[txid] = (page_size, root, high)
        if not found:
            raise BoltError("the database has no valid header")
        page_size, root, high = found[max(found)]
        if not 512 <= page_size <= 65536 or high * page_size > self._size + page_size:
            raise BoltError("the database is shorter than its header says")
        return page_size, root

    def _read(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise BoltError(f"the database cannot be read: {error.strerror}") from None

    def _page(self, number: int) -> tuple[int, int, bytes]:
        """Flags, count and the bytes of one page with its overflow."""
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise BoltError("the database's tree is larger than expected")
        # A number beyond the file may also be beyond what any file's offset can be.
        beyond = number * self._page_size >= self._size
        head = b"" if beyond else self._read(number * self._page_size, PAGE.size)
        if len(head) < PAGE.size:
            raise BoltError("the database's tree leads out of the file")
        own, flags, count, overflow = PAGE.unpack(head)
        size = (overflow + 1) * self._page_size
        if own != number or size > MAX_PAGE_BYTES:
            raise BoltError("the database's tree is damaged")
        return flags, count, self._read(number * self._page_size, size)

    def items(self, bucket: bytes, limit: int = 1000) -> dict[bytes, bytes]:
        """The first ``limit`` pairs of a top-level bucket; empty when there is no such bucket."""
        self._pages = self._bytes = 0
        for key, value, is_bucket in self._walk(self._root, None, 0, bucket):
            if key == bucket and is_bucket:
                found: dict[bytes, bytes] = {}
                root = int.from_bytes(value[:8], "little")
                for name, content, _ in self._walk(root, value[16:] if root == 0 else None, 0, None):
                    found[name] = content
                    if len(found) >= limit:
                        break
                return found
        return {}

    def _walk(
        self, number: int, inline: bytes | None, depth: int, wanted: bytes | None
    ) -> Iterator[tuple[bytes, bytes, bool]]:
        if depth > 32:
            raise BoltError("the database's tree is too deep")
        if inline is None:
            flags, count, raw = self._page(number)
        else:
            if len(inline) < PAGE.size:
                raise BoltError("the database's tree is damaged")
            _, flags, count, _ = PAGE.unpack_from(inline)
            raw = inline
        for index in range(count):
            at = PAGE.size + index * 16
            if len(raw) < at + 16:
                raise BoltError("the database's tree is damaged")
            if flags & LEAF:
                kind, pos, ksize, vsize = struct.unpack_from("<IIII", raw, at)
                start = at + pos
                self._bytes += ksize + vsize
                # In a damaged page elements may overlap, so that their sum is far more than the page.
                if start + ksize + vsize > len(raw) or self._bytes > MAX_BYTES:
                    raise BoltError("the database's tree is damaged")
                yield raw[start : start + ksize], raw[start + ksize : start + ksize + vsize], bool(kind & 1)
            elif flags & BRANCH:
                child = struct.unpack_from("<IIQ", raw, at)[2]
                yield from self._walk(child, None, depth + 1, wanted)
            else:
                raise BoltError("the database's tree is damaged")
