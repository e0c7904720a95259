"""What servers of four releases say of themselves through the door, in each state that a decision rests on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from peerboot.lab.network import Network
from peerboot.lab.postgres import VERSIONS
from peerboot.outside import postgres
from peerboot.outside.postgres import PostgresError, Seen, Slot, log
from peerboot.outside.postgres.connection import connected
from peerboot.systems.postgres import datadir
from tests.postgres.door import (
    HOW,
    Wire,
    become_standby,
    caught_up,
    follow,
    look,
    read_again,
    set_up,
    standby_of,
    until,
)
from tests.postgres.server import ENV, PORT, WITHIN, Postgres

pytestmark = pytest.mark.parametrize("version", VERSIONS)
SOME = "CREATE TABLE things AS SELECT generate_series(1, 1000)"


@pytest.fixture
def keep() -> Iterator[Callable[[Postgres], Postgres]]:
    """Stops at the end what a test has started."""
    with ExitStack() as stack:

        def kept(server: Postgres) -> Postgres:
            stack.callback(server.kill)
            return server

        yield kept


Keep = Callable[[Postgres], Postgres]


def lsn(text: str) -> int:
    """A position as a number."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


class Story(NamedTuple):
    """A primary and its standby, and what they said on the way."""

    first: str
    """Address of the primary."""
    system: str
    """By pg_controldata."""
    seen: dict[str, Seen]
    told: dict[str, str]
    """By SQL of a superuser. A server writes something by itself now and then: so before a look, and after it."""
    history: str
    cut: bool
    """Whether what the paused one did not replay is no whole record."""


@pytest.fixture(scope="session")
def story_of(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Story]:
    """That of one release, gone through at the first call."""
    kept: dict[str, Story | Exception] = {}

    def make(version: str) -> Story:
        if version not in kept:
            try:
                with ExitStack() as stack:
                    kept[version] = asyncio.run(_story(version, tmp_path_factory.mktemp("door"), network, stack))
            except Exception as error:  # noqa: BLE001 - raised below, for every test without another try
                kept[version] = error
        made = kept[version]
        if isinstance(made, Exception):
            raise made
        return made

    return make


@pytest.fixture
def story(version: str, story_of: Callable[[str], Story]) -> Story:
    """The one of this release."""
    return story_of(version)


