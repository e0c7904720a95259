"""Each call's request, byte for byte as Kafka's message schemas have it (``clients/…/common/message/*Request.json``).

Only versions that 3.7 to 4.3 speak are written; docs/adr/0007 has what was checked against what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peerboot.outside.kafka import wire
from peerboot.outside.kafka.values import ConfigChange, Endpoint, Resource

TopicPartition = tuple[str, int]


@dataclass(frozen=True)
class Api:
    """A call: its key, and the versions that are written and read here."""

    key: int
    name: str
    lowest: int
    highest: int
    flexible: bool = True
    change: bool = False
    """It changes something: when it may have arrived, it is not sent again."""


API_VERSIONS = Api(18, "ApiVersions", 3, 4)
SASL_HANDSHAKE = Api(17, "SaslHandshake", 1, 1, flexible=False)
SASL_AUTHENTICATE = Api(36, "SaslAuthenticate", 2, 2)
METADATA = Api(3, "Metadata", 12, 13)
DESCRIBE_QUORUM = Api(55, "DescribeQuorum", 0, 2)
DESCRIBE_CLUSTER = Api(60, "DescribeCluster", 0, 2)
LIST_REASSIGNMENTS = Api(46, "ListPartitionReassignments", 0, 0)
ALTER_REASSIGNMENTS = Api(45, "AlterPartitionReassignments", 0, 1, change=True)
ADD_VOTER = Api(80, "AddRaftVoter", 0, 1, change=True)
REMOVE_VOTER = Api(81, "RemoveRaftVoter", 0, 0, change=True)
UNREGISTER_BROKER = Api(64, "UnregisterBroker", 0, 0, change=True)
CREATE_TOPICS = Api(19, "CreateTopics", 7, 7)
"""Only ever to ask whether a topic could be made, so it changes nothing."""
UPDATE_FEATURES = Api(57, "UpdateFeatures", 1, 2, change=True)
DESCRIBE_CONFIGS = Api(32, "DescribeConfigs", 4, 4)
ALTER_CONFIGS = Api(44, "IncrementalAlterConfigs", 1, 1, change=True)
DESCRIBE_LOG_DIRS = Api(35, "DescribeLogDirs", 4, 4)

BROKERS, CONTROLLERS = 1, 2
"""Endpoint types of DescribeCluster (KIP-919)."""
UPGRADE = 1
"""Upgrade type of UpdateFeatures (KIP-778)."""
QUORUM_TOPIC = "__cluster_metadata"


def frame(api: Api, version: int, correlation: int, client: str, body: bytes) -> bytes:
    """Size, request header (version 2, or 1 before flexible versions) and body."""
    head = wire.int16(api.key) + wire.int16(version) + wire.int32(correlation) + wire.old_string(client)
    if api.flexible:
        head += wire.NO_TAGS
    return wire.int32(len(head) + len(body)) + head + body


def api_versions(client: str, release: str) -> bytes:
    """Versions 3 and 4. Both texts are of ASCII letters, digits, ``-`` and ``.``, these not at either end (KIP-511)."""
    return wire.string(client) + wire.string(release) + wire.NO_TAGS


def sasl_handshake(mechanism: str) -> bytes:
    """Version 1."""
    return wire.old_string(mechanism)


def sasl_authenticate(token: bytes) -> bytes:
    """Version 2."""
    return wire.data(token) + wire.NO_TAGS


def metadata(topics: Sequence[str] | None) -> bytes:
    """Versions 12 and 13; None: all topics. None is ever created by asking for it."""
    named = None if topics is None else [wire.NO_UUID + wire.string(topic) + wire.NO_TAGS for topic in topics]
    return wire.array(named) + wire.boolean(False) + wire.boolean(False) + wire.NO_TAGS


def describe_quorum() -> bytes:
    """Versions 0 to 2: the one partition of the metadata log."""
    partition = wire.int32(0) + wire.NO_TAGS
    topic = wire.string(QUORUM_TOPIC) + wire.array([partition]) + wire.NO_TAGS
    return wire.array([topic]) + wire.NO_TAGS


def describe_cluster(version: int, endpoints: int, *, fenced: bool = False) -> bytes:
    """Versions 0 to 2; the endpoint type is written from 1 on, ``fenced`` (fenced brokers too) from 2 on."""
    found = wire.boolean(False)
    if version >= 1:
        found += wire.int8(endpoints)
    if version >= 2:
        found += wire.boolean(fenced)
    return found + wire.NO_TAGS


def add_voter(
    version: int,
    *,
    cluster: str | None,
    timeout_ms: int,
    node: int,
    directory: str,
    endpoints: Sequence[Endpoint],
    committed: bool = True,
) -> bytes:
    """Versions 0 and 1; ``committed`` (answer after the commit, KIP-1186) is written from 1 on."""
    listeners = [
        wire.string(one.listener) + wire.string(one.host) + wire.uint16(one.port) + wire.NO_TAGS for one in endpoints
    ]
    found = wire.string(cluster) + wire.int32(timeout_ms) + wire.int32(node) + wire.uuid(directory)
    found += wire.array(listeners)
    if version >= 1:
        found += wire.boolean(committed)
    return found + wire.NO_TAGS


def remove_voter(*, cluster: str | None, node: int, directory: str) -> bytes:
    """Version 0."""
    return wire.string(cluster) + wire.int32(node) + wire.uuid(directory) + wire.NO_TAGS


def could_create(topic: str, broker: int, *, timeout_ms: int) -> bytes:
    """CreateTopics 7 with ``validateOnly``: one topic of one partition with its one copy on this broker."""
    assignment = wire.int32(0) + wire.array([wire.int32(broker)]) + wire.NO_TAGS
    row = wire.string(topic) + wire.int32(-1) + wire.int16(-1) + wire.array([assignment]) + wire.array([])
    return wire.array([row + wire.NO_TAGS]) + wire.int32(timeout_ms) + wire.boolean(True) + wire.NO_TAGS


def unregister_broker(broker: int) -> bytes:
    """Version 0."""
    return wire.int32(broker) + wire.NO_TAGS


def update_features(*, timeout_ms: int, levels: Mapping[str, int], upgrade: int, validate_only: bool) -> bytes:
    """Versions 1 and 2."""
    updates = [
        wire.string(name) + wire.int16(level) + wire.int8(upgrade) + wire.NO_TAGS for name, level in levels.items()
    ]
    return wire.int32(timeout_ms) + wire.array(updates) + wire.boolean(validate_only) + wire.NO_TAGS


def alter_reassignments(
    version: int, *, timeout_ms: int, moves: Mapping[TopicPartition, Sequence[int] | None], same_factor: bool = True
) -> bytes:
    """Versions 0 and 1; None cancels. ``same_factor`` (a change of the replication factor is refused) from 1 on."""
    topics: dict[str, list[bytes]] = {}
    for (topic, partition), replicas in moves.items():
        ids = None if replicas is None else [wire.int32(broker) for broker in replicas]
        topics.setdefault(topic, []).append(wire.int32(partition) + wire.array(ids) + wire.NO_TAGS)
    found = wire.int32(timeout_ms)
    if version >= 1:
        found += wire.boolean(not same_factor)
    found += wire.array(wire.string(name) + wire.array(rows) + wire.NO_TAGS for name, rows in topics.items())
    return found + wire.NO_TAGS


def list_reassignments(*, timeout_ms: int, partitions: Mapping[str, Sequence[int]] | None = None) -> bytes:
    """Version 0; None: all that are under way."""
    topics = None
    if partitions is not None:
        topics = [
            wire.string(topic) + wire.array(wire.int32(index) for index in indexes) + wire.NO_TAGS
            for topic, indexes in partitions.items()
        ]
    return wire.int32(timeout_ms) + wire.array(topics) + wire.NO_TAGS


def describe_configs(resources: Mapping[Resource, Sequence[str] | None]) -> bytes:
    """Version 4: these keys of each topic and broker (None: all keys), without synonyms and documentation."""
    rows = [
        wire.int8(kind)
        + wire.string(name)
        + wire.array(None if keys is None else [wire.string(key) for key in keys])
        + wire.NO_TAGS
        for (kind, name), keys in resources.items()
    ]
    return wire.array(rows) + wire.boolean(False) + wire.boolean(False) + wire.NO_TAGS


def alter_configs(changes: Sequence[ConfigChange], *, validate_only: bool = False) -> bytes:
    """Version 1 (KIP-339): what is not named stays as it is."""
    rows: dict[Resource, list[bytes]] = {}
    for one in changes:
        made = wire.string(one.key) + wire.int8(one.operation) + wire.string(one.value) + wire.NO_TAGS
        rows.setdefault((one.kind, one.name), []).append(made)
    found = wire.array(
        wire.int8(kind) + wire.string(name) + wire.array(made) + wire.NO_TAGS for (kind, name), made in rows.items()
    )
    return found + wire.boolean(validate_only) + wire.NO_TAGS


def describe_log_dirs(partitions: Mapping[str, Sequence[int]] | None) -> bytes:
    """Version 4 (KIP-827); None: all that the broker has."""
    topics = None
    if partitions is not None:
        topics = [
            wire.string(topic) + wire.array(wire.int32(index) for index in indexes) + wire.NO_TAGS
            for topic, indexes in partitions.items()
        ]
    return wire.array(topics) + wire.NO_TAGS
