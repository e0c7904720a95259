"""Readiness of a broker, and what its stop would cost: from what Kafka says to words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from peerboot.model import ClusterView, Copies, Finding, Kept
from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.kafka.values import (
    BROKER,
    TOPIC,
    Config,
    Configs,
    Metadata,
    Node,
    Nodes,
    Partition,
    Resource,
    Server,
    Topic,
)
from peerboot.systems.kafka import health, ownbroker
from tests.kafka.test_config import identity, made

ROOM = 2.5


def partition(
    index: int = 0, *, replicas: Iterable[int] = (0, 1, 2), in_sync: Iterable[int] = (0, 1, 2), leader: int = 0
) -> Partition:
    """Of three copies, all in sync, led by broker 0."""
    return Partition(index=index, leader=leader, epoch=1, replicas=tuple(replicas), in_sync=tuple(in_sync), offline=())


def topic(name: str, *partitions: Partition) -> Topic:
    """A topic."""
    return Topic(name=name, id="i", internal=False, partitions=partitions)


@dataclass
class Broker:
    """What one broker says, in place of a connection to it."""

    topics: tuple[Topic, ...] = ()
    least: Mapping[str, int] = field(default_factory=dict)
    default: str | None = None
    fenced: tuple[int, ...] = ()
    registered: tuple[int, ...] = (0, 1, 2)
    version: int = 2
    fails: str = ""
    """Metadata is not told."""
    configs_fail: str = ""
    """Settings are not told."""
    forbidden: bool = False
    """Settings of brokers are not told to this login."""
    refuses: KafkaError | None = None
    """Nobody is let in."""
    down: bool = False
    read: int = 0
    """How often the partitions were read."""
    asked: list[Resource] = field(default_factory=list)

    async def __aenter__(self) -> Broker:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def versions(self) -> Server:
        if self.down:
            raise KafkaError("refused", "connection refused")
        if self.refuses is not None:
            raise self.refuses
        return Server(ranges={60: (0, self.version)})

    async def describe_cluster(self, *, fenced: bool) -> Nodes:
        shown = [n for n in self.registered if n not in self.fenced or (fenced and self.version >= 2)]
        nodes = tuple(Node(id=n, host=f"h{n}", port=9092, fenced=n in self.fenced) for n in shown)
        return Nodes(cluster="c1", controller=0, nodes=nodes)

    async def metadata(self) -> Metadata:
        self.read += 1
        if self.fails:
            raise KafkaError("protocol", self.fails)
        return Metadata(cluster="c1", controller=0, brokers=(), topics=self.topics)

    async def describe_configs(self, resources: Mapping[Resource, Sequence[str] | None]) -> tuple[Configs, ...]:
        self.asked += list(resources)
        if self.configs_fail:
            raise KafkaError("timeout", self.configs_fail)
        return tuple(self._configs(*resource) for resource in resources)

    def _configs(self, kind: int, name: str) -> Configs:
        if self.forbidden and kind == BROKER:
            return Configs(kind=kind, name=name, configs=(), error=31)
        value, source = (self.default, 3) if kind == BROKER else (str(self.least.get(name, 2)), 1)
        rows = () if value is None else (Config(key=health.MIN_ISR, value=value, source=source),)
        return Configs(kind=kind, name=name, configs=rows)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """The broker of kafka-2."""
    found = Broker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ownbroker, "connect", lambda *_given: found)
        yield found


def ask(watch: health.Watch, now: float = 0.0, *, rest: bool = True, roles: str = "combined") -> health.Word:
    """What kafka-2 finds at its broker."""
    config = made(identity("kafka-2"), PEERBOOT_KAFKA_ROLES=roles)

    async def asked() -> health.Word:
        async with ownbroker.opened(config, ("10.0.0.2",), ROOM) as mine:
            return await watch.ask(config, mine, rest=rest, now=now)

    return asyncio.run(asked())


def gauges(found: Any) -> dict[str, float]:
    """By name."""
    return {one.name.removeprefix("kafka_"): one.value for one in found.gauges}


# --------------------------------------------------------------- readiness


@pytest.mark.parametrize(
    ("given", "least", "why"),
    [
        (partition(), 2, ""),
        (partition(in_sync=(0, 1)), 2, ""),
        (partition(in_sync=(0,)), 2, "orders-0 is under min.insync.replicas until its broker has caught up"),
        (partition(in_sync=(0, 1)), 3, "orders-0 is under min.insync.replicas until its broker has caught up"),
        (partition(in_sync=(0, 2)), 3, ""),
        (partition(in_sync=(0,), leader=-1), 2, ""),
        (partition(in_sync=(2,), leader=2), 2, ""),
        (partition(replicas=(0, 1), in_sync=(0,)), 2, ""),
    ],
    ids=[
        "all in sync", "out of sync, enough others", "out of sync, too few others", "all three are needed",
        "another one is what is missing", "nobody leads", "it is the one in sync", "no replica here",
    ],
)  # fmt: skip
def test_under_min_isr_because_of_this_broker(broker: Broker, given: Partition, least: int, why: str) -> None:
    """Only what ends by this broker's catching up keeps it from being ready."""
    broker.topics, broker.least = (topic("orders", given),), {"orders": least}
    word = ask(health.Watch())
    assert (word.serves, word.why, gauges(word)["under_min_isr_partitions"]) == (not why, why, float(bool(why)))


