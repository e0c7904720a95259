"""The client: the leader is found, a read goes on to the next server, and a change is never sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError, client, requests, wire
from peerboot.outside.kafka.connection import connect
from peerboot.outside.kafka.errors import CODES, answered, check
from peerboot.outside.kafka.requests import UNREGISTER_BROKER
from peerboot.outside.kafka.values import Endpoint
from peerboot.outside.kafka.wire import Reader
from tests.doors.hostile import no_one
from tests.kafka.fake import Answer, Fake, Request, fake, goodbye, in_turn, raw, say, silence
from tests.kafka.vectors import find

QUORUM = say(find("DescribeQuorumResponse", "a dynamic quorum").raw)
FOLLOWER = say(find("DescribeQuorumResponse", "not the leader").raw)
DONE = say(find("RemoveRaftVoterResponse", "done").raw)
NOT_LEADER = say(find("RemoveRaftVoterResponse", "not the leader").raw)
SHORT = Bounds(open=0.3, read=0.3, call=0.6)
CLUSTER, DIRECTORY = "bL7vmpYoRcSTJpf6jO-LDQ", "UC8UpY3eTKS2i-38xb17jg"


def named(leader: int, *nodes: Address) -> Answer:
    """DescribeCluster 2 of a controller: which one leads, and where they all are."""
    rows = [
        wire.int32(number) + wire.string(node.host) + wire.int32(node.port) + wire.string(None) + b"\0\0"
        for number, node in enumerate(nodes)
    ]
    head = wire.int32(0) + wire.int16(0) + wire.string(None) + b"\2" + wire.string(CLUSTER) + wire.int32(leader)
    return say(head + wire.array(rows) + wire.int32(-(1 << 31)) + wire.NO_TAGS)


def remove(kafka: Kafka) -> Awaitable[None]:
    """Some change."""
    return kafka.remove_voter(CLUSTER, 1, DIRECTORY)


def plain(read: Reader) -> None:
    """An answer of which nothing is read."""
    read.take(read.left)


async def why_not(call: Awaitable[object]) -> KafkaError:
    """How it ended."""
    with pytest.raises(KafkaError) as caught:
        await call
    return caught.value


@asynccontextmanager
async def three(leader: int, answer: Answer, key: int = 55) -> AsyncIterator[list[Fake]]:
    """Three controllers, one of which leads and answers; all know each other."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(fake()) for _ in range(3)]
        lead(found, leader, answer, key)
        yield found


def lead(nodes: list[Fake], leader: int, answer: Answer, key: int = 55) -> None:
    """Another one leads from now on."""
    for number, node in enumerate(nodes):
        node.answers[60] = named(leader, *(one.address for one in nodes))
        node.answers[key] = answer if number == leader else FOLLOWER if key == 55 else NOT_LEADER


async def test_the_leader_is_followed() -> None:
    """A follower is asked who leads, and the third controller, of which nothing was known, answers."""
    async with three(2, QUORUM) as nodes, Kafka([nodes[0].address], kind="controller") as kafka:
        await kafka.describe_quorum()
        assert [node.calls() for node in nodes] == [[55, 60], [], [55]]


async def test_the_leader_is_kept_in_mind() -> None:
    """The next call goes to it at once."""
    async with three(2, QUORUM) as nodes, Kafka([nodes[0].address], kind="controller") as kafka:
        await kafka.describe_quorum()
        await kafka.describe_quorum()
        assert [node.calls() for node in nodes] == [[55, 60], [], [55, 55]]


async def test_a_leader_that_moved_is_found_again() -> None:
    """Error 6 from the one that led, then the new one."""
    async with three(0, QUORUM) as nodes, Kafka([nodes[0].address], kind="controller") as kafka:
        await kafka.describe_quorum()
        lead(nodes, 1, QUORUM)
        await kafka.describe_quorum()
        assert [node.calls() for node in nodes] == [[55, 55, 60], [55], []]


