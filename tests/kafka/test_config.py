"""``server.properties``: what peerboot writes, what a user may add, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from peerboot import settings
from peerboot.birth import token_of
from peerboot.errors import SettingsError
from peerboot.model import Birth, Identity
from peerboot.systems.kafka import config, ids, properties
from peerboot.systems.kafka.spec import SYSTEM


def identity(pod: str = "kafka-0", replicas: int | None = 3, ips: tuple[str, ...] = ()) -> Identity:
    """One of three."""
    return Identity(
        namespace="prod", service="kafka", statefulset="kafka", pod=pod, ordinal=int(pod.rpartition("-")[2]),
        system="kafka", domain="cluster.local", replicas=replicas, ips=ips,
    )  # fmt: skip


def made(
    who: Identity | None = None, /, *, base: Mapping[str, Any] | None = None, **environ: Any
) -> config.KafkaConfig:
    """The config that these settings lead to."""
    who = who or identity()
    given = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVICE": "kafka", "POD_NAME": who.pod, "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", **environ,
    }  # fmt: skip
    parsed = settings.read(given, systems={"kafka": SYSTEM.settings})
    return config.prepare(parsed, who, base or {})


def test_a_combined_node() -> None:
    """Broker and controller in one, of three: all that it has to be told, and three copies of everything."""
    assert properties.parse(made(identity("kafka-1")).properties()) == {
        "process.roles": "broker,controller",
        "node.id": "1",
        # The others too: behind the Service's name is this Pod itself, and of itself it would learn of no leader.
        "controller.quorum.bootstrap.servers": "kafka-0.kafka.prod.svc.cluster.local:9093,"
        "kafka-2.kafka.prod.svc.cluster.local:9093,kafka.prod.svc.cluster.local:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": "CONTROLLER://[::]:9093,INTERNAL://[::]:9092",
        "advertised.listeners": "CONTROLLER://kafka-1.kafka.prod.svc.cluster.local:9093,"
        "INTERNAL://kafka-1.kafka.prod.svc.cluster.local:9092",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT",
        "metadata.log.dir": "/var/lib/kafka/data/metadata",
        "inter.broker.listener.name": "INTERNAL",
        "log.dirs": "/var/lib/kafka/data/logs",
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "share.coordinator.state.topic.replication.factor": "3",
        "share.coordinator.state.topic.min.isr": "2",
    }


def test_a_controller_has_no_broker_s_keys() -> None:
    """It has one directory and one listener, ids from the base of its set, and gives topics their copies."""
    written = made(PEERBOOT_KAFKA_ROLES="controller", PEERBOOT_KAFKA_NODE_ID_BASE="1000").properties()
    assert properties.parse(written) == {
        "process.roles": "controller",
        "node.id": "1000",
        "controller.quorum.bootstrap.servers": "kafka-1.kafka.prod.svc.cluster.local:9093,"
        "kafka-2.kafka.prod.svc.cluster.local:9093,kafka.prod.svc.cluster.local:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": "CONTROLLER://[::]:9093",
        "advertised.listeners": "CONTROLLER://kafka-0.kafka.prod.svc.cluster.local:9093",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT",
        "metadata.log.dir": "/var/lib/kafka/data/metadata",
        "log.dirs": "/var/lib/kafka/data/metadata",
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
    }


@pytest.mark.parametrize(
    ("replicas", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (9, "3", "2"), (None, "3", "2")]
)
def test_copies_follow_the_number_of_brokers(replicas: int | None, copies: str, in_sync: str) -> None:
    """No more copies than brokers; two in sync as soon as one can be missing."""
    found = properties.parse(made(identity(replicas=replicas)).properties())
    assert (found["default.replication.factor"], found["min.insync.replicas"]) == (copies, in_sync)


def test_the_voters_of_a_birth() -> None:
    """Every pod with its directory id, in the order of node ids, the same text whoever writes it."""
    nonces = {f"kafka-{n}": f"n{n}" for n in (10, 9, 0)}
    born = Birth(token=token_of(nonces), members=nonces)
    expected = ",".join(
        f"{100 + n}@kafka-{n}.kafka.prod.svc.cluster.local:9093:{ids.directory_id(born.token, f'kafka-{n}')}"
        for n in (0, 9, 10)
    )
    assert made(PEERBOOT_KAFKA_NODE_ID_BASE="100").voters(born) == expected


def test_what_the_user_adds_wins_over_defaults_only() -> None:
    """A user's own key is there, and replaces a default of peerboot."""
    found = properties.parse(made(base={"min.insync.replicas": "1", "num.partitions": 6}).properties())
    assert (found["min.insync.replicas"], found["num.partitions"], found["node.id"]) == ("1", "6", "0")


