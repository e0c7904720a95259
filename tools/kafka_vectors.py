"""Writes the bytes of tests/kafka/vectors.txt anew, with Kafka's own message schemas and kafka-python as the encoder.

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install kafka-python==3.0.12 msgspec
    mvn -q dependency:copy -Dartifact=org.apache.kafka:kafka-clients:4.3.1 -DoutputDirectory=/tmp/oracle
    /tmp/oracle/bin/python -m tools.kafka_vectors /tmp/oracle/kafka-clients-4.3.1.jar

``--check`` only says which bytes differ (exit 1). ``--fuzz 2000`` also makes that many random messages of each kind and
version, and compares both ways: peerboot's encoders with kafka-python's bytes, and what peerboot reads with what was
written. Neither kafka-python nor a schema is part of peerboot or of its tests: the vectors are.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
import tempfile
import types
import uuid
import zipfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peerboot.outside.kafka import wire
from peerboot.outside.kafka.errors import CODES, KafkaError
from peerboot.outside.kafka.wire import Reader
from tests.kafka import vectors

PACKAGE = "kafka_message_schemas"
FOLDER = "common/message/"
VERSIONS = {
    "ApiVersionsRequest": (3, 4),
    "ApiVersionsResponse": (3, 4),
    "SaslHandshakeRequest": (1,),
    "SaslHandshakeResponse": (1,),
    "SaslAuthenticateRequest": (2,),
    "SaslAuthenticateResponse": (2,),
    "MetadataRequest": (12, 13),
    "MetadataResponse": (12, 13),
    "DescribeQuorumRequest": (0, 1, 2),
    "DescribeQuorumResponse": (0, 1, 2),
    "DescribeClusterRequest": (0, 1, 2),
    "DescribeClusterResponse": (0, 1, 2),
    "AddRaftVoterRequest": (0, 1),
    "AddRaftVoterResponse": (0, 1),
    "RemoveRaftVoterRequest": (0,),
    "RemoveRaftVoterResponse": (0,),
    "CreateTopicsRequest": (7,),
    "CreateTopicsResponse": (7,),
    "UnregisterBrokerRequest": (0,),
    "UnregisterBrokerResponse": (0,),
    "UpdateFeaturesRequest": (1, 2),
    "UpdateFeaturesResponse": (1, 2),
    "AlterPartitionReassignmentsRequest": (0, 1),
    "AlterPartitionReassignmentsResponse": (0, 1),
    "ListPartitionReassignmentsRequest": (0,),
    "ListPartitionReassignmentsResponse": (0,),
    "DescribeConfigsRequest": (4,),
    "DescribeConfigsResponse": (4,),
    "IncrementalAlterConfigsRequest": (1,),
    "IncrementalAlterConfigsResponse": (1,),
    "DescribeLogDirsRequest": (4,),
    "DescribeLogDirsResponse": (4,),
}
"""Every message that peerboot writes or reads, with its versions."""
FIXED: dict[str, Any] = {
    "allow_auto_topic_creation": False,
    "include_topic_authorized_operations": False,
    "include_cluster_authorized_operations": False,
    "topic_id": "A" * 22,
    "error_code": 0,
    "upgrade_type": 1,
    "include_synonyms": False,
    "include_documentation": False,
}
"""Fields that peerboot always writes so, and codes, which end the reading of an answer."""


class Schemas:
    """Kafka's messages, read from its jar, with kafka-python's codec."""

    def __init__(self, jar: Path) -> None:
        self._kept = tempfile.TemporaryDirectory()
        folder = Path(self._kept.name) / PACKAGE
        folder.mkdir()
        (folder / "__init__.py").touch()
        with zipfile.ZipFile(jar) as archive:
            for name in VERSIONS:
                (folder / f"{name}.json").write_bytes(archive.read(f"{FOLDER}{name}.json"))
        sys.path.insert(0, self._kept.name)
        message = import_module("kafka.protocol.api_message").ApiMessage
        self._classes: dict[str, Any] = {
            name: types.new_class(name, (message,), {"load_json": PACKAGE}) for name in VERSIONS
        }

    def encode(self, name: str, number: int, values: vectors.Values) -> bytes:
        """The bytes of a message without header."""
        made = self._classes[name]
        encoded: bytes = _filled(made, made._struct, number, values).encode(version=number)
        return encoded

    def invent(self, name: str, number: int, chance: random.Random) -> dict[str, Any]:
        """Random values for each field of a version."""
        return _invented(self._classes[name]._struct.fields.values(), number, chance)


def _filled(cls: Any, struct: Any, number: int, values: vectors.Values) -> Any:
    """A message, or a struct in it, from named values; fields that the version lacks must not be named."""
    known = {field.name: field for field in struct.fields.values() if field.for_version_q(number)}
    if not set(values) <= set(known):
        raise SystemExit(f"{struct.name} v{number} has no {sorted(set(values) - set(known))}")
    return cls(version=number, **{name: _value(known[name], number, value) for name, value in values.items()})


def _value(field: Any, number: int, value: Any) -> Any:
    if value is None:
        return None
    if field.is_struct_array():
        return [_filled(field.data_class, field, number, row) for row in value]
    kind = field.type_str
    if kind == "uuid":
        return uuid.UUID(bytes=bytes(16) if set(value) == {"A"} else wire.uuid(value))
    return bytes.fromhex(value) if kind == "bytes" else value


def _invented(fields: Any, number: int, chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        if not field.for_version_q(number) or field.name == "unknown_tags":
            continue
        if field.is_struct_array():
            nullable = field.nullable_for_version_q(number) and chance.random() < 0.2
            rows = [_invented(field.fields.values(), number, chance) for _ in range(chance.randrange(4))]
            found[field.name] = None if nullable else rows
        elif field.name in FIXED:
            found[field.name] = FIXED[field.name]
        else:
            found[field.name] = _random(field, number, chance)
    return found


RANGES = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


def _random(field: Any, number: int, chance: random.Random) -> Any:
    kind = field.type_str
    if field.nullable_for_version_q(number) and chance.random() < 0.2:
        return None
    if field.is_array():
        inner = kind.removeprefix("[]")
        return [_one(inner, chance) for _ in range(chance.randrange(5))]
    return _one(kind, chance)


def _one(kind: str, chance: random.Random) -> Any:
    if kind in RANGES:
        low, high = RANGES[kind]
        return chance.choice((low, high, 0, 1, chance.randint(low, high)))
    if kind == "bool":
        return chance.random() < 0.5
    if kind == "uuid":
        return wire.uuid_text(chance.randbytes(16))
    if kind == "bytes":
        return chance.randbytes(chance.choice((0, 1, 126, 127, 128, 300))).hex()
    size = chance.choice((0, 1, 5, 126, 127, 128, 300))
    return "".join(chance.choice(string.ascii_letters + "-._:ä€") for _ in range(size))


def rewritten(schemas: Schemas, jar: Path) -> str:
    """The text of vectors.txt, its values kept and its bytes made anew."""
    lines = [
        f"# The values are ours. The bytes are by kafka-python {version('kafka-python')} with the schemas of",
        f"# {jar.name}: python -m tools.kafka_vectors",
    ]
    for vector in vectors.VECTORS:
        raw = schemas.encode(vector.message, vector.version, vector.values)
        head = f"{vector.message} v{vector.version} {vector.shows}"
        lines += ["", head, json.dumps(vector.values, ensure_ascii=False), raw.hex()]
    return "\n".join(lines) + "\n"


def fuzz(schemas: Schemas, rounds: int, seed: int) -> int:
    """Compare random messages both ways; the number of comparisons. Raises ``SystemExit`` at the first difference."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    done = 0
    for name, numbers in VERSIONS.items():
        for number in numbers:
            for _ in range(rounds):
                values = _plausible(name, schemas.invent(name, number, chance))
                raw = schemas.encode(name, number, values)
                done += 1
                if name.endswith("Request"):
                    ours: Any = vectors.REQUESTS[name](values, number)
                    theirs: Any = raw
                else:
                    theirs = vectors.EXPECTED[name](values, number)
                    try:
                        ours = vectors.RESPONSES[name](Reader(raw), number)
                    except KafkaError as error:
                        ours = error
                if ours != theirs:
                    raise SystemExit(f"{name} v{number} {json.dumps(values)}\nours   {ours!r}\ntheirs {theirs!r}")
    return done


