"""Draining carried out, on a model of a cluster and a clock that is turned: batches, limits, stalls, interruptions."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from peerboot.errors import PeerbootError, RefusedError, SettingsError
from peerboot.systems.kafka import commands, drain_run, survey, throttle, unregister
from peerboot.systems.kafka.drain_run import Drain, Progress, Wish
from tests.kafka.brokers_model import FakeBrokers, Placed, World
from tests.run.turned import TurnedClock, turned

CORDONED = "3 cordoned.log.dirs=*"


def world(count: int = 3, **more: Any) -> World:
    """``count`` partitions, each with its first replica at broker 3."""
    return World(parts={("orders", index): Placed((3, index % 3)) for index in range(count)}, **more)


class Run:
    """One ``drain --yes``."""

    def __init__(self, there: World, rate: int = 0, gone: tuple[int, ...] = ()) -> None:
        self.said: list[str] = []
        self.wish = Wish(nodes={3: "db-3"}, rate=rate)
        self.drain = Drain(FakeBrokers(there, gone), self.wish, TurnedClock(), self.said.append)

    async def go(self) -> Drain:
        """To its end."""
        found = await survey.whole(self.drain.brokers, self.wish.nodes)
        drain_run.refuse(found, self.wish)
        await self.drain.run(found)
        return self.drain


async def why_not(there: World, **more: Any) -> PeerbootError:
    """How it ended."""
    with pytest.raises(PeerbootError) as caught:
        await Run(there, **more).go()
    assert str(caught.value).isprintable()
    return caught.value


def holds(there: World, node: int = 3) -> int:
    """Partitions that a broker has."""
    return sum(node in one.replicas for one in there.parts.values())


@turned
async def test_all_replicas_go() -> None:
    """The broker is cordoned first, then they move; each partition has two replicas still."""
    there = world()
    done = await Run(there).go()
    assert (holds(there), [len(one.replicas) for one in there.parts.values()]) == (0, [2, 2, 2])
    assert there.journal == [CORDONED, "move 3"]
    assert (done.progress.done, done.progress.parts, done.progress.moved) == (3, 3, 300)


@turned
async def test_at_most_fifty_move_at_once() -> None:
    """A batch ends before the next one begins."""
    there = world(120)
    await Run(there).go()
    assert (there.journal[1:], there.most, holds(there)) == (["move 50", "move 50", "move 20"], 50, 0)


@turned
async def test_before_4_3_nothing_is_cordoned_and_new_topics_are_moved_too() -> None:
    """What was placed there meanwhile goes in a second round."""
    there = world(1, level=25)

    def another() -> None:
        there.on_alter = lambda: None
        there.parts["new", 0] = Placed((1, 3))

    there.on_alter = another
    run = Run(there)
    await run.go()
    assert (there.journal, holds(there)) == (["move 1", "move 1"], 0)
    assert "once more" in "".join(run.said)


@pytest.mark.parametrize(
    "settings",
    [
        {throttle.CORDON: "*"},
        {throttle.CORDON: "/a, /b", "log.dirs": "/a,/b"},
        {throttle.CORDON: "/a", "log.dir": "/a"},
    ],
    ids=["all", "each", "the-only-one"],
)
def test_a_broker_that_was_drained_before_is_not_filled_again(settings: dict[str, str]) -> None:
    """It is cordoned, and gets nothing of what this one gives away."""

    @turned
    async def ends() -> None:
        there = world(12, settings={(4, "2"): settings})
        for one in there.parts.values():
            one.replicas = (3, 0)
        await Run(there).go()
        assert (holds(there, 3), holds(there, 2), holds(there, 1)) == (0, 0, 12)

    ends()


@turned
async def test_a_broker_with_one_directory_cordoned_still_gets_replicas() -> None:
    """The other directory takes them."""
    there = World(
        parts={("orders", 0): Placed((3, 0, 1))}, settings={(4, "2"): {throttle.CORDON: "/a", "log.dirs": "/a,/b"}}
    )
    await Run(there).go()
    assert there.parts["orders", 0].replicas == (2, 0, 1)


@turned
async def test_cordoned_brokers_do_not_count_as_room() -> None:
    """Exit 5 before anything is changed, with the command that ends the cordon."""
    there = World(parts={("orders", 0): Placed((3, 0, 1))}, settings={(4, "2"): {throttle.CORDON: "*"}})
    error = await why_not(there)
    assert (error.exit_code, there.journal) == (5, [])
    assert (
        "3 replicas of a partition, and 2 other brokers are alive and not cordoned: end a cordon (`peerboot kafka "
        "drain 2 --undo --yes`), start or add brokers first"
    ) in str(error)


@turned
async def test_brokers_hear_of_an_ended_move_a_moment_later() -> None:
    """Which looks as if it had not begun: it is not planned a second time."""
    there = world(3, lag=4.0)
    await Run(there).go()
    assert (holds(there), there.journal) == (0, [CORDONED, "move 3"])


@turned
async def test_new_topics_without_end_are_given_up() -> None:
    """After five rounds it says so; what it moved stays moved."""
    there = world(1, level=25)

    def another() -> None:
        there.parts["new", len(there.parts)] = Placed((1, 3))

    there.on_alter = another
    error = await why_not(there)
    assert (error.exit_code, "after 5 rounds" in str(error), holds(there)) == (6, True, 1)


@turned
async def test_limits_are_set_and_taken_away() -> None:
    """Rates at the brokers that send or get, lists at the topic, and none of it afterwards; the cordon stays."""
    there = world(2)
    await Run(there, rate=5000).go()
    assert "orders leader.replication.throttled.replicas=0:3,0:0,1:3,1:1" in there.journal
    assert "orders follower.replication.throttled.replicas=0:2,1:0" in there.journal
    assert there.journal.index("3 leader.replication.throttled.rate=5000") < there.journal.index("move 2")
    assert {key: value for key, value in there.settings.items() if value} == {(4, "3"): {throttle.CORDON: "*"}}


@turned
async def test_limits_of_an_earlier_run_are_taken_away_first() -> None:
    """Also by a run without a limit of its own; one that is meant to stay is left alone."""
    left = {(4, "1"): {throttle.LEADER_RATE: "5"}, (2, "orders"): {throttle.LEADER_LIST: "7:1"}}
    there = world(1, settings={key: dict(value) for key, value in left.items()})
    await Run(there).go()
    assert [there.settings[key] for key in left] == [{}, {}]
    there = world(1, settings={**left, (2, "orders"): {throttle.LEADER_LIST: "*"}})
    await Run(there).go()
    assert there.settings[4, "1"] == {throttle.LEADER_RATE: "5"}
    error = await why_not(world(1, settings={(2, "orders"): {throttle.LEADER_LIST: "*"}}), rate=5000)
    assert (error.exit_code, "meant to stay" in str(error)) == (5, True)


@turned
async def test_the_limit_of_somebody_elses_reassignment_stays() -> None:
    """It is under way elsewhere: nothing of it is touched, and a second limit beside it is refused."""

    def there() -> World:
        made = world(1, settings={(4, "1"): {throttle.LEADER_RATE: "5"}})
        made.parts["other", 0] = Placed((0, 1), target=(0, 2), since=10**9)
        return made

    mine = there()
    await Run(mine).go()
    assert (mine.settings[4, "1"], holds(mine)) == ({throttle.LEADER_RATE: "5"}, 0)
    assert "with a limit of its own" in str(await why_not(there(), rate=5000))


@turned
async def test_a_move_that_hangs_ends_the_run() -> None:
    """Ten minutes without progress: exit 6, which partitions, why, what to do. What is under way is cancelled, so that
    the next run plans it anew, and no limit is left.
    """
    there = World(parts={("orders", index): Placed((3, 0)) for index in range(4)})
    there.on_alter = lambda: there.alive.discard(1)
    began = asyncio.get_running_loop().time()
    error = await why_not(there, rate=5000)
    took = asyncio.get_running_loop().time() - began
    assert (error.exit_code, drain_run.STALL <= took < drain_run.STALL + 60) == (6, True)
    assert "broker 1, which is to have them, is down: start it, or run it again" in str(error)
    assert (there.moving(), {k: v for k, v in there.settings.items() if v}) == ({}, {(4, "3"): {throttle.CORDON: "*"}})
    there.on_alter = lambda: None
    await Run(there).go()
    assert holds(there) == 0


@turned
async def test_an_interruption_leaves_nothing_half_done() -> None:
    """Cancelled in the middle of the second batch: the first stays moved, the second is as it was, no limit is left."""
    there = world(60)
    run = Run(there, rate=5000)
    task = asyncio.create_task(run.go())
    await asyncio.sleep(5)
    assert len(there.moving()) == 10
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (holds(there), there.moving(), there.journal[-1].endswith("=-")) == (10, {}, True)
    assert {k: v for k, v in there.settings.items() if v} == {(4, "3"): {throttle.CORDON: "*"}}
    assert "10 moves under way cancelled" in "".join(run.said)


@turned
async def test_nobody_reads_any_more() -> None:
    """The terminal is gone: it ends as by an interruption, and tidies up all the same."""
    there = world(60)
    run = Run(there, rate=5000)

    def gone(text: str) -> None:
        raise BrokenPipeError(text)

    run.drain.tell = gone
    with pytest.raises(BrokenPipeError):
        await run.go()
    assert (there.moving(), {k: v for k, v in there.settings.items() if v}) == ({}, {(4, "3"): {throttle.CORDON: "*"}})


@turned
async def test_what_a_killed_run_began_is_limited_again() -> None:
    """By the rate of this run: the limits of the earlier one are gone by then."""
    there = world(1)
    there.parts["orders", 0].target, there.parts["orders", 0].since = (1, 0), asyncio.get_running_loop().time()
    await Run(there, rate=5000).go()
    assert "orders follower.replication.throttled.replicas=0:1" in there.journal
    assert {k: v for k, v in there.settings.items() if v} == {(4, "3"): {throttle.CORDON: "*"}}


@turned
async def test_what_a_killed_run_began_is_cancelled_by_an_interruption() -> None:
    """All of it, also more than one batch, at any moment: before its limits were set anew, and while it is watched."""

    async def interrupted(found: survey.Survey) -> None:
        del found
        raise asyncio.CancelledError

    for early in (True, False):
        there = world(60, seconds=20)
        for one in there.parts.values():
            one.target, one.since = ((1, *one.replicas[1:]) if 1 not in one.replicas else (2, 1)), 10**9
        run = Run(there, rate=5000)
        found = await survey.whole(run.drain.brokers, run.wish.nodes)
        if early:
            run.drain._prepare = interrupted  # type: ignore[method-assign]
        task = asyncio.create_task(run.drain.run(found))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (there.moving(), run.drain.tidy, holds(there)) == ({}, True, 60)
        assert {k: v for k, v in there.settings.items() if v} == ({} if early else {(4, "3"): {throttle.CORDON: "*"}})


@turned
async def test_refused_moves_leave_no_limits() -> None:
    """Those of the batch that were begun are cancelled; its topics' lists end with the rates."""
    there = world(2, refuses={("orders", 0): 39})
    await why_not(there, rate=5000)
    assert there.moving() == {}
    assert {k: v for k, v in there.settings.items() if v} == {(4, "3"): {throttle.CORDON: "*"}}


