"""A set that is scaled, with the live number of replicas: joining, leaving, cleaning up, and an API that is silent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from peerboot import prestop
from peerboot.model import Disk
from peerboot.rules.unwanted import FRESH
from peerboot.systems.etcd.spec import Etcd
from tests.run.api_model import Weather
from tests.run.turned import turned
from tests.run.world import Pod, World, world

LIVE: dict[str, Any] = {"PEERBOOT_REPLICAS_FROM": "statefulset"}
BAD: tuple[Weather, ...] = ("silence", "refused", "unauthorized", "forbidden", "broken")


def healthy(w: World) -> bool:
    """Every Pod serves, is alive and ready, and its server was started once."""
    return w.settled() and all(pod.view.alive()[0] and pod.live.ready() and pod.restarts == 1 for pod in w.pods)


def asked(w: World, resource: str) -> int:
    """How often the API was asked about a resource."""
    return sum(resource in path for _, path in w.api.asked)


# ---------------------------------------------------------------------- scaling


@turned
async def test_scaled_up_the_new_pods_join_one_after_the_other(tmp_path: Path) -> None:
    """3 to 5 with PEERBOOT_REPLICAS as it was: each is a learner first, never two at once, and all serve."""
    async with world(tmp_path, **LIVE) as w:
        before = await w.formed()
        await w.scale(5)
        most = 0
        while not w.settled():
            (cluster,) = w.clusters.by_id.values()
            most = max(most, sum(m.learner for m in cluster.members.values()))
            await asyncio.sleep(0.05)
            assert w.now - w.pods[4].started_at < 60, w.told()
        assert most == 1
        assert [what for what, _ in w.clusters.history] == ["add", "promote", "add", "promote"]
        assert before.items() <= w.members().items()


@turned
async def test_two_pods_that_leave_at_once_leave_one_after_the_other(tmp_path: Path) -> None:
    """5 to 3, and the last one leads: leadership moves to the first that stays, then db-4 leaves, then db-3."""
    async with world(tmp_path, 5, **LIVE) as w:
        members = await w.formed()
        (cluster,) = w.clusters.by_id.values()
        cluster.led_by = members["db-4"]
        await w.still(15)
        said = await w.scale(3)
        assert said == ["this Pod's member is no longer listed: it has left"] * 2
        assert w.clusters.history == [("transfer-leadership", "db-0"), ("remove", "db-4"), ("remove", "db-3")]
        await w.until(w.settled)
        assert w.members() == {name: i for name, i in members.items() if name in ("db-0", "db-1", "db-2")}


@turned
async def test_three_to_one_in_one_step(tmp_path: Path) -> None:
    """What is left is a cluster of one that serves."""
    async with world(tmp_path, **LIVE) as w:
        await w.formed()
        await w.still(15)
        await w.scale(1)
        await w.until(w.settled)
        assert list(w.members()) == ["db-0"]


@turned
async def test_volumes_that_were_kept_come_back_as_new_members(tmp_path: Path) -> None:
    """3, 5, 3, 5: the old data goes aside, and each returns under a new member id."""
    async with world(tmp_path, **LIVE) as w:
        await w.formed()
        await w.scale(5)
        await w.until(w.settled)
        before = w.members()
        await w.scale(3)
        await w.still(30, w.settled)
        await w.scale(5)
        await w.until(w.settled)
        after = w.members()
        assert [after[f"db-{i}"] == before[f"db-{i}"] for i in range(5)] == [True, True, True, False, False]
        assert all(list(pod.home.glob("volume/etcd/member.aside-*")) for pod in w.pods[3:])


# ------------------------------------------------------------------- cleaning up


@turned
async def test_a_pod_that_died_before_it_left_is_cleaned_up(tmp_path: Path) -> None:
    """Its node is gone and the set is scaled to 4: a survivor removes the member when DNS has dropped the Pod."""
    async with world(tmp_path, 5, **LIVE) as w:
        await w.formed()
        await w.still(15)
        await w.pods[4].stop()
        w.api.scale(4)
        del w.pods[4]
        took = await w.until(w.settled, within=240)
        assert took >= 60
        assert w.clusters.history == [("remove", "db-4")]


@turned
async def test_nobody_is_cleaned_up_while_the_api_shows_its_pod(tmp_path: Path) -> None:
    """A Pod that hangs in termination is still there, whatever DNS says; when it is gone its member goes."""
    async with world(tmp_path, 5, **LIVE) as w:
        await w.formed()
        await w.still(15)
        await w.pods[4].stop()
        w.api.scale(4)
        w.api.pods = lambda: 5
        gone = w.pods.pop()
        await w.still(300, lambda: w.clusters.history == [])
        w.api.pods, w.api.behind = (lambda: 4), True
        await w.still(60, lambda: w.clusters.history == [])
        w.api.behind = False
        assert await w.until(w.settled, within=30) < FRESH
        assert w.clusters.history == [("remove", gone.name)]


@pytest.mark.parametrize("weather", ["silence", "fine"])
def test_a_silent_pod_that_is_wanted_is_never_removed(weather: Weather, tmp_path: Path) -> None:
    """Ten minutes away, with and without the API: it stays a member and comes back as that."""

    @turned
    async def story() -> None:
        async with world(tmp_path, **LIVE) as w:
            members = await w.formed()
            await w.still(15)
            await w.pods[2].stop()
            w.api.weather = weather
            await w.still(600, lambda: w.clusters.history == [])
            w.pods[2].start()
            await w.until(w.settled)
            assert members == w.members()

    story()


# -------------------------------------------------------------------- the API


@pytest.mark.parametrize("weather", BAD)
def test_ten_minutes_without_the_api_change_nothing_in_a_healthy_set(weather: Weather, tmp_path: Path) -> None:
    """No decision, no action, no probe; one line in the log when it begins and one when it ends."""

    @turned
    async def story() -> None:
        async with world(tmp_path, **LIVE) as w:
            members = await w.formed()
            await w.still(60)
            done = [dict(pod.live.tally.acted) for pod in w.pods]
            lines = [pod.log.count("\n") for pod in w.pods]
            w.api.weather = weather
            await w.still(600, lambda: healthy(w))
            assert [count + 1 for count in lines] == [pod.log.count("\n") for pod in w.pods], w.told()
            known = w.pods[0].live.memory.live
            assert (known.state, known.replicas, known.reason != "") == ("known", 3, True)
            w.api.weather = "fine"
            await w.still(60, lambda: healthy(w))
            assert [count + 2 for count in lines] == [pod.log.count("\n") for pod in w.pods]
            assert ([dict(pod.live.tally.acted) for pod in w.pods], w.members()) == (done, members)
            assert w.pods[0].live.memory.live.reason == ""

    story()


@pytest.mark.parametrize("weather", BAD)
def test_a_set_forms_and_restarts_without_the_api(weather: Weather, tmp_path: Path) -> None:
    """It is needed for leaving only. Own data starts as fast as ever."""

    @turned
    async def story() -> None:
        async with world(tmp_path, **LIVE) as w:
            members = await w.formed()
            await w.stop()
            w.api.weather = weather
            w.start()
            await w.until(lambda: all(pod.server is not None for pod in w.pods), within=w.pace.patience + 2)
            await w.until(w.settled)
            assert members == w.members()

    story()


@turned
async def test_at_rest_the_api_is_asked_every_half_minute(tmp_path: Path) -> None:
    """Three Pods, ten minutes: about sixty requests, one kind of them; more as soon as a Pod is missing."""
    async with world(tmp_path, **LIVE) as w:
        await w.formed()
        await w.still(60)
        w.api.asked.clear()
        await w.still(600)
        assert 3 * 17 <= len(w.api.asked) <= 3 * 23
        assert {method for method, _ in w.api.asked} == {"GET"}
        await w.pods[2].stop()
        await w.until(lambda: "db-2" not in w.pods[0].live.memory.peers.sightings)
        w.api.asked.clear()
        await w.still(60)
        assert 2 * 25 <= len(w.api.asked) <= 2 * 35
        await w.still(60)
        w.api.asked.clear()
        await w.still(600)
        assert len(w.api.asked) <= 2 * 135


@turned
async def test_until_it_answers_and_while_anything_is_open_it_is_asked_more_often(tmp_path: Path) -> None:
    """Within two seconds of the API's return the number is known; a Pod that waits asks every five."""
    async with world(tmp_path, of=4, **LIVE) as w:
        w.api.weather = "refused"
        w.start()
        await w.still(20)
        assert 3 * 9 <= len(w.api.asked) <= 3 * 18
        w.api.weather = "fine"
        assert await w.until(lambda: all(pod.live.memory.live.state == "known" for pod in w.pods)) <= 2
        await w.still(10)
        w.api.asked.clear()
        await w.still(60, lambda: w.pods[0].rule == "wait-for-all")
        assert 3 * 10 <= len(w.api.asked) <= 3 * 14


