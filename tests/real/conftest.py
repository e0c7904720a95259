"""Labs for scenarios with real servers. A server that cannot be had fails the tests that need it; none is skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab import jars
from peerboot.lab import postgres as lab_postgres
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Timing
from peerboot.lab.servers import VERSIONS, Server, find
from tests.real import secured
from tests.real.scenes import MakeLab

QUICK = Timing(restart=0.4, backoff=0.6, backoff_most=2.0, recreate=0.7)
"""A kubelet that is quicker still: what takes long in these tests is what servers take."""


SECURED = "PEERBOOT_TEST_SECURED"
"""Set to 1, etcd has TLS and passwords in every test that takes the newest one."""


@pytest.fixture(scope="session")
def etcd() -> Server:
    """The newest etcd."""
    newest = find(VERSIONS[-1])
    return secured.secured(newest) if os.environ.get(SECURED) == "1" else newest


@pytest.fixture(scope="session")
def plain_etcd() -> Server:
    """The newest etcd without TLS, whatever ``SECURED`` says: a lab's addresses are in no certificate, and clusters
    that tests make by hand have none.
    """
    return find(VERSIONS[-1])


@pytest.fixture(params=(*VERSIONS, f"{VERSIONS[-1]} secured"))
def every_etcd(request: pytest.FixtureRequest) -> Server:
    """A real etcd of every release in turn, and the newest with TLS and passwords."""
    version, _, more = request.param.partition(" ")
    return secured.secured(find(version)) if more else find(version)


@pytest.fixture(scope="session")
def kafka() -> Server:
    """The newest Kafka."""
    return jars.find(jars.VERSIONS[-1])


@pytest.fixture(params=jars.VERSIONS)
def every_kafka(request: pytest.FixtureRequest) -> Server:
    """A real Kafka of every release in turn."""
    return jars.find(request.param)


@pytest.fixture(scope="session")
def postgres() -> Server:
    """The Postgres of the lab."""
    return lab_postgres.find()


@pytest.fixture(params=lab_postgres.VERSIONS)
def every_postgres(request: pytest.FixtureRequest) -> Server:
    """A real Postgres of every release in turn."""
    return lab_postgres.find(request.param)


@pytest.fixture(params=(lab_postgres.VERSIONS[0], lab_postgres.VERSIONS[-1]))
def either_postgres(request: pytest.FixtureRequest) -> Server:
    """A real Postgres of the oldest release and of the newest: what differs between releases is in ``tests/postgres``,
    and what the rows stand on is run on all of them.
    """
    return lab_postgres.find(request.param)


@pytest.fixture(params=(jars.VERSIONS[0], jars.VERSIONS[-1]))
def either_kafka(request: pytest.FixtureRequest) -> Server:
    """A real Kafka of the oldest release and of the newest: for facts that are no row of the table, and differ at 4.0
    or nowhere. Every release has the rows' tests, and the drain's.
    """
    return jars.find(request.param)


@pytest.fixture
def short_root() -> Iterator[Path]:
    """A directory with a short path: that of a Unix socket may have 107 bytes."""
    root = Path(tempfile.mkdtemp(prefix="pb-"))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def make_lab(short_root: Path) -> MakeLab:
    """Use as ``async with make_lab(etcd, …) as lab``; a failure inside tells what every Pod said last."""
    count = 0

    @contextlib.asynccontextmanager
    async def made(server: Server, **spec: Any) -> AsyncIterator[Lab]:
        nonlocal count
        count += 1
        if isinstance(server, secured.SecuredServer):
            spec |= secured.spec(short_root / f"secured-{count}", spec.get("env", {}))
        lab = Lab(LabSpec(**{"root": short_root / str(count), "server": server, "timing": QUICK, **spec}))
        try:
            yield lab
        except BaseException as error:
            error.add_note(lab.told())
            raise
        finally:
            await lab.stop()

    return made
