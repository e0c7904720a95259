"""Messages byte for byte: the vectors of vectors.txt, and what each of their values is called here.

A vector is three lines: message, version and what it shows; its values as JSON, named as in Kafka's schema (a uuid as
Kafka's text of it, bytes as hex); its bytes as hex, without any header, made by ``python -m tools.kafka_vectors``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from peerboot.outside.kafka import configs, requests, responses
from peerboot.outside.kafka.errors import CODES, answered
from peerboot.outside.kafka.values import (
    Config,
    ConfigChange,
    Configs,
    Copy,
    Endpoint,
    Failure,
    Feature,
    LogDir,
    Metadata,
    Move,
    Node,
    Nodes,
    Partition,
    Quorum,
    QuorumNode,
    Refusal,
    Replica,
    Server,
    Topic,
)
from peerboot.outside.kafka.wire import Reader

FILE = Path(__file__).with_name("vectors.txt")
Values = Mapping[str, Any]


class Vector(NamedTuple):
    """One message."""

    message: str
    version: int
    shows: str
    values: dict[str, Any]
    raw: bytes

    def __str__(self) -> str:
        return f"{self.message}-{self.version}-{self.shows}".replace(" ", "-")


def read(text: str) -> Iterator[Vector]:
    """The vectors of a text, in its order; comments and empty lines are passed over."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for head, values, raw in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        message, version, shows = head.split(" ", 2)
        yield Vector(message, int(version.removeprefix("v")), shows, json.loads(values), bytes.fromhex(raw))


VECTORS = tuple(read(FILE.read_text()))


def find(message: str, shows: str, version: int | None = None) -> Vector:
    """The vector that shows this; the highest version if none is named."""
    found = [v for v in VECTORS if v[0] == message and v.shows == shows and version in (None, v.version)]
    return max(found, key=lambda vector: vector.version)


def _endpoints(rows: list[Values]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(listener=row["name"], host=row["host"], port=row["port"]) for row in rows)


REQUESTS: dict[str, Callable[[Values, int], bytes]] = {
    "ApiVersionsRequest": lambda v, _: requests.api_versions(v["client_software_name"], v["client_software_version"]),
    "SaslHandshakeRequest": lambda v, _: requests.sasl_handshake(v["mechanism"]),
    "SaslAuthenticateRequest": lambda v, _: requests.sasl_authenticate(bytes.fromhex(v["auth_bytes"])),
    "MetadataRequest": lambda v, _: requests.metadata(
        None if v["topics"] is None else [topic["name"] for topic in v["topics"]]
    ),
    "DescribeQuorumRequest": lambda _, __: requests.describe_quorum(),
    "DescribeClusterRequest": lambda v, version: requests.describe_cluster(
        version, v.get("endpoint_type", 1), fenced=v.get("include_fenced_brokers", False)
    ),
    "AddRaftVoterRequest": lambda v, version: requests.add_voter(
        version,
        cluster=v["cluster_id"],
        timeout_ms=v["timeout_ms"],
        node=v["voter_id"],
        directory=v["voter_directory_id"],
        endpoints=_endpoints(v["listeners"]),
        committed=v.get("ack_when_committed", True),
    ),
    "RemoveRaftVoterRequest": lambda v, _: requests.remove_voter(
        cluster=v["cluster_id"], node=v["voter_id"], directory=v["voter_directory_id"]
    ),
    "CreateTopicsRequest": lambda v, _: requests.could_create(
        v["topics"][0]["name"], v["topics"][0]["assignments"][0]["broker_ids"][0], timeout_ms=v["timeout_ms"]
    ),
    "UnregisterBrokerRequest": lambda v, _: requests.unregister_broker(v["broker_id"]),
    "UpdateFeaturesRequest": lambda v, _: requests.update_features(
        timeout_ms=v["timeout_ms"],
        levels={row["feature"]: row["max_version_level"] for row in v["feature_updates"]},
        upgrade=v["feature_updates"][0]["upgrade_type"] if v["feature_updates"] else 1,
        validate_only=v["validate_only"],
    ),
    "AlterPartitionReassignmentsRequest": lambda v, version: requests.alter_reassignments(
        version,
        timeout_ms=v["timeout_ms"],
        moves={
            (topic["name"], row["partition_index"]): row["replicas"]
            for topic in v["topics"]
            for row in topic["partitions"]
        },
        same_factor=not v.get("allow_replication_factor_change", True),
    ),
    "ListPartitionReassignmentsRequest": lambda v, _: requests.list_reassignments(
        timeout_ms=v["timeout_ms"],
        partitions=None if v["topics"] is None else {t["name"]: t["partition_indexes"] for t in v["topics"]},
    ),
    "DescribeConfigsRequest": lambda v, _: requests.describe_configs(
        {(row["resource_type"], row["resource_name"]): row["configuration_keys"] for row in v["resources"]}
    ),
    "IncrementalAlterConfigsRequest": lambda v, _: requests.alter_configs(
        [
            ConfigChange(
                kind=row["resource_type"],
                name=row["resource_name"],
                key=one["name"],
                operation=one["config_operation"],
                value=one["value"],
            )
            for row in v["resources"]
            for one in row["configs"]
        ],
        validate_only=v["validate_only"],
    ),
    "DescribeLogDirsRequest": lambda v, _: requests.describe_log_dirs(
        None if v["topics"] is None else {row["topic"]: row["partitions"] for row in v["topics"]}
    ),
}
"""Message -> its values to bytes, by peerboot's encoder."""

