"""The contract of ``tests/kafka/contract.py``, on real Kafkas of three releases: the fake one is like them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from peerboot.lab.network import Network
from peerboot.outside.kafka import KafkaError
from tests.doors.api_server import make_certificates
from tests.kafka.contract import TRIES, Contract, Place, ids
from tests.kafka.servers import VERSIONS, real_kafka


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
    seen = set()
    async with real_kafka(VERSIONS[-1], tmp_path, network, ours, ours) as there, there.place.ask() as kafka:
        before = await kafka.describe_quorum()
        await there.kill(before.leader)
        for _ in range(TRIES):
            try:
                after = await kafka.describe_quorum()
                break
            except KafkaError as error:
                seen.add(error.outcome)
                await asyncio.sleep(there.place.pause)
        dead = next(voter for voter in after.voters if voter.id == before.leader)
        await kafka.remove_voter(there.place.cluster, dead.id, dead.directory)
        rest = await kafka.describe_quorum()
    network.close()
    assert (after.leader != before.leader, after.epoch > before.epoch, ids(rest)) == (
        True,
        True,
        sorted({1, 2, 3} - {dead.id}),
    )
    assert seen <= {"not-leader", "refused", "timeout"}
