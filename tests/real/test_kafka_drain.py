"""Brokers that go: real Kafkas are drained, scaled down and unregistered while a producer writes; nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from peerboot import container
from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import BROKER_PORT, PATIENT, run_tool
from peerboot.lab.servers import Server
from peerboot.model import Call, ClusterView, Kept
from peerboot.outside.http import Http
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import BROKER, TOPIC, Metadata
from peerboot.systems import Prepared
from peerboot.systems.kafka import throttle
from tests.real.kafka_scenes import formed, writing
from tests.real.scenes import MakeLab

BOUNDS = Bounds(open=3, read=5, call=15)
LONG = 300.0
"""Seconds that a command may take on two busy cores; alone it takes ten."""


@asynccontextmanager
async def broker(lab: Lab, ordinal: int = 0) -> AsyncIterator[Kafka]:
    """A client of one broker."""
    async with Kafka([Address(lab.pods[ordinal].spec.address, BROKER_PORT)], kind="broker", bounds=BOUNDS) as kafka:
        yield kafka


async def metadata(lab: Lab) -> Metadata:
    """All topics, and the brokers that are alive."""
    async with broker(lab) as kafka:
        return await kafka.metadata(None)


async def holders(lab: Lab, node: int) -> list[str]:
    """The partitions that a broker has a replica of."""
    return [
        f"{topic.name}-{part.index}"
        for topic in (await metadata(lab)).topics
        for part in topic.partitions
        if node in part.replicas
    ]


async def _holds(lab: Lab, *names: str) -> bool:
    return set(names) <= set(await holders(lab, 3))


async def grown(lab: Lab) -> None:
    """A set of three that has become one of four."""
    await formed(lab)
    lab.pod_env[3] = {"PEERBOOT_REPLICAS": "4"}
    shutil.copy(lab.secret_file(0), lab.secret_file(3))
    await lab.create(3)
    await lab.until_ready(PATIENT, only=(3,))


async def made(lab: Lab, topic: str, *more: str) -> None:
    """A topic; ``more``: further arguments, as its replicas."""
    await run_tool(lab, "kafka-topics.sh", "--create", "--topic", topic, *more)


async def kafka_command(lab: Lab, ordinal: int, *args: str) -> tuple[int, str, str]:
    """``peerboot kafka …`` in a Pod's container: exit code, what it printed, its error."""
    done = await lab.pods[ordinal].run("kafka", *args, timeout=LONG)
    print(f"$ peerboot kafka {' '.join(args)}\n{done.stdout}{done.stderr}[{done.returncode}]")
    return done.returncode, done.stdout, done.stderr


async def as_data(lab: Lab, *args: str) -> dict[str, Any]:
    """The same by ``--json``; it must go well."""
    code, out, error = await kafka_command(lab, 0, *args, "--json")
    assert (code, error == "" or code == 0) == (0, True), error
    found: dict[str, Any] = json.loads(out)
    return found


async def fenced(lab: Lab, node: int) -> None:
    """Wait until a broker that is gone counts as not alive."""

    async def dead() -> bool:
        with contextlib.suppress(KafkaError):
            return node not in {one.id for one in (await metadata(lab)).brokers}
        return False

    await lab.until(f"broker {node} is not alive", dead, PATIENT)


async def limits(lab: Lab, topics: Sequence[str]) -> list[str]:
    """Every limit on replication that a broker or one of these topics has."""
    found = []
    for ordinal in lab.pods:
        async with broker(lab, ordinal) as kafka:
            asked = {(BROKER, str(ordinal)): throttle.RATES, **{(TOPIC, name): throttle.LISTS for name in topics}}
            for one in await kafka.describe_configs(asked):
                found += [f"{one.name} {c.key}={c.value}" for c in one.configs if c.source in (1, 2)]
    return sorted(set(found))


async def unlimited(lab: Lab, *topics: str) -> None:
    """No limit is left. A broker hears of it a moment after the controllers have it."""

    async def none() -> bool:
        return await limits(lab, topics) == []

    await lab.until("no limit is left", none, 10)