def test_many_partitions_are_told_as_one_and_a_number(broker: Broker) -> None:
    """The sentence stays short."""
    broker.topics = (topic("orders", *(partition(i, in_sync=(0,)) for i in (3, 4, 5))),)
    assert ask(health.Watch()).why.startswith("orders-3 and 2 more are under min.insync.replicas")


@pytest.mark.parametrize("fails", ["fails", "configs_fail"])
def test_what_was_read_counts_for_a_minute_and_then_nothing_is_known(broker: Broker, fails: str) -> None:
    """After a good reading, too: neither is it ready by what was so an hour ago, nor unready for ever."""
    broker.topics = (topic("orders", partition(in_sync=(0,)), partition(1)),)
    watch = health.Watch()
    assert not ask(watch).serves
    broker.topics = (topic("others", partition(in_sync=(0,)), partition(1)),)
    setattr(broker, fails, "time-out")
    lagging = "orders-0 is under min.insync.replicas until its broker has caught up"
    for now in (20.0, 79.0):
        word = ask(watch, now)
        assert (word.why, word.copies[0].name, word.untold, word.findings) == (lagging, "orders-1", "", ())
    for now in (81.0, 3600.0):
        word = ask(watch, now)
        assert (word.serves, word.why, word.copies, word.untold) == (True, "", (), "time-out")
        assert [finding.name for finding in word.findings] == ["partitions-unknown"]
        assert "under_min_isr_partitions" not in gauges(word)
    setattr(broker, fails, "")
    broker.topics = (topic("orders", partition()),)
    word = ask(watch, 3601.0)
    assert (word.serves, word.copies[0].name, word.untold, word.findings) == (True, "orders-0", "", ())


def test_what_failed_while_something_was_open_is_not_forgotten_at_rest(broker: Broker) -> None:
    """The minute counts from the first failure, whether or not each look reads anew."""
    broker.topics = (topic("orders", *(partition(i) for i in range(90_000))),)
    watch = health.Watch()
    ask(watch)
    broker.fails = "time-out"
    ask(watch, 1.0, rest=False)
    assert [ask(watch, now).untold for now in (2.0, 62.0)] == ["", "time-out"]


def test_copies_are_unknown_until_they_are_told(broker: Broker) -> None:
    """Before the first reading nothing is known of them, and that is no word of there being none."""
    broker.fails = "time-out"
    assert (ask(health.Watch()).copies, ask(health.Watch()).untold) == ((), "time-out")


@pytest.mark.parametrize("outcome", ["tls", "sasl"])
def test_a_broker_that_does_not_let_peerboot_in(broker: Broker, outcome: Any) -> None:
    """It is named with what it said, it is not ready, and what it keeps and what its stop would cost are not known."""
    broker.refuses = KafkaError(outcome, "the login was not accepted")
    word = ask(health.Watch())
    [found] = word.findings
    assert (found.name, found.pod) == ("not-let-in", "kafka-2")
    assert found.say == "The broker of kafka-2 does not let peerboot in: the login was not accepted."
    why = "its broker does not let peerboot in"
    assert (word.serves, word.why) == (False, f"{why} (the login was not accepted)")
    assert (word.untold, word.kept) == (why, Kept(untold=why, remedy=DRAIN))