@turned
async def test_a_topic_whose_moves_ended_before_an_interruption_keeps_no_list() -> None:
    """Another topic of the same batch was still moving."""
    there = World(parts={("a", 0): Placed((3, 0)), ("b", 0): Placed((3, 0))})
    run = Run(there, rate=5000)
    task = asyncio.create_task(run.go())
    await asyncio.sleep(1)
    there.parts["b", 0].since = 10**9
    await asyncio.sleep(9)
    assert list(there.moving()) == [("b", 0)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (there.moving(), {k: v for k, v in there.settings.items() if v}) == ({}, {(4, "3"): {throttle.CORDON: "*"}})


@turned
async def test_a_run_that_could_not_tidy_up_says_so() -> None:
    """Nobody answers when it is interrupted: it does not claim that the others are as they were."""
    there = world(2, seconds=20)
    run = Run(there)
    task = asyncio.create_task(run.go())
    await asyncio.sleep(5)
    there.silent = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.drain.tidy, "moves and limits may still be there" in run.said[-1]) == (False, True)


@turned
async def test_what_a_killed_run_left_is_finished() -> None:
    """Moves that it began are waited for and not begun again; its limits end."""
    there = world(3, settings={(4, "1"): {throttle.FOLLOWER_RATE: "5"}, (2, "orders"): {throttle.LEADER_LIST: "0:3"}})
    there.parts["orders", 0].target, there.parts["orders", 0].since = (1, 0), asyncio.get_running_loop().time()
    done = await Run(there).go()
    assert ("move 2" in there.journal, holds(there), done.progress.done) == (True, 0, 3)
    assert {k: v for k, v in there.settings.items() if v} == {(4, "3"): {throttle.CORDON: "*"}}


