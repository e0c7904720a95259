"""Messages: byte for byte what Kafka's schemas say, both ways; every other byte string is one error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerboot.outside.kafka import wire
from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.kafka.values import Endpoint, Quorum, QuorumNode, Replica
from peerboot.outside.kafka.wire import Reader
from tests.kafka import vectors
from tests.kafka.vectors import EXPECTED, REQUESTS, RESPONSES, VECTORS, Vector, find

ASKED = [vector for vector in VECTORS if vector.message in REQUESTS]
SAID = [vector for vector in VECTORS if vector.message in RESPONSES]
WELL = [vector for vector in SAID if not vectors.error_code(vector.values)]
BROKEN = [vector for vector in SAID if vectors.error_code(vector.values) and vector.version]
KINDS = sorted({(vector.message, vector.version) for vector in SAID if vector.version or vector.message[0] != "A"})
"""Every response in every version that is read."""


def read(vector: Vector, raw: bytes | None = None) -> object:
    """What peerboot makes of a vector's bytes, or of others in their place."""
    return RESPONSES[vector.message](Reader(vector.raw if raw is None else raw), vector.version)


def outcome(call: Callable[[], object]) -> str:
    """The word of the error, or nothing; any other exception than ``KafkaError`` fails the test."""
    try:
        call()
    except KafkaError as error:
        found = error
    else:
        return ""
    assert (str(found).isprintable(), len(str(found)) <= 600) == (True, True)
    return found.outcome


@pytest.mark.parametrize("vector", ASKED, ids=str)
def test_a_request_is_byte_for_byte_what_the_schema_says(vector: Vector) -> None:
    """The same values give the same bytes as kafka-python with Kafka's own message schemas."""
    assert REQUESTS[vector.message](vector.values, vector.version) == vector.raw


@pytest.mark.parametrize("vector", WELL, ids=str)
def test_an_answer_is_read_as_the_schema_says(vector: Vector) -> None:
    """What was written by kafka-python with Kafka's own message schemas is read with every value in its place."""
    assert read(vector) == EXPECTED[vector.message](vector.values, vector.version)


@pytest.mark.parametrize("vector", BROKEN, ids=str)
def test_an_error_code_becomes_an_error_with_its_code(vector: Vector) -> None:
    """The code of the whole answer is the error's, wherever in the answer it stands."""
    if vector.message == "SaslHandshakeResponse":
        assert read(vector) == EXPECTED[vector.message](vector.values, vector.version)
        return
    with pytest.raises(KafkaError) as caught:
        read(vector)
    assert caught.value.code == vectors.error_code(vector.values)


def test_every_message_in_every_version_has_a_vector() -> None:
    """No encoder and no decoder is without bytes to be compared with."""
    assert {*REQUESTS, *RESPONSES} == {vector.message for vector in VECTORS}


def test_a_dynamic_quorum_in_full() -> None:
    """Told once by hand: directory ids as Kafka shows them, none for zero, times in ms of the leader's clock."""
    found = read(find("DescribeQuorumResponse", "a dynamic quorum"))
    assert found == Quorum(
        leader=1000,
        epoch=7,
        high_watermark=100,
        voters=(
            Replica(
                id=1000,
                directory="UC8UpY3eTKS2i-38xb17jg",
                end_offset=101,
                fetched_ms=1_790_000_000_500,
                caught_up_ms=1_790_000_000_500,
            ),
            Replica(
                id=1001,
                directory="_____3eTKS2i-38xb17jgw",
                end_offset=99,
                fetched_ms=1_790_000_000_000,
                caught_up_ms=1_789_999_990_000,
            ),
        ),
        observers=(Replica(id=0, directory="", end_offset=-1),),
        nodes=(
            QuorumNode(id=1000, endpoints=(Endpoint(listener="CONTROLLER", host="kafka-0.kafka", port=9093),)),
            QuorumNode(id=1001, endpoints=(Endpoint(listener="CONTROLLER", host="kafka-1.kafka", port=65535),)),
        ),
    )


@pytest.mark.parametrize(
    ("shows", "version", "dynamic"),
    [("a dynamic quorum", 2, True), ("a static quorum", 1, False), ("one voter", 0, False)],
)
def test_a_quorum_is_dynamic_when_each_voter_has_a_directory_id(shows: str, version: int, *, dynamic: bool) -> None:
    """Zero ids, and versions that have none, are a static quorum, or one of which that is not known."""
    found = read(find("DescribeQuorumResponse", shows, version))
    assert isinstance(found, Quorum)
    assert found.dynamic is dynamic


