"""Kafka's ``server.properties``, valid on 3.9 to 4.3, and all that its contents depend on. Pure.

Sources: KafkaConfig.validateValues, QuorumConfig, KRaftConfigs. A file with ``controller.quorum.voters`` makes an empty
disk of a dynamic cluster believe itself a voter (measured), so that key is never accepted, and written for a static
quorum only (``static.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from peerboot.errors import SettingsError
from peerboot.model import Birth, Identity, Limits
from peerboot.settings import Settings
from peerboot.systems.kafka import baseconfig, ids, properties, security, static
from peerboot.systems.kafka.controllers import quorum_service
from peerboot.systems.kafka.listeners import CONTROLLER, INTERNAL
from peerboot.systems.kafka.security import Material, Security
from peerboot.systems.kafka.settings import DEFAULT_DATA_DIR, FIELDS, MOST_NODE

Roles = Literal["combined", "controller", "broker"]

MOST_LOG_DIRS = 64
MOST_BOOTSTRAP = 6
"""Other controllers that a file names beside their Service."""


@dataclass(frozen=True)
class KafkaConfig:
    """Kafka set up for one Pod: everything that the contents of the files depend on."""

    identity: Identity
    roles: Roles
    metadata_dir: str
    log_dirs: tuple[str, ...]
    """Empty for a controller."""
    quorum_service: str
    """The controllers' headless Service, its absolute name without the final dot."""
    brokers: int | None
    """How many there ought to be; None: it is not told."""
    node_base: int
    bind: Literal["any", "pod"]
    host: str
    """Template."""
    controller_port: int
    broker_port: int
    rack: str
    base: Mapping[str, str]
    limits: Limits
    security: Security
    quorum: static.Quorum = "dynamic"
    """Of a cluster that forms."""

    # ------------------------------------------------------------- names

    @property
    def node(self) -> int:
        """This Pod's node id."""
        return self.node_base + self.identity.ordinal

    @property
    def is_broker(self) -> bool:
        """Whether clients are served here."""
        return self.roles != "controller"

    @property
    def is_controller(self) -> bool:
        """Whether this node may have a vote."""
        return self.roles != "broker"

    def node_of(self, pod: str) -> int:
        """The node id of a pod of this set; raises ``ValueError`` for another."""
        ordinal = self.identity.ordinal_of(pod)
        if ordinal is None:
            raise ValueError(f"{pod} is no pod of {self.identity.statefulset}")
        return self.node_base + ordinal

    def pod_of(self, node: int) -> str:
        """The pod of this set with that node id, empty for an id below the base."""
        ordinal = node - self.node_base
        return f"{self.identity.statefulset}-{ordinal}" if ordinal >= 0 else ""

    def host_of(self, pod: str) -> str:
        """The host that a pod's server advertises."""
        me = self.identity
        return self.host.format(
            pod=pod, ordinal=me.ordinal_of(pod), service=me.service, namespace=me.namespace, domain=me.domain
        )

    @property
    def copies(self) -> str:
        """``default.replication.factor`` by the number of brokers."""
        return _copies(self.brokers)[0]

    @property
    def min_in_sync(self) -> str:
        """``min.insync.replicas`` by the number of brokers."""
        return _copies(self.brokers)[1]

    @property
    def fingerprint(self) -> str:
        """Hash of what all pods must share, or their lists of voters would differ."""
        shared = [self.host, self.controller_port, self.node_base, self.identity.domain, self.identity.service]
        if not self.is_controller:
            shared.append(self.quorum_service)
        shared += [self.quorum] if self.quorum != "dynamic" else []
        shared += [self.security.own] if self.security.own != "PLAINTEXT" else []
        return hashlib.sha256(json.dumps(shared).encode()).hexdigest()[:16]

    def predicted_cluster(self, birth: Birth | None) -> str:
        """The cluster id that a birth leads to."""
        return ids.cluster_id(birth.token) if birth is not None else ""

    def voters(self, birth: Birth) -> str:
        """``id@host:port:directory`` of every pod of a birth, for ``kafka-storage format --initial-controllers``."""
        return ",".join(
            f"{self.node_of(pod)}@{_bracket(self.host_of(pod))}:{self.controller_port}:"
            f"{ids.directory_id(birth.token, pod)}"
            for pod in sorted(birth.members, key=self.node_of)
        )

    # ---------------------------------------------------------- contents

    def properties(self, voters: Sequence[str] = ()) -> str:
        """``server.properties``. It does not depend on who is there: the cluster's voters are in its own log, or a list
        that is fixed (``voters``: their pods).
        """
        bind, host = self._bind(), _bracket(self.host_of(self.identity.pod))
        ports = {CONTROLLER: self.controller_port} if self.is_controller else {}
        ports |= {INTERNAL: self.broker_port} if self.is_broker else {}
        told = {name: f"{name}://{host}:{port}" for name, port in ports.items()}
        self.security.add_to(self.identity, ports, told)
        owned = {
            "process.roles": {"combined": "broker,controller"}.get(self.roles, self.roles),
            "node.id": str(self.node),
            "controller.quorum.bootstrap.servers": self._bootstrap(),
            "controller.listener.names": CONTROLLER,
            "listeners": ",".join(f"{name}://{bind}:{port}" for name, port in ports.items()),
            "advertised.listeners": ",".join(told.values()),
            "listener.security.protocol.map": self.security.map,
            "metadata.log.dir": self.metadata_dir,
        }
        if self.is_broker:
            owned |= {"inter.broker.listener.name": INTERNAL, "log.dirs": ",".join(self.log_dirs)}
            owned |= {"broker.rack": self.rack} if self.rack else {}
        else:
            # Without it a controller takes /tmp/kafka-logs for one of its directories.
            owned["log.dirs"] = self.metadata_dir
        owned |= self.security.properties()
        first = "# Written by peerboot; changes are lost. Your own keys go into PEERBOOT_BASE_CONFIG_FILE.\n"
        return first + properties.render({**static.adapted(self, owned, voters), **self._defaults(), **self.base})

    def _bootstrap(self) -> str:
        """Where a server looks for the leader: the controllers' Service, whose name Kafka asks DNS for again at each
        new connection, so that the set may grow. A controller is behind that name itself: where its own address is the
        first that it gets, and its listener is open by then, it asks itself for ever who leads. So others are named.
        """
        others = self.identity.others[:MOST_BOOTSTRAP] if self.is_controller else ()
        hosts = (*(_bracket(self.host_of(pod)) for pod in others), self.quorum_service)
        return ",".join(f"{host}:{self.controller_port}" for host in hosts)

    def _defaults(self) -> dict[str, str]:
        """Replication for as many brokers as there are; Kafka's own defaults keep one copy of everything.

        A controller gives a topic the number of copies that is not named (ReplicationControlManager), all else is the
        broker's that makes an internal topic.
        """
        copies, in_sync = _copies(self.brokers)
        both = {"default.replication.factor": copies, "min.insync.replicas": in_sync}
        if not self.is_broker:
            return both
        return {
            **both,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
        }

    def _bind(self) -> str:
        if self.bind == "pod":
            return _bracket(self.identity.ips[0])
        only_v4 = bool(self.identity.ips) and all(":" not in ip for ip in self.identity.ips)
        return "0.0.0.0" if only_v4 else "[::]"  # noqa: S104 - the Pod's own network


