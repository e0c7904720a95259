"""DNS is dead: nothing changes in a healthy set, and a Pod with its own data just starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.turned import turned
from tests.run.world import World, world

DEAD = ("servfail", "nxdomain", "silence")


def healthy(w: World) -> bool:
    """Every Pod serves, is alive and ready, and its server was started once."""
    return w.settled() and all(pod.view.alive()[0] and pod.live.ready() and pod.restarts == 1 for pod in w.pods)


@pytest.mark.parametrize("weather", DEAD)
def test_ten_minute_dns_outage_changes_nothing_in_a_healthy_set(weather: str, tmp_path: Path) -> None:
    """Ten minutes without DNS: no action, no file, no decision changes, the peer set stays, and /livez is fine."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            members = await w.formed()
            await w.still(15)
            written = {pod.name: (pod.output_dir / "etcd.yaml").stat() for pod in w.pods}
            done = [dict(pod.live.tally.acted) for pod in w.pods]
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            await w.still(600, lambda: healthy(w))
            assert done == [dict(pod.live.tally.acted) for pod in w.pods]
            assert written == {pod.name: (pod.output_dir / "etcd.yaml").stat() for pod in w.pods}
            assert [len(pod.live.memory.peers.sightings) for pod in w.pods] == [3, 3, 3]
            assert members == w.members()
            w.weather = "fine"
            await w.still(60, lambda: healthy(w))

    story()


@pytest.mark.parametrize("weather", DEAD)
def test_a_pod_with_its_own_data_restarts_while_dns_is_dead(weather: str, tmp_path: Path) -> None:
    """It just starts, within its patience, and serves as the member that it was."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            members = await w.formed()
            pod = w.pods[1]
            await pod.stop()
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            pod.start()
            assert await w.until(lambda: pod.server is not None) < w.pace.patience + 2
            await w.until(lambda: pod.rule == "serving")
            assert members == w.members()

    story()


@pytest.mark.parametrize("weather", DEAD)
def test_all_pods_restart_while_dns_is_dead(weather: str, tmp_path: Path) -> None:
    """The whole set comes back with its ids: nobody waits for anybody."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            members = await w.formed()
            await w.stop()
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            w.start()
            await w.until(lambda: all(pod.server is not None for pod in w.pods), within=w.pace.patience + 2)
            await w.until(lambda: all(pod.rule == "serving" for pod in w.pods))
            assert members == w.members()

    story()


@pytest.mark.parametrize("weather", DEAD)
def test_blank_pods_form_nothing_while_dns_is_dead(weather: str, tmp_path: Path) -> None:
    """An outage at the first start is not "nobody is there": they wait, and form when DNS is back."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            w.start()
            await w.still(180, lambda: w.clusters.by_id == {})
            w.weather = "fine"
            assert await w.until(w.settled) < 30
            assert len(w.clusters.served) == 1

    story()


@turned
async def test_own_data_with_every_neighbour_down(tmp_path: Path) -> None:
    """With all other Pods gone a Pod with data starts its server; it does not wait for a quorum that needs it."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.stop()
        pod = w.pods[0]
        pod.start()
        assert await w.until(lambda: pod.server is not None) < w.pace.patience + 2
        await w.still(30, lambda: pod.rule in ("own-data", "looking") and pod.restarts <= 1)


@turned
async def test_own_data_with_neighbours_that_hang(tmp_path: Path) -> None:
    """Neighbours that accept and never answer delay the start by no more than the patience."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        await pod.stop()
        w.part("db-0")
        pod.start()
        assert await w.until(lambda: pod.server is not None) < w.pace.patience + 2


@turned
async def test_all_pods_restarted_with_new_ips(tmp_path: Path) -> None:
    """New addresses for everybody change nothing but the addresses: member ids stay, no membership call is made."""
    async with world(tmp_path) as w:
        members = await w.formed()
        await w.stop()
        for pod in w.pods:
            pod.ip = pod.environ["POD_IPS"] = pod.ip.replace("10.1.", "10.9.")
        w.start()
        await w.until(w.settled)
        await w.still(30)
        assert members == w.members()
        assert [{"write"}] * 3 == [{name for name, _ in pod.live.tally.acted} for pod in w.pods]


@turned
async def test_a_pod_moves_to_a_new_ip_while_the_others_rest(tmp_path: Path) -> None:
    """The others find the new address by themselves."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[2]
        await pod.stop()
        pod.ip = pod.environ["POD_IPS"] = "10.9.0.3"
        pod.start()
        await w.until(lambda: w.pods[0].live.loops.addresses().get("db-2") == ("10.9.0.3",))
        await w.until(w.settled)


@turned
async def test_what_was_known_at_rest_is_asked_anew_when_rest_ends(tmp_path: Path) -> None:
    """At rest DNS is asked again when its records' time is over. A Pod that loses quorum asks at once, for the others
    may have new addresses, and knows them in seconds.
    """
    async with world(tmp_path) as w:
        await w.formed()
        pod, moved = w.pods[0], w.pods[1:]
        w.ttl = 60.0
        await w.still(60)
        known = pod.live.memory.peers.answer
        # From then on the next question at rest is a minute away.
        await w.until(lambda: pod.live.memory.peers.answer is not known)
        for other in moved:
            await other.stop()
        await w.until(lambda: pod.rule != "serving")
        for other in moved:
            other.ip = other.environ["POD_IPS"] = other.ip.replace("10.1.", "10.9.")
            other.start()
        heard = {other.name: (other.ip,) for other in moved}
        assert await w.until(lambda: heard.items() <= pod.live.loops.addresses().items()) < 15
        await w.until(w.settled)


@turned
async def test_rolling_restart_keeps_member_ids(tmp_path: Path) -> None:
    """Each Pod in turn is replaced, the next when it is ready: stopping is not leaving."""
    async with world(tmp_path) as w:
        members = await w.formed()
        for pod in reversed(w.pods):
            await pod.stop()
            pod.start()
            await w.until(w.settled)
        assert members == w.members()
