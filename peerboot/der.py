"""DER, as keys and certificates are coded (ITU-T X.690): values one after the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

SEQUENCE, OCTETS = 0x30, 0x04
MOST = 10_000
"""Values side by side; a certificate has some dozens."""


def part(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first value, and what follows it; raises ``ValueError``."""
    if len(der) < 2:
        raise ValueError("a value that is cut off")
    size, at = der[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    if at + size > len(der):
        raise ValueError("a value that is cut off")
    return der[0], der[at : at + size], der[at + size :]


def parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value; raises ``ValueError``."""
    for _ in range(MOST):
        if not der:
            return
        tag, content, der = part(der)
        yield tag, content
    raise ValueError("more values than anybody means")


def wrap(tag: int, content: bytes) -> bytes:
    """One value."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
