"""What ought to be set up otherwise, by what the servers say: one list, and where it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from peerboot.model import ClusterView, Finding
from tests.run.test_metrics import scraped
from tests.run.turned import turned
from tests.run.world import Pod, world

SHUT = tuple(Finding(name="not-let-in", say=f"The server of {pod} is shut.", pod=pod) for pod in ("db-1", "db-2"))
EVEN = Finding(name="even-controllers", say="There are 2 controllers.")


def find(pod: Pod, *found: Finding) -> None:
    """From its next look on its servers say so."""
    system: Any = pod.live.doors.system
    look = type(system).look

    async def finds(*args: Any, **kwargs: Any) -> ClusterView:
        view: ClusterView = await look(system, *args, **kwargs)
        return msgspec.structs.replace(view, findings=found)

    system.look = finds


@turned
async def test_each_finding_is_told_once_and_everywhere(tmp_path: Path) -> None:
    """The log has each once, be it of two servers; ``peerboot status``, decision.json and the metrics for as long as it
    is so.
    """
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        find(pod, *SHUT, EVEN)
        await w.still(60)
        says = [one.say for one in (*SHUT, EVEN)]
        assert [pod.log.count(say) for say in says] == [1, 1, 1]
        assert (await pod.view.admin("status", {}))["notes"] == says
        assert (await pod.view.admin("plan", {}))["findings"] == says
        told = scraped(pod)
        counts = {name: told["findings", (("name", name),)] for name in ("not-let-in", "even-controllers")}
        assert counts == {"not-let-in": 2, "even-controllers": 1}
        find(pod)
        await w.still(60)
        assert (await pod.view.admin("status", {}))["notes"] == []
        assert [key for key in scraped(pod) if key[0] == "findings"] == []