async def test_a_change_follows_the_leader_too() -> None:
    """Error 6 means that it was not done: it may be sent to another one."""
    async with three(1, DONE, 81) as nodes, Kafka([n.address for n in nodes], kind="controller") as kafka:
        await remove(kafka)
        assert [node.calls() for node in nodes] == [[81, 60], [81], []]


async def test_a_dead_leader_that_is_still_named_is_passed_over() -> None:
    """For seconds after its death the others name it: then they are asked in turn, each once."""
    with no_one() as dead:
        async with fake() as one, fake({55: QUORUM}) as other:
            one.answers |= {55: FOLLOWER, 60: named(0, Address(*dead), one.address, other.address)}
            async with Kafka([one.address], kind="controller") as kafka:
                await kafka.describe_quorum()
            assert (one.calls(), other.calls()) == ([55, 60], [55])


async def test_without_a_leader_each_is_asked_once() -> None:
    """And the error says what each of them said."""
    async with three(-1, QUORUM) as nodes, Kafka([nodes[0].address], kind="controller") as kafka:
        error = await why_not(kafka.describe_quorum())
        asked = [node.calls().count(55) for node in nodes]
    assert (error.outcome, error.code, asked) == ("not-leader", 6, [1, 1, 1])
    assert str(error).startswith(
        f"DescribeQuorum: no controller did it: {nodes[0].address}: NOT_LEADER_OR_FOLLOWER (6)"
    )


async def test_a_controller_that_never_saw_a_leader_names_nobody() -> None:
    """DescribeCluster says 35 there: no reason to say anything but that this one does not lead."""
    unknown = say(find("DescribeClusterResponse", "no leader seen yet").raw)
    async with fake({55: FOLLOWER, 60: unknown}) as there, Kafka([there.address], kind="controller") as kafka:
        assert (await why_not(kafka.describe_quorum())).outcome == "not-leader"


async def test_names_that_lead_nowhere_are_bounded() -> None:
    """A server that names a thousand controllers makes this side try 32, within the time of the call."""
    with no_one() as (host, port):
        many = [Address(f"127.0.{number // 250}.{number % 250 + 1}", port) for number in range(1000)]
        async with (
            fake({55: FOLLOWER, 60: named(0, *many)}) as there,
            Kafka([there.address], kind="controller", bounds=Bounds(open=1, read=1, call=5)) as kafka,
        ):
            error = await why_not(kafka.describe_quorum())
    assert (error.outcome, len(str(error)) <= 600, host) == ("not-leader", True, "127.0.0.1")


ELSEWHERE: dict[str, Answer] = {
    "silent": silence,
    "closing": goodbye,
    "garbled": raw(lambda frame: b"\x7f" + frame[1:]),
}