def _plausible(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """What peerboot writes and reads at all: one metadata log, named topics, no name twice."""
    if name.startswith("DescribeQuorum"):
        partition = {"partition_index": 0}
        if name.endswith("Response"):
            rows = [row for topic in values["topics"] for row in topic["partitions"]]
            if not rows:
                return {**values, "topics": [_quorum_topic(values)]}
            partition = rows[0]
        values["topics"] = [{"topic_name": "__cluster_metadata", "partitions": [partition]}]
    if name == "CreateTopicsRequest":
        row = {"name": "asked", "num_partitions": -1, "replication_factor": -1, "configs": []}
        broker = values["timeout_ms"]
        values["topics"] = [{**row, "assignments": [{"partition_index": 0, "broker_ids": [broker]}]}]
        values["validate_only"] = True
    if name == "CreateTopicsResponse":
        values["topics"] = values["topics"][:1] or [_created_topic(values)]
    for key in ("topics", "feature_updates", "api_keys", "resources"):
        rows = values.get(key) or []
        for number, row in enumerate(rows):
            if name == "IncrementalAlterConfigsRequest" and not row["configs"]:
                row["configs"] = [{"name": "k", "config_operation": 0, "value": "v"}]
            for label in ("name", "feature", "topic", "resource_name"):
                if label in row and name.endswith("Request"):
                    row[label] = f"{row[label] or ''}{number}"
            if "api_key" in row:
                row["api_key"] = number
            for index, part in enumerate(row.get("partitions") or ()):
                if isinstance(part, dict) and "partition_index" in part and name.endswith("Request"):
                    part["partition_index"] = index if name != "DescribeQuorumRequest" else 0
            if name == "AlterPartitionReassignmentsRequest" and not row["partitions"]:
                row["partitions"] = [{"partition_index": 7, "replicas": None}]
    return values


def _created_topic(values: vectors.Values) -> dict[str, Any]:
    return {
        "name": "x", "topic_id": "A" * 22, "error_code": 39 * (values["throttle_time_ms"] % 2), "error_message": None,
        "num_partitions": 1, "replication_factor": 1, "configs": None,
    }  # fmt: skip


def _quorum_topic(_values: vectors.Values) -> dict[str, Any]:
    partition = {
        "partition_index": 0,
        "error_code": 0,
        "leader_id": 1,
        "leader_epoch": 2,
        "high_watermark": 3,
        "current_voters": [],
        "observers": [],
    }
    return {"topic_name": "__cluster_metadata", "partitions": [partition]}


OLD_NAMES = {-1: "UNKNOWN", 6: "NOT_LEADER_FOR_PARTITION", 17: "INVALID_TOPIC", 39: "INVALID_REPLICATION_ASSIGNMENT"}
"""What kafka-python still calls by the names of Kafka 2."""


def names() -> None:
    """Raises ``SystemExit`` for a code whose name here is not Kafka's."""
    errors = import_module("kafka.errors")
    for code, (name, _meaning) in CODES.items():
        known = getattr(errors.for_code(code), "message", "")
        if known not in (name, OLD_NAMES.get(code)):
            raise SystemExit(f"{code}: {name} here, {known or 'unknown'} in kafka-python")


def main() -> int:
    """Write, check or compare."""
    parser = argparse.ArgumentParser(prog="python -m tools.kafka_vectors", description=__doc__)
    parser.add_argument("jar", type=Path, help="kafka-clients-VERSION.jar")
    parser.add_argument("--check", action="store_true", help="only say whether the bytes differ")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="random messages of each kind and version")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    schemas = Schemas(args.jar)
    text = rewritten(schemas, args.jar)
    if not args.check:
        vectors.FILE.write_text(text)
    elif text != vectors.FILE.read_text():
        print(f"{vectors.FILE.name} differs from what {args.jar.name} gives", file=sys.stderr)
        return 1
    names()
    if args.fuzz:
        print(f"{fuzz(schemas, args.fuzz, args.seed)} random messages are the same on both sides")
    return 0


if __name__ == "__main__":
    sys.exit(main())