@turned
async def test_without_the_setting_nobody_asks(tmp_path: Path) -> None:
    """The API does not exist for such a set."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.still(120)
        assert (w.api.asked, w.pods[0].live.memory.live.state, w.pods[0].live.doors.kubernetes) == ([], "none", None)


@turned
async def test_an_api_loop_that_is_stuck_fails_livez(tmp_path: Path) -> None:
    """It counts as the others do: a question that neither ends nor fails is a bug of this process."""
    async with world(tmp_path, **LIVE) as w:
        await w.formed()

        async def never(_name: str) -> bytes:
            await asyncio.sleep(1e9)
            return b""

        w.pods[0].live.doors.kubernetes.stateful_set = never  # type: ignore[method-assign, union-attr]  # it is made
        await w.still(90)
        assert (await w.until(lambda: not w.pods[0].view.alive()[0])) < 30
        assert "Kubernetes API" in w.pods[0].view.alive()[1]


# -------------------------------------------------------------------- /prestop


async def stopped(pod: Pod) -> str:
    """What /prestop says, and that the Pod is started again."""
    said = await pod.terminate()
    pod.start()
    return said


@pytest.mark.parametrize("weather", BAD)
def test_without_the_api_who_is_stopped_stays(weather: Weather, tmp_path: Path) -> None:
    """Nobody knows whether the set became smaller. It is said within seconds, and the member comes back as it was."""

    @turned
    async def story() -> None:
        async with world(tmp_path, **LIVE) as w:
            members = await w.formed()
            await w.still(60)
            w.api.weather = weather
            w.api.scale(2)
            begun = w.now
            said = await stopped(w.pods[2])
            assert said.startswith("staying a member: "), said
            assert w.now - begun <= 12
            w.api.scale(3)
            w.api.weather = "fine"
            await w.until(w.settled)
            assert (members, w.clusters.history) == (w.members(), [])

    story()


@turned
async def test_scaled_to_nothing_everybody_stays_and_comes_back(tmp_path: Path) -> None:
    """0 and back to 3: nothing left, the same members."""
    async with world(tmp_path, **LIVE) as w:
        members = await w.formed()
        await w.still(15)
        w.api.scale(0)
        said = await asyncio.gather(*(pod.terminate() for pod in w.pods))
        assert said == ["staying a member: the whole set goes, and the data stays on the volumes"] * 3
        w.api.scale(3)
        w.start()
        await w.until(w.settled)
        assert (members, w.clusters.history) == (w.members(), [])


@turned
async def test_a_set_that_is_deleted_keeps_its_members(tmp_path: Path) -> None:
    """Foreground deletion shows a deletionTimestamp; background deletion leaves no StatefulSet to read."""
    async with world(tmp_path, **LIVE) as w:
        await w.formed()
        await w.still(15)
        w.api.scale(2)
        w.api.deleting = True
        assert (await w.pods[2].terminate()).startswith("staying a member: the whole set goes")
        w.api.exists = False
        assert (await w.pods[1].terminate()).startswith("staying a member: ")
        assert w.clusters.history == []


@turned
async def test_a_rollout_changes_no_member(tmp_path: Path) -> None:
    """Each Pod in turn is asked to leave and stays, at once, for it is wanted."""
    async with world(tmp_path, **LIVE) as w:
        members = await w.formed()
        for pod in reversed(w.pods):
            begun = w.now
            assert await stopped(pod) == "staying a member: it is one of the 3 replicas that the StatefulSet has"
            assert w.now - begun < 2
            await w.until(w.settled)
        assert (members, w.clusters.history) == (w.members(), [])


@turned
async def test_a_leave_that_takes_long_is_not_given_up_for_an_old_answer(tmp_path: Path) -> None:
    """db-4 cannot leave for a minute; db-3 waits for it, and still knows that it is not wanted."""
    async with world(tmp_path, 5, PEERBOOT_LEAVE_TIMEOUT="5m", **LIVE) as w:
        await w.formed()
        await w.still(60)
        w.clusters.refusal = "etcdserver: unhealthy cluster"
        scaling = asyncio.create_task(w.scale(3))
        await w.still(90, lambda: not scaling.done())
        w.clusters.refusal = ""
        assert await scaling == ["this Pod's member is no longer listed: it has left"] * 2
        await w.until(w.settled)


# ---------------------------------------------------------------------- events


@turned
async def test_changes_of_decision_are_events_of_the_pod(tmp_path: Path) -> None:
    """What a wait is about is in ``kubectl describe pod`` within seconds; an API that is silent changes nothing."""
    async with world(tmp_path, of=4, PEERBOOT_EVENTS="pod") as w:
        w.start()
        await w.still(30)
        mine = [e for e in w.api.events if e["involvedObject"]["name"] == "db-0"]
        assert ("Warning", "WaitForAll") in [(e["type"], e["reason"]) for e in mine]
        assert "db-3" in mine[-1]["message"]
        assert (asked(w, "events"), asked(w, "statefulsets")) == (len(w.api.asked), 0)
        w.api.weather = "silence"
        await w.still(120, lambda: all(pod.view.alive()[0] for pod in w.pods))


@turned
async def test_a_leave_that_was_begun_is_finished_when_the_end_comes(tmp_path: Path) -> None:
    """5 to 3: db-3 waits for db-4, which hangs, until the time of /prestop is over. Its server has ended and it is told
    to stop itself when db-4 is gone at last: it still leaves.
    """
    async with world(tmp_path, 5, **LIVE) as w:
        await w.formed()
        await w.still(15)
        leaving, hangs = w.pods[3], w.pods[4]
        w.api.scale(3)
        asking = asyncio.create_task(leaving.view.prestop())
        await w.until(lambda: leaving.rule == "leave-waits")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        leaving.tasks[1].cancel()
        await w.until(lambda: leaving.server is None)
        ending = asyncio.create_task(prestop.before_the_end(leaving.live, 120))
        await w.still(5, lambda: not ending.done())
        await hangs.stop()
        assert await ending == "this Pod's member is no longer listed: it has left"
        assert ("remove", "db-3") in w.clusters.history


@turned
async def test_the_end_of_a_pod_that_stays_is_no_leave(tmp_path: Path) -> None:
    """Told to stop in a roll-out, it says so and changes nothing."""
    async with world(tmp_path, **LIVE) as w:
        members = await w.formed()
        said = await prestop.before_the_end(w.pods[1].live, 20)
        assert said == "stopping is not leaving, so the membership stays as it is"
        assert (w.members(), w.clusters.history) == (members, [])


@turned
async def test_a_start_with_data_reads_its_log_once(tmp_path: Path) -> None:
    """Neither the anchor nor the first looks make a Pod read its data a second time before its server may start."""
    async with world(tmp_path, PEERBOOT_ANCHOR="configmap:db-anchor", **LIVE) as w:
        w.api.ship()
        await w.formed()
        pod, reads = w.pods[1], list[str]()
        permit = pod.output_dir / "etcd.yaml"
        await pod.stop()
        permit.unlink()
        with pytest.MonkeyPatch.context() as patch:
            read = Etcd.read_disk

            def counted(self: Etcd) -> Disk:
                if self.config.identity.pod == pod.name and not permit.exists():
                    reads.append(pod.name)
                return read(self)

            patch.setattr(Etcd, "read_disk", counted)
            pod.start()
            await w.until(permit.exists)
            assert reads == [pod.name]


# ------------------------------------------------------- a dead Pod among those that leave


@pytest.mark.parametrize(("before", "after"), [(5, 2), (7, 3), (5, 3)], ids=["5 to 2", "7 to 3", "5 to 3"])
def test_a_dead_pod_of_the_highest_ordinal_keeps_nobody_from_leaving(before: int, after: int, tmp_path: Path) -> None:
    """Its node is dead, DNS lists it still and the API counts it: the others do not wait for it to leave first. Those
    that stay have a quorum, say why its member is listed, and remove it when its Pod is gone.
    """

    @turned
    async def story() -> None:
        async with world(tmp_path, before, **LIVE) as w:
            await w.formed()
            await w.still(15)
            await w.pods[-1].stop()
            dead = w.pods.pop().name
            w.api.pods = lambda: len({pod.name for pod in w.up.values()}) + 1
            await w.still(30)
            await w.scale(after)
            # Looking at the dead one's server takes its time; the last of three leaves as the time of /prestop ends.
            assert sorted(w.members()) == [*(pod.name for pod in w.pods), dead]
            await w.still(300, lambda: all(pod.live.ready() for pod in w.pods))
            for pod in w.pods:
                reason = pod.live.decision.reason
                assert (dead in reason, "the API still counts" in reason) == (True, True)
            w.api.pods = lambda: after
            await w.until(w.settled, within=60)
            assert dead not in w.pods[0].live.decision.reason

    story()
