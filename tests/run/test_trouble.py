"""A sidecar survives what happens to its files, its loops and its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerboot import statedir
from peerboot.assess import Memory, merge_holds
from peerboot.model import ClusterView, Hold
from peerboot.outside import files
from tests.run.etcd_model import Files
from tests.run.turned import turned
from tests.run.world import Pod, world

Break = Callable[[Path, str], None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Directories in which nothing can be written, with the reason; a test fills and empties it."""
    found: dict[Path, str] = {}
    real = files.write_whole

    def write(path: Path, content: bytes, mode: int = 0o640) -> None:
        for folder, reason in found.items():
            if folder in path.parents:
                raise files.FilesError(f"{path} cannot be written: {reason}")
        real(path, content, mode)

    monkeypatch.setattr(files, "write_whole", write)
    monkeypatch.setattr(statedir, "write_whole", write)
    return found


WHY = ("the file system is full", "the file system is read-only")


@pytest.mark.parametrize("why", WHY)
def test_output_dir_breaks_while_running(why: str, tmp_path: Path, broken: dict[Path, str]) -> None:
    """Server and peerboot go on, it is said once, and what is due is written when it can be again."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            members = await w.formed()
            pod = w.pods[0]
            permit = (pod.output_dir / "etcd.yaml").read_text()
            broken[pod.output_dir] = why
            w.pods[1].frozen = True
            await w.pods[1].stop()
            await w.pods[2].stop()
            await w.still(120, lambda: pod.exit_code is None and pod.view.alive()[0] and pod.restarts == 1)
            assert pod.rule != "serving"
            assert permit == (pod.output_dir / "etcd.yaml").read_text()
            assert pod.log.count(f"status.txt cannot be written: {why}") == 1
            broken.clear()
            w.pods[1].frozen = False
            w.pods[1].start()
            w.pods[2].start()
            await w.until(w.settled)
            await w.until(lambda: "idle (serving)" in (pod.output_dir / "status.txt").read_text())
            assert members == w.members()

    story()


@pytest.mark.parametrize("why", WHY)
def test_state_dir_is_broken_at_the_first_start(why: str, tmp_path: Path, broken: dict[Path, str]) -> None:
    """A disk without a nonce counts as unknown: nothing forms, the sidecar stays, and all form when it is mended."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            pod = w.pods[1]
            broken[pod.state_dir] = why
            w.start()
            await w.still(60, lambda: w.clusters.by_id == {} and pod.exit_code is None)
            assert "db-1: its disk is unknown" in w.pods[0].live.decision.reason
            assert (pod.live.decision.kind, pod.rule, pod.live.decision.consent) == ("wait", "disk-unknown", "")
            assert f"state.json cannot be written: {why}" in pod.live.decision.reason
            broken.clear()
            await w.until(w.settled)

    story()


@pytest.mark.parametrize("why", WHY)
def test_a_pod_with_data_restarts_with_a_broken_state_dir(why: str, tmp_path: Path, broken: dict[Path, str]) -> None:
    """What peerboot cannot write down keeps no member from starting."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            await w.formed()
            pod = w.pods[1]
            await pod.stop()
            broken[pod.state_dir] = why
            pod.start()
            await w.until(lambda: pod.server is not None, within=w.pace.patience + 2)
            await w.until(w.settled)

    story()


@pytest.mark.parametrize("why", WHY)
def test_nobody_is_added_for_a_disk_that_cannot_remember_it(why: str, tmp_path: Path, broken: dict[Path, str]) -> None:
    """A learner whose id cannot be written down would be removed again, and another one added, several times a second:
    the Pod says why it does not ask for one, and joins as soon as it can write.
    """

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            await w.formed()
            pod = w.pods[1]
            await pod.stop()
            pod.wipe()
            pod.start()
            await w.until((pod.state_dir / "state.json").exists)
            broken[pod.state_dir] = why
            await w.still(60, lambda: [what for what, _ in w.clusters.history] in ([], ["remove"]))
            assert pod.rule == "join"
            assert f"state.json cannot be written: {why}" in pod.log
            broken.clear()
            await w.until(w.settled)

    story()


@turned
async def test_an_adopted_volume_starts_with_a_broken_state_dir(tmp_path: Path, broken: dict[Path, str]) -> None:
    """Data older than peerboot starts although nothing can be remembered of it."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[1]
        await pod.stop()
        for path in pod.state_dir.iterdir():
            path.unlink()
        broken[pod.state_dir] = WHY[0]
        pod.start()
        await w.until(lambda: pod.server is not None, within=w.pace.patience + 2)