RESPONSES: dict[str, Callable[[Reader, int], Any]] = {
    "ApiVersionsResponse": lambda read, _: responses.api_versions(read),
    "SaslHandshakeResponse": lambda read, _: responses.sasl_handshake(read),
    "SaslAuthenticateResponse": lambda read, _: responses.sasl_authenticate(read),
    "MetadataResponse": responses.metadata,
    "DescribeQuorumResponse": responses.describe_quorum,
    "DescribeClusterResponse": responses.describe_cluster,
    "AddRaftVoterResponse": responses.plain,
    "RemoveRaftVoterResponse": responses.plain,
    "CreateTopicsResponse": responses.could_create,
    "UnregisterBrokerResponse": responses.plain,
    "UpdateFeaturesResponse": responses.update_features,
    "AlterPartitionReassignmentsResponse": responses.alter_reassignments,
    "ListPartitionReassignmentsResponse": responses.list_reassignments,
    "DescribeConfigsResponse": configs.describe_configs,
    "IncrementalAlterConfigsResponse": configs.alter_configs,
    "DescribeLogDirsResponse": configs.describe_log_dirs,
}
"""Message -> its bytes to values, by peerboot's decoder."""


def _uuid(text: str) -> str:
    return "" if set(text) == {"A"} else text


def _node(row: Values, *, id_is: str) -> Node:
    return Node(
        id=row[id_is],
        host=row["host"],
        port=row["port"],
        rack=row["rack"] or "",
        fenced=row.get("is_fenced", False),
    )


def _replicas(rows: list[Values]) -> tuple[Replica, ...]:
    return tuple(
        Replica(
            id=row["replica_id"],
            directory=_uuid(row.get("replica_directory_id", "A")),
            end_offset=row["log_end_offset"],
            fetched_ms=row.get("last_fetch_timestamp", -1),
            caught_up_ms=row.get("last_caught_up_timestamp", -1),
        )
        for row in rows
    )


def _quorum(v: Values, _: int) -> Quorum:
    [partition] = v["topics"][0]["partitions"]
    return Quorum(
        leader=partition["leader_id"],
        epoch=partition["leader_epoch"],
        high_watermark=partition["high_watermark"],
        voters=_replicas(partition["current_voters"]),
        observers=_replicas(partition["observers"]),
        nodes=tuple(
            QuorumNode(id=row["node_id"], endpoints=_endpoints(row["listeners"])) for row in v.get("nodes", ())
        ),
    )


def _metadata(v: Values, _: int) -> Metadata:
    return Metadata(
        cluster=v["cluster_id"] or "",
        controller=v["controller_id"],
        brokers=tuple(_node(row, id_is="node_id") for row in v["brokers"]),
        topics=tuple(
            Topic(
                name=topic["name"] or "",
                id=_uuid(topic["topic_id"]),
                internal=topic["is_internal"],
                error=topic["error_code"],
                partitions=tuple(
                    Partition(
                        index=row["partition_index"],
                        leader=row["leader_id"],
                        epoch=row["leader_epoch"],
                        replicas=tuple(row["replica_nodes"]),
                        in_sync=tuple(row["isr_nodes"]),
                        offline=tuple(row["offline_replicas"]),
                        error=row["error_code"],
                    )
                    for row in topic["partitions"]
                ),
            )
            for topic in v["topics"]
        ),
    )