@turned
async def test_a_topic_that_is_deleted_meanwhile_is_no_failure() -> None:
    """Nothing of it has to be moved any more; any other refusal ends the run."""
    there = world(2, refuses={("orders", 0): 3})

    def deleted() -> None:
        there.parts.pop(("orders", 0), None)

    there.on_alter = deleted
    await Run(there).go()
    assert holds(there) == 0
    error = await why_not(world(2, refuses={("orders", 0): 39}))
    assert (error.exit_code, str(error)) == (6, "orders-0 was not moved: no (39): run it again")


@turned
async def test_a_cluster_that_does_not_answer_for_a_while_is_waited_for() -> None:
    """Shorter than ten minutes it is only said; the moves go on meanwhile."""
    there = world(2, seconds=20)
    run = Run(there)
    task = asyncio.create_task(run.go())
    await asyncio.sleep(2)
    there.silent = True
    await asyncio.sleep(60)
    there.silent = False
    await task
    assert (holds(there), "no answer: no whole answer in time" in "".join(run.said)) == (0, True)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"alive": {0, 3}, "parts": {("a", 0): Placed((3, 0))}}, "a has 2 replicas of a partition"),
        ({"parts": {("a", 0): Placed((3, 0), target=(3, 1), since=10**9)}}, "a reassignment of a-0 is under way"),
        ({"free": 10, "parts": {("a", 0): Placed((3, 0))}}, "would get 100 B and has 10 B free"),
        ({"alive": {0, 1, 2}, "parts": {("a", 0): Placed((3,))}}, "(3) first; delete a topic only where the volumes"),
        ({"alive": {0, 2, 3}, "parts": {("a", 0): Placed((3, 1))}}, "a-0 has a replica at broker 1 too, which is down"),
        ({"registered": {0, 1, 2}, "alive": {0, 1, 2}}, "broker 3 (db-3) is not registered in cluster c"),
    ],
    ids=["too-few", "somebody-elses", "no-room", "offline", "lame", "unknown"],
)
def test_what_is_refused(more: Mapping[str, Any], says: str) -> None:
    """Exit 5 before anything is changed."""

    @turned
    async def ends() -> None:
        there = World(**more)
        error = await why_not(there)
        assert (type(error), says in str(error), there.journal) == (RefusedError, True, []), error

    ends()


