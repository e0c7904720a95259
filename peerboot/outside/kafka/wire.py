"""Kafka's primitive types: big-endian, "compact" with varints in flexible versions (KIP-482), and nothing beyond them.

The reader trusts nobody: every length and count is checked against the bytes that are left before anything of that size
is made, and the entries of all arrays together are bounded. Whatever is wrong is ``KafkaError("protocol", …)``.
The writer's arguments are the program's own: a wrong one is a ``ValueError``.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from peerboot.outside.kafka.errors import KafkaError

T = TypeVar("T")

MAX_ENTRIES = 1 << 19
"""Entries of all arrays of one response together, a number for one, a struct for four: enough for metadata of 50 000
partitions with 3 replicas; at most 131 072 structs, which take a second to read.
"""
STRUCT = 4
NO_TAGS = b"\x00"
NO_UUID = bytes(16)
TEXT_LIMIT = 32767
"""Bytes of a string, as in Kafka's older encoding; the compact one would allow 2 GiB."""


def bad(say: str) -> KafkaError:
    """Bytes that are not Kafka's."""
    return KafkaError("protocol", f"not Kafka's answer: {say}")


def uvarint(value: int) -> bytes:
    """Seven bits a byte, the lowest first. ``value`` >= 0."""
    if value < 0:
        raise ValueError("a varint of a negative number")
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def int16(value: int) -> bytes:
    """Two bytes, signed."""
    return _pack(">h", value)


def int32(value: int) -> bytes:
    """Four bytes, signed."""
    return _pack(">i", value)


def _pack(shape: str, value: int) -> bytes:
    try:
        return struct.pack(shape, value)
    except struct.error as error:
        raise ValueError(f"{value!r} is out of range: {error}") from None


def int8(value: int) -> bytes:
    """One byte, signed."""
    return _pack(">b", value)


def uint16(value: int) -> bytes:
    """Two bytes, unsigned: a port."""
    return _pack(">H", value)


def boolean(value: bool) -> bytes:
    """One byte, 0 or 1."""
    return b"\x01" if value else b"\x00"


def string(value: str | None) -> bytes:
    """Compact: length plus one, then UTF-8; 0 is null."""
    if value is None:
        return b"\x00"
    return data(value.encode())


def data(value: bytes) -> bytes:
    """Compact bytes: length plus one, then the bytes."""
    return uvarint(len(value) + 1) + value


def old_string(value: str) -> bytes:
    """Before flexible versions, and in request headers for ever: int16 length, then UTF-8."""
    encoded = value.encode()
    return int16(len(encoded)) + encoded


def array(items: Iterable[bytes] | None) -> bytes:
    """Compact: count plus one, then the entries; 0 is null."""
    if items is None:
        return b"\x00"
    made = list(items)
    return uvarint(len(made) + 1) + b"".join(made)


def uuid(text: str) -> bytes:
    """Sixteen bytes from Kafka's text of a uuid (base64url without padding, 22 characters)."""
    try:
        found = binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "==", strict_mode=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 16 or uuid_text(found) != text:
        raise ValueError(f"{text!r} is not a directory id of 22 characters")
    return found