async def test_four_become_three_and_nothing_is_lost(make_lab: MakeLab, every_kafka: Server) -> None:
    """A fourth broker has replicas of several topics, is drained under a limit while a producer writes with acks=all,
    goes, and is forgotten, which is refused while it lives. Each partition has as many replicas as before, no limit is
    left, and no acknowledged record is missing.
    """
    async with make_lab(every_kafka) as lab:
        await grown(lab)
        async with writing(lab) as writer:
            await made(lab, "four", "--replica-assignment", "3:0:1,0:3:2,2:1:3,1:2:0")
            await made(lab, "alone", "--replica-assignment", "3,0")
            # A broker may hear of a topic a moment after it was made.
            await lab.until("db-3 has its replicas", lambda: _holds(lab, "four-0", "four-1", "four-2", "alone-0"))
            before = {(t.name, p.index): p.replicas for t in (await metadata(lab)).topics for p in t.partitions}
            mine = await holders(lab, 3)
            code, out, _ = await kafka_command(lab, 0, "drain", "db-3")
            assert (code, await holders(lab, 3)) == (0, mine)
            assert ("`peerboot kafka drain db-3 --yes` does it" in out, "four-0: 3,0,1 -> 2,0,1" in out) == (True, True)
            code, _, error = await kafka_command(lab, 0, "unregister", "db-3", "--yes")
            assert (code, "is alive" in error) == (5, True)
            code, out, _ = await kafka_command(lab, 0, "drain", "db-3", "--throttle", "10MB/s", "--yes")
            assert (code, "broker 3 (db-3) holds no replicas now" in out) == (0, True)
            assert await holders(lab, 3) == []
            await unlimited(lab, "four", "alone", "told")
            after = {(t.name, p.index): p.replicas for t in (await metadata(lab)).topics for p in t.partitions}
            assert {key: len(replicas) for key, replicas in after.items() if key in before} == {
                key: len(replicas) for key, replicas in before.items()
            }
            assert after["four", 3] == before["four", 3]
            told = await as_data(lab, "drain", "db-3", "--yes")
            assert (told["brokers"], told["moves"], told["done"]) == ([3], [], True)
            await writer.grows()
            await lab.delete(3, recreate=False)
            await fenced(lab, 3)
            told = await as_data(lab, "unregister", "3")
            assert (told["done"], "holds no replicas" in told["say"]) == (False, True)
            assert (await as_data(lab, "unregister", "3", "--yes"))["done"] is True
            assert "is not registered" in (await as_data(lab, "unregister", "3", "--yes"))["say"]
        assert await writer.missing() == []


async def test_it_is_killed_and_run_again(make_lab: MakeLab, kafka: Server) -> None:
    """Killed while moves are under way and limited: they are there, and so are the limits. Run again it finishes what
    was begun and takes the limits away. Interrupted, it cancels what is under way and leaves no limit.
    """
    async with make_lab(kafka) as lab:
        await grown(lab)
        async with writing(lab) as writer:
            await made(lab, "big", "--replica-assignment", ",".join(["3:0:1"] * 6))
            await run_tool(
                lab, "kafka-run-class.sh", "org.apache.kafka.tools.ProducerPerformance", "--topic", "big",
                "--num-records", "20000", "--record-size", "1000", "--throughput", "-1", "--producer-props",
                "acks=all", "linger.ms=5", f"bootstrap.servers={lab.client_address(0)}",
            )  # fmt: skip
            code, said = await _stopped(lab, signal.SIGTERM)
            assert (code, "under way cancelled" in said, "Run it again to go on" in said) == (130, True, True), said
            assert await _under_way(lab) == 0
            await unlimited(lab, "big")
            code, said = await _stopped(lab, signal.SIGKILL)
            assert (code, await _under_way(lab) > 0, await limits(lab, ["big"]) != []) == (-9, True, True), said
            code, _, _ = await kafka_command(lab, 1, "drain", "db-3", "--yes")
            assert (code, await holders(lab, 3)) == (0, [])
            await unlimited(lab, "big")
            await writer.grows()
        assert await writer.missing() == []


async def _under_way(lab: Lab) -> int:
    async with broker(lab) as kafka:
        return len(await kafka.list_reassignments())