@turned
async def test_a_dead_broker_is_drained_from_the_others() -> None:
    """Its replicas are made anew, so that it can be unregistered."""
    there = World(alive={0, 1, 2}, parts={("a", 0): Placed((3, 0))})
    await Run(there, gone=(3,)).go()
    assert holds(there) == 0


def test_progress_for_a_person() -> None:
    """Partitions, bytes, pace and what is left at that pace; without bytes by partitions."""
    one = Progress(began=0.0, parts=10, size=1000, done=2, moved=200)
    assert one.line(20.0, 50) == "2/10 partitions, 250 B of 1.0 kB, 12 B/s, about 60 s left"
    assert Progress(began=0.0, parts=10, done=1).line(600.0, 0) == "1/10 partitions, about 1.5 h left"
    assert Progress(began=0.0, parts=1, done=1).line(1.0, 0) == "1/1 partition"


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50MB/s", 50_000_000), ("1.5 GB/s", 1_500_000_000), ("20kB", 20_000), ("8MiB/s", 8 << 20)],
)
def test_rates(text: str, rate: int) -> None:
    """In bytes a second."""
    assert throttle.rate_of(text) == rate


@pytest.mark.parametrize("text", ["", "50", "50mb/s", "-1MB/s", "0.0001kB/s", "50MB/m", "9" * 30 + "MB"])
def test_no_rates(text: str) -> None:
    """Exit 2, with an example; a rate below 1 kB/s would never end."""
    with pytest.raises(SettingsError, match="50MB/s"):
        throttle.rate_of(text)


