"""CRC-32C (Castagnoli), with which etcd and Postgres check what they write, and FNV-1a, as bbolt does. Pure."""

from __future__ import annotations


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
    """Continue the checksum of what came before, 0 for nothing, as Go's ``crc32.Update`` does."""
    crc ^= 0xFFFFFFFF
    table = TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def fnv64a(data: bytes) -> int:
    """FNV-1a of 64 bits, the checksum of a bbolt file's header."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
