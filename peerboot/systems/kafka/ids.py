"""The ids that peerboot gives to Kafka, and the text of a member's id. Pure.

Kafka's Uuid (org.apache.kafka.common.Uuid) is written as base64url of its 16 bytes without padding: 22 characters. It
makes them by java.util.UUID.randomUUID, again while the text begins with a dash. Kafka starts with no directory id
whose first eight bytes are zero and whose others, as a signed number, are below 100 (DirectoryId.reserved).
"""

from __future__ import annotations

import base64
import hashlib
import re

from peerboot.systems.kafka.settings import MOST_NODE

CLUSTER_LABEL = "peerboot-kafka-cluster-1"
DIRECTORY_LABEL = "peerboot-kafka-directory-1"
"""Inside the hashes: another way of making ids must never make an equal one."""
RESERVED, NEGATIVE = 100, 1 << 63
TEXT = re.compile(r"[A-Za-z0-9_-]{22}")


def cluster_id(token: str) -> str:
    """The ``cluster.id`` of a birth."""
    return _uuid(CLUSTER_LABEL, token)


def directory_id(token: str, pod: str) -> str:
    """The ``directory.id`` of one pod's first metadata directory of a birth, and of no other disk."""
    return _uuid(DIRECTORY_LABEL, token, pod)


def member_id(node: int, directory: str) -> str:
    """A controller as peerboot names it: its node id and its directory id, which is empty in a static quorum."""
    return f"{node}:{directory}"


def split_member(member: str) -> tuple[int, str]:
    """Node id and directory id; raises ``ValueError``."""
    node, colon, directory = member.partition(":")
    if not colon or not (node.isascii() and node.isdigit()) or len(node) > 10 or int(node) > MOST_NODE:
        raise ValueError(f"{member[:80]!r} is not a node id and a directory id")
    return int(node), directory


def is_uuid(text: str) -> bool:
    """Whether it is a Uuid as Kafka writes it, and not a reserved one."""
    if not TEXT.fullmatch(text):
        return False
    raw = base64.urlsafe_b64decode(f"{text}==")
    number = int.from_bytes(raw, "big")
    # The last character has four bits to spare: of the texts of one value Kafka writes one.
    return _text(raw) == text and not (number < RESERVED or NEGATIVE <= number < NEGATIVE * 2)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _uuid(label: str, *parts: str) -> str:
    """A version 4 UUID from a hash, so never a reserved one; made anew while its text begins with a dash, which tools
    take for an option. Every part is hashed with its length before it, so that no two lists of parts read alike.
    """
    for count in range(1000):
        digest = hashlib.sha256(label.encode())
        for part in (*parts, str(count)):
            digest.update(f"{len(part)}:{part};".encode())
        raw = bytearray(digest.digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        text = _text(bytes(raw))
        if not text.startswith("-"):
            return text
    raise AssertionError("a thousand hashes in a row begin alike")
