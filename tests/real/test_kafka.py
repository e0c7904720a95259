"""The contract of ``tests/kafka/contract.py``, on real Kafkas of three releases: the fake one is like them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from peerboot.lab.network import Network
from peerboot.outside.kafka import KafkaError
from tests.doors.api_server import make_certificates
from tests.kafka.contract import TRIES, Contract, Place, ids
from tests.kafka.servers import VERSIONS, real_kafka

T = TypeVar("T")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Addresses that nobody else uses."""
    found = Network()
    yield found
    found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=VERSIONS)
async def place(
    request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """A real Kafka of each release in turn."""
    root = tmp_path_factory.mktemp("kafka")
    ours = make_certificates(root, "ours", network.fixed(0))
    async with real_kafka(request.param, root, network, ours, make_certificates(root, "other")) as found:
        yield found.place


@pytest.mark.asyncio(loop_scope="module")
class TestContract(Contract):
    """On a real one."""


async def test_the_next_leader_is_followed_when_one_is_killed(tmp_path: Path) -> None:
    """A client that knew it finds its successor, says in one word why it has not yet, and can remove the dead one."""
    network = Network()
    ours = make_certificates(tmp_path, "ours", network.fixed(0))
    seen: set[str] = set()
    try:
        async with real_kafka(VERSIONS[-1], tmp_path, network, ours, ours) as there, there.place.ask() as kafka:
            before = await kafka.describe_quorum()
            await there.kill(before.leader)
            after = await _once_led(kafka.describe_quorum, there.place.pause, seen)
            dead = next(voter for voter in after.voters if voter.id == before.leader)
            # A leader of the first moment answers 7, "waiting for leader to establish HWM".
            cluster, known = there.place.cluster, set[str]()
            await _once_led(lambda: kafka.remove_voter(cluster, dead.id, dead.directory), there.place.pause, known)
            rest = await kafka.describe_quorum()
    finally:
        network.close()
    assert (after.leader != before.leader, after.epoch > before.epoch, ids(rest)) == (
        True,
        True,
        sorted({1, 2, 3} - {dead.id}),
    )
    assert seen <= {"not-leader", "refused", "timeout"}


async def _once_led(call: Callable[[], Awaitable[T]], pause: float, seen: set[str]) -> T:
    """What it gives as soon as somebody leads; how it failed before is noted."""
    for _ in range(TRIES):
        try:
            return await call()
        except KafkaError as error:
            seen.add(error.outcome)
            await asyncio.sleep(pause)
    return await call()
