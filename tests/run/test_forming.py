"""Forming: all at once, with one late, with some unreachable, with what differs between Pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.turned import turned
from tests.run.world import KEY, World, world

OTHER_KEY = b"another-key-of-thirty-two-bytes!"


def nothing_formed(w: World) -> bool:
    """No server has started and nobody is born."""
    return w.clusters.by_id == {} and all(
        pod.node is None or pod.node.memory.record.birth is None for pod in w.up.values()
    )


@turned
async def test_all_blank_pods_form_one_cluster(tmp_path: Path) -> None:
    """Three Pods with blank disks form one cluster of three voters within a few seconds."""
    async with world(tmp_path) as w:
        w.start()
        assert await w.until(w.settled) < 5
        assert len(w.clusters.served) == 1


@pytest.mark.parametrize("seed", range(12))
def test_forming_does_not_depend_on_who_is_first(seed: int, tmp_path: Path) -> None:
    """In whatever order the Pods hear of each other, all end in one cluster with the members that were born."""

    @turned
    async def story() -> None:
        async with world(tmp_path, 5, seed=seed) as w:
            await w.formed()
            born = {pod.name: pod.live.memory.record.birth for pod in w.pods}
            assert len({birth.token for birth in born.values() if birth is not None}) == 1
            assert sorted(w.members()) == sorted(born)
            assert len(w.clusters.served) == 1

    story()


@turned
async def test_one_pod_five_minutes_late(tmp_path: Path) -> None:
    """While one of three is missing the others form nothing and name it; when it comes all form one cluster at once."""
    async with world(tmp_path) as w:
        early, late = w.pods[:2], w.pods[2]
        for pod in early:
            pod.start()
        await w.still(5)
        await w.still(295, lambda: nothing_formed(w) and all(p.rule == "wait-for-all" for p in early))
        assert [pod.live.decision.waits_for for pod in early] == [("db-2",), ("db-2",)]
        assert all("db-2 (not in DNS)" in pod.live.decision.reason for pod in early)
        late.start()
        assert await w.until(w.settled) < 15
        assert len(w.clusters.served) == 1


@turned
async def test_peers_unreachable_is_not_no_cluster(tmp_path: Path) -> None:
    """Blank Pods in DNS that do not answer may hold the data: nothing forms, and each says who is silent."""
    async with world(tmp_path) as w:
        w.part("db-0")
        w.start()
        await w.still(180, lambda: nothing_formed(w))
        assert "db-1 (no answer in 2 s), db-2 (no answer in 2 s)" in w.pods[0].live.decision.reason
        assert w.pods[1].live.decision.waits_for == ("db-0",)
        w.cut.clear()
        await w.until(w.settled)
        assert len(w.clusters.served) == 1


@turned
async def test_seed_that_lost_its_disk_and_is_cut_off_forms_nothing(tmp_path: Path) -> None:
    """Ordinal 0 with a lost disk that reaches nobody waits for ever; connected again it joins as a new member."""
    async with world(tmp_path) as w:
        before = await w.formed()
        seed = w.pods[0]
        await seed.stop()
        seed.wipe()
        w.part("db-0")
        seed.start()
        await w.still(150, lambda: seed.server is None and seed.live.memory.record.birth is None)
        assert seed.rule == "wait-for-all"
        w.cut.clear()
        await w.until(w.settled)
        after = w.members()
        assert after.pop("db-0") != before.pop("db-0")
        assert before == after
        assert len(w.clusters.served) == 1


@pytest.mark.parametrize("ordinal", range(3))
def test_lost_disk_of_any_ordinal_joins_as_a_new_member(ordinal: int, tmp_path: Path) -> None:
    """Whichever Pod loses its disk gets a new member id; the others keep theirs, and nothing else forms."""

    @turned
    async def story() -> None:
        async with world(tmp_path, seed=ordinal) as w:
            before = await w.formed()
            pod = w.pods[ordinal]
            await pod.stop()
            pod.wipe()
            pod.start()
            await w.until(w.settled)
            after = w.members()
            assert after.pop(pod.name) != before.pop(pod.name)
            assert before == after
            assert len(w.clusters.served) == 1

    story()


@turned
async def test_two_wiped_while_the_third_is_down(tmp_path: Path) -> None:
    """Two lost disks form nothing while the Pod with the data is down; when it is back both wait for its quorum."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.stop()
        for pod in w.pods[:2]:
            pod.wipe()
            pod.start()
        await w.still(120, lambda: all(pod.server is None for pod in w.pods[:2]))
        w.pods[2].start()
        await w.still(60, lambda: w.pods[0].server is None and w.pods[1].server is None)
        assert [pod.rule for pod in w.pods[:2]] == ["cluster-exists", "cluster-exists"]
        assert len(w.clusters.served) == 1


