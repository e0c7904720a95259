"""``init``: when it is done, how long it keeps answering, and the code with which it gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.etcd_model import Files
from tests.run.turned import turned
from tests.run.world import World, world

AFTER = 60.0
"""PEERBOOT_DIAGNOSE_AFTER's default."""


async def ended(w: World, name: str, within: float = 300.0) -> tuple[int | None, str]:
    """Exit code and error of a Pod's ``init``, once it has ended."""
    pod = next(pod for pod in w.pods if pod.name == name)
    await w.until(lambda: pod.exit_code is not None, within)
    return pod.exit_code, pod.error


@turned
async def test_init_of_all_pods_is_done_once_all_are_born(tmp_path: Path) -> None:
    """Three ``init`` containers write their configs and leave with 0."""
    async with world(tmp_path) as w:
        w.start("init")
        assert [await ended(w, pod.name) for pod in w.pods] == [(0, "")] * 3
        assert all((pod.output_dir / "etcd.yaml").exists() for pod in w.pods)


@turned
async def test_init_keeps_answering_until_all_have_said_born(tmp_path: Path) -> None:
    """A Pod that is born has its config, yet its ``init`` answers on while another could not hear it so far."""
    async with world(tmp_path) as w:
        w.cut = {("db-2", "db-0")}
        w.start("init")
        early = w.pods[:2]
        await w.until(lambda: all((pod.output_dir / "etcd.yaml").exists() for pod in early))
        await w.still(60, lambda: all(pod.exit_code is None and pod.node is not None for pod in early))
        assert "init answers until db-2 said that they are born too" in w.pods[0].log
        assert w.pods[2].live.memory.record.birth is None
        w.cut.clear()
        assert [await ended(w, pod.name) for pod in w.pods] == [(0, "")] * 3


@turned
async def test_init_before_the_server_and_sidecar_beside_it(tmp_path: Path) -> None:
    """Without native sidecars peerboot runs twice in a Pod, and the cluster forms, restarts and heals all the same."""
    async with world(tmp_path) as w:
        before = await w.formed("both")
        pod = w.pods[2]
        await pod.stop()
        pod.start("both")
        await w.until(w.settled)
        assert before == w.members()
        await pod.stop()
        pod.wipe()
        pod.start("both")
        await w.until(w.settled)
        assert before["db-2"] != w.members()["db-2"]


@turned
async def test_init_with_own_data_is_done_without_the_others(tmp_path: Path) -> None:
    """Data needs nobody: ``init`` ends within its patience although all other Pods are gone."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.stop()
        w.pods[0].start("init")
        assert await ended(w, "db-0", within=w.pace.patience + 2) == (0, "")


WRONG = {
    "no-port-name": "has no port named 'peerboot'",
    "wrong-domain": "'cluster.local' (from resolv.conf) is not the cluster's domain",
    "not-published": "that Service lacks publishNotReadyAddresses: true",
    "dashed-ip-targets": "lists its Pods by address, not by name",
    "own-name-missing": "DNS lists this Pod's address as other",
}


@pytest.mark.parametrize("finding", WRONG)
def test_init_leaves_with_3_when_dns_is_set_up_wrongly(finding: str, tmp_path: Path) -> None:
    """Each wrong set-up has its name and its remedy, and ends ``init`` once it has lasted, not before."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            pod = w.pods[0]
            match finding:
                case "not-published":
                    w.hidden = {"db-0"}
                case "dashed-ip-targets":
                    for each in w.pods:
                        each.dns_name = each.ip.replace(".", "-")
                case "own-name-missing":
                    pod.dns_name = "other"
                case _:
                    w.wrong = {finding}
            w.start("init")
            code, error = await ended(w, "db-0")
            assert (code, WRONG[finding] in error) == (3, True), error
            assert AFTER <= w.now - pod.started_at < AFTER + 60

    story()


