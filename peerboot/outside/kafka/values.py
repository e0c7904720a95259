"""What the calls give. Ids are Kafka's numbers, -1 for none; a directory id is Kafka's text, empty for none."""

from __future__ import annotations

from peerboot.model import Value

Resource = tuple[int, str]
"""What has settings: its kind and its name, for a broker its id."""
TOPIC, BROKER = 2, 4
"""Kinds of resources (ConfigResource.Type)."""
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
"""Operations of IncrementalAlterConfigs (AlterConfigOp.OpType); the last two are for lists."""


class Endpoint(Value, frozen=True, kw_only=True):
    """Where a controller listens, as it told the others."""

    listener: str
    host: str
    port: int


class Feature(Value, frozen=True, kw_only=True):
    """A feature's levels: those that a server can do, or the finalized one (``least`` is ``most``)."""

    name: str
    least: int
    most: int


class Server(Value, frozen=True, kw_only=True):
    """ApiVersions: what one server can do, and which features its cluster has finalized."""

    ranges: dict[int, tuple[int, int]]
    """Key of a call -> its lowest and highest version."""
    supported: tuple[Feature, ...] = ()
    finalized: tuple[Feature, ...] = ()
    epoch: int = -1
    """Of the finalized features; -1: not known there yet."""

    def level(self, feature: str) -> int:
        """The finalized level, as of ``metadata.version`` or ``kraft.version``; 0 if there is none.

        Of 3.9 ``kraft.version`` 1 is no proof of a dynamic quorum: ``Quorum.dynamic`` is.
        """
        return next((one.most for one in self.finalized if one.name == feature), 0)

    def highest(self, feature: str) -> int:
        """The highest level that this server supports, which tells its release; 0 if it does not say."""
        return next((one.most for one in self.supported if one.name == feature), 0)


class Replica(Value, frozen=True, kw_only=True):
    """A voter or an observer, as the leader sees it. Times are the leader's clock in ms since 1970, -1 for never."""

    id: int
    directory: str
    """Empty in a static quorum, and below version 2 (Kafka 3.8)."""
    end_offset: int
    """Of its log; -1: unknown to the leader."""
    fetched_ms: int = -1
    """Its last fetch."""
    caught_up_ms: int = -1
    """When it last had everything that the leader had."""


class QuorumNode(Value, frozen=True, kw_only=True):
    """A controller and where it listens."""

    id: int
    endpoints: tuple[Endpoint, ...]


class Quorum(Value, frozen=True, kw_only=True):
    """DescribeQuorum: the controllers' raft, by its leader."""

    leader: int
    epoch: int
    high_watermark: int
    voters: tuple[Replica, ...]
    observers: tuple[Replica, ...]
    nodes: tuple[QuorumNode, ...] = ()
    """Empty below version 2 (Kafka 3.8)."""

    @property
    def dynamic(self) -> bool:
        """Voters can be added and removed: each has a directory id (KIP-853). Measured; features are no proof."""
        return bool(self.voters) and all(voter.directory for voter in self.voters)

    def voter(self, node: int) -> Replica | None:
        """The voter with this id."""
        return next((voter for voter in self.voters if voter.id == node), None)


class Node(Value, frozen=True, kw_only=True):
    """A broker or a controller, as it told the others."""

    id: int
    host: str
    port: int
    rack: str = ""
    fenced: bool = False
    """Registered, but not serving; known from version 2 on (Kafka 4.0)."""


class Nodes(Value, frozen=True, kw_only=True):
    """DescribeCluster: brokers by a broker, controllers by a controller."""

    cluster: str
    """The cluster's id."""
    controller: int
    """From a controller the leader, maybe one that died seconds ago; from a broker any living broker."""
    nodes: tuple[Node, ...]


class Partition(Value, frozen=True, kw_only=True):
    """One partition of a topic."""

    index: int
    leader: int
    """Broker id; -1: none."""
    epoch: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    offline: tuple[int, ...]
    error: int = 0
    """Kafka's code; 5: no leader."""


class Topic(Value, frozen=True, kw_only=True):
    """One topic; an ``error`` other than 0 says why nothing else of it is known."""

    name: str
    id: str
    internal: bool
    partitions: tuple[Partition, ...]
    error: int = 0


class Metadata(Value, frozen=True, kw_only=True):
    """Metadata: topics and the unfenced brokers, by a broker's own view."""

    cluster: str
    controller: int
    brokers: tuple[Node, ...]
    topics: tuple[Topic, ...]


class Move(Value, frozen=True, kw_only=True):
    """A partition's reassignment under way: replicas now, and those of them that come and go."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class Refusal(Value, frozen=True, kw_only=True):
    """A partition whose reassignment was not begun (or not cancelled), and why."""

    topic: str
    partition: int
    code: int
    name: str
    message: str


class ConfigChange(Value, frozen=True, kw_only=True):
    """One change of one key of a topic or a broker."""

    kind: int
    name: str
    key: str
    operation: int
    value: str | None = None


class Config(Value, frozen=True, kw_only=True):
    """One key of a topic or a broker, and where its value comes from (DescribeConfigsResponse.ConfigSource)."""

    key: str
    value: str | None
    source: int


class Configs(Value, frozen=True, kw_only=True):
    """What was asked of one topic or broker; an ``error`` other than 0 says why nothing of it is known."""

    kind: int
    name: str
    configs: tuple[Config, ...]
    error: int = 0
    message: str = ""


class Failure(Value, frozen=True, kw_only=True):
    """A topic or a broker whose settings were not changed, and why."""

    kind: int
    name: str
    code: int
    message: str


class Copy(Value, frozen=True, kw_only=True):
    """A replica on a disk."""

    topic: str
    partition: int
    size: int
    """Bytes of its log."""
    future: bool
    """It is being moved to this directory from another of the same broker."""


class LogDir(Value, frozen=True, kw_only=True):
    """One log directory of a broker; an ``error`` other than 0 says that it is offline."""

    path: str
    copies: tuple[Copy, ...]
    total: int
    """Bytes of its volume; -1: not known."""
    usable: int
    """Bytes that are free; -1: not known."""
    error: int = 0
