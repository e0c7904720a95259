"""How well the own broker is: readiness, what a stop would cost, numbers and warnings. Changes nothing.

"Kafka Server started" is no readiness. A broker is ready when it is registered and unfenced, and no partition is under
min.insync.replicas because of it: it is one of its replicas and not in sync, the others in sync are too few, and there
is a leader from which it can catch up. That is what has to be over before the next broker of a roll-out stops. Where
another broker is what is missing, or no leader lives, this one is not held back by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peerboot.model import ClusterView, Copies, Finding, Gauge, Kept
from peerboot.systems.kafka import drain
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.ownbroker import OwnBroker, Shut, Slow

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka
    from peerboot.outside.kafka.values import Config, Metadata, Nodes, Partition

REST = 10.0
"""Seconds between two readings of all partitions while this Pod rests and all is well."""
A_SECOND = 1000
"""Partitions for each of which a thousandth of a second is added to that: reading them takes a hundredth of it."""
MOST_TOPICS = 1000
"""Topics whose min.insync.replicas is asked for at a time, those with the fewest in sync first."""
LEAST_LASTS = 60.0
"""Seconds for which the answers, and the cluster's own default, are kept."""
KEPT_LASTS = 60.0
"""Seconds for which it counts what a broker told of its replicas that tells nothing now."""
MOST_ALONE = 3
"""Partitions that are named, of those with no other copy in sync, and of those with none at all."""
MOST_COPIES = 256
"""Different sets of brokers that keep copies, of those that a view tells of."""
PATIENCE = 60.0
"""Seconds for which what a broker told of its partitions counts when it tells nothing now, and for which one that never
told is not ready. Then nothing of them is known, readiness does not look at them, and a warning says so.
"""
MIN_ISR = "min.insync.replicas"
DYNAMIC_DEFAULT = 3
"""Source of a setting that the cluster itself keeps for all its brokers (DescribeConfigsResponse.ConfigSource)."""
FENCED_FROM = 2
"""Version of DescribeCluster from which fenced brokers are told (Kafka 4.0)."""


@dataclass(frozen=True)
class Word:
    """What this Pod's broker says of itself."""

    serves: bool
    why: str = ""
    """Why it is not ready although it is registered."""
    copies: tuple[Copies, ...] = ()
    untold: str = ""
    """Not empty: why its copies are not known."""
    kept: Kept | None = None
    findings: tuple[Finding, ...] = ()
    gauges: tuple[Gauge, ...] = ()


