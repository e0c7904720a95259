"""The contract of ``tests/kafka/contract.py``, on real Kafkas of three releases: the fake one is like them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from peerboot.lab.network import Network
from tests.doors.api_server import make_certificates
from tests.kafka.contract import Contract, Place
from tests.kafka.servers import VERSIONS, real_place


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
    async with real_place(request.param, root, network, ours, make_certificates(root, "other")) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
class TestContract(Contract):
    """On a real one."""