# ---------------------------------------------------------------- commands


def asked(*argv: str) -> argparse.Namespace:
    """What a person typed."""
    parser = argparse.ArgumentParser()
    commands.register(parser)
    return parser.parse_args(argv)


async def shown(there: World, *argv: str, gone: tuple[int, ...] = ()) -> int:
    """Run a command."""
    args, brokers = asked(*argv), FakeBrokers(there, gone)
    if argv[0] == "drain":
        rate = throttle.rate_of(args.throttle) if args.throttle else 0
        return await commands._drain(args, brokers, {3: "db-3"}, rate)
    return await commands._unregister(args, brokers, {3: "db-3"})


@turned
async def test_the_plan_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes nothing is changed, and the whole is told."""
    there = world(2)
    assert (await shown(there, "drain", "db-3", "--throttle", "50MB/s"), there.journal) == (0, [])
    assert capsys.readouterr().out.splitlines() == [
        (
            "broker 3 (db-3) holds 2 replicas, 200 B. This would happen; "
            "`peerboot kafka drain db-3 --throttle 50MB/s --yes` does it:"
        ),
        "  orders-0: 3,0 -> 2,0 (100 B)",
        "  orders-1: 3,1 -> 0,1 (100 B)",
        "broker 0 gets 1 replica, broker 2 gets 1 replica.",
        "At each broker at most 50.0 MB/s are copied, until it is done.",
        "No new replicas are placed there from the beginning on (cordoned.log.dirs).",
    ]


@turned
async def test_before_4_3_a_plan_says_that_it_fills_an_empty_broker(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have been drained a moment ago, which no setting tells there."""
    there = World(level=25, parts={("orders", 0): Placed((3, 0, 1))})
    await shown(there, "drain", "db-3")
    assert "Broker 2 has no replicas now: if it was drained and is to go too, name it here as well" in (
        capsys.readouterr().out
    )
    await shown(World(parts=there.parts), "drain", "db-3")
    assert "if it was drained" not in capsys.readouterr().out


@turned
async def test_a_plan_promises_a_cordon_only_where_a_broker_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Not of a dead one, and not of one that no name reaches; of several, those that do."""
    dead = World(alive={0, 1, 2}, parts={("a", 0): Placed((3, 0))})
    await shown(dead, "drain", "db-3", gone=(3,))
    await shown(world(1), "drain", "db-3", gone=(3,))
    assert "No new replicas" not in capsys.readouterr().out
    there = World(alive={0, 1, 2}, parts={("a", 0): Placed((3, 0))})
    wish = Wish(nodes={2: "db-2", 3: "db-3"})
    found = await survey.whole(FakeBrokers(there, (3,)), wish.nodes)
    closed = drain_run.closable(found, wish, FakeBrokers(there, (3,)))
    [*_, note] = commands.planned(found, wish, (), "again", closed)["notes"]
    assert closed == (2,)
    assert note.startswith("No new replicas are placed at broker 2 from the beginning on (cordoned.log.dirs); only")


@turned
async def test_a_plan_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Each move with its replicas and bytes; the progress goes to stderr."""
    there = world(25)
    await shown(there, "drain", "db-3", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["brokers"], len(told["moves"]), told["done"]) == ([3], 25, False)
    assert told["moves"][0] == {"topic": "orders", "partition": 0, "from": [3, 0], "to": [1, 0], "bytes": 100}
    await shown(there, "drain", "db-3", "--json", "--yes")
    said = capsys.readouterr()
    assert (json.loads(said.out)["done"], "25/25 partitions" in said.err) == (True, True)