@turned
async def test_a_permit_that_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    """Something else stands where the permit ought to be: the sidecar says so and goes on; then it is mended."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        (pod.output_dir / "etcd.yaml").unlink()
        (pod.output_dir / "etcd.yaml").mkdir()
        await w.still(30, lambda: pod.exit_code is None and pod.view.alive()[0])
        assert pod.log.count("etcd.yaml cannot be read: it is not a regular file") == 1
        (pod.output_dir / "etcd.yaml").rmdir()
        await w.until(lambda: (pod.output_dir / "etcd.yaml").is_file() and pod.rule == "serving")


@turned
async def test_a_removed_permit_is_given_again(tmp_path: Path) -> None:
    """A permit that somebody removed is written again while the verdict is to run."""
    async with world(tmp_path) as w:
        await w.formed()
        permit = w.pods[0].output_dir / "etcd.yaml"
        before = permit.read_text()
        permit.unlink()
        await w.until(permit.exists)
        assert before == permit.read_text()


# ------------------------------------------------------------------ stuck loops


async def _never(*_args: object, **_more: object) -> Any:
    await asyncio.Event().wait()


def _hang(pod: Pod, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = pod.live.doors
    where, name = {
        "DNS": (doors.discovery, "ask"),
        "census": (doors.census, "ask"),
        "servers": (doors.system, "look"),
        "main": (pod.live, "one_pass"),
    }[loop]
    monkeypatch.setattr(where, name, _never)


@pytest.mark.parametrize("loop", ["DNS", "census", "servers", "main"])
def test_a_stuck_loop_fails_livez(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever loop no longer comes round, /livez says so within minutes, and not before it is sure."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            await w.formed()
            pod = w.pods[0]
            _hang(pod, loop, monkeypatch)
            await w.still(55, lambda: pod.view.alive()[0])
            await w.until(lambda: not pod.view.alive()[0], within=200)
            assert pod.view.alive()[1] == f"stuck: the {loop} loop has not come round for 60 s"
            assert w.pods[1].view.alive()[0]

    story()


# ----------------------------------------------------------------------- repair


@turned
async def test_a_learner_without_progress_is_reaped_after_five_minutes(tmp_path: Path) -> None:
    """A learner that gets nothing blocks all who want to join: it is removed, not before, and its Pod joins anew."""
    async with world(tmp_path) as w:
        before = await w.formed()
        pod = w.pods[2]
        await pod.stop()
        pod.wipe()
        w.clusters.deaf_learners = True
        pod.start()
        cluster = w.clusters.by_id[w.clusters.served[0]]
        await w.until(lambda: any(m.learner for m in cluster.members.values()))
        stuck = next(m.id for m in cluster.members.values() if m.learner)
        await w.still(290, lambda: stuck in cluster.members)
        await w.until(lambda: stuck not in cluster.members, within=30)
        w.clusters.deaf_learners = False
        await w.until(w.settled)
        assert w.members()["db-2"] not in (stuck, before["db-2"])


@turned
async def test_corrupt_data_is_read_again_for_thirty_seconds(tmp_path: Path) -> None:
    """A slow mount looks like damage: nothing is touched for 30 s, then the data goes aside and the Pod joins anew."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[2]
        await pod.stop()
        Files(pod.data_dir).wal.write_bytes(b"\x07" * 4096)
        pod.start()
        await w.still(29, (pod.data_dir / "member").exists)
        assert pod.rule == "corrupt-replaced"
        await w.until(w.settled)
        assert len(list(pod.data_dir.glob("member.aside-*"))) == 1


@turned
async def test_data_that_can_be_read_after_all_just_starts(tmp_path: Path) -> None:
    """Readable again within those 30 s it is the member that it was."""
    async with world(tmp_path) as w:
        members = await w.formed()
        pod = w.pods[2]
        await pod.stop()
        wal = Files(pod.data_dir).wal
        good = wal.read_bytes()
        wal.write_bytes(b"\x07" * 4096)
        pod.start()
        await w.still(20, lambda: pod.server is None)
        wal.write_bytes(good)
        await w.until(w.settled)
        assert members == w.members()
        assert list(pod.data_dir.glob("member.aside-*")) == []


@turned
async def test_an_admin_call_that_fails_is_tried_again_with_back_off(tmp_path: Path) -> None:
    """A cluster that says no is asked at most every five seconds in the end, and other work goes on meanwhile."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[2]
        await pod.stop()
        pod.wipe()
        w.clusters.refusal = "etcdserver: unhealthy cluster"
        pod.start()
        await w.still(120, lambda: pod.exit_code is None)
        failed = sum(count for (_, result), count in pod.live.tally.acted.items() if result == "failed")
        assert 10 < failed < 40
        assert pod.view.alive()[0]
        w.clusters.refusal = ""
        await w.until(w.settled)


def test_of_two_looks_the_one_that_began_later_counts() -> None:
    """A look that took long must not put old words in the place of newer ones."""
    memory = Memory(started_at=0.0)
    newer, older = ClusterView(at=20.0, quorum=True), ClusterView(at=10.0)
    memory.see_view(newer, 21.0)
    memory.see_view(older, 22.0)
    assert memory.view == newer


def test_of_too_many_holds_those_go_first_that_have_ended() -> None:
    """Sixteen are kept; one that is in force is not pushed out by newer ones that are over."""
    mine = Hold(id="mine", scope="pod", who="ann", why="", made_wall=1.0)
    ended = tuple(
        Hold(id=f"h{i}", scope="set", who="bob", why="", made_wall=2.0 + i, ended_wall=100.0) for i in range(20)
    )
    kept = merge_holds((mine,), ended)
    assert (len(kept), kept[0]) == (16, mine)
