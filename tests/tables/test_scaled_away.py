"""What follows for servers that copy when the live number of replicas is below the expected one, beside the cases."""

from __future__ import annotations

import msgspec
import pytest

from peerboot import asks
from peerboot.assess import Memory
from peerboot.cases.reader import parse
from peerboot.model import Facts, Live
from peerboot.systems.postgres.plan import settings_text
from tests.postgres.test_config import made

HEIR = """
self db-0 of 3
disk data cluster=7 member=db_0 running tl=2
record nonce=n0 seal=7/db_0
permit resume
quorum 7
member db_0 db-0
member db_2 db-2
server db-0 cluster=7 member=db_0 healthy tl=2 at=300 streams
server db-2 cluster=7 member=db_2 leader healthy writes tl=2 at=300 copied-by=db-0
peer db-1 data cluster=7 running serving
peer db-2 data cluster=7 running serving writes crown=2{}
"""
"""A Pod whose server copies that of db-2; what db-2 says besides."""


def facts(says: str = "", names: str = "db-0") -> Facts:
    """The heir's."""
    return parse(HEIR.format(f" rule={says} heir={names}" if says else ""), "postgres")


def confirmed(memory: Memory, found: Facts) -> str:
    """Whose place is wanted after that pass."""
    asks.confirm(memory, found, lambda: "w")
    return memory.hands_now(found.now)


def test_who_is_scaled_away_is_taken_over_from() -> None:
    """As long as it says so, and while nobody takes the writes; not once it stays after all."""
    memory = Memory(started_at=0.0)
    assert confirmed(memory, facts()) == ""
    assert confirmed(memory, facts("leave-writes", "db-1")) == ""
    assert confirmed(memory, facts("leave-writes")) == "db-2"
    down = facts("leave-writes")
    nobody = msgspec.structs.replace(down, cluster=msgspec.structs.replace(down.cluster, quorum=False, views=()))
    assert confirmed(memory, nobody) == "db-2"
    # What it says while it still takes them, and its server is being stopped.
    assert confirmed(memory, facts("hand-over-writes", "")) == "db-2"
    assert confirmed(memory, facts("serving", "")) == ""


def test_a_persons_wish_does_not_end_so() -> None:
    """What ``peerboot postgres switchover`` asked for stands until it came about, or its time is over."""
    memory = Memory(started_at=0.0, hands_to="db-2", hands_at=facts().now)
    assert confirmed(memory, facts("serving")) == "db-2"


@pytest.mark.parametrize(
    ("live", "names"),
    [
        (Live(), 'ANY 2 ("db_1","db_2")'),
        (Live(state="known", replicas=3), 'ANY 2 ("db_1","db_2")'),
        (Live(state="known", replicas=2), 'ANY 1 ("db_1")'),
        (Live(state="known", replicas=1), ""),
        (Live(state="known", replicas=0), 'ANY 2 ("db_1","db_2")'),
        (Live(state="known", replicas=2, deleting=True), 'ANY 2 ("db_1","db_2")'),
    ],
)
def test_no_commit_waits_for_a_pod_that_was_scaled_away(live: Live, names: str) -> None:
    """The standbys that have to confirm are those that the StatefulSet wants, and those that are heard: what the API
    said may be old. The whole set going changes nothing.
    """
    there = msgspec.structs.replace(facts(), live=live)
    assert 'ANY 2 ("db_1","db_2")' in settings_text(made(there.identity, PEERBOOT_POSTGRES_SYNCHRONOUS="2"), there)
    alone = msgspec.structs.replace(there.cluster, views=there.cluster.views[:1])
    found = msgspec.structs.replace(there, evidence={}, cluster=alone)
    config = made(found.identity, PEERBOOT_POSTGRES_SYNCHRONOUS="2")
    assert f"synchronous_standby_names = '{names}'\n" in settings_text(config, found)