def uuid_text(raw: bytes) -> str:
    """Kafka's text of sixteen bytes."""
    return binascii.b2a_base64(raw, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")


class Reader:
    """Takes one response apart, from its first byte to its last."""

    def __init__(self, raw: bytes, *, entries: int = MAX_ENTRIES) -> None:
        """``entries``: at most so many in all arrays together."""
        self._raw = raw
        self._at = 0
        self._entries = entries

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._raw) - self._at

    def take(self, size: int) -> bytes:
        """That many bytes."""
        if size < 0 or size > self.left:
            raise bad(f"{size} bytes where {self.left} are left")
        start = self._at
        self._at += size
        return self._raw[start : self._at]

    def _unpack(self, shape: struct.Struct) -> int:
        if shape.size > self.left:
            raise bad(f"{shape.size} bytes where {self.left} are left")
        found: int = shape.unpack_from(self._raw, self._at)[0]
        self._at += shape.size
        return found

    def int8(self) -> int:
        """One byte, signed."""
        return self._unpack(_INT8)

    def int16(self) -> int:
        """Two bytes, signed."""
        return self._unpack(_INT16)

    def uint16(self) -> int:
        """Two bytes, unsigned."""
        return self._unpack(_UINT16)

    def int32(self) -> int:
        """Four bytes, signed."""
        return self._unpack(_INT32)

    def int64(self) -> int:
        """Eight bytes, signed."""
        return self._unpack(_INT64)

    def boolean(self) -> bool:
        """One byte; anything but 0 is true, as in Kafka."""
        return self.int8() != 0

    def uvarint(self) -> int:
        """At most five bytes, at most 32 bits."""
        found = 0
        for shift in range(0, 35, 7):
            if not self.left:
                break
            byte = self._raw[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if found >= 1 << 32:
                    break
                return found
        raise bad("a varint without an end")

    def uuid(self) -> str:
        """Kafka's text of a uuid; empty for the zero one, which stands for none."""
        raw = self.take(16)
        return "" if raw == NO_UUID else uuid_text(raw)

    def nullable(self) -> str | None:
        """A compact string or null."""
        size = self.uvarint()
        return None if size == 0 else self._text(size - 1)

    def string(self) -> str:
        """A compact string."""
        found = self.nullable()
        if found is None:
            raise bad("null where a text has to be")
        return found

    def old_string(self) -> str:
        """A string with an int16 length."""
        return self._text(self.int16())

    def _text(self, size: int) -> str:
        if size > TEXT_LIMIT:
            raise bad(f"a text of {size} bytes")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise bad("a text that is not UTF-8") from None

    def data(self) -> bytes:
        """Compact bytes; null is empty."""
        size = self.uvarint()
        return self.take(size - 1) if size else b""

    def array(self, read: Callable[[], T], least: int) -> tuple[T, ...]:
        """A compact array; null is empty. ``least``: bytes that an entry has at least."""
        size = self.uvarint()
        return self._items(read, size - 1, least) if size else ()

    def old_array(self, read: Callable[[], T], least: int) -> tuple[T, ...]:
        """An array with an int32 count; null is empty."""
        size = self.int32()
        return self._items(read, size, least) if size != -1 else ()

    def ints(self) -> tuple[int, ...]:
        """A compact array of int32, as of broker ids."""
        size = self.uvarint()
        if not size:
            return ()
        self._count(size - 1, 4, 1)
        return struct.unpack(f">{size - 1}i", self.take((size - 1) * 4))

    def _items(self, read: Callable[[], T], size: int, least: int) -> tuple[T, ...]:
        self._count(size, least)
        return tuple([read() for _ in range(size)])

    def _count(self, size: int, least: int, weight: int = STRUCT) -> None:
        if size < 0 or size * least > self.left:
            raise bad(f"{size} entries where {self.left} bytes are left")
        self._entries -= size * weight
        if self._entries < 0:
            raise bad("more entries than are taken from one answer")

    def tags(self, known: Mapping[int, Callable[[], None]] | None = None) -> None:
        """The tagged fields at the end of a struct; unknown ones are passed over, known ones are read to their end."""
        count = self.uvarint()
        self._count(count, 2)
        for _ in range(count):
            tag, size = self.uvarint(), self.uvarint()
            if size > self.left:
                raise bad(f"{size} bytes where {self.left} are left")
            end = self._at + size
            if known is None or tag not in known:
                self._at = end
                continue
            known[tag]()
            if self._at != end:
                raise bad(f"the tagged field {tag} has another size than its own")

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise bad(f"{self.left} bytes too many")


_INT8, _INT16, _UINT16, _INT32, _INT64 = (struct.Struct(shape) for shape in (">b", ">h", ">H", ">i", ">q"))
