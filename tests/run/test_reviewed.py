"""What a hostile reviewer found: faults that once wedged a set, split it, or took a person's data aside."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.run.etcd_model import Cluster, Files
from tests.run.turned import turned
from tests.run.world import Pod, World, world

BACKUP = "abcdef0123456789"


async def consent(w: World, pod: Pod) -> None:
    """A person allows what the pod's sentence offers, and the pod acts on it."""
    found = re.search(r"peerboot consent (\w+)`", pod.live.decision.reason)
    assert found is not None, pod.live.decision.reason
    pod.live.words.consents[found[1]] = pod.rule
    pod.live.news.set()
    await w.still(10)


@turned
async def test_a_restored_backup_is_started_by_consent(tmp_path: Path) -> None:
    """All volumes get the data of a backup, of another cluster: each pod refuses, and a person's consent at each starts
    it with that data. Nothing is moved aside and no empty cluster forms.
    """
    async with world(tmp_path) as w:
        await w.formed()
        w.may_serve = 2  # one, and the backup that was put in its place
        members, (old,) = w.members(), w.clusters.by_id.values()
        w.clusters.by_id[BACKUP] = Cluster(BACKUP, dict(old.members))
        for pod in w.pods:
            await pod.stop()
            files = Files(pod.data_dir)
            files.write(members[pod.name], BACKUP, "data")
            files.note({**json.loads(files.remembered.read_text()), "cluster": BACKUP})
        w.start()
        await w.still(20)
        assert [pod.rule for pod in w.pods] == ["foreign-data"] * 3
        for pod in w.pods:
            await consent(w, pod)
        assert [pod.live.memory.disk.cluster for pod in w.pods] == [BACKUP] * 3
        assert [pod.server is not None for pod in w.pods] == [True] * 3
        assert [list(pod.data_dir.glob("*.aside-*")) for pod in w.pods] == [[], [], []]


@turned
async def test_one_expected_pod_and_dns_that_denies_everybody(tmp_path: Path) -> None:
    """A set of three serves; one loses its disk and comes back with PEERBOOT_REPLICAS=1, by an old manifest, while DNS
    denies every name: it forms nothing.
    """
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        await pod.stop()
        pod.wipe()
        pod.environ["PEERBOOT_REPLICAS"] = "1"
        w.weather = "nxdomain"
        pod.start()
        await w.still(30, lambda: len(w.clusters.served) == 1)
        assert pod.rule == "form"
        assert "DNS does not show this Pod yet" in pod.live.decision.reason


@turned
async def test_init_does_not_wait_for_a_disk_that_is_another_now(tmp_path: Path) -> None:
    """Two are born and their ``init`` waits for the third, which loses its disk before it is born: it can never be born
    into that birth, so it needs nobody's word; the two start, and it joins them.
    """
    async with world(tmp_path) as w:
        w.cut = {("db-2", "db-0")}
        w.start("both")
        await w.until(lambda: all((pod.output_dir / "etcd.yaml").exists() for pod in w.pods[:2]))
        await w.still(5)
        late = w.pods[2]
        await late.stop()
        late.wipe()
        w.cut.clear()
        late.start("both")
        await w.until(w.settled)
        assert len(w.clusters.served) == 1


@turned
async def test_damaged_holds_keep_nobody_from_starting(tmp_path: Path) -> None:
    """A holds.json with a byte that is no text: a pod with its own data starts all the same."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        await pod.stop()
        (pod.state_dir / "holds.json").write_bytes(b'[{"id":"\xff","scope":"set","who":"a","why":"b","made_wall":1.0}]')
        pod.start()
        await w.until(w.settled)


@turned
async def test_a_bootstrap_whose_birth_cannot_come_up_is_told(tmp_path: Path) -> None:
    """One server runs on its bootstrap when the two others lose their disks: after a minute its pod says that the
    server has to be restarted; then all are born anew.
    """
    async with world(tmp_path) as w:
        for pod in w.pods[1:]:
            pod.frozen = True
        w.start()
        first = w.pods[0]
        await w.until(lambda: first.server is not None and first.live.memory.disk.kind == "bootstrap")
        for pod in w.pods[1:]:
            await pod.stop()
            pod.wipe()
            pod.frozen = False
            pod.start()
        await w.until(lambda: first.rule == "stuck-bootstrap")
        assert "Restart this Pod's server container" in first.live.decision.reason
        await first.stop()
        first.start()
        await w.until(w.settled)