@pytest.mark.parametrize("answer", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_read_goes_on_to_the_next_server(answer: Answer) -> None:
    """Whatever the first one did."""
    async with (
        fake({55: answer}) as one,
        fake({55: QUORUM}) as other,
        Kafka([one.address, other.address], kind="broker", bounds=SHORT) as kafka,
    ):
        assert (await kafka.describe_quorum()).leader == 1000


@pytest.mark.parametrize("answer", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_change_that_may_have_arrived_is_not_sent_again(answer: Answer) -> None:
    """Nobody knows what became of it: the caller has to look before the next step."""
    async with fake({81: answer}) as one, fake({81: DONE}) as other:
        async with Kafka([one.address, other.address], kind="broker", bounds=SHORT) as kafka:
            error = await why_not(remove(kafka))
        assert (error.sent, one.calls(), other.calls()) == (True, [81], [])


async def test_a_change_on_a_kept_connection_that_dies_under_it_is_not_sent_again() -> None:
    """Nor to the same server."""
    async with fake({55: QUORUM, 81: goodbye}) as there, Kafka([there.address], kind="broker") as kafka:
        await kafka.describe_quorum()
        error = await why_not(remove(kafka))
        assert (error.outcome, error.sent, there.calls()) == ("refused", True, [55, 81])


async def test_a_new_connection_that_is_closed_is_not_made_again() -> None:
    """A server that closes it at the first call, as one that wants a login does, would do so again."""
    async with fake({55: goodbye}) as there, Kafka([there.address], kind="broker") as kafka:
        await why_not(kafka.describe_quorum())
        assert there.calls() == [55]


async def test_a_connection_in_use_is_not_closed_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change waits for its answer while a read goes elsewhere, and gets it."""
    monkeypatch.setattr(client, "MAX_OPEN", 1)
    answered = asyncio.Event()

    async def late(request: Request, writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        await DONE(request, writer)

    bounds = Bounds(open=5, read=0.2, call=10)
    async with (
        fake({81: late}) as one,
        fake({55: QUORUM}) as other,
        Kafka([one.address, other.address], kind="broker", bounds=bounds) as kafka,
    ):
        change = asyncio.create_task(kafka.remove_voter(CLUSTER, 1, DIRECTORY))
        await one.called.wait()
        await kafka.describe_quorum()
        answered.set()
        await change
        assert (one.calls(), other.calls()) == ([81], [55])


async def test_a_change_that_cannot_have_arrived_goes_to_the_next_server() -> None:
    """Nobody listened at the first."""
    with no_one() as dead:
        async with fake({81: DONE}) as there, Kafka([Address(*dead), there.address], kind="broker") as kafka:
            await remove(kafka)
            assert there.calls() == [81]


@pytest.mark.parametrize("answer", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_change_goes_on_from_a_server_that_was_only_greeted(answer: Answer) -> None:
    """What went wrong before the change was sent does not put it in doubt."""
    async with (
        fake({18: answer, 81: DONE}) as one,
        fake({81: DONE}) as other,
        Kafka([one.address, other.address], kind="broker", bounds=SHORT) as kafka,
    ):
        await remove(kafka)
        assert (one.calls(), other.calls()) == ([], [81])


async def test_a_change_that_never_left_says_so() -> None:
    """It may be tried again without looking first."""
    with no_one() as dead:
        async with Kafka([Address(*dead)], kind="broker") as kafka:
            error = await why_not(remove(kafka))
    assert (error.outcome, error.sent) == ("refused", False)


async def test_an_error_of_kafka_is_final() -> None:
    """Another server would say the same: the name, the code and the server's own words are the answer."""
    already = find("AddRaftVoterResponse", "there already")
    async with fake({80: say(already.raw)}) as one, fake() as other:
        async with Kafka([one.address, other.address], kind="broker") as kafka:
            error = await why_not(kafka.add_voter(CLUSTER, 1, DIRECTORY, [Endpoint(listener="C", host="h", port=1)]))
        assert (error.code, error.name, error.sent, other.calls()) == (126, "DUPLICATE_VOTER", False, [])
    said = already.values["error_message"]
    assert str(error) == f"AddRaftVoter at {one.address}: DUPLICATE_VOTER (126): {said}"


async def test_a_server_that_was_restarted_is_connected_to_again() -> None:
    """A kept connection is found dead and made anew, for reads and changes alike."""
    async with fake({55: QUORUM, 81: DONE}) as there, Kafka([there.address], kind="broker") as kafka:
        await kafka.describe_quorum()
        there.drop()
        await kafka.describe_quorum()
        there.drop()
        await kafka.describe_quorum()
        assert there.connections == 3


async def test_a_read_on_a_connection_that_dies_under_it_is_asked_once_more() -> None:
    """Its server had closed it for idleness in the same moment."""
    async with fake({55: in_turn(QUORUM, goodbye, QUORUM)}) as there, Kafka([there.address], kind="broker") as kafka:
        await kafka.describe_quorum()
        await kafka.describe_quorum()
        assert (there.calls(), there.connections) == ([55, 55, 55], 2)


async def test_the_time_of_a_call_is_that_of_all_servers_together() -> None:
    """Three silent ones of 0.3 s each, of which 0.6 s leave time for two; the error names them."""
    async with (
        fake({55: silence}) as one,
        fake({55: silence}) as two,
        fake({55: silence}) as three,
        Kafka([one.address, two.address, three.address], kind="broker", bounds=SHORT) as kafka,
    ):
        error = await asyncio.wait_for(why_not(kafka.describe_quorum()), 5)
    assert (error.outcome, one.calls(), two.calls()) == ("timeout", [55], [55])
    assert str(error).startswith(
        f"DescribeQuorum: no broker did it: {one.address}: no answer in time; {two.address}: no"
    )


async def test_a_call_without_time_asks_nobody() -> None:
    """It has not been sent, and says so."""
    async with fake() as there, Kafka([there.address], kind="broker", bounds=Bounds(call=0)) as kafka:
        error = await why_not(remove(kafka))
    assert (error.outcome, error.sent, str(error), there.asked) == (
        "timeout",
        False,
        "RemoveRaftVoter: no time left",
        [],
    )


async def test_a_request_is_not_sent_when_its_time_is_over() -> None:
    """Also where its connection is there already."""
    async with fake({55: QUORUM}) as there:
        now = asyncio.get_running_loop().time()
        connection = await connect(there.address, deadline=now + 10)
        error = await why_not(connection.call(UNREGISTER_BROKER, 0, b"", plain, deadline=now, entries=1))
        await connection.close()
    assert (error.outcome, error.sent, there.calls()) == ("timeout", False, [])


async def test_so_many_servers_are_tried_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names others, and none of them leads: it ends at a number."""
    monkeypatch.setattr(client, "MAX_ADDRESSES", 3)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(fake({55: FOLLOWER})) for _ in range(6)]
        for number, node in enumerate(nodes):
            node.answers[60] = named(-1, *(one.address for one in nodes[number + 1 :]))
        async with Kafka([nodes[0].address], kind="controller") as kafka:
            await why_not(kafka.describe_quorum())
    assert sum(node.calls().count(55) for node in nodes) == 3


async def test_controllers_are_not_asked_for_fenced_brokers() -> None:
    """They refuse the question as a whole."""
    async with fake({60: named(0)}) as there, Kafka([there.address], kind="controller") as kafka:
        await kafka.describe_cluster(fenced=True)
        assert there.asked[-1].body == requests.describe_cluster(2, 2, fenced=False)


async def test_few_connections_are_kept() -> None:
    """The oldest are closed; all are in the end."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(fake({55: FOLLOWER})) for _ in range(8)]
        for node in nodes:
            node.answers[60] = named(-1, *(one.address for one in nodes))
        async with Kafka([nodes[0].address], kind="controller") as kafka:
            await why_not(kafka.describe_quorum())
            kept = len(kafka._open)
        assert (kept, sum(node.connections for node in nodes)) == (4, 8)


MOVED = ("t", 0)
CALLS: dict[str, tuple[str, str, int, Callable[[Kafka], Awaitable[object]]]] = {
    "add": ("AddRaftVoterResponse", "done", 80, lambda k: k.add_voter(CLUSTER, 1, DIRECTORY, [])),
    "remove": ("RemoveRaftVoterResponse", "done", 81, remove),
    "unregister": ("UnregisterBrokerResponse", "done", 64, lambda k: k.unregister_broker(2)),
    "features": ("UpdateFeaturesResponse", "done", 57, lambda k: k.upgrade_features({"kraft.version": 1})),
    "metadata": ("MetadataResponse", "two brokers", 3, lambda k: k.metadata()),
    "reassign": ("AlterPartitionReassignmentsResponse", "all begun", 45, lambda k: k.alter_reassignments({MOVED: [1]})),
    "cancel": ("AlterPartitionReassignmentsResponse", "all begun", 45, lambda k: k.alter_reassignments({MOVED: None})),
    "moves": ("ListPartitionReassignmentsResponse", "one under way", 46, lambda k: k.list_reassignments()),
    "nodes": ("DescribeClusterResponse", "one of two brokers is fenced", 60, lambda k: k.describe_cluster(fenced=True)),
    "quorum": ("DescribeQuorumResponse", "a dynamic quorum", 55, lambda k: k.describe_quorum()),
}  # fmt: skip


@pytest.mark.parametrize(("message", "shows", "key", "call"), CALLS.values(), ids=CALLS.keys())
async def test_each_call_asks_in_the_highest_version_and_reads_the_answer(
    message: str, shows: str, key: int, call: Callable[[Kafka], Awaitable[object]]
) -> None:
    """Every method of the client, from its arguments to its result, over a connection."""
    vector = find(message, shows)
    newest = 1 if key == 80 else vector.version
    async with fake({key: say(vector.raw)}) as there, Kafka([there.address], kind="broker") as kafka:
        await call(kafka)
        assert [(r.key, r.version) for r in there.asked[1:]] == [(key, newest)]


async def test_the_server_gets_a_shorter_time_than_this_side_waits() -> None:
    """So its reason arrives before this side gives up: 8 s of 10."""
    done = say(find("UpdateFeaturesResponse", "done").raw)
    async with fake({57: done}) as there, Kafka([there.address], kind="broker") as kafka:
        await kafka.upgrade_features({"kraft.version": 1}, validate_only=True)
        assert there.asked[-1].body == find("UpdateFeaturesRequest", "to a dynamic quorum").raw


def test_a_client_without_servers_is_the_callers_mistake() -> None:
    """Nothing would ever be asked."""
    with pytest.raises(ValueError, match="no server"):
        Kafka([], kind="broker")


@pytest.mark.parametrize("code", [*CODES, 999, -2])
def test_every_code_is_one_line_with_its_number(code: int) -> None:
    """Known codes have a name and a meaning, unknown ones their number; 6 and 41 are another outcome."""
    error = answered(code)
    assert (str(code) in str(error), error.name in str(error)) == (True, True)
    assert error.outcome == ("not-leader" if code in (6, 41) else "answered")


def test_a_message_of_a_server_is_made_fit_for_a_terminal_and_a_log() -> None:
    """Escapes, line breaks and megabytes do not get through."""
    said = str(answered(42, "a\x1b[31m\nb" + "x" * 100_000))
    assert (said.startswith("INVALID_REQUEST (42): a [31m b"), len(said) < 400, said.isprintable()) == (
        True,
        True,
        True,
    )


def test_no_code_is_no_error() -> None:
    """0 is success, whatever the message."""
    check(0, "fine")


def test_an_answer_of_another_kind_of_node_has_its_own_code() -> None:
    """The calls' keys are Kafka's: UnregisterBroker is 64, not 63, which shuts a broker down."""
    assert UNREGISTER_BROKER.key == 64


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        pytest.param(0, "", True, id="could-be-made"),
        pytest.param(39, "… includes broker 7, but no such broker is registered.", False, id="unknown"),
        pytest.param(39, "All brokers specified … are fenced or in controlled shutdown.", True, id="fenced"),
        pytest.param(39, "something new", None, id="another-assignment"),
        pytest.param(29, "Authorization failed.", None, id="not-allowed"),
        pytest.param(44, "a policy", None, id="policy"),
    ],
)
async def test_what_a_refusal_says_of_a_broker(
    monkeypatch: pytest.MonkeyPatch, code: int, message: str, expected: bool | None
) -> None:
    """Only Kafka's own two sentences tell whether a broker is registered; whatever else refuses says nothing of it."""

    async def answer(*_: object) -> tuple[int, str]:
        return code, message

    kafka = Kafka([Address("127.0.0.1", 1)], kind="controller")
    monkeypatch.setattr(kafka, "_call", answer)
    assert expected is await kafka.is_registered(7)