@turned
async def test_a_different_n_is_a_named_finding_never_a_vote(tmp_path: Path) -> None:
    """Pods that expect different numbers of pods form nothing, and name both numbers."""
    async with world(tmp_path) as w:
        w.pods[2].environ["PEERBOOT_REPLICAS"] = "4"
        w.start()
        await w.still(60, lambda: nothing_formed(w))
        assert "db-2: it expects 4 pods, this Pod 3 pods" in w.pods[0].live.decision.reason
        assert "it expects 3 pods, this Pod 4 pods" in w.pods[2].live.decision.reason
        await w.pods[2].stop()
        w.pods[2].environ["PEERBOOT_REPLICAS"] = "3"
        w.pods[2].start()
        await w.until(w.settled)


@turned
async def test_two_pods_with_one_name(tmp_path: Path) -> None:
    """While two Pods answer under one name nothing forms, the two say so themselves; when one is gone all form."""
    async with world(tmp_path) as w:
        twin = w.pod("db-1", "10.1.0.99", folder="twin", PEERBOOT_REPLICAS="3")
        for pod in (w.pods[1], twin, w.pods[0], w.pods[2]):
            pod.start()
        await w.still(60, lambda: nothing_formed(w))
        assert [w.pods[1].rule, twin.rule] == ["second-holder", "second-holder"]
        assert "two Pods answer as db-1: 10.1.0.2 and 10.1.0.99" in w.pods[0].live.decision.reason
        await twin.stop()
        await w.until(w.settled)
        assert len(w.clusters.served) == 1


@turned
async def test_wrong_secret_in_one_pod(tmp_path: Path) -> None:
    """A Pod with another census key counts as unknown, not as blank: nothing forms until its Secret is mended."""
    async with world(tmp_path) as w:
        w.keys["db-1"] = (OTHER_KEY,)
        w.start()
        await w.still(60, lambda: nothing_formed(w))
        assert "db-1 (its census key (PEERBOOT_SECRET_FILE) differs" in w.pods[0].live.decision.reason
        w.keys["db-1"] = (KEY,)
        await w.until(w.settled)


@turned
async def test_rotating_the_secret_in_three_steps_never_splits_the_set(tmp_path: Path) -> None:
    """Add the new key second, make it first, drop the old one, Pod by Pod: every Pod is heard by all all the while."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.still(30)
        for keys in ((KEY, OTHER_KEY), (OTHER_KEY, KEY), (OTHER_KEY,)):
            for pod in w.pods:
                w.keys[pod.name] = keys
                await w.still(15, lambda: all(heard_by_all(w, p.name) for p in w.pods))
        assert w.settled()


def heard_by_all(w: World, name: str) -> bool:
    """Whether the last answer of a Pod to every other was a proper one."""
    return all(pod.live.memory.evidence[name].fresh for pod in w.pods if pod.name != name)


@turned
async def test_pods_that_dns_lists_beyond_the_set_are_not_asked(tmp_path: Path) -> None:
    """A Service may list Pods of another StatefulSet: they are neither asked nor waited for."""
    async with world(tmp_path) as w:
        stranger = w.pod("web-0", "10.1.9.1", PEERBOOT_REPLICAS="1")
        stranger.frozen = True
        stranger.start()
        await w.formed()
        assert "web-0" not in w.pods[0].live.loops.addresses()
        assert "web-0" not in w.pods[0].live.memory.evidence