@dataclass
class Watch:
    """What is remembered of this Pod's broker from look to look: partitions may be many, and are not read at each."""

    read_at: float = -1e9
    """When the partitions were read last."""
    partitions: int = 0
    replicas: int = 0
    """Partitions that this broker has a replica of: while it is drained this falls to 0."""
    lagging: tuple[str, ...] = ()
    """Partitions that are under min.insync.replicas because of this broker, when they were read last."""
    copies: tuple[Copies, ...] = ()
    kept: Kept | None = None
    """What it has replicas of, as of ``kept_at``; None: that was never told."""
    kept_at: float = -1e9
    failing_since: float | None = None
    problem: str = ""
    """Why the last reading failed, in words; empty when it did not."""
    least: dict[str, int] = field(default_factory=dict)
    """min.insync.replicas by topic."""
    default: int | None = None
    """The same as the cluster's own default; None: it keeps none."""
    default_told: bool = False
    """False: whether it keeps one was never told, and then nothing is said of it."""
    least_at: float = -1e9

    def due(self, *, rest: bool, now: float) -> bool:
        """Whether the partitions are to be read anew: always while anything is open."""
        pause = (1.0 if self.lagging else REST) + self.partitions / A_SECOND
        return not rest or self.read_at < 0 or now - self.read_at >= pause

    def forget(self) -> None:
        """The broker does not serve: what it says next is read anew."""
        self._drop()
        self.failing_since, self.problem = None, ""

    def _drop(self) -> None:
        """What was read counts no more."""
        self.read_at, self.lagging, self.copies = -1e9, (), ()

    async def ask(self, config: KafkaConfig, mine: OwnBroker | Shut | Slow | None, *, rest: bool, now: float) -> Word:
        """What this Pod's broker says; ``mine``: as ``ownbroker.opened`` gives it. Never raises."""
        if not config.is_broker:
            return Word(serves=True)
        if isinstance(mine, Shut):
            self.forget()
            return self._shut(config, mine, now)
        if isinstance(mine, Slow):
            # One slow answer is no word that nothing is lost with its stop.
            self.forget()
            why = "its broker does not answer in time"
            return Word(serves=False, untold=why, kept=self._kept(config, why, now))
        if mine is None or not any(node.id == config.node and not node.fenced for node in mine.nodes.nodes):
            self.forget()
            why = "its broker does not answer" if mine is None else "its broker is fenced, or not registered"
            return Word(serves=False, kept=self._kept(config, why, now))
        if self.due(rest=rest, now=now):
            await self._read(config, mine, now)
        if self._failed_long(now):
            self._drop()
        tells_fenced = mine.server.ranges.get(60, (0, 0))[1] >= FENCED_FROM
        return self._word(config, mine.nodes, now, tells_fenced=tells_fenced)

    def _shut(self, config: KafkaConfig, shut: Shut, now: float) -> Word:
        """It may serve clients well: what its stop would cost is not known, rather than nothing."""
        pod, why = config.identity.pod, "its broker does not let peerboot in"
        found = Finding(name="not-let-in", say=f"The broker of {pod} does not let peerboot in: {shut.why}.", pod=pod)
        kept = self._kept(config, why, now)
        return Word(serves=False, why=f"{why} ({shut.why})", untold=why, kept=kept, findings=(found,))

    def _failed_long(self, now: float) -> bool:
        return self.failing_since is not None and now - self.failing_since >= PATIENCE

    async def _read(self, config: KafkaConfig, mine: OwnBroker, now: float) -> None:
        """Read the partitions, or note what went wrong."""
        from peerboot.outside.kafka import KafkaError

        try:
            metadata = await mine.metadata()
            behind = behind_in(metadata, config.node)
            held = held_in(metadata, config.node)
            self.kept, self.kept_at = kept_in(config, metadata), now
            await self._learn(mine.kafka, _fewest(behind, held), now)
        except KafkaError as error:
            self.failing_since = now if self.failing_since is None else self.failing_since
            self.problem = str(error)
            return
        standard = _standard(config)
        self.lagging = tuple(
            f"{topic}-{one.index}" for topic, one in behind if len(one.in_sync) < self.least.get(topic, standard)
        )
        self.copies = _copies(config, held, self.least, standard)
        self.partitions = sum(len(topic.partitions) for topic in metadata.topics)
        self.replicas = sum(config.node in one.replicas for topic in metadata.topics for one in topic.partitions)
        self.read_at, self.failing_since, self.problem = now, None, ""

    def _kept(self, config: KafkaConfig, problem: str, now: float) -> Kept:
        """What it has replicas of. Where it does not tell just now what it told last counts for a while: a broker that
        is being stopped answers no more.
        """
        if self.kept is not None and (not problem or now - self.kept_at <= KEPT_LASTS):
            return self.kept
        return Kept(untold=problem or "its broker has not told it yet", remedy=_remedy(config))

    async def _learn(self, kafka: Kafka, topics: list[str], now: float) -> None:
        """Ask for min.insync.replicas of these topics, and for the cluster's own default, once a minute."""
        from peerboot.outside.kafka.values import BROKER, TOPIC

        old = now - self.least_at >= LEAST_LASTS
        least = {} if old else dict(self.least)
        wanted = [topic for topic in topics if topic not in least][:MOST_TOPICS]
        asked = {(TOPIC, topic): (MIN_ISR,) for topic in wanted} | ({(BROKER, ""): (MIN_ISR,)} if old else {})
        if not asked:
            return
        # What was told before stands until there is an answer: no answer is none of a cluster that keeps no default.
        for told in await kafka.describe_configs(asked):
            values = {one.source: int(one.value or "") for one in told.configs if _is_least(one)}
            if told.kind == TOPIC and values:
                least[told.name] = next(iter(values.values()))
            elif told.kind == BROKER and not told.error:
                self.default, self.default_told = values.get(DYNAMIC_DEFAULT), True
        self.least, self.least_at = least, now if old else self.least_at

    def _word(self, config: KafkaConfig, nodes: Nodes, now: float, *, tells_fenced: bool) -> Word:
        known, gauges = self.read_at >= 0, list[Gauge]()
        if known:
            gauges.append(Gauge(name="kafka_under_min_isr_partitions", text=UNDER, value=float(len(self.lagging))))
            gauges.append(Gauge(name="kafka_replicas", text=REPLICAS, value=float(self.replicas)))
        if tells_fenced:
            gauges.append(
                Gauge(name="kafka_fenced_brokers", text=FENCED, value=float(sum(n.fenced for n in nodes.nodes)))
            )
        findings = self._small_default(config, sum(not node.fenced for node in nodes.nodes))
        findings += self._none_to_spare(config)
        why = ""
        if self.lagging:
            why = f"{_some(self.lagging)} under {MIN_ISR} until its broker has caught up"
        elif self._failed_long(now):
            say = (
                f"The broker does not tell its partitions ({self.problem}): readiness does not look at them, and "
                "/prestop waits, within PEERBOOT_LEAVE_TIMEOUT, for what the stop would leave."
            )
            findings = (*findings, Finding(name="partitions-unknown", say=say))
        elif not known:
            why = f"its broker does not tell its partitions ({self.problem})"
        untold = "" if known else self.problem
        kept = self._kept(config, self.problem, now)
        return Word(not why, why, self.copies, untold, kept, findings, tuple(gauges))

    def _small_default(self, config: KafkaConfig, brokers: int) -> tuple[Finding, ...]:
        """A cluster that was formed with fewer brokers keeps one copy in sync as its own default, over every file."""
        wanted = _standard(config)
        if not self.default_told or self.default is None or self.default >= wanted or brokers < 3:
            return ()
        say = (
            f"The cluster keeps {MIN_ISR}={self.default} as its own default, over the {wanted} of server.properties: "
            "it was formed with fewer brokers, and a record may be acknowledged with one copy of it. Where every topic "
            "has two replicas or more (one with a single one would take no more writes with acks=all), raise it: "
            f"{_set_default(wanted)}"
        )
        return (Finding(name="min-isr-default", say=say),)

    def _none_to_spare(self, config: KafkaConfig) -> tuple[Finding, ...]:
        """All copies have to be in sync, by the cluster's own default or, where it keeps none, by the file."""
        written, copies = _standard(config), _default_copies(config)
        least = written if self.default is None else self.default
        if not self.default_told or copies < 2 or least < copies:
            return ()
        say = (
            f"{MIN_ISR}={least} leaves none of the {copies} copies to spare that topics have by default: whenever one "
            "broker restarts, writes with acks=all stop for all that it has a copy of. "
        )
        if copies == 2:
            # One in sync of two would let a record be acknowledged with one copy of it: no advice of ours.
            say += "Three brokers, three copies and two of them in sync go on while one restarts."
            return (Finding(name="min-isr-of-all", say=say),)
        ways = ["in PEERBOOT_BASE_CONFIG_FILE"] if written >= copies else []
        if self.default is not None:
            ways.append(f"as the cluster's own default, by {_set_default(copies - 1)}")
        return (Finding(name="min-isr-of-all", say=f"{say}Set it to {copies - 1} {', and '.join(ways)}"),)