def test_a_broker_that_is_slow(broker: Broker) -> None:
    """What its stop would cost is not known, so a stop waits within its time; nobody has to mend anything for it."""
    broker.refuses = KafkaError("timeout", "no answer within 2.5 s")
    word = ask(health.Watch())
    why = "its broker does not answer in time"
    assert (word.serves, word.why, word.findings) == (False, "", ())
    assert (word.untold, word.kept) == (why, Kept(untold=why, remedy=DRAIN))


def test_a_broker_that_is_down(broker: Broker) -> None:
    """Nothing is lost with the stop of one that does not run."""
    broker.refuses = KafkaError("refused", "connection refused")
    assert (ask(health.Watch()).untold, ask(health.Watch()).serves) == ("", False)


def test_one_address_that_answers_is_enough(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address of the Pod may lead to somebody else."""
    shut = Broker(refuses=KafkaError("tls", "another CA"))
    monkeypatch.setattr(ownbroker, "connect", lambda _config, _pod, address, *_: broker if address == "b" else shut)
    config = made(identity("kafka-2"))

    async def asked(*addresses: str) -> object:
        async with ownbroker.opened(config, addresses, ROOM) as found:
            return found

    assert isinstance(asyncio.run(asked("a", "b")), ownbroker.OwnBroker)
    assert asyncio.run(asked("a")) == ownbroker.Shut("another CA")


def test_a_server_is_named_once_as_not_letting_in() -> None:
    """Of a Pod whose controller and broker are both shut the controller is told: one finding has one sentence."""
    view = ClusterView(findings=(Finding(name="not-let-in", say="controller", pod="kafka-2"),))
    theirs = Finding(name="not-let-in", say="broker", pod="kafka-2")
    config = made(identity("kafka-2"))
    word = health.Word(serves=False, untold="why", findings=(theirs,))
    found = health.with_word(config, view, word)
    assert (found.findings, found.copies_untold) == (view.findings, "why")
    assert health.with_word(config, ClusterView(), word).findings == (theirs,)


@pytest.mark.parametrize(("down", "fenced"), [(True, ()), (False, (2,))], ids=["down", "fenced"])
def test_a_broker_that_does_not_serve(broker: Broker, down: bool, fenced: tuple[int, ...]) -> None:
    """It is not ready, and what it says next is read anew."""
    watch = health.Watch()
    assert ask(watch).serves
    broker.down, broker.fenced = down, fenced
    assert ask(watch, 1.0) == health.Word(serves=False, kept=NOTHING)
    broker.down, broker.fenced, broker.topics = False, (), (topic("orders", partition(in_sync=(0,))),)
    assert (ask(watch, 2.0).serves, broker.read) == (False, 2)


def test_a_controller_has_no_broker(broker: Broker) -> None:
    """Nothing is asked, and it serves."""
    word = ask(health.Watch(), roles="controller")
    assert (word, broker.read) == (health.Word(serves=True), 0)


def test_partitions_are_read_rarely_at_rest(broker: Broker) -> None:
    """Every ten seconds and one more for a thousand partitions; each second while it is not ready; always while
    anything is open.
    """
    broker.topics = (topic("orders", *(partition(i) for i in range(2000))),)
    watch = health.Watch()
    for now in (0.0, 1.0, 11.9):
        ask(watch, now)
    assert broker.read == 1
    ask(watch, 12.0)
    assert broker.read == 2
    ask(watch, 12.1, rest=False)
    assert broker.read == 3
    broker.topics = (topic("orders", partition(in_sync=(0,))),)
    ask(watch, 24.2)
    ask(watch, 24.9)
    ask(watch, 25.3)
    assert broker.read == 5


def test_topics_are_asked_for_what_they_need_once_a_minute_and_within_bounds(broker: Broker) -> None:
    """Those with the fewest copies in sync first."""
    many = [topic(f"t{n:04}", partition(in_sync=(0, 1))) for n in range(health.MOST_TOPICS)]
    broker.topics = (*many, topic("zzz", partition(in_sync=(0,))))
    watch = health.Watch()
    assert not ask(watch).serves
    asked = [name for kind, name in broker.asked if kind == TOPIC]
    assert (len(asked), asked[0], (BROKER, "") in broker.asked) == (health.MOST_TOPICS, "zzz", True)
    broker.asked.clear()
    ask(watch, 1.5, rest=False)
    assert broker.asked == [(TOPIC, "t0999")]
    broker.asked.clear()
    ask(watch, 61.0, rest=False)
    assert len(broker.asked) == health.MOST_TOPICS + 1


def test_a_broker_that_does_not_tell_its_partitions(broker: Broker) -> None:
    """It is not ready for a minute, then it is, with a warning: a cluster too large to be read is not held up."""
    broker.fails = "an answer of more than 64 MiB"
    watch = health.Watch()
    words = [ask(watch, now) for now in (0.0, 59.0, 61.0)]
    assert [word.serves for word in words] == [False, False, True]
    assert words[0].why == "its broker does not tell its partitions (an answer of more than 64 MiB)"
    assert [finding.name for finding in words[2].findings] == ["partitions-unknown"]


def test_what_was_known_stands_while_the_partitions_are_not_told(broker: Broker) -> None:
    """One time-out does not make a ready broker unready."""
    watch = health.Watch()
    assert ask(watch).serves
    broker.fails = "time-out"
    assert ask(watch, 20.0).serves


# ------------------------------------------------- what a stop would cost


DRAIN = "`peerboot kafka drain kafka-2 --yes`"
NOTHING = Kept(remedy=DRAIN)
TWO = partition(replicas=(1, 2), in_sync=(1, 2))


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ((), NOTHING),
        ((partition(replicas=(0, 1), in_sync=(0, 1)),), NOTHING),
        ((TWO,), Kept(what="1 partition", remedy=DRAIN)),
        ((partition(in_sync=(0, 1)), TWO), Kept(what="2 partitions", remedy=DRAIN)),
        ((partition(replicas=(2,), in_sync=(2,)), TWO), Kept(what="2 partitions", alone=("orders-0",), remedy=DRAIN)),
        ((partition(in_sync=(2,)),), Kept(what="1 partition", alone=("orders-0",), remedy=DRAIN)),
        ((partition(in_sync=(), leader=-1),), Kept(what="1 partition", unsynced=("orders-0",), remedy=DRAIN)),
        ((partition(replicas=(1, 2), in_sync=(1,)),), Kept(what="1 partition", remedy=DRAIN)),
        (
            tuple(partition(n, in_sync=()) for n in range(5)),
            Kept(what="5 partitions", unsynced=("orders-0", "orders-1", "orders-2"), unsynced_more=2, remedy=DRAIN),
        ),
        (
            tuple(partition(n, replicas=(2,), in_sync=(2,)) for n in (11, 2, 3, 4, 5)),
            Kept(what="5 partitions", alone=("orders-2", "orders-3", "orders-4"), alone_more=2, remedy=DRAIN),
        ),
    ],
    ids=[
        "no-topics", "others", "a-copy", "it-lags", "one-replica", "others-lag", "nobody-in-sync",
        "another-alone", "many-out-of-sync", "many",
    ],
)  # fmt: skip
def test_what_goes_with_it(broker: Broker, partitions: tuple[Partition, ...], expected: Kept) -> None:
    """How many partitions it has a replica of, in sync or not, and which of them no other broker has in sync."""
    broker.topics = (topic("orders", *partitions),)
    assert ask(health.Watch()).kept == expected


def test_what_goes_with_it_is_unknown_until_it_is_told(broker: Broker) -> None:
    """Silence is not nothing. What was told counts for a minute more, for a broker that is being stopped is silent."""
    broker.topics, broker.down = (topic("orders", TWO),), True
    watch = health.Watch()
    silent = Kept(untold="its broker does not answer", remedy=DRAIN)
    told = Kept(what="1 partition", remedy=DRAIN)
    first = ask(watch).kept
    broker.down = False
    second = ask(watch, 1.0).kept
    broker.down = True
    assert [first, second, ask(watch, 60.0).kept, ask(watch, 62.0).kept] == [silent, told, told, silent]
    broker.down, broker.fails = False, "time-out"
    assert ask(watch, 63.0).kept == Kept(untold="time-out", remedy=DRAIN)


@pytest.mark.parametrize(("fenced", "registered"), [((2,), (0, 1, 2)), ((), (0, 1))], ids=["fenced", "unregistered"])
def test_a_broker_that_answers_is_not_called_silent(
    broker: Broker, fenced: tuple[int, ...], registered: tuple[int, ...]
) -> None:
    """One that is fenced or not registered answers, and what it keeps is not known for another reason."""
    broker.fenced, broker.registered = fenced, registered
    assert ask(health.Watch()).kept == Kept(untold="its broker is fenced, or not registered", remedy=DRAIN)


def test_what_it_keeps_is_known_without_its_settings(broker: Broker) -> None:
    """Metadata alone tells it."""
    broker.topics, broker.configs_fail = (topic("orders", TWO),), "time-out"
    assert ask(health.Watch()).kept == Kept(what="1 partition", remedy=DRAIN)


def test_a_topic_that_is_not_told_may_be_here(broker: Broker) -> None:
    """An error of one topic is not taken for nothing."""
    broker.topics = (Topic(name="secret", id="i", internal=False, partitions=(), error=29),)
    assert ask(health.Watch()).kept == Kept(untold="it tells nothing of topic secret", remedy=DRAIN)


def test_copies(broker: Broker) -> None:
    """By the sets of brokers that keep them, those with the fewest in sync first; a topic of one copy is nobody's
    concern, nor is a partition that this broker has not in sync.
    """
    broker.least = {"orders": 2, "logs": 1}
    broker.topics = (
        topic("orders", *(partition(i) for i in range(3)), partition(3, in_sync=(0, 2)), partition(4, in_sync=(0, 1))),
        topic("logs", partition(replicas=(1, 2), in_sync=(2,))),
        topic("alone", partition(replicas=(2,), in_sync=(2,))),
    )
    assert ask(health.Watch()).copies == (
        Copies(name="logs-0", in_sync=(), behind=("kafka-1",), least=1),
        Copies(name="orders-3", in_sync=("kafka-0",), behind=("kafka-1",), least=2),
        Copies(name="orders-0", more=2, in_sync=("kafka-0", "kafka-1"), behind=(), least=2),
    )


def test_copies_are_bounded(broker: Broker) -> None:
    """Of thousands of sets of brokers the worst are told."""
    broker.topics = (topic("orders", *(partition(i, replicas=(2, i + 3), in_sync=(2, i + 3)) for i in range(999))),)
    assert len(ask(health.Watch()).copies) == health.MOST_COPIES


# ------------------------------------------------------ numbers, warnings


def test_the_replicas_of_a_broker_are_counted(broker: Broker) -> None:
    """In sync or not, on the broker that is asked: while it is drained they become fewer."""
    node = made(identity("kafka-2")).node
    broker.topics = (
        topic("orders", partition(0, replicas=(node, 7), in_sync=(7,)), partition(1, replicas=(7, 8), in_sync=(7, 8))),
    )
    assert gauges(ask(health.Watch()))["replicas"] == 1


def test_fenced_brokers_are_counted_from_4_0_on(broker: Broker) -> None:
    """Before, a broker tells of none."""
    broker.fenced = (0,)
    assert gauges(ask(health.Watch()))["fenced_brokers"] == 1
    broker.version = 1
    assert "fenced_brokers" not in gauges(ask(health.Watch()))


@pytest.mark.parametrize(
    ("default", "brokers", "names"),
    [("1", 3, ["min-isr-default"]), ("1", 2, []), ("2", 3, []), (None, 3, [])],
    ids=["of a smaller cluster", "it is small still", "raised", "none"],
)
def test_a_default_that_the_cluster_kept(broker: Broker, default: str | None, brokers: int, names: list[str]) -> None:
    """With three brokers the cluster's own default of one copy in sync is warned of, with what raises it."""
    broker.default, broker.registered = default, tuple(range(3 - brokers, 3))
    findings = ask(health.Watch()).findings
    assert [finding.name for finding in findings] == names
    assert all("--add-config min.insync.replicas=2" in finding.say for finding in findings)


def test_a_default_that_the_user_wants() -> None:
    """Whose own file says one copy in sync is not told that two are better."""
    config = made(identity("kafka-2"), base={"min.insync.replicas": "1"})
    assert health.Watch(default=1, default_told=True)._small_default(config, 3) == ()


COMMAND = "--entity-type brokers --entity-default --add-config min.insync.replicas=2"


@pytest.mark.parametrize(
    ("replicas", "base", "default", "says"),
    [
        (3, {}, None, ()),
        (3, {"min.insync.replicas": "3"}, None, ("=3 leaves none of the 3 copies", "Set it to 2 in")),
        (3, {"min.insync.replicas": " 3 "}, "2", ()),
        (3, {"min.insync.replicas": "3"}, "3", ("=3 leaves none of the 3 copies", "Set it to 2 in", COMMAND)),
        (3, {}, "3", ("=3 leaves none of the 3 copies", COMMAND)),
        (5, {"min.insync.replicas": "3", "default.replication.factor": "5"}, None, ()),
        (5, {"min.insync.replicas": "4"}, None, ("=4 leaves none of the 3 copies", "Set it to 2 in")),
        (3, {"default.replication.factor": "2"}, None, ("=2 leaves none of the 2 copies", "three copies")),
        (2, {"min.insync.replicas": "2"}, None, ("=2 leaves none of the 2 copies", "three copies")),
        (2, {}, None, ()),
        (1, {}, None, ()),
        (3, {"default.replication.factor": "1"}, None, ()),
        (None, {"min.insync.replicas": "3"}, None, ("=3 leaves none of the 3 copies",)),
    ],
    ids=[
        "2 of 3", "3 of 3", "the cluster says 2", "both say 3", "the cluster says 3", "3 of 5 copies", "4 of 3 copies",
        "2 of 2 copies", "2 of 2", "1 of 2", "1 of 1", "1 copy", "nobody knows of how many",
    ],
)  # fmt: skip
def test_no_copy_to_spare(
    replicas: int | None, base: dict[str, str], default: str | None, says: tuple[str, ...]
) -> None:
    """Where every copy has to be in sync, any restart stops writes: that is warned of, with what counts and ends it."""
    config = made(identity("kafka-0", replicas=replicas), base=base)
    watch = health.Watch(default=int(default) if default else None, default_told=True)
    found = watch._none_to_spare(config)
    assert [finding.name for finding in found] == ["min-isr-of-all"] * bool(says)
    assert [part for part in says if part not in found[0].say] == []
    assert not says or (COMMAND in found[0].say) == (COMMAND in says)


def test_no_copy_to_spare_is_told_of_a_broker(broker: Broker) -> None:
    """By the default that the cluster keeps, as soon as the broker has told it."""
    broker.default = "3"
    assert [finding.name for finding in ask(health.Watch()).findings] == ["min-isr-of-all"]


@pytest.mark.parametrize("fails", ["configs_fail", "forbidden"])
@pytest.mark.parametrize(
    ("default", "base"),
    [("1", {}), ("2", {"min.insync.replicas": "3"})],
    ids=["a small default", "the default is fine, the file not"],
)
def test_a_default_that_is_not_told_is_not_taken_for_none(
    broker: Broker, fails: str, default: str, base: dict[str, str]
) -> None:
    """Before it was told nothing is said of it, and later what was told stands: unknown is not absent."""
    config = made(identity("kafka-2"), base=base)

    def asked(watch: health.Watch, now: float) -> list[str]:
        async def one() -> health.Word:
            async with ownbroker.opened(config, ("10.0.0.2",), ROOM) as found:
                return await watch.ask(config, found, rest=False, now=now)

        return [finding.name for finding in asyncio.run(one()).findings]

    broker.default, watch = default, health.Watch()
    setattr(broker, fails, "time-out")
    assert asked(watch, 0.0) == []
    setattr(broker, fails, "")
    assert asked(watch, 61.0) == ["min-isr-default"]
    setattr(broker, fails, "time-out")
    assert [asked(watch, now) for now in (122.0, 123.0)] == [["min-isr-default"]] * 2