async def _story(version: str, root: Path, network: Network, stack: ExitStack) -> Story:
    seen: dict[str, Seen] = {}
    told: dict[str, str] = {}
    first = set_up(version, root / "first", network)
    stack.callback(first.kill)
    flushed = "SELECT pg_current_wal_flush_lsn()"
    told["alone, before"] = first.sql(flushed)
    seen["alone"] = await look(first)
    told["alone, after"] = first.sql(flushed)
    second = standby_of(first, root / "second", network)
    stack.callback(second.kill)
    second.start()
    await until(first, lambda found: [one.state for one in found.streams] == ["streaming"])
    first.sql("CHECKPOINT")  # something to send, with which a primary tells how far it is
    told["streaming, before"] = first.sql(flushed)
    wanted = lsn(told["streaming, before"])
    seen["streaming"] = await until(second, lambda found: found.settled and found.lag == 0 and found.position >= wanted)
    told["streaming, after"] = second.sql("SELECT pg_last_wal_replay_lsn()")
    seen["streamed"] = await until(first, lambda found: [one.state for one in found.streams] == ["streaming"])

    second.sql("SELECT pg_wal_replay_pause()")
    second.until(lambda: second.sql("SELECT pg_get_wal_replay_pause_state()") == "paused", "it pauses")
    first.sql(SOME)
    seen["paused"] = await until(second, lambda found: found.position > found.replayed)
    async with connected(second.address, PORT, **HOW) as connection:
        cut = await log.ends_in_a_record(connection, seen["paused"], 16 << 20)
    second.sql("SELECT pg_wal_replay_resume()")
    await caught_up(second, first)
    second.sql("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    await postgres.reload(second.address, PORT, **HOW)
    second.until(lambda: second.sql("SHOW recovery_min_apply_delay") == "1h", "it has read it")
    first.sql("DROP TABLE things")
    seen["delayed"] = await until(second, lambda found: found.position > found.replayed)
    second.stop()
    second.start(primary_conninfo="")
    seen["delayed, alone"] = await until(second, lambda _found: True)
    second.stop()
    second.start()
    second.until_it_answers()
    second.sql("ALTER SYSTEM RESET recovery_min_apply_delay")
    await postgres.reload(second.address, PORT, **HOW)
    await caught_up(second, first)

    first.stop()
    system = first.run("pg_controldata", str(first.data_dir)).partition("system identifier:")[2].split()[0]
    become_standby(first)
    first.start()
    seen["restarted"] = await until(first, lambda found: found.settled)
    assert await postgres.promote(first.address, PORT, seconds=30, **HOW)
    seen["promoted"] = await look(first)
    first.sql(SOME)
    seen["followed"] = await caught_up(second, first)
    first.kill()
    seen["orphan"] = await until(second, lambda found: found.settled and not found.receiving)
    told["orphan"] = second.sql("SELECT min_recovery_end_timeline FROM pg_control_recovery()")
    assert await postgres.promote(second.address, PORT, seconds=30, **HOW)
    seen["promoted again"] = await look(second)
    history = await postgres.history(second.address, PORT, 3, **HOW)
    assert await postgres.history(second.address, PORT, 1, **HOW) == ""
    assert await postgres.history(second.address, PORT, 9, **HOW) == ""
    return Story(first.address, system, seen, told, history, cut)


# -------------------------------------------------------------------- states


def test_a_primary(story: Story, version: str) -> None:
    """What is on its disk is its position, and nobody copies it yet."""
    seen = story.seen["alone"]
    position = seen.position
    assert lsn(story.told["alone, before"]) <= position <= lsn(story.told["alone, after"])
    assert seen == Seen(
        version=seen.version, started=seen.started, loaded=seen.loaded, standby=False, system=story.system, term=1,
        position=position, replayed=position,
    )  # fmt: skip
    assert (seen.version // 10000, 0 < seen.loaded <= seen.started) == (int(version), True)


def test_a_standby_that_has_all(story: Story) -> None:
    """It is settled, although more may come at any time."""
    seen = story.seen["streaming"]
    position = seen.position
    assert lsn(story.told["streaming, before"]) <= position <= lsn(story.told["streaming, after"])
    assert seen == Seen(
        version=seen.version, started=seen.started, loaded=seen.loaded, standby=True, system=story.system, term=1,
        position=position, replayed=position, received=position, settled=True, receiving="streaming", received_term=1,
        upstream=story.first, lag=0,
    )  # fmt: skip


def test_who_copies_a_primary(story: Story) -> None:
    """Standbys by their own names; connections that only ask are none."""
    seen = story.seen["streamed"]
    assert [(one.name, one.state, one.sync) for one in seen.streams] == [("pg_1", "streaming", "async")]
    assert all(0 < one.replayed <= one.flushed <= seen.position for one in seen.streams)
    assert seen.slots == (Slot(name="pg_1", active=True, wal_status="reserved", safe_wal_size=-1),)


def test_a_standby_that_is_halted_is_not_settled(story: Story) -> None:
    """What it has and does not replay is not known."""
    paused, delayed = story.seen["paused"], story.seen["delayed"]
    assert [(one.settled, one.paused, one.position > one.replayed) for one in (paused, delayed)] == [
        (False, True, True), (False, False, True),
    ]  # fmt: skip
    assert (paused.lag >= paused.received - paused.replayed > 0, story.cut) == (True, False)
    alone = story.seen["delayed, alone"]
    assert (alone.settled, alone.received, alone.position == alone.replayed) == (False, 0, True)


def test_a_standby_without_a_primary_is_settled(story: Story) -> None:
    """It has replayed all that is on its disk, and got nothing since its start."""
    seen = story.seen["restarted"]
    assert (seen.standby, seen.term, seen.position, seen.received, seen.receiving, seen.lag) == (
        True, 1, seen.replayed, 0, "", -1,
    )  # fmt: skip


def test_a_promotion_is_seen_at_once(story: Story) -> None:
    """It takes writes on the next timeline, although its control file may still have the former one."""
    assert [(story.seen[name].standby, story.seen[name].term) for name in ("promoted", "promoted again")] == [
        (False, 2), (False, 3),
    ]  # fmt: skip


def test_a_standby_that_followed_knows_its_timeline(story: Story) -> None:
    """Also when its primary is gone, while SQL tells the one before: that word could cost what clients were told."""
    seen = [story.seen[name] for name in ("followed", "orphan")]
    assert [(one.settled, one.term) for one in seen] == [(True, 2), (True, 2)]
    assert story.told["orphan"] == "1"
    assert seen[0].position <= seen[1].position


def test_the_history_of_a_timeline(story: Story) -> None:
    """The file as it is: where each timeline before it ended."""
    forks = datadir.parse_history(story.history)
    assert [fork.timeline for fork in forks] == [1, 2]
    assert forks[1].position == story.seen["orphan"].position


# ---------------------------------------------------------- what goes wrong


async def test_half_of_a_record_is_nothing_to_replay(
    tmp_path: Path, network: Network, version: str, keep: Keep
) -> None:
    """A primary that died while it sent a long record leaves a standby that has more than it will ever replay."""
    first = keep(set_up(version, tmp_path / "first", network))
    second = keep(standby_of(first, tmp_path / "second", network))
    wire = Wire()
    async with wire.between(network.another(), (first.address, PORT)) as address:
        follow(second, address, wire.port)
        second.start()
        await caught_up(second, first)
        wire.left = 500_000
        first.sql("SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000))")
        await wire.cut.wait()
        first.kill()
        seen = await until(second, lambda found: found.settled and not found.receiving)
    assert (seen.received > seen.replayed, seen.position - seen.replayed) == (True, 0)


async def test_a_slot_that_is_lost(tmp_path: Path, network: Network, version: str, keep: Keep) -> None:
    """The log that it kept became more than it may keep; how much is left before that is told."""
    server = keep(set_up(version, tmp_path / "one", network, max_slot_wal_keep_size="32MB", wal_keep_size="0"))
    assert await postgres.make_slot(server.address, PORT, "pg_1", **HOW)
    (before,) = (await look(server)).slots
    for _ in range(6):
        server.sql("SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'x', 'x')")
    server.sql("CHECKPOINT")
    (after,) = (await look(server)).slots
    assert (before.wal_status, 16 << 20 < before.safe_wal_size <= 64 << 20) == ("reserved", True)
    assert after == Slot(name="pg_1", active=False, wal_status="lost", safe_wal_size=-1)


async def test_what_an_operator_has_to_know(tmp_path: Path, network: Network, version: str, keep: Keep) -> None:
    """Settings that wait for a restart, a primary that calls itself read-only, and commits that wait for a standby."""
    server = keep(set_up(version, tmp_path / "one", network))
    before = await look(server)
    for change in ("max_connections = 50", "max_wal_senders = 9", "default_transaction_read_only = on"):
        server.sql(f"ALTER SYSTEM SET {change}")
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await postgres.reload(server.address, PORT, **HOW)
    seen = await until(server, lambda found: found.read_only)
    # Of those on a test server's command line that differ from its file it says the same.
    assert {"max_connections", "max_wal_senders"} - set(seen.restart_pending) == set()
    assert (seen.loaded > before.loaded, seen.started == before.started) == (True, True)
    place = ("-h", server.address, "-p", f"{PORT}", "-U", "postgres")
    commit = server.command("psql", "-X", "-q", *place, "-c", "BEGIN READ WRITE", "-c", SOME, "-c", "COMMIT")
    with subprocess.Popen(commit, env=ENV, cwd="/", stderr=subprocess.DEVNULL):  # noqa: S603, ASYNC220 - the lab's psql
        seen = await until(server, lambda found: found.sync_waits > 0)
        server.kill()
    assert (before.sync_waits, seen.sync_waits) == (0, 1)


# ---------------------------------------------------------- not let in, or otherwise


async def refusal(server: Postgres, **how: Any) -> tuple[str, str]:
    """The kind of the error, and its text."""
    with pytest.raises(PostgresError) as caught:
        await postgres.look(server.address, PORT, **{**HOW, **how})
    assert (caught.value.sent, "\n" in str(caught.value)) == (False, False)
    return caught.value.kind, str(caught.value)


async def test_applications_that_take_all_connections(
    tmp_path: Path, network: Network, version: str, keep: Keep
) -> None:
    """They leave those of replication; without any of these an ordinary one tells nearly as much."""
    settings = {"max_connections": "6", "superuser_reserved_connections": "1", "max_wal_senders": "2"}
    server = keep(set_up(version, tmp_path / "one", network, **settings))
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await hold(server, stack, replication=False)
        assert (await look(server)).ordinary is False
        for _ in range(2):
            await hold(server, stack, replication=True)
        kind, text = await refusal(server)
        assert (kind, text.endswith("(SQLSTATE 53300)")) == ("sql", True)
    before = await until(server, lambda found: not found.ordinary)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await hold(server, stack, replication=True)
        seen = await look(server)
    assert seen == structs.replace(before, ordinary=True, position=seen.position, replayed=seen.replayed)


async def hold(server: Postgres, stack: AsyncExitStack, *, replication: bool) -> None:
    """Take a connection and keep it; a server has that of one who went free a moment later."""
    end = time.monotonic() + WITHIN
    while True:
        try:
            await stack.enter_async_context(connected(server.address, PORT, replication=replication, **HOW))
        except PostgresError:
            assert time.monotonic() < end, server.log
            await asyncio.sleep(0.02)
        else:
            return


async def test_a_standby_without_replication_is_never_settled(
    tmp_path: Path, network: Network, version: str, keep: Keep
) -> None:
    """An ordinary connection, all that a role without the right has, does not tell its timeline for certain."""
    first = keep(set_up(version, tmp_path / "first", network))
    second = keep(standby_of(first, tmp_path / "second", network))
    second.start()
    await caught_up(second, first)
    first.sql("ALTER ROLE peerboot NOREPLICATION")
    seen = await until(second, lambda found: found.ordinary)
    assert (seen.standby, seen.term, seen.settled, seen.position >= seen.replayed > 0) == (True, 1, False, True)
    # Nor without pg_monitor: what its processes wait for is not told then.
    first.sql("ALTER ROLE peerboot REPLICATION")
    first.sql("REVOKE pg_monitor FROM peerboot")
    seen = await until(second, lambda found: not found.ordinary and not found.receiving)
    assert (seen.standby, seen.term, seen.settled, seen.position >= seen.replayed > 0) == (True, 1, False, True)


async def test_who_is_not_let_in(tmp_path: Path, network: Network, version: str, keep: Keep) -> None:
    """Each reason has a kind of its own, and the server's words."""
    server = keep(set_up(version, tmp_path / "one", network))
    assert await refusal(server, password="wrong") == (
        "password", 'password authentication failed for user "peerboot"',
    )  # fmt: skip
    # As for a wrong password: a stranger is not told which roles there are.
    assert (await refusal(server, user="nobody", database="postgres"))[0] == "hba"
    hba = server.data_dir / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("host postgres peerboot", "host all peerboot"))
    read_again(server)
    assert await refusal(server, database="elsewhere") == ("missing", 'database "elsewhere" does not exist')
    server.sql("ALTER ROLE peerboot NOLOGIN")
    assert await refusal(server) == ("missing", 'role "peerboot" is not permitted to log in')


async def test_a_server_that_is_not_ready(tmp_path: Path, network: Network, version: str, keep: Keep) -> None:
    """It says itself whether it starts or stops, and why nobody is let in; one that is gone does not listen."""
    first = keep(set_up(version, tmp_path / "first", network))
    # Without the log of its backup it waits for it for ever.
    second = keep(first.clone(tmp_path / "second", network.another(), "-R", "-X", "none"))
    (second.data_dir / "postgresql.auto.conf").write_text("")
    second.start()
    assert await first_word(second) == ("starting", "the database system is starting up")
    closed = keep(standby_of(first, tmp_path / "third", network))
    closed.start(hot_standby="off")
    closed.until(lambda: "started streaming" in closed.log, "it copies")
    assert await first_word(closed) == (
        "starting", "the database system is not accepting connections (Hot standby mode is disabled.)",
    )  # fmt: skip
    closed.stop()
    async with connected(first.address, PORT, replication=False, **HOW):
        os.kill(first.pid, signal.SIGTERM)
        first.until(lambda: "smart shutdown" in first.log, "it stops")
        assert await refusal(first) == ("starting", "the database system is shutting down")
    first.stop()
    assert await refusal(first) == ("refused", "connection refused")


async def first_word(server: Postgres) -> tuple[str, str]:
    """What it says once it listens."""
    end = time.monotonic() + WITHIN
    while (said := await refusal(server))[0] == "refused":
        assert time.monotonic() < end, server.log
        await asyncio.sleep(0.02)
    return said
