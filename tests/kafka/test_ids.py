"""The ids that peerboot gives to Kafka."""

from __future__ import annotations

import base64
import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot.outside.kafka import wire
from peerboot.systems.kafka import ids

TOKEN = "0123456789abcdef0123456789abcdef"
PODS = ("kafka-0", "kafka-1", "kafka-2")


def test_fixed() -> None:
    """A release must give the ids that the one before it gave: a birth is completed by whatever runs."""
    expected = ("UB0EMILwQ72XYgUBNWcH3A", "d9nxQ8aDQGKY12eevNwr1A")
    assert expected == (ids.cluster_id(TOKEN), ids.directory_id(TOKEN, "kafka-0"))


def test_by_hand() -> None:
    """SHA-256 over the label and each part with its length; version and variant as of java.util.UUID.randomUUID."""
    raw = bytearray(hashlib.sha256(f"peerboot-kafka-cluster-132:{TOKEN};1:0;".encode()).digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    assert base64.urlsafe_b64encode(raw).decode() == f"{ids.cluster_id(TOKEN)}=="


@given(st.text(), st.text())
def test_every_id(token: str, pod: str) -> None:
    """Every id is a version 4 uuid in Kafka's text without a dash at its beginning; a pod's is not the cluster's."""
    made = {ids.cluster_id(token), ids.directory_id(token, pod)}
    assert len(made) == 2
    for text in made:
        found = uuid.UUID(bytes=wire.uuid(text))
        assert (
            found.version,
            found.variant,
            ids.is_uuid(text),
            text.startswith("-"),
        ) == (4, uuid.RFC_4122, True, False)


def test_unique_to_an_incarnation() -> None:
    """Another token or another pod is another id."""
    tokens = [f"{n:032x}" for n in range(500)]
    assert len({ids.directory_id(token, pod) for token in tokens for pod in PODS}) == 500 * 3
    assert len({ids.cluster_id(token) for token in tokens}) == 500
    assert ids.directory_id("a", "bc") != ids.directory_id("ab", "c")


def test_dash() -> None:
    """Where the first hash would begin with a dash, the next is taken."""

    def first(token: str) -> str:
        return base64.urlsafe_b64encode(
            hashlib.sha256(f"peerboot-kafka-cluster-1{len(token)}:{token};1:0;".encode()).digest()[:16]
        ).decode()

    token = next(str(n) for n in range(10_000) if first(str(n)).startswith("-"))
    assert (ids.cluster_id(token).startswith("-"), ids.is_uuid(ids.cluster_id(token))) == (False, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UC8UpY3eTKS2i-38xb17jg", True),
        ("-C8UpY3eTKS2i-38xb17jg", True),
        ("AAAAAAAAAAAAAAAAAAAAAA", False),  # zero
        ("AAAAAAAAAAAAAAAAAAAAAQ", False),  # one
        (wire.uuid_text((99).to_bytes(16, "big")), False),
        (wire.uuid_text((100).to_bytes(16, "big")), True),
        (wire.uuid_text(bytes(8) + b"\xff" * 8), False),  # below 100 as Java's signed number
        (wire.uuid_text(bytes(7) + b"\1" + b"\xff" * 8), True),
        ("UC8UpY3eTKS2i-38xb17jh", False),  # Kafka writes the same value with g
        ("UC8UpY3eTKS2i-38xb17j", False),
        ("UC8UpY3eTKS2i-38xb17jg==", False),
        ("UC8UpY3eTKS2i+38xb17jg", False),
        ("UC8UpY3eTKS2i-38xb17jg\n", False),
        ("plain-name", False),
        ("", False),
    ],
)
def test_is_uuid(text: str, expected: bool) -> None:
    """Kafka's own text of a value that is not reserved (DirectoryId.reserved)."""
    assert expected is ids.is_uuid(text)


@given(st.binary(min_size=16, max_size=16))
def test_any_sixteen_bytes(raw: bytes) -> None:
    """Of sixteen bytes that are not reserved there is one text."""
    high, low = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big", signed=True)
    assert (high != 0 or low >= 100) is ids.is_uuid(wire.uuid_text(raw))


@pytest.mark.parametrize(("node", "directory"), [(0, "UC8UpY3eTKS2i-38xb17jg"), (2**31 - 1, "-C"), (7, "")])
def test_member(node: int, directory: str) -> None:
    """A member's id has its two parts back; a static quorum's voters have no directory id."""
    assert (node, directory) == ids.split_member(ids.member_id(node, directory))


@pytest.mark.parametrize(
    "member", ["", "1", ":abc", "-1:abc", "x:abc", " 1:abc", "\u0661:abc", "2147483648:a", "9" * 5000 + ":"]
)
def test_no_member(member: str) -> None:
    """What is no member's id is told in one short line."""
    with pytest.raises(ValueError, match=r"is not a node id and a directory id$") as caught:
        ids.split_member(member)
    assert len(str(caught.value)) < 140
