"""Forming: all at once, with one late, with some unreachable, with what differs between Pods."""

from __future__ import annotations

from pathlib import Path

from tests.run.turned import turned
from tests.run.world import world


@turned
async def test_all_blank_pods_form_one_cluster(tmp_path: Path) -> None:
    """Three Pods with blank disks form one cluster of three voters."""
    async with world(tmp_path) as w:
        w.start()
        took = await w.until(w.settled)
        print(took)
        assert len(w.clusters.served) == 1