REPLICAS = "Partitions that this broker has a replica of; falls to 0 while it is drained."
UNDER = "Partitions under min.insync.replicas because this broker has not caught up."
FENCED = "Brokers that are registered and fenced, by this broker's word; Kafka 4.0 and later."


def behind_in(metadata: Metadata, node: int) -> list[tuple[str, Partition]]:
    """Partitions of which a broker has a replica out of sync, and another one leads: it can catch up."""
    return [
        (topic.name, one)
        for topic in metadata.topics
        for one in topic.partitions
        if node in one.replicas and node not in one.in_sync and one.leader >= 0 and one.leader != node
    ]


def held_in(metadata: Metadata, node: int) -> list[tuple[str, Partition]]:
    """Partitions of which a broker has a replica in sync, and is not the only one that has a replica."""
    return [
        (topic.name, one)
        for topic in metadata.topics
        for one in topic.partitions
        if node in one.in_sync and len(one.replicas) > 1
    ]


def kept_in(config: KafkaConfig, metadata: Metadata) -> Kept:
    """What the own broker has replicas of, and which of those have no other replica in sync, or none at all."""
    mine = sorted(
        (topic.name, one.index, set(one.in_sync))
        for topic in metadata.topics
        for one in topic.partitions
        if config.node in one.replicas
    )
    alone = [f"{topic}-{index}" for topic, index, in_sync in mine if in_sync == {config.node}]
    unsynced = [f"{topic}-{index}" for topic, index, in_sync in mine if not in_sync]
    untold = next(
        (f"it tells nothing of topic {topic.name or topic.id}" for topic in metadata.topics if topic.error), ""
    )
    return Kept(
        what=drain.count(len(mine), "partition") if mine else "",
        alone=tuple(alone[:MOST_ALONE]),
        alone_more=len(alone[MOST_ALONE:]),
        unsynced=tuple(unsynced[:MOST_ALONE]),
        unsynced_more=len(unsynced[MOST_ALONE:]),
        untold="" if mine else untold,
        remedy=_remedy(config),
    )


