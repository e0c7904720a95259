"""The anchor in a ConfigMap: what is remembered outside the volumes, and what that stops."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from peerboot.rules.words import consent_nonce
from tests.run.api_model import Weather
from tests.run.test_live import BAD, LIVE, asked, healthy
from tests.run.turned import turned
from tests.run.world import world

ANCHOR: dict[str, Any] = {"PEERBOOT_ANCHOR": "configmap:db-anchor"}


@turned
async def test_the_birth_is_remembered_in_the_configmap(tmp_path: Path) -> None:
    """Written by the first, sealed; then nobody asks any more, and restarts with data do without."""
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        members = await w.formed()
        assert not any("anchor-unknown" in pod.log for pod in w.pods)
        kept = w.api.config_maps["db-anchor"]
        assert (kept["immutable"], len(kept["data"])) == (True, 1)
        w.api.weather = "silence"
        w.api.asked.clear()
        await w.still(120, lambda: healthy(w))
        await w.stop()
        w.start()
        await w.until(lambda: all(pod.server is not None for pod in w.pods), within=w.pace.patience + 2)
        await w.until(w.settled)
        assert (members, {what for what in w.api.asked if what[0] != "GET"}) == (w.members(), set())


@turned
async def test_all_disks_lost_is_a_refusal_that_a_person_ends(tmp_path: Path) -> None:
    """No consent is offered; the ConfigMap is deleted and applied anew, and then a new cluster forms."""
    async with world(tmp_path, **ANCHOR) as w:
        w.may_serve = 2
        w.api.ship()
        await w.formed()
        await w.stop()
        for pod in w.pods:
            pod.wipe()
        w.start()
        await w.until(lambda: all(pod.node is not None and pod.rule == "anchor-forbids" for pod in w.pods))
        decision = w.pods[0].live.decision
        assert (decision.kind, decision.consent) == ("refuse", "")
        assert (
            "`kubectl --namespace prod delete configmap db-anchor && kubectl --namespace prod create configmap"
            in decision.reason
        )
        facts = w.pods[0].live.facts
        assert facts is not None
        w.pods[0].live.words.consents[consent_nonce(facts, "anchor-forbids")] = "anchor-forbids"
        await w.still(120, lambda: all(pod.live.decision.kind == "refuse" for pod in w.pods))
        del w.api.config_maps["db-anchor"]
        await w.still(30, lambda: len(w.clusters.served) == 1)
        assert w.pods[0].rule == "anchor-unknown"
        w.api.ship()
        await w.until(w.settled, within=30)
        assert len(w.clusters.served) == 2


@pytest.mark.parametrize("weather", BAD)
def test_without_the_api_nothing_is_born_under_an_anchor(weather: Weather, tmp_path: Path) -> None:
    """Whether a cluster was here before is not known: they wait, alive, and form when it answers."""

    @turned
    async def story() -> None:
        async with world(tmp_path, **ANCHOR) as w:
            w.api.ship()
            w.api.weather = weather
            w.start()
            await w.still(300, lambda: w.clusters.by_id == {})
            assert {pod.rule for pod in w.pods} == {"anchor-unknown"}
            assert all(pod.view.alive()[0] for pod in w.pods)
            w.api.weather = "fine"
            assert await w.until(w.settled) < 20

    story()


@turned
async def test_a_role_without_update_is_a_wait_that_says_so(tmp_path: Path) -> None:
    """It stands still until the Role is mended: no birth, no flapping, no flood in the log."""
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        w.api.read_only = True
        w.start()
        await w.still(20)
        lines = [pod.log.count("\n") for pod in w.pods]
        await w.still(120, lambda: {pod.rule for pod in w.pods} == {"anchor-unknown"})
        assert lines == [pod.log.count("\n") for pod in w.pods]
        assert "may not update configmaps/db-anchor" in w.pods[0].live.decision.reason
        assert [pod.live.memory.record.birth for pod in w.pods] == [None] * 3
        w.api.read_only = False
        assert await w.until(w.settled) < 20


@turned
async def test_the_api_goes_away_between_reading_and_writing_the_anchor(tmp_path: Path) -> None:
    """No permit is given before the birth is remembered."""
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        w.start()
        await w.until(lambda: w.api.asked != [])
        w.api.weather = "broken"
        await w.still(120, lambda: w.clusters.by_id == {})
        w.api.weather = "fine"
        await w.until(w.settled, within=30)
        assert w.api.config_maps["db-anchor"]["immutable"] is True


@turned
async def test_an_anchor_that_was_made_anew_is_written_by_a_cluster_that_serves(tmp_path: Path) -> None:
    """``kubectl delete -f`` and ``apply`` empty it, while the volumes stay: once the cluster serves it remembers again,
    the same birth, so that the loss of all disks is a refusal as before.
    """
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        await w.formed()
        before = json.loads(w.api.config_maps["db-anchor"]["data"]["birth"])["token"]
        w.api.ship()
        await w.still(2 * w.pace.anchor_rest)
        again = w.api.config_maps["db-anchor"]
        assert (json.loads(again["data"]["birth"])["token"], again["immutable"]) == (before, True)
        await w.stop()
        w.api.ship()
        w.start()
        await w.until(lambda: "data" in w.api.config_maps["db-anchor"], within=30)
        await w.stop()
        for pod in w.pods:
            pod.wipe()
        w.start()
        await w.until(lambda: all(pod.node is not None and pod.rule == "anchor-forbids" for pod in w.pods))


@turned
async def test_a_cluster_that_is_older_than_its_anchor_is_remembered(tmp_path: Path) -> None:
    """Members that joined know no birth: the anchor holds a token of the cluster, the same whoever writes it."""
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        await w.formed()
        for pod in w.pods:
            await pod.stop()
            pod.wipe()
            pod.start()
            await w.until(w.settled)
        w.api.ship()
        await w.until(lambda: "data" in w.api.config_maps["db-anchor"], within=2 * w.pace.anchor_rest)
        (cluster,) = w.clusters.served
        token = json.loads(w.api.config_maps["db-anchor"]["data"]["birth"])["token"]
        assert token == hashlib.sha256(cluster.encode()).hexdigest()[:32]


@turned
async def test_an_empty_anchor_does_not_stand_for_pods_that_exist(tmp_path: Path) -> None:
    """A set of one that was scaled to three is deleted with its anchor and made again, and the only expected Pod has
    lost its disk: the others are on their way, with the data, so it waits for their word, and then joins them.
    """
    async with world(tmp_path, 1, **ANCHOR, **LIVE) as w:
        w.api.ship()
        await w.formed()
        await w.scale(3)
        await w.until(w.settled)
        await w.stop()
        w.api.ship()
        w.pods[0].wipe()
        w.pods[0].start()
        await w.still(60, lambda: len(w.clusters.by_id) == 1)
        assert w.pods[0].rule == "form"
        assert "db-1, db-2 of this set have not said what they hold" in w.pods[0].live.decision.reason
        for pod in w.pods[1:]:
            pod.start()
        await w.until(w.settled)


@turned
async def test_one_by_one_ordinal_0_forms_alone_on_its_first_day_only(tmp_path: Path) -> None:
    """OrderedReady: with an empty anchor, and no claim of ordinal 1, it forms within seconds. Deleted with its anchor
    and made again, its disk lost meanwhile, it finds that claim and waits: the others have the data.
    """
    async with world(tmp_path, 1, **ANCHOR, **LIVE) as w:
        w.api.ordered, w.api.replicas = True, 3
        w.api.ship()
        w.start()
        await w.until(lambda: w.pods[0].node is not None and w.pods[0].rule == "serving", within=12)
        await w.scale(3)
        await w.until(w.settled)
        await w.stop()
        w.api.ship()
        w.pods[0].wipe()
        w.pods[0].start()
        await w.still(60, lambda: len(w.clusters.by_id) == 1)
        decision = w.pods[0].live.decision
        assert (decision.rule, "PersistentVolumeClaim data-db-1 exists" in decision.reason) == ("form", True)
        assert "PersistentVolumeClaim data-db-1 exists" in w.pods[0].log
        assert "--cascade=orphan" in decision.reason
        w.api.ordered = False
        for pod in w.pods[1:]:
            pod.start()
        await w.until(w.settled)


@turned
async def test_one_by_one_with_a_file_for_an_anchor(tmp_path: Path) -> None:
    """It is not deleted with the set: empty, it is the first day, and nobody looks for a claim."""
    (tmp_path / "shared").mkdir()
    async with world(tmp_path, 1, PEERBOOT_ANCHOR=f"file:{tmp_path}/shared/birth", **LIVE) as w:
        w.api.ordered, w.api.replicas = True, 3
        w.start()
        await w.until(lambda: w.pods[0].node is not None and w.pods[0].rule == "serving", within=12)
        assert asked(w, "persistentvolumeclaims") == 0
        await w.scale(3)
        await w.until(w.settled)


@turned
async def test_one_by_one_a_claim_that_may_not_be_looked_for_is_a_wait(tmp_path: Path) -> None:
    """A Role without it: it is not known whether this is the first day, and it says so."""
    async with world(tmp_path, 1, **ANCHOR, **LIVE) as w:
        w.api.ordered, w.api.replicas = True, 3
        w.api.forbidden.add("persistentvolumeclaims")
        w.api.ship()
        w.start()
        await w.still(60, lambda: not w.clusters.by_id)
        assert "this Pod may not get persistentvolumeclaims/data-db-1" in w.pods[0].live.decision.reason
        w.api.forbidden.clear()
        await w.until(lambda: w.pods[0].rule == "serving", within=30)


@turned
async def test_one_by_one_an_anchor_that_remembers_says_where_the_data_may_be(tmp_path: Path) -> None:
    """OrderedReady: the first Pod's disk is lost while all are down. The others are not made before it is ready, so it
    refuses, and says how they come to be; made, they have the data, and it joins them.
    """
    async with world(tmp_path, 1, **ANCHOR, **LIVE) as w:
        w.api.ordered = True
        w.api.ship()
        await w.formed()
        await w.scale(3)
        await w.until(w.settled)
        await w.stop()
        w.pods[0].wipe()
        w.pods[0].start()
        await w.until(lambda: w.pods[0].node is not None and w.pods[0].rule == "anchor-forbids")
        await w.still(60, lambda: len(w.clusters.by_id) == 1)
        reason = w.pods[0].live.decision.reason
        assert ("--cascade=orphan" in reason, "on the volumes of the others" in reason) == (True, True)
        w.api.ordered = False
        for pod in w.pods[1:]:
            pod.start()
        await w.until(w.settled)


@turned
async def test_a_blank_pod_joins_a_living_cluster_without_the_anchor(tmp_path: Path) -> None:
    """The cluster answers, so nobody asks what was before."""
    async with world(tmp_path, **ANCHOR) as w:
        w.api.ship()
        await w.formed()
        await w.pods[0].stop()
        w.pods[0].wipe()
        w.api.weather = "silence"
        w.pods[0].start()
        await w.until(w.settled, within=60)
