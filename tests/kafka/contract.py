"""What holds of every Kafka that the client may meet: the fake one of these tests and a real one alike.

``class TestContract(Contract)`` in a test file runs it, with a fixture ``place`` that says where. There are three
controllers with ids 1, 2 and 3 in a dynamic quorum, and two brokers, 1 and 2, which make a topic of one partition and
one replica when they are asked for it in the right way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError, Login, requests, responses, wire
from peerboot.outside.kafka.connection import connect
from peerboot.outside.kafka.values import BROKER, DELETE, SET, TOPIC, ConfigChange, Endpoint, Quorum, Resource, Topic

BOUNDS = Bounds(open=10, read=10, call=30)
OTHER_ID = "b" * 21 + "A"
"""Of another cluster, and of a directory that nobody has."""
USER, PASSWORD = "admin", "secret"
LOGINS = {
    "plain": Login("PLAIN", USER, PASSWORD),
    "scram-256": Login("SCRAM-SHA-256", USER, PASSWORD),
    "scram-512": Login("SCRAM-SHA-512", USER, PASSWORD),
}
WRONG = {name: Login(login.mechanism, USER, "other") for name, login in LOGINS.items()}
NOT_YET = 7
"""REQUEST_TIMED_OUT."""
TRIES = 40
"""How often a quorum is asked until a change has reached it; half a second between two."""


@dataclass(frozen=True)
class Place:
    """Where a Kafka is."""

    cluster: str
    controllers: tuple[Address, Address, Address]
    """Of the ids 1, 2 and 3, on the listener CONTROLLER."""
    broker: Address
    """The one with id 1."""
    secure: Address
    """The same over TLS, with PLAIN and both kinds of SCRAM for ``USER``."""
    ca: Path
    """Who signed its certificate."""
    other_ca: Path
    pause: float = 0.5
    """Seconds between two looks at something that changes by itself."""

    def ask(self, *servers: Address) -> Kafka:
        """A client of controllers; of all three if none is named."""
        return Kafka(servers or self.controllers, kind="controller", bounds=BOUNDS)

    def brokers(self) -> Kafka:
        """A client of the broker."""
        return Kafka([self.broker], kind="broker", bounds=BOUNDS)

    def secured(self, login: Login | None, *, ca: Path | None = None) -> Kafka:
        """A client of the secure listener."""
        trust = ssl.create_default_context(cafile=str(ca or self.ca))
        return Kafka([self.secure], kind="broker", tls=trust, login=login, bounds=BOUNDS)


async def why_not(call: Awaitable[object]) -> KafkaError:
    """How a call failed."""
    with pytest.raises(KafkaError) as caught:
        await call
    assert (str(caught.value).isprintable(), len(str(caught.value)) <= 600) == (True, True)
    return caught.value


async def why_refused(place: Place, call: Callable[[], Awaitable[object]]) -> KafkaError:
    """How a change of the quorum failed, once the leader can judge it: one that has just begun, or that is still at the
    change before, answers 7 or that it does not lead.
    """
    for _ in range(TRIES):
        error = await why_not(call())
        if error.code != NOT_YET and error.outcome not in ("not-leader", "timeout"):
            break
        await asyncio.sleep(place.pause)
    return error


def endpoint(address: Address, listener: str = "CONTROLLER") -> list[Endpoint]:
    """Where a controller listens."""
    return [Endpoint(listener=listener, host=address.host, port=address.port)]


def ids(quorum: Quorum) -> list[int]:
    """The voters."""
    return sorted(voter.id for voter in quorum.voters)


def change(kind: int, name: str, key: str, value: str | None = None) -> ConfigChange:
    """Set it, or delete it where no value is named."""
    return ConfigChange(kind=kind, name=name, key=key, operation=DELETE if value is None else SET, value=value)


async def settings(kafka: Kafka, asked: Mapping[Resource, Sequence[str]]) -> list[tuple[str | None, int]]:
    """What is set there, with where it comes from; not what only has a default."""
    found = await kafka.describe_configs(asked)
    return [(config.value, config.source) for one in found for config in one.configs if config.source in (1, 2)]


async def until(
    place: Place, kafka: Kafka, asked: Mapping[Resource, Sequence[str]], wanted: list[tuple[str | None, int]]
) -> list[tuple[str | None, int]]:
    """What is set once it is as wanted, or at the end: a broker hears of changes a moment later."""
    for _ in range(TRIES):
        found = await settings(kafka, asked)
        if found == wanted:
            break
        await asyncio.sleep(place.pause)
    return found


async def make_topic(place: Place, name: str) -> Topic:
    """A topic that is there, made by asking for it as peerboot never does."""
    api, deadline = requests.METADATA, asyncio.get_running_loop().time() + BOUNDS.call
    connection = await connect(place.broker, deadline=deadline)
    version = connection.version(api)
    asked = wire.array([wire.NO_UUID + wire.string(name) + wire.NO_TAGS])
    body = asked + wire.boolean(True) + wire.boolean(False) + wire.NO_TAGS
    for _ in range(TRIES):
        found = await connection.call(
            api, version, body, lambda read: responses.metadata(read, version), deadline=deadline, entries=1000
        )
        if not found.topics[0].error and found.topics[0].partitions[0].leader > 0:
            break
        await asyncio.sleep(place.pause)
    await connection.close()
    return found.topics[0]


class Contract:
    """Facts about a Kafka; ``place`` says where it is."""

    @pytest.mark.parametrize("number", [0, 1, 2], ids=["by-1", "by-2", "by-3"])
    async def test_any_controller_leads_to_the_quorum(self, place: Place, number: int) -> None:
        """One of three is known, the leader answers: all voters, with directory ids and where they listen."""
        async with place.ask(place.controllers[number]) as kafka:
            found = await kafka.describe_quorum()
        assert (ids(found), found.dynamic, found.leader in (1, 2, 3), found.high_watermark > 0) == (
            [1, 2, 3],
            True,
            True,
            True,
        )
        where = {node.id: (node.endpoints[0].host, node.endpoints[0].port) for node in found.nodes}
        assert {node: where[node] for node in (1, 2, 3)} == dict(
            zip((1, 2, 3), map(tuple, place.controllers), strict=True)
        )

    async def test_the_broker_passes_the_question_on(self, place: Place) -> None:
        """The same leader and voters through the broker."""
        async with place.ask() as kafka, place.brokers() as broker:
            one, other = await kafka.describe_quorum(), await broker.describe_quorum()
        assert (one.leader, ids(one), one.voter(2) is not None) == (other.leader, ids(other), True)

    async def test_controllers_name_controllers(self, place: Place) -> None:
        """Id, host and port of each, and the cluster's id, whoever is asked."""
        async with place.ask(place.controllers[2]) as kafka:
            found = await kafka.describe_cluster()
        assert found.cluster == place.cluster
        assert {node.id: Address(node.host, node.port) for node in found.nodes} == dict(
            zip((1, 2, 3), place.controllers, strict=True)
        )

    async def test_a_broker_names_brokers(self, place: Place) -> None:
        """Both, neither of which is fenced."""
        async with place.brokers() as kafka:
            found = await kafka.describe_cluster(fenced=True)
        nodes = {node.id: node for node in found.nodes}
        assert (found.cluster, sorted(nodes), {node.fenced for node in found.nodes}) == (place.cluster, [1, 2], {False})
        assert (nodes[1].host, nodes[1].port) == tuple(place.broker)

    async def test_a_broker_that_is_taken_for_a_controller_says_so(self, place: Place) -> None:
        """114 one way, and the other way too."""
        async with place.ask(place.broker) as kafka:
            one = await why_not(kafka.describe_cluster())
        async with Kafka(place.controllers, kind="broker", bounds=BOUNDS) as kafka:
            other = await why_not(kafka.describe_cluster())
        assert (one.code, other.code) == (114, 114)

    async def test_a_controller_has_no_metadata_call(self, place: Place) -> None:
        """Which is why no other client can begin there: it is said before anything is sent."""
        async with place.ask() as kafka:
            error = await why_not(kafka.metadata())
        assert (error.outcome, error.sent) == ("unsupported", False)

    async def test_features(self, place: Place) -> None:
        """Both kinds tell the finalized levels; a controller alone has the calls that only it needs."""
        async with place.ask() as kafka, place.brokers() as broker:
            one, other = await kafka.versions(), await broker.versions()
        levels = {(found.level("kraft.version"), found.level("metadata.version") > 0) for found in (one, other)}
        assert (levels, 80 in one.ranges, 80 in other.ranges, 3 in other.ranges) == ({(1, True)}, True, True, True)

    async def test_another_cluster_is_refused(self, place: Place) -> None:
        """104 by any way, for both changes of the quorum."""
        there = endpoint(place.controllers[0])
        async with place.ask() as kafka, place.brokers() as broker:
            found = [await why_not(client.add_voter(OTHER_ID, 9, OTHER_ID, there)) for client in (kafka, broker)]
            found += [await why_not(client.remove_voter(OTHER_ID, 9, OTHER_ID)) for client in (kafka, broker)]
        assert [error.code for error in found] == [104] * 4

    async def test_a_voter_that_is_there_is_not_added(self, place: Place) -> None:
        """126, also with another directory id: the old entry has to go first."""
        async with place.ask() as kafka:
            there = endpoint(place.controllers[1])
            error = await why_refused(place, lambda: kafka.add_voter(place.cluster, 2, OTHER_ID, there))
        assert (error.name, error.sent) == ("DUPLICATE_VOTER", False)

    async def test_an_endpoint_of_another_listener_is_refused(self, place: Place) -> None:
        """42: the leader would not know where to reach the voter."""
        async with place.ask() as kafka:
            there = endpoint(place.controllers[1], "OTHER")
            error = await why_refused(place, lambda: kafka.add_voter(place.cluster, 9, OTHER_ID, there))
        assert error.name == "INVALID_REQUEST"

    async def test_a_voter_that_is_not_there_is_not_removed(self, place: Place) -> None:
        """127, for an id as for a directory id."""
        async with place.ask() as kafka, place.brokers() as broker:
            one = await why_refused(place, lambda: kafka.remove_voter(place.cluster, 9, OTHER_ID))
            other = await why_refused(place, lambda: broker.remove_voter(place.cluster, 2, OTHER_ID))
        assert (one.name, other.name) == ("VOTER_NOT_FOUND", "VOTER_NOT_FOUND")

    async def test_an_unknown_broker_is_not_unregistered(self, place: Place) -> None:
        """102, through a controller that may have to send it on to the leader, and through the broker."""
        async with place.ask() as kafka, place.brokers() as broker:
            one, other = await why_not(kafka.unregister_broker(99)), await why_not(broker.unregister_broker(99))
        assert (one.code, other.code) == (102, 102)

    async def test_whether_a_broker_is_registered(self, place: Place) -> None:
        """Of an id that is none of a broker's, the leader says so; no topic is made by asking."""
        async with place.ask() as kafka, place.brokers() as broker:
            found = [await kafka.is_registered(number) for number in (1, 2, 99)]
            topics = {topic.name for topic in (await broker.metadata()).topics}
        assert (found, {name for name in topics if name.startswith("peerboot")}) == ([True, True, False], set())

    async def test_features_are_only_checked_where_one_asks_for_it(self, place: Place) -> None:
        """A level that is there is fine, one that no release has is not, and nothing changes."""
        async with place.ask() as kafka:
            before = await kafka.versions()
            await kafka.upgrade_features({"kraft.version": 1}, validate_only=True)
            error = await why_not(kafka.upgrade_features({"metadata.version": 999}, validate_only=True))
            after = await kafka.versions()
        assert (error.outcome, after.finalized) == ("answered", before.finalized)

    async def test_metadata(self, place: Place) -> None:
        """The brokers; and a topic that is not there is not made by asking for it."""
        async with place.brokers() as kafka:
            every, none = await kafka.metadata(), await kafka.metadata(["none"])
            again = await kafka.metadata()
        [topic] = none.topics
        assert (every.cluster, sorted(node.id for node in every.brokers), topic.name, topic.error) == (
            place.cluster,
            [1, 2],
            "none",
            3,
        )
        assert "none" not in {topic.name for topic in again.topics}

    async def test_reassignments(self, place: Place) -> None:
        """None is under way, and one of a topic that is not there is refused by name."""
        async with place.brokers() as kafka, place.ask() as controllers:
            none = await kafka.list_reassignments()
            same = await controllers.list_reassignments({"none": [0]})
            [refused] = await kafka.alter_reassignments({("none", 0): [1]})
        assert (none, same) == ((), ())
        assert (refused.topic, refused.partition, refused.name) == ("none", 0, "UNKNOWN_TOPIC_OR_PARTITION")

    async def test_a_partition_is_moved_to_the_other_broker(self, place: Place) -> None:
        """Begun, seen to its end, and what cannot be done is refused for each partition: 85 and 39."""
        topic = await make_topic(place, "moved")
        [old] = topic.partitions[0].replicas
        new = 3 - old
        async with place.brokers() as kafka:
            [nothing] = await kafka.alter_reassignments({("moved", 0): None})
            [unknown] = await kafka.alter_reassignments({("moved", 0): [9]})
            done = await kafka.alter_reassignments({("moved", 0): [new]})
            for _ in range(TRIES):
                [after] = (await kafka.metadata(["moved"])).topics
                if after.partitions[0].replicas == (new,) and not await kafka.list_reassignments():
                    break
                await asyncio.sleep(place.pause)
        partition = after.partitions[0]
        assert (nothing.code, unknown.code, done) == (85, 39, ())
        assert (partition.replicas, partition.in_sync, partition.offline, after.id, after.internal) == (
            (new,),
            (new,),
            (),
            topic.id,
            False,
        )

    async def test_settings_of_a_topic(self, place: Place) -> None:
        """Set and deleted one by one, and told with where they come from; what is none is refused, and a topic that is
        not there has none.
        """
        await make_topic(place, "set")
        key = "follower.replication.throttled.replicas"
        wanted: tuple[str | None, int] = "0:1,0:2", 1
        there = {(TOPIC, "set"): [key], (TOPIC, "none"): [key]}
        async with place.brokers() as kafka:
            done = await kafka.alter_configs([change(TOPIC, "set", key, "0:1,0:2")])
            seen = await until(place, kafka, there, [wanted])
            [wrong] = await kafka.alter_configs([change(TOPIC, "set", "nonsense", "1")])
            errors = [one.error for one in await kafka.describe_configs(there)]
            await kafka.alter_configs([change(TOPIC, "set", key)])
            gone = await until(place, kafka, there, [])
        assert (done, seen, gone, errors, wrong.code, wrong.name) == ((), [wanted], [], [0, 3], 40, "set")

    async def test_settings_of_a_broker(self, place: Place) -> None:
        """No broker takes or tells those of another, the controllers take them, and the broker tells its own."""
        key, two = "leader.replication.throttled.rate", {(BROKER, "2"): ["leader.replication.throttled.rate"]}
        one = {(BROKER, "1"): [key]}
        async with place.brokers() as kafka, place.ask() as controllers:
            [refused] = await kafka.alter_configs([change(BROKER, "2", key, "5000")])
            [untold] = await kafka.describe_configs(two)
            done = await controllers.alter_configs([change(BROKER, "2", key, "5000"), change(BROKER, "1", key, "6000")])
            seen = await until(place, kafka, one, [("6000", 2)])
            await controllers.alter_configs([change(BROKER, "2", key), change(BROKER, "1", key)])
            gone = await until(place, kafka, one, [])
        assert (refused.code, untold.error, done, seen, gone) == (42, 42, (), [("6000", 2)], [])

    async def test_disks(self, place: Place) -> None:
        """What lies on the disks of the broker that is asked, all or some of it, and how much room they have."""
        topic = await make_topic(place, "kept")
        async with place.brokers() as kafka:
            every, some = await kafka.log_dirs(), await kafka.log_dirs({"kept": [0]})
            none = await kafka.log_dirs({})
        names = [{(copy.topic, copy.partition) for one in dirs for copy in one.copies} for dirs in (every, some, none)]
        mine = {("kept", 0)} if 1 in topic.partitions[0].replicas else set()
        assert (mine <= names[0], names[1], names[2]) == (True, mine, set())
        assert all(one.total >= one.usable > 0 == one.error for one in every)

    @pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS.keys())
    async def test_a_login_over_tls(self, place: Place, login: Login) -> None:
        """The same answer as without."""
        async with place.secured(login) as kafka:
            assert (await kafka.describe_cluster()).cluster == place.cluster

    @pytest.mark.parametrize("login", WRONG.values(), ids=WRONG.keys())
    async def test_a_wrong_password(self, place: Place, login: Login) -> None:
        """One outcome by each mechanism; neither password is shown."""
        async with place.secured(login) as kafka:
            error = await why_not(kafka.describe_cluster())
        assert (error.outcome, error.code, PASSWORD in str(error)) == ("sasl", 58, False)

    async def test_no_login_where_one_is_needed(self, place: Place) -> None:
        """The broker closes the connection at the first call, without a word."""
        async with place.secured(None) as kafka:
            error = await why_not(kafka.describe_cluster())
        assert error.outcome == "refused"

    async def test_an_unknown_authority(self, place: Place) -> None:
        """The server is not trusted, and gets no login."""
        async with place.secured(LOGINS["plain"], ca=place.other_ca) as kafka:
            error = await why_not(kafka.describe_cluster())
        assert error.outcome == "tls"

    async def test_no_tls_where_it_is_needed_and_tls_where_there_is_none(self, place: Place) -> None:
        """Both end at once, and say that it is TLS where the other side lets one know."""
        async with Kafka([place.secure], kind="broker", bounds=BOUNDS) as kafka:
            one = await why_not(kafka.describe_cluster())
        trust = ssl.create_default_context(cafile=str(place.ca))
        async with Kafka([place.broker], kind="broker", tls=trust, bounds=BOUNDS) as kafka:
            other = await why_not(kafka.describe_cluster())
        assert (one.outcome in ("tls", "refused"), other.outcome) == (True, "tls")

    async def test_a_voter_is_removed_and_added_again(self, place: Place) -> None:
        """A change of the quorum there and back, of one that does not lead; a second time it is 127 and 126."""
        async with place.ask() as kafka:
            before = await kafka.describe_quorum()
            voter = next(one for one in before.voters if one.id != before.leader)
            there = endpoint(place.controllers[voter.id - 1])
            await kafka.remove_voter(place.cluster, voter.id, voter.directory)
            without = await kafka.describe_quorum()
            gone = await why_refused(place, lambda: kafka.remove_voter(place.cluster, voter.id, voter.directory))
            for _ in range(TRIES):
                # 7 comes for as long as it is behind.
                with contextlib.suppress(KafkaError):
                    await kafka.add_voter(place.cluster, voter.id, voter.directory, there)
                if ids(await kafka.describe_quorum()) == [1, 2, 3]:
                    break
                await asyncio.sleep(place.pause)
            after = await kafka.describe_quorum()
            again = await why_refused(place, lambda: kafka.add_voter(place.cluster, voter.id, voter.directory, there))
        assert ids(without) == sorted({1, 2, 3} - {voter.id})
        assert (ids(after), gone.code, again.code) == ([1, 2, 3], 127, 126)
        assert after.voter(voter.id).directory == voter.directory  # type: ignore[union-attr]  # it is there