def test_addresses_of_the_pod_only() -> None:
    """With PEERBOOT_SERVER_BIND=pod the server listens on the Pod's first address; IPv6 stands in brackets."""
    for ip, shown in (("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")):
        who = identity(ips=(ip,))
        found = properties.parse(made(who, PEERBOOT_SERVER_BIND="pod", POD_IPS=ip).properties())
        assert found["listeners"] == f"CONTROLLER://{shown}:9093,INTERNAL://{shown}:9092"


def test_the_rack_is_written_where_it_is_known() -> None:
    """No rack is no key, for Kafka takes an empty one for a rack."""
    with_rack = properties.parse(made(PEERBOOT_KAFKA_RACK="eu-1a").properties())
    assert (with_rack["broker.rack"], "broker.rack" in properties.parse(made().properties())) == ("eu-1a", False)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            {"controller.quorum.voters": "0@a:9093"},
            (
                "'controller.quorum.voters' in PEERBOOT_BASE_CONFIG_FILE is refused: with it an empty disk of a "
                "dynamic cluster believes itself a voter, and two of them elect a leader without data; "
                "peerboot writes it where PEERBOOT_KAFKA_QUORUM=static"
            ),
        ),
        (
            {"node.id": "7"},
            "'node.id' in PEERBOOT_BASE_CONFIG_FILE belongs to peerboot, which has to know it: drop it there",
        ),
        (
            {"unclean.leader.election.enable": " TRUE "},
            (
                "unclean.leader.election.enable=TRUE in PEERBOOT_BASE_CONFIG_FILE is refused: a replica that lags "
                "would lead, and acknowledged records be lost"
            ),
        ),
        (
            {"default.replication.factor": "5"},
            (
                "default.replication.factor=5 in PEERBOOT_BASE_CONFIG_FILE is more than the 3 brokers of "
                "PEERBOOT_REPLICAS: no such topic could be made; lower it, or raise PEERBOOT_REPLICAS"
            ),
        ),
        (
            {"offsets.topic.replication.factor": "three"},
            "offsets.topic.replication.factor='three' in PEERBOOT_BASE_CONFIG_FILE is not a whole number: write one",
        ),
    ],
)
def test_keys_that_cannot_stay(base: dict[str, object], said: str) -> None:
    """Each is one line: what, why, what to do."""
    with pytest.raises(SettingsError) as caught:
        made(base=base)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"PEERBOOT_KAFKA_BROKER_PORT": "9093"},
            "PEERBOOT_KAFKA_CONTROLLER_PORT and _BROKER_PORT must differ: give each its own",
        ),
        (
            {"PEERBOOT_KAFKA_NODE_ID_BASE": "2147483646"},
            "PEERBOOT_KAFKA_NODE_ID_BASE=2147483646 leads to node ids above 2147483647: choose a smaller one",
        ),
        (
            {"PEERBOOT_KAFKA_HOST": "{pdo}"},
            "PEERBOOT_KAFKA_HOST='{pdo}' has an unknown field: use pod, ordinal, service, namespace, domain in braces",
        ),
        (
            {"PEERBOOT_KAFKA_HOST": "{service}"},
            "PEERBOOT_KAFKA_HOST='{service}' is the same for every pod: use {pod} or {ordinal} in it",
        ),
        (
            {"PEERBOOT_KAFKA_LOG_DIRS": ", "},
            "PEERBOOT_KAFKA_LOG_DIRS has 0 directories: name 1 to 64, separated by commas",
        ),
        (
            {"PEERBOOT_KAFKA_LOG_DIRS": "logs"},
            "PEERBOOT_KAFKA_LOG_DIRS: 'logs' is no absolute path: begin it with /",
        ),
        (
            {"PEERBOOT_KAFKA_LOG_DIRS": "/a,/a/"},
            "PEERBOOT_KAFKA_LOG_DIRS names a directory twice: name each once",
        ),
        (
            {"PEERBOOT_KAFKA_LOG_DIRS": "/var/lib/kafka/data"},
            (
                "PEERBOOT_KAFKA_LOG_DIRS: /var/lib/kafka/data and the data directory /var/lib/kafka/data/metadata lie "
                "in each other: give each a directory of its own, side by side, so that a lost one of them can be told "
                "from the other"
            ),
        ),
    ],
)
def test_settings_that_contradict(environ: dict[str, str], said: str) -> None:
    """Each is one line: what, why, what to do."""
    with pytest.raises(SettingsError) as caught:
        made(None, base=None, **environ)
    assert str(caught.value) == said


def test_pods_and_nodes() -> None:
    """Ordinal plus base, both ways; an id below the base is of another set."""
    there = made(PEERBOOT_KAFKA_NODE_ID_BASE="1000")
    assert (there.node_of("kafka-12"), there.pod_of(1012), there.pod_of(999)) == (1012, "kafka-12", "")
    with pytest.raises(ValueError, match="other-1 is no pod of kafka"):
        there.node_of("other-1")