@pytest.mark.parametrize("weather", ["servfail", "silence"])
def test_init_never_leaves_with_3_for_an_outage(weather: str, tmp_path: Path) -> None:
    """Unknown is not a wrong set-up: it waits, and is done when DNS answers."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            w.start("init")
            await w.still(200, lambda: all(pod.exit_code is None for pod in w.pods))
            w.weather = "fine"
            assert await ended(w, "db-0") == (0, "")

    story()


@turned
async def test_init_leaves_with_4_at_its_deadline(tmp_path: Path) -> None:
    """A deadline ends the waiting, says what it waited for, and decides nothing."""
    async with world(tmp_path, PEERBOOT_DEADLINE="90s") as w:
        w.pods[0].start("init")
        code, error = await ended(w, "db-0")
        assert code == 4
        assert "PEERBOOT_DEADLINE of 90 s is over while it waited: wait (wait-for-all)" in error
        assert 90 <= w.now - w.pods[0].started_at < 93
        assert not (w.pods[0].output_dir / "etcd.yaml").exists()


async def foreign(w: World) -> None:
    """A cluster has formed; then db-0 gets the volume of db-1."""
    await w.formed()
    await w.pods[0].stop()
    w.pods[0].wipe()
    (w.root / "db-0").mkdir(exist_ok=True)
    await w.pods[1].stop()
    (w.root / "db-1" / "volume").rename(w.root / "db-0" / "volume")


@turned
async def test_init_leaves_with_5_on_a_refusal_that_stood(tmp_path: Path) -> None:
    """Another Pod's volume is refused; after a few seconds of it ``init`` gives up and prints what would be allowed."""
    async with world(tmp_path) as w:
        await foreign(w)
        w.pods[0].start("init")
        code, error = await ended(w, "db-0")
        assert (code, "peerboot consent" in error) == (5, True), error
        assert w.pace.refuse_settle <= w.now - w.pods[0].started_at < w.pace.refuse_settle + 10


@turned
async def test_init_leaves_with_6_when_the_admin_api_goes_on_failing(tmp_path: Path) -> None:
    """The cluster refuses to add this member again and again: ``init`` says what it said and leaves."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[2]
        await pod.stop()
        pod.wipe()
        w.clusters.refusal = "etcdserver: unhealthy cluster"
        pod.start("init")
        code, error = await ended(w, "db-2")
        assert (code, "etcdserver: unhealthy cluster" in error) == (6, True), error


@turned
async def test_init_does_not_leave_with_6_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written is no failure of the admin API: it is tried on, and done when it can be."""
    from peerboot.outside import files

    real, full = files.write_whole, [True]

    def write(path: Path, content: bytes, mode: int = 0o640) -> None:
        if full[0] and path.name == "etcd.yaml":
            raise files.FilesError(f"{path} cannot be written: the file system is full")
        real(path, content, mode)

    async with world(tmp_path) as w:
        await w.formed()
        await w.pods[0].stop()
        monkeypatch.setattr(files, "write_whole", write)
        w.pods[0].start("init")
        await w.still(120, lambda: w.pods[0].exit_code is None)
        full[0] = False
        assert await ended(w, "db-0") == (0, "")


STAYS = ("foreign-volume", "unhealthy cluster", "wrong-domain", "corrupt")


@pytest.mark.parametrize("trouble", STAYS)
def test_a_sidecar_stays_up_where_init_would_leave(trouble: str, tmp_path: Path) -> None:
    """Others need its evidence: a sidecar answers on, its startup probe fails and says why."""

    @turned
    async def story() -> None:
        async with world(tmp_path, PEERBOOT_DEADLINE="30s") as w:
            if trouble == "wrong-domain":
                w.wrong = {trouble}
            elif trouble == "foreign-volume":
                await foreign(w)
            else:
                await w.formed()
                await w.pods[0].stop()
                if trouble == "corrupt":
                    await w.pods[1].stop()
                    Files(w.pods[0].data_dir).wal.write_bytes(b"\x07" * 4096)
                else:
                    w.pods[0].wipe()
                    w.clusters.refusal = f"etcdserver: {trouble}"
            w.pods[0].start()
            await w.still(120, lambda: w.pods[0].exit_code is None and w.pods[0].server is None)
            ok, said = w.pods[0].view.startup()
            assert (ok, w.pods[0].rule in said) == (False, True)
            assert w.pods[0].view.alive()[0]

    story()