def test_a_quorum_without_voters_is_not_dynamic() -> None:
    """Of no voters nothing holds."""
    assert Quorum(leader=-1, epoch=0, high_watermark=-1, voters=(), observers=()).dynamic is False


@pytest.mark.parametrize("vector", SAID, ids=str)
def test_an_answer_cut_off_anywhere_is_one_error(vector: Vector) -> None:
    """Each shorter beginning is a protocol error, or the error code that came before the cut."""
    words = {outcome(lambda cut=cut: read(vector, vector.raw[:cut])) for cut in range(len(vector.raw))}  # type: ignore[misc]
    assert words <= {"protocol", "answered", "not-leader"}
    assert "protocol" in words


@pytest.mark.parametrize("vector", WELL, ids=str)
def test_a_byte_too_many_is_an_error(vector: Vector) -> None:
    """An answer ends where its schema ends: what is longer is of another version."""
    assert outcome(lambda: read(vector, vector.raw + b"\0")) == "protocol"


@pytest.mark.parametrize("vector", [v for v in WELL if v.raw.endswith(b"\0") and v.message[0] != "S"], ids=str)
def test_unknown_tagged_fields_are_passed_over(vector: Vector) -> None:
    """A newer server may add tagged fields to a version (KIP-482): they change nothing."""
    if vector.message == "ApiVersionsResponse":
        return
    more = vector.raw[:-1] + bytes.fromhex("02 07 03 616263 ff01 00")
    assert read(vector, more) == read(vector)


HOSTILE = {
    "a count of 4 billion": ("00000000 0000 00 ffffffff0f", "4294967294 entries where 0 bytes are left"),
    "a varint of six bytes": ("00000000 0000 00 808080808000", "a varint without an end"),
    "a varint of 35 bits": ("00000000 0000 00 ffffffff7f", "a varint without an end"),
    "a text of 4 billion": ("00000000 0000 ffffffff0f", "a text of 4294967294 bytes"),
    "a text of 40 000": ("00000000 0000 c1b802" + "78" * 40_000, "a text of 40000 bytes"),
    "a text longer than the rest": ("00000000 0000 09 78", "8 bytes where 1 are left"),
    "a text that is not UTF-8": ("00000000 0000 03 c328", "a text that is not UTF-8"),
    "a null name": ("00000000 0000 00 02 00 01 00 00", "null where a text has to be"),
    "a tag of 4 billion bytes": ("00000000 0000 00 01 01 00 ffffffff0f", "4294967295 bytes where 0 are left"),
    "more tags than bytes": ("00000000 0000 00 01 ff01 0000", "255 entries where 2 bytes are left"),
    "nothing": ("", "4 bytes where 0 are left"),
    "zeros": ("00" * 4096, "bytes too many"),
}