def test_a_birth_predicts_its_cluster() -> None:
    """Another birth, another cluster id; no birth, none."""
    one, two = (Birth(token=token_of({"kafka-0": n}), members={"kafka-0": n}) for n in ("a", "b"))
    there = made()
    found = [there.predicted_cluster(born) for born in (one, two, None)]
    assert (found[0] != found[1], len(found[0]), found[2]) == (True, 22, "")


def test_a_broker_of_a_set_of_its_own() -> None:
    """It has one listener and no vote, and finds its controllers by the name of their Service."""
    found = properties.parse(
        made(
            identity("kafka-1"), PEERBOOT_KAFKA_ROLES="broker", PEERBOOT_KAFKA_CONTROLLERS="ctl.other",
            PEERBOOT_KAFKA_NODE_ID_BASE="100",
        ).properties()
    )  # fmt: skip
    expected = {
        "process.roles": "broker",
        "node.id": "101",
        "controller.quorum.bootstrap.servers": "ctl.other.svc.cluster.local:9093",
        "listeners": "INTERNAL://[::]:9092",
        "advertised.listeners": "INTERNAL://kafka-1.kafka.prod.svc.cluster.local:9092",
        "log.dirs": "/var/lib/kafka/data/logs",
        "default.replication.factor": "3",
    }
    assert expected == {key: found[key] for key in expected}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({}, ("3", "2"), id="not-told"),
        pytest.param({"PEERBOOT_KAFKA_BROKERS": "2"}, ("2", "1"), id="two"),
        pytest.param({"PEERBOOT_KAFKA_BROKERS": "9"}, ("3", "2"), id="nine"),
    ],
)
def test_a_controller_gives_topics_their_copies(told: dict[str, Any], expected: tuple[str, str]) -> None:
    """A topic that names no number gets the controllers' default, so they are told how many brokers there are."""
    found = properties.parse(made(identity(), PEERBOOT_KAFKA_ROLES="controller", **told).properties())
    assert expected == (found["default.replication.factor"], found["min.insync.replicas"])
    assert "offsets.topic.replication.factor" not in found


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {"PEERBOOT_KAFKA_ROLES": "broker"},
            "PEERBOOT_KAFKA_CONTROLLERS='' is no name of a Service: with PEERBOOT_KAFKA_ROLES=broker it names the "
            "controllers' headless one, as kafka-controllers-peers, or with .NAMESPACE after it",
            id="none",
        ),
        pytest.param(
            {"PEERBOOT_KAFKA_ROLES": "broker", "PEERBOOT_KAFKA_CONTROLLERS": "kafka"},
            "PEERBOOT_KAFKA_CONTROLLERS=kafka is this set's own Service: name that of the controllers' StatefulSet",
            id="own",
        ),
        pytest.param(
            {"PEERBOOT_KAFKA_CONTROLLERS": "ctl"},
            "PEERBOOT_KAFKA_CONTROLLERS=ctl is for PEERBOOT_KAFKA_ROLES=broker, and this is combined, whose own "
            "Service is the controllers': drop it, or set the roles",
            id="combined",
        ),
        pytest.param(
            {"PEERBOOT_KAFKA_BROKERS": "3"},
            "PEERBOOT_KAFKA_BROKERS is for PEERBOOT_KAFKA_ROLES=controller, and this is combined: here the brokers "
            "are PEERBOOT_REPLICAS; drop it",
            id="brokers",
        ),
        pytest.param(
            {"PEERBOOT_KAFKA_ROLES": "broker", "PEERBOOT_KAFKA_CONTROLLERS": "ctl", "PEERBOOT_ANCHOR": "file:/a"},
            "PEERBOOT_ANCHOR remembers the birth of a cluster, and brokers of a set of their own form none: set it "
            "for the controllers",
            id="anchor",
        ),
    ],
)
def test_sets_that_contradict(environ: dict[str, Any], expected: str) -> None:
    """Each is one line: what, why, what to do."""
    with pytest.raises(SettingsError) as caught:
        made(**environ)
    assert expected == str(caught.value)


def test_more_copies_than_brokers_elsewhere() -> None:
    """A set of controllers knows the number of brokers by a setting of its own."""
    with pytest.raises(SettingsError) as caught:
        made(base={"default.replication.factor": "3"}, PEERBOOT_KAFKA_ROLES="controller", PEERBOOT_KAFKA_BROKERS="2")
    assert str(caught.value) == (
        "default.replication.factor=3 in PEERBOOT_BASE_CONFIG_FILE is more than the 2 brokers of "
        "PEERBOOT_KAFKA_BROKERS: no such topic could be made; lower it, or raise PEERBOOT_KAFKA_BROKERS"
    )