@turned
async def test_an_empty_broker_is_cordoned(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to move, and it stays so; said once."""
    there = world(0)
    assert await shown(there, "drain", "db-3", "--yes") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert (line.startswith("broker 3 (db-3) holds no replicas now. Next: scale"), there.journal) == (True, [CORDONED])


@turned
async def test_undo_ends_the_cordon(capsys: pytest.CaptureFixture[str]) -> None:
    """Shown first; where brokers are not cordoned there is nothing to undo."""
    there = world(0, settings={(4, "3"): {throttle.CORDON: "*"}})
    await shown(there, "drain", "db-3", "--undo")
    assert there.settings[4, "3"] == {throttle.CORDON: "*"}
    await shown(there, "drain", "db-3", "--undo", "--yes")
    assert (there.settings[4, "3"], "gets new replicas again" in capsys.readouterr().out) == ({}, True)
    with pytest.raises(RefusedError, match="nothing to undo"):
        await shown(world(0, level=25), "drain", "db-3", "--undo", "--yes")


@pytest.mark.parametrize(
    ("more", "gone", "says"),
    [
        ({}, (), "is alive"),
        ({}, (3,), "is alive"),
        ({"alive": {0, 1, 2}, "parts": {("a", 0): Placed((3, 0))}}, (3,), "drain db-3 --yes` makes them anew"),
        ({"alive": {0, 1, 2}, "parts": {("a", 0): Placed((3, 0), target=(1, 0), since=10**9)}}, (3,), "1 partition"),
        ({"alive": {0, 1, 2}, "parts": {("a", 0): Placed((3,))}}, (3,), "start that broker with its volume; where"),
        ({"alive": {0, 1, 2}}, (), "DNS still has its Pod"),
    ],
    ids=["alive", "alive-out-of-dns", "holds-replicas", "is-being-drained", "only-replica", "its-pod-is-there"],
)
def test_what_is_not_forgotten(more: Mapping[str, Any], gone: tuple[int, ...], says: str) -> None:
    """Exit 5, and the cluster keeps it: never one that lives, never one that holds anything."""

    @turned
    async def ends() -> None:
        there = World(**more)
        with pytest.raises(RefusedError) as caught:
            await shown(there, "unregister", "db-3", "--yes", gone=gone)
        assert (says in str(caught.value), there.unregistered) == (True, []), caught.value

    ends()


@turned
async def test_a_broker_that_is_gone_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    """Its cordon and its limits end first, for they would outlive it and meet a successor with the same id."""
    there = World(alive={0, 1, 2}, settings={(4, "3"): {throttle.CORDON: "*", throttle.LEADER_RATE: "5"}})
    await shown(there, "unregister", "db-3", gone=(3,))
    assert (there.journal, "`peerboot kafka unregister db-3 --yes` does it" in capsys.readouterr().out) == ([], True)
    await shown(there, "unregister", "db-3", "--yes", gone=(3,))
    assert (there.unregistered, there.settings[4, "3"], there.journal[-1]) == ([3], {}, "unregister 3")
    await shown(there, "unregister", "db-3", "--yes", gone=(3,))
    assert "is not registered: there is nothing to do" in capsys.readouterr().out


@turned
async def test_before_4_0_a_dead_broker_is_not_listed() -> None:
    """Only the call itself says whether it was registered."""
    there = World(alive={0, 1, 2}, level=21, old=True)
    brokers = FakeBrokers(there, (3,))
    assert unregister.check(await unregister.look(brokers), brokers, 3, "db-3")[1] is True
    await shown(there, "unregister", "db-3", "--yes", gone=(3,))
    assert there.unregistered == [3]


@pytest.mark.parametrize("text", ["", "other-1", "db-x", "-1", "99999999999", "db-3\n"])
def test_what_is_no_broker_of_the_set(text: str) -> None:
    """Exit 2, with how to write it."""
    from tests.kafka.test_config import made

    with pytest.raises(SettingsError, match="nor a node id: write kafka-3, or 3"):
        commands.node_of(made(), text)