@pytest.mark.parametrize(("text", "says"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_one_error(text: str, says: str) -> None:
    """Lengths and counts that lie, texts that are none: the error says so, nothing of that size is made."""
    raw = bytes.fromhex(text)
    tracemalloc.start()
    with pytest.raises(KafkaError) as caught:
        RESPONSES["ListPartitionReassignmentsResponse"](Reader(raw), 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (caught.value.outcome, says in str(caught.value), peak < 1 << 20) == ("protocol", True, True)


@pytest.mark.parametrize("size", ["07", "09"], ids=["too-short", "too-long"])
def test_a_tagged_field_that_is_known_has_its_own_size(size: str) -> None:
    """The epoch of the finalized features has eight bytes, whatever is said before it."""
    raw = find("ApiVersionsResponse", "a dynamic cluster").raw
    tag = bytes.fromhex("01 08") + (42).to_bytes(8, "big")
    assert raw.count(tag) == 1
    with pytest.raises(KafkaError, match="another size than its own"):
        RESPONSES["ApiVersionsResponse"](Reader(raw.replace(tag, bytes.fromhex(f"01 {size}") + tag[2:])), 4)


def test_a_count_is_checked_before_the_first_entry_is_read() -> None:
    """A thousand entries of three bytes each do not fit in a hundred bytes."""
    raw = bytes.fromhex("00000000 0000 00 e907") + bytes(100)
    with pytest.raises(KafkaError, match="1000 entries where 100 bytes are left"):
        RESPONSES["ListPartitionReassignmentsResponse"](Reader(raw), 0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
@given(raw=st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_an_answer_or_one_error(kind: tuple[str, int], raw: bytes) -> None:
    """No bytes raise anything but ``KafkaError``."""
    message, version = kind
    outcome(lambda: RESPONSES[message](Reader(raw), version))


@pytest.mark.parametrize("vector", SAID, ids=str)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_with_any_bytes_changed_is_an_answer_or_one_error(vector: Vector, data: st.DataObject) -> None:
    """Near-misses reach deeper than noise: bytes are replaced, taken out and put in, anywhere."""
    raw = bytearray(vector.raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    outcome(lambda: read(vector, bytes(raw)))


@pytest.mark.parametrize(("more", "word"), [(0, ""), (1, "protocol")], ids=["as-many-as-are-taken", "one-more"])
def test_the_entries_of_an_answer_are_bounded(more: int, word: str) -> None:
    """Arrays that are all there in bytes, but more than any cluster has, end at a bound over all arrays together."""
    size = 1000 + more
    ids = wire.uvarint(size // 2 + 1) + bytes(4 * (size // 2))
    rest = wire.uvarint(size - size // 2 + 1) + bytes(4 * (size - size // 2))
    topic = wire.string("t") + b"\x02" + wire.int32(0) + ids + rest + b"\x01\x00" + b"\x00"
    raw = wire.int32(0) + wire.int16(0) + b"\x00" + b"\x02" + topic + b"\x00"
    reader = Reader(raw, entries=1000 + 2 * wire.STRUCT)
    assert outcome(lambda: RESPONSES["ListPartitionReassignmentsResponse"](reader, 0)) == word


def test_an_answer_costs_a_bounded_amount_of_memory() -> None:
    """The smallest partitions: at most 20 bytes are made of each byte that came. Of 8 MiB the entries take 2.3 MiB."""
    count = 5000
    partition = bytes(14) + b"\x01\x01\x01\x00"
    topics = b"\x02" + bytes(2) + wire.string("t") + bytes(16) + b"\0" + wire.uvarint(count + 1) + partition * count
    raw = wire.int32(0) + b"\x01\x00" + wire.int32(0) + topics + bytes(4) + b"\0" + b"\0"
    tracemalloc.start()
    word = outcome(lambda: RESPONSES["MetadataResponse"](Reader(raw), 12))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (word, peak < 20 * len(raw)) == ("", True)


@pytest.mark.parametrize(
    "text",
    ["", "short", "A" * 21, "A" * 23, "UC8UpY3eTKS2i+38xb17jg", "UC8UpY3eTKS2i-38xb17jh", "UC8UpY3eTKS2i-38xb17j="],
    ids=["empty", "short", "21", "23", "plus", "bits-left-over", "padded"],
)
def test_what_is_no_directory_id_is_never_sent(text: str) -> None:
    """A directory id that Kafka would read as another one, or not at all, is the caller's mistake."""
    with pytest.raises(ValueError, match="directory id"):
        wire.uuid(text)


@given(raw=st.binary(min_size=16, max_size=16))
def test_a_directory_id_survives_text_and_bytes(raw: bytes) -> None:
    """Kafka's text of any 16 bytes has 22 characters and leads back to them."""
    text = wire.uuid_text(raw)
    assert (len(text), wire.uuid(text)) == (22, raw)


@given(value=st.integers(0, (1 << 32) - 1))
def test_a_varint_survives(value: int) -> None:
    """What is written is what is read, to the last byte."""
    reader = Reader(wire.uvarint(value))
    assert (reader.uvarint(), reader.left) == (value, 0)


@pytest.mark.parametrize("value", [-1 << 31, 1 << 31], ids=["below", "above"])
def test_a_number_out_of_range_is_the_callers_mistake(value: int) -> None:
    """-2147483648 fits in four bytes, 2147483648 does not."""
    if value == -1 << 31:
        assert wire.int32(value) == b"\x80\0\0\0"
    else:
        with pytest.raises(ValueError, match="out of range"):
            wire.int32(value)