async def _stopped(lab: Lab, number: signal.Signals) -> tuple[int | None, str]:
    """Drain very slowly, and send a signal once moves are under way."""
    pod = lab.pods[0]
    process = await asyncio.create_subprocess_exec(
        *pod.spec.peerboot[-3:], "kafka", "drain", "db-3", "--throttle", "20kB/s", "--yes", env=pod.env,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip

    async def begun() -> bool:
        return await _under_way(lab) > 0

    await lab.until("moves are under way", begun, PATIENT)
    process.send_signal(number)
    async with asyncio.timeout(LONG):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_brokers_that_are_down(make_lab: MakeLab, either_kafka: Server) -> None:
    """Where another replica is down a move would not end, so it is refused unless that broker is drained too; so it is
    where too few are left. One that died with replicas is not forgotten; drained from the others it is, also by those
    that stay, to whom Kafka 4.0 tells it.
    """
    async with make_lab(either_kafka) as lab:
        await grown(lab)
        await made(lab, "two", "--replica-assignment", "3:1,1:3")
        await lab.crash(1, recreate=False)
        await fenced(lab, 1)
        code, _, error = await kafka_command(lab, 0, "drain", "db-3", "--yes")
        assert (code, "two-0, two-1 have a replica at broker 1 too, which is down" in error) == (5, True)
        code, _, _ = await kafka_command(lab, 0, "drain", "db-3", "db-1", "--yes")
        assert (code, await holders(lab, 3), await holders(lab, 1)) == (0, [], [])
        await lab.create(1)
        await lab.until_ready(PATIENT)
        await lab.until("all are in sync again", lambda: _in_sync(lab), PATIENT)
        await kafka_command(lab, 0, "drain", "db-3", "--undo", "--yes")
        await made(lab, "three", "--replica-assignment", "0:2:3,3:1:0")
        code, _, error = await kafka_command(lab, 0, "drain", "db-3", "db-2", "--yes")
        assert (code, "three has 3 replicas of a partition, and 2 other brokers are alive" in error) == (5, True)
        await lab.crash(3, recreate=False)
        await fenced(lab, 3)
        code, _, error = await kafka_command(lab, 0, "unregister", "db-3", "--yes")
        assert (code, "2 partitions, as three-0, still have a replica there" in error) == (5, True)
        tells = not either_kafka.version.startswith("3.9")
        assert await _registrations(lab) == ([("db-3", "3", "2 replicas, as of three-0")] if tells else [])
        code, out, _ = await kafka_command(lab, 0, "drain", "db-3", "--yes")
        assert (code, "Next: run `peerboot kafka unregister db-3`" in out, await holders(lab, 3)) == (0, True, [])
        assert await _registrations(lab) == ([("db-3", "3", "")] if tells else [])
        done = await _system(lab).call(Http(), Call(name="unregister", member="3"), ClusterView(), _addresses(lab))
        assert (done.ok, "has forgotten it" in done.say) == (True, True), done.say
        assert await _registrations(lab) == []
        assert "is not registered" in (await as_data(lab, "unregister", "3", "--yes"))["say"]


async def test_what_goes_with_a_broker_that_is_not_drained(make_lab: MakeLab, kafka: Server) -> None:
    """By its own word: every partition that it has a replica of, by name what no other broker has in sync, and nothing
    once it is drained. The other brokers' words are of their own.
    """
    async with make_lab(kafka) as lab:
        await grown(lab)
        await made(lab, "alone", "--replica-assignment", "3,0")
        await made(lab, "two", "--replica-assignment", "3:1,1:3")
        await lab.until("db-3 has its replicas", lambda: _holds(lab, "alone-0", "two-0", "two-1"))
        kept, held = await _kept(lab, 3), len(await holders(lab, 3))
        expected = Kept(what=f"{held} partitions", alone=("alone-0",), remedy="`peerboot kafka drain db-3 --yes`")
        assert (kept, (await _kept(lab, 0)).alone) == (expected, ("alone-1",))
        code, _, _ = await kafka_command(lab, 0, "drain", "db-3", "--yes")
        assert (code, await _kept(lab, 3)) == (0, msgspec.structs.replace(expected, what="", alone=()))
        await lab.crash(3, recreate=False)
        assert (await _kept(lab, 3)).untold == "its broker does not answer"


async def _kept(lab: Lab, ordinal: int) -> Kept:
    """What the sidecar of a Pod sees of what would go with its broker."""
    environ = lab.pods[ordinal].env if ordinal in lab.pods else {**lab.pods[0].env, "POD_NAME": f"db-{ordinal}"}
    system = container.set_up(environ).system
    kept = (await system.look(Http(), _addresses(lab), rest=False, timeout=5.0, now=0.0)).kept
    assert kept is not None
    return kept


async def _in_sync(lab: Lab) -> bool:
    parts = [part for topic in (await metadata(lab)).topics for part in topic.partitions]
    return all(set(part.in_sync) == set(part.replicas) for part in parts)


def _addresses(lab: Lab) -> dict[str, tuple[str, ...]]:
    return {pod.spec.name: (pod.spec.address,) for pod in lab.pods.values()}


def _system(lab: Lab) -> Prepared:
    """Kafka, set up as in the first Pod's sidecar."""
    return container.set_up(lab.pods[0].env).system


async def _registrations(lab: Lab) -> list[tuple[str, str, str]]:
    """What the first Pod's sidecar sees of brokers that are gone."""
    view = await _system(lab).look(Http(), _addresses(lab), rest=True, timeout=5.0, now=0.0)
    return [(one.pod, one.id, one.holds) for one in view.registrations]