def _is_least(one: Config) -> bool:
    return one.key == MIN_ISR and (one.value or "").isdigit()


def _remedy(config: KafkaConfig) -> str:
    return f"`peerboot kafka drain {config.identity.pod} --yes`"


def _fewest(*found: list[tuple[str, Partition]]) -> list[str]:
    """The topics of these partitions, those with the fewest in sync first."""
    fewest: dict[str, int] = {}
    for topic, one in (pair for pairs in found for pair in pairs):
        fewest[topic] = min(len(one.in_sync), fewest.get(topic, len(one.in_sync)))
    return sorted(fewest, key=lambda topic: (fewest[topic], topic))


def _copies(
    config: KafkaConfig, held: list[tuple[str, Partition]], least: Mapping[str, int], standard: int
) -> tuple[Copies, ...]:
    """Who else has the partitions of this broker: one entry for each set of brokers, the fewest in sync first."""
    named: dict[tuple[tuple[int, ...], tuple[int, ...], int], str] = {}
    count: Counter[tuple[tuple[int, ...], tuple[int, ...], int]] = Counter()
    for topic, one in held:
        in_sync = tuple(sorted(set(one.in_sync) - {config.node}))
        behind = tuple(sorted(set(one.replicas) - set(one.in_sync)))
        key = in_sync, behind, least.get(topic, standard)
        named.setdefault(key, f"{topic}-{one.index}")
        count[key] += 1
    keys = sorted(named, key=lambda key: (len(key[0]) - key[2], key))[:MOST_COPIES]
    return tuple(
        Copies(
            name=named[key],
            more=count[key] - 1,
            in_sync=tuple(_pod(config, node) for node in key[0]),
            behind=tuple(_pod(config, node) for node in key[1]),
            least=key[2],
        )
        for key in keys
    )


def _pod(config: KafkaConfig, node: int) -> str:
    return config.pod_of(node) or f"broker {node}"


def _standard(config: KafkaConfig) -> int:
    """min.insync.replicas as this Pod's own file has it."""
    text = config.base.get(MIN_ISR, config.min_in_sync)
    return int(text) if text.strip().isdigit() else 1


def _default_copies(config: KafkaConfig) -> int:
    """default.replication.factor as this Pod's own file has it."""
    text = config.base.get("default.replication.factor", config.copies).strip()
    return int(text if text.isdigit() else config.copies)


def _set_default(least: int) -> str:
    """The command that changes the cluster's own default."""
    return (
        "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type brokers --entity-default "
        f"--add-config {MIN_ISR}={least}"
    )


def _some(names: tuple[str, ...]) -> str:
    """``orders-3 is``, ``orders-3 and 2 more are``."""
    return f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more are"


def with_word(config: KafkaConfig, view: ClusterView, word: Word) -> ClusterView:
    """Note at the own server's view whether it is ready for clients, and what else its broker says."""
    import msgspec

    own = config.identity.pod
    # A Pod whose controller and broker are both shut has one reason, and is told once.
    told = {(one.name, one.pod) for one in view.findings}
    return msgspec.structs.replace(
        view,
        views=tuple(
            msgspec.structs.replace(one, open=word.serves, why=word.why) if one.pod == own else one
            for one in view.views
        ),
        copies=word.copies,
        copies_untold=word.untold,
        kept=word.kept,
        findings=(*(one for one in word.findings if not one.pod or (one.name, one.pod) not in told), *view.findings),
        gauges=(*word.gauges, *view.gauges),
    )