def _server(v: Values, version: int) -> tuple[bool, Server]:
    ranges = {row["api_key"]: (row["min_version"], row["max_version"]) for row in v["api_keys"]}
    if version == 0:
        return False, Server(ranges=ranges)
    return True, Server(
        ranges=ranges,
        supported=tuple(
            Feature(name=row["name"], least=row["min_version"], most=row["max_version"])
            for row in v["supported_features"]
        ),
        finalized=tuple(
            Feature(name=row["name"], least=row["max_version_level"], most=row["max_version_level"])
            for row in v["finalized_features"]
        ),
        epoch=v["finalized_features_epoch"],
    )


def _refusals(v: Values, _: int) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            topic=topic["name"],
            partition=row["partition_index"],
            code=row["error_code"],
            name=CODES.get(row["error_code"], ("", ""))[0],
            message=str(answered(row["error_code"], row["error_message"])),
        )
        for topic in v["responses"]
        for row in topic["partitions"]
        if row["error_code"]
    )


def _moves(v: Values, _: int) -> tuple[Move, ...]:
    return tuple(
        Move(
            topic=topic["name"],
            partition=row["partition_index"],
            replicas=tuple(row["replicas"]),
            adding=tuple(row["adding_replicas"]),
            removing=tuple(row["removing_replicas"]),
        )
        for topic in v["topics"]
        for row in topic["partitions"]
    )


def _said(row: Values) -> str:
    return str(answered(row["error_code"], row["error_message"])) if row["error_code"] else ""


def _configs(v: Values, _: int) -> tuple[Configs, ...]:
    return tuple(
        Configs(
            kind=row["resource_type"],
            name=row["resource_name"],
            error=row["error_code"],
            message=_said(row),
            configs=tuple(
                Config(key=one["name"], value=one["value"], source=one["config_source"]) for one in row["configs"]
            ),
        )
        for row in v["results"]
    )


def _failures(v: Values, _: int) -> tuple[Failure, ...]:
    return tuple(
        Failure(kind=row["resource_type"], name=row["resource_name"], code=row["error_code"], message=_said(row))
        for row in v["responses"]
        if row["error_code"]
    )


def _log_dirs(v: Values, _: int) -> tuple[LogDir, ...]:
    return tuple(
        LogDir(
            path=row["log_dir"],
            error=row["error_code"],
            total=row["total_bytes"],
            usable=row["usable_bytes"],
            copies=tuple(
                Copy(
                    topic=topic["name"],
                    partition=one["partition_index"],
                    size=one["partition_size"],
                    future=one["is_future_key"],
                )
                for topic in row["topics"]
                for one in topic["partitions"]
            ),
        )
        for row in v["results"]
    )


EXPECTED: dict[str, Callable[[Values, int], Any]] = {
    "CreateTopicsResponse": lambda v, _: (v["topics"][0]["error_code"], v["topics"][0]["error_message"] or ""),
    "ApiVersionsResponse": _server,
    "SaslHandshakeResponse": lambda v, _: (v["error_code"], tuple(v["mechanisms"])),
    "SaslAuthenticateResponse": lambda v, _: (bytes.fromhex(v["auth_bytes"]), max(0, v["session_lifetime_ms"])),
    "MetadataResponse": _metadata,
    "DescribeQuorumResponse": _quorum,
    "DescribeClusterResponse": lambda v, _: Nodes(
        cluster=v["cluster_id"],
        controller=v["controller_id"],
        nodes=tuple(_node(row, id_is="broker_id") for row in v["brokers"]),
    ),
    "AlterPartitionReassignmentsResponse": _refusals,
    "ListPartitionReassignmentsResponse": _moves,
    "AddRaftVoterResponse": lambda _, __: None,
    "RemoveRaftVoterResponse": lambda _, __: None,
    "UnregisterBrokerResponse": lambda _, __: None,
    "UpdateFeaturesResponse": lambda _, __: None,
    "DescribeConfigsResponse": _configs,
    "IncrementalAlterConfigsResponse": _failures,
    "DescribeLogDirsResponse": _log_dirs,
}
"""Message -> what its values are here. For a response with an error code of the whole it is not asked."""


def error_code(v: Values) -> int:
    """The code that makes an answer an error as a whole; 0 for none."""
    if v.get("error_code"):
        return int(v["error_code"])
    rows = [row for topic in v.get("topics", ()) or () for row in topic.get("partitions", ())]
    inner = (
        [row["error_code"] for row in rows if "current_voters" in row]
        + [
            # Of UpdateFeatures; those of single brokers, topics and directories are part of the values.
            row["error_code"]
            for row in v.get("results", ())
            if "feature" in row
        ]
        + [row["error_code"] for row in v.get("responses", ()) if row.get("error_code") in (6, 41)]
    )
    return next((int(code) for code in inner if code), 0)
