"""The contract of ``tests/kafka/contract.py``, on the fake Kafka that other tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.doors.api_server import Certificates, make_certificates
from tests.kafka.contract import Contract, Place
from tests.kafka.fake_cluster import fake_place


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """Ours, and another that signed nothing."""
    folder = tmp_path_factory.mktemp("tls")
    return make_certificates(folder, "ours"), make_certificates(folder, "other")


@pytest.fixture
async def place(authorities: tuple[Certificates, Certificates]) -> AsyncIterator[Place]:
    """A fake Kafka, anew for each test."""
    async with fake_place(*authorities) as found:
        yield found


class TestContract(Contract):
    """On the fake."""
