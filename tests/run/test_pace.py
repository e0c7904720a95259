"""How often it asks while it waits: in haste at first, calmly later, and large sets never all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot.pace import Pace
from tests.run.turned import turned
from tests.run.world import FakeHttp, Pod, world


def requests(pod: Pod) -> int:
    """Everything that a Pod has sent over HTTP so far."""
    http = pod.live.doors.http
    assert isinstance(http, FakeHttp)
    return http.asked


@turned
async def test_a_long_wait_is_a_calm_one(tmp_path: Path) -> None:
    """After a minute of waiting for a Pod that does not come it asks less, and forms at once when it does."""
    async with world(tmp_path) as w:
        for pod in w.pods[:2]:
            pod.start()
        await w.still(10)
        before = requests(w.pods[0])
        await w.still(40)
        hasty = requests(w.pods[0]) - before
        await w.still(60)
        before = requests(w.pods[0])
        await w.still(40)
        assert 0 < requests(w.pods[0]) - before < hasty / 3
        w.pods[2].start()
        assert await w.until(w.settled) < 15


@pytest.mark.parametrize(("pods", "census", "servers"), [(1, 0.5, 0.5), (10, 0.5, 0.5), (40, 2, 2), (1000, 50, 3.2)])
def test_at_most_twenty_peers_are_asked_a_second(pods: int, census: float, servers: float) -> None:
    """A round of the census, and one of looks at 64 servers at most, takes longer the more there are."""
    pace = Pace()
    assert (pace.census_round(pods), pace.servers_round(pods)) == (census, servers)