def _copies(told: int | None) -> tuple[str, str]:
    """Replication factor and min.insync.replicas: three and two, unless there are fewer brokers."""
    brokers = 3 if told is None else told
    return str(min(3, brokers)), "2" if brokers >= 3 else "1"


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def prepare(
    settings: Settings, identity: Identity, base: Mapping[str, object], material: Material | None = None
) -> KafkaConfig:
    """The config of this Pod; raises ``SettingsError``."""
    extra = settings.extra
    _check_host(extra["kafka_host"])
    ports = extra["kafka_controller_port"], extra["kafka_broker_port"]
    if ports[0] == ports[1]:
        raise SettingsError("PEERBOOT_KAFKA_CONTROLLER_PORT and _BROKER_PORT must differ: give each its own")
    most = identity.start + (identity.replicas or 1) - 1
    node_base = extra["kafka_node_id_base"]
    if node_base + max(most, identity.ordinal) > MOST_NODE:
        raise SettingsError(
            f"PEERBOOT_KAFKA_NODE_ID_BASE={node_base} leads to node ids above {MOST_NODE}: choose a smaller one"
        )
    metadata_dir = settings.data_dir or DEFAULT_DATA_DIR
    secured = security.prepare(settings, identity, material or Material())
    roles = extra["kafka_roles"]
    told_by = "PEERBOOT_KAFKA_BROKERS" if roles == "controller" else "PEERBOOT_REPLICAS"
    brokers = identity.replicas if roles != "controller" else extra["kafka_brokers"]
    return KafkaConfig(
        identity=identity,
        roles=roles,
        metadata_dir=metadata_dir,
        log_dirs=_log_dirs(extra["kafka_log_dirs"], metadata_dir) if roles != "controller" else (),
        quorum_service=quorum_service(settings, identity),
        brokers=brokers,
        node_base=node_base,
        bind=settings.server_bind,
        host=extra["kafka_host"],
        controller_port=ports[0],
        broker_port=ports[1],
        rack=material.rack if material else extra["kafka_rack"],
        security=secured,
        base=baseconfig.check(base, secured.properties(), brokers, told_by),
        limits=Limits(corrupt_recheck=extra["kafka_corrupt_recheck"], learner_stall=extra["kafka_observer_stall"]),
        quorum=static.quorum(extra["kafka_quorum"], roles),
    )


def _check_host(host: str) -> None:
    fields = {"service": "b", "namespace": "c", "domain": "d"}
    try:
        first, second = (host.format(pod=f"a-{n}", ordinal=n, **fields) for n in (0, 1))
    except (KeyError, IndexError, ValueError):
        raise SettingsError(
            f"PEERBOOT_KAFKA_HOST={host!r} has an unknown field: use {', '.join(FIELDS)} in braces"
        ) from None
    if first == second:
        raise SettingsError(f"PEERBOOT_KAFKA_HOST={host!r} is the same for every pod: use {{pod}} or {{ordinal}} in it")


def _log_dirs(text: str, metadata_dir: str) -> tuple[str, ...]:
    name = "PEERBOOT_KAFKA_LOG_DIRS"
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not found or len(found) > MOST_LOG_DIRS:
        raise SettingsError(f"{name} has {len(found)} directories: name 1 to {MOST_LOG_DIRS}, separated by commas")
    for path in found:
        if not path.startswith("/"):
            raise SettingsError(f"{name}: {path!r} is no absolute path: begin it with /")
    if len(set(found)) < len(found):
        raise SettingsError(f"{name} names a directory twice: name each once")
    for path in found:
        if _inside(path, metadata_dir) or _inside(metadata_dir, path):
            raise SettingsError(
                f"{name}: {path} and the data directory {metadata_dir} lie in each other: give each a directory of its "
                "own, side by side, so that a lost one of them can be told from the other"
            )
    return found


def _inside(path: str, other: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{other.rstrip('/')}/")
