"""People's words: hold and resume, consent, remove; and observe mode, which changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot.errors import PeerbootError, RefusedError, SettingsError
from peerboot.outside import files
from tests.run.etcd_model import Files
from tests.run.test_init import foreign
from tests.run.turned import turned
from tests.run.world import Pod, World, world

WHO = {"who": "ann"}


async def say(to: Pod, name: str, **more: Any) -> Mapping[str, Any]:
    """One request over the admin socket."""
    return await to.view.admin(name, {**WHO, **more})


async def lose_disk(pod: Pod) -> None:
    """The Pod is replaced, and so is its volume."""
    await pod.stop()
    pod.wipe()
    pod.start()


# ------------------------------------------------------------------------ hold


@turned
async def test_a_hold_of_one_pod_pauses_its_changes_until_resumed(tmp_path: Path) -> None:
    """A held Pod with a lost disk waits, names who holds it, and joins as soon as it is resumed."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[2]
        w.clusters.refusal = "etcdserver: unhealthy cluster"
        await lose_disk(pod)
        await w.until(lambda: pod.node is not None and pod.rule in ("replace-lost", "join"))
        await say(pod, "hold", why="disk swap")
        w.clusters.refusal = ""
        await w.still(60, lambda: pod.rule == "held")
        assert "ann holds automatic changes (disk swap)" in pod.live.decision.reason
        assert [list(other.live.memory.holds) for other in w.pods[:2]] == [[], []]
        await say(pod, "resume")
        await w.until(w.settled)


@turned
async def test_a_hold_of_the_set_spreads_outlives_restarts_and_ends_everywhere(tmp_path: Path) -> None:
    """Said to one Pod, it holds all, also those whose peerboot restarts or that come later; its end spreads too."""
    async with world(tmp_path) as w:
        await w.formed()
        await say(w.pods[0], "hold", all=True, why="node upgrade")
        await w.until(lambda: all(pod.live.memory.holds for pod in w.pods))
        for pod in w.pods[:2]:
            await pod.restart_peerboot()
        await lose_disk(w.pods[2])
        await w.until(lambda: w.pods[2].node is not None and w.pods[2].rule == "held")
        await w.still(60, lambda: w.pods[2].rule == "held")
        await say(w.pods[1], "resume", all=True)
        await w.until(w.settled)
        await w.until(lambda: not any(p.live.memory.active_holds(w.clock.wall()) for p in w.pods))


@turned
async def test_a_hold_ends_by_itself(tmp_path: Path) -> None:
    """With a time it is over after that time."""
    async with world(tmp_path) as w:
        await w.formed()
        await say(w.pods[0], "hold", all=True, seconds=120)
        await w.until(lambda: all(pod.live.memory.holds for pod in w.pods))
        await lose_disk(w.pods[2])
        await w.until(lambda: w.pods[2].node is not None and w.pods[2].rule == "held")
        assert 60 < await w.until(w.settled) < 130


@turned
async def test_a_hold_never_keeps_a_pod_with_data_from_starting(tmp_path: Path) -> None:
    """Starting with one's own data is no automatic change."""
    async with world(tmp_path) as w:
        await w.formed()
        await say(w.pods[1], "hold", all=True)
        await w.pods[1].stop()
        w.pods[1].start()
        await w.until(lambda: w.pods[1].server is not None, within=w.pace.patience + 2)


@turned
async def test_a_hold_that_cannot_be_kept_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk the person is told no; one that was heard of is in force all the same, and kept later."""
    async with world(tmp_path) as w:
        await w.formed()
        pod, state = w.pods[0], w.pods[0].live.doors.state
        real = state.write_holds

        def full(_holds: object) -> None:
            raise files.FilesError("holds.json cannot be written: the file system is full")

        monkeypatch.setattr(state, "write_holds", full)
        with pytest.raises(PeerbootError, match=r"nothing was changed: .*the file system is full"):
            await say(pod, "hold")
        assert pod.live.memory.holds == ()
        await say(w.pods[1], "hold", all=True)
        await w.until(lambda: bool(pod.live.memory.holds))
        await w.still(60, lambda: pod.exit_code is None)
        assert pod.log.count("Holds are in force but not kept") == 1
        monkeypatch.setattr(state, "write_holds", real)
        await w.until(lambda: state.read_holds() == pod.live.memory.holds)


# --------------------------------------------------------------------- consent


@turned
async def test_consent_allows_one_refused_plan_once(tmp_path: Path) -> None:
    """The wrong nonce allows nothing, the printed one exactly what it names, and a second time nothing again."""
    async with world(tmp_path) as w:
        await foreign(w)
        pod = w.pods[0]
        pod.start()
        await w.until(lambda: pod.node is not None and pod.rule == "foreign-volume" and pod.live.facts is not None)
        await w.still(20)
        nonce = pod.live.decision.consent
        with pytest.raises(RefusedError, match="allows nothing now"):
            await say(pod, "consent", nonce="0123456789")
        await w.still(20, lambda: pod.rule == "foreign-volume")
        await say(pod, "consent", nonce=nonce)
        await w.until(lambda: pod.rule != "foreign-volume")
        assert pod.live.words.consents == {}
        assert len(list(pod.data_dir.glob("member.aside-*"))) == 1
        with pytest.raises(RefusedError, match="allows nothing now"):
            await say(pod, "consent", nonce=nonce)


@turned
async def test_a_consent_dies_when_the_evidence_changes(tmp_path: Path) -> None:
    """Evidence that changed before the plan began ends the consent for good, also when the old evidence is back."""
    async with world(tmp_path) as w:
        await foreign(w)
        pod = w.pods[0]
        w.pods[1].start()
        await w.until(lambda: w.pods[1].node is not None and w.pods[1].rule != "starting")
        w.pods[1].frozen = True
        pod.start()
        await w.until(lambda: pod.node is not None and pod.rule == "foreign-volume")
        await w.still(20)
        nonce = pod.live.decision.consent
        await say(pod, "consent", nonce=nonce)
        pod.live.memory.evidence = {}
        await w.until(lambda: pod.live.decision.consent not in ("", nonce))
        await w.until(lambda: pod.live.decision.consent == nonce)
        await w.still(30, lambda: pod.rule == "foreign-volume")
        assert list(pod.data_dir.glob("member.aside-*")) == []


# ---------------------------------------------------------------------- remove


@turned
async def test_remove_shows_its_plan_first(tmp_path: Path) -> None:
    """Without --yes nothing is done; with it the member of a Pod that is gone is removed."""
    async with world(tmp_path) as w:
        members = await w.formed()
        await w.pods[2].stop()
        told = await say(w.pods[0], "remove", pod="db-2")
        assert any(f"remove member {members['db-2']}" in line for line in told["lines"])
        await w.still(30)
        assert members == w.members()
        await say(w.pods[0], "remove", pod="db-2", yes=True)
        await w.until(lambda: "db-2" not in w.members())
        await w.until(lambda: w.pods[0].live.words.removals == {})


@turned
async def test_remove_waits_until_quorum_stands_without_the_member(tmp_path: Path) -> None:
    """While another voter is down the removal waits; it is done when that one is back."""
    async with world(tmp_path) as w:
        members = await w.formed()
        w.pods[1].frozen = True
        await w.pods[1].stop()
        await w.still(70)
        await say(w.pods[0], "remove", pod="db-2", yes=True)
        await w.still(60)
        assert members == w.members()
        w.pods[1].frozen = False
        w.pods[1].start()
        await w.until(lambda: "db-2" not in w.members())


@turned
async def test_a_removal_is_not_done_by_an_old_list(tmp_path: Path) -> None:
    """The last list is seconds old and does not have the member yet: it is read anew before the word counts as carried
    out.
    """
    async with world(tmp_path) as w:
        members = await w.formed()
        await w.still(20)
        await w.pods[2].stop()
        node = w.pods[0].live
        listed = tuple(member for member in node.memory.view.members if member.pod != "db-2")
        node.memory.view = msgspec.structs.replace(node.memory.view, members=listed)
        node.add_removal("db-2", members["db-2"], "ann")
        await w.until(lambda: sorted(w.members()) == ["db-0", "db-1"])


@turned
async def test_a_removal_does_not_hit_the_member_that_replaced_the_one_it_was_said_about(tmp_path: Path) -> None:
    """The word was about one member; while it waited the Pod joined with a new disk, and that member stays."""
    async with world(tmp_path) as w:
        members = await w.formed()
        pod, other = w.pods[2], w.pods[1]
        await pod.stop()
        pod.wipe()
        await say(w.pods[0], "hold")
        await say(w.pods[0], "remove", pod="db-2", yes=True)
        pod.start()
        await w.until(lambda: w.members().get("db-2") not in (None, members["db-2"]) and other.rule == "serving")
        new = w.members()["db-2"]
        await w.still(20)
        await say(w.pods[0], "resume")
        await w.still(60)
        assert new == w.members()["db-2"]


@pytest.mark.parametrize(
    ("pod", "error"),
    [("web-1", SettingsError), ("db-7", SettingsError), ("db-0", SettingsError)],
    ids=["of-another-set", "no-member", "itself"],
)
def test_remove_of_what_cannot_be_removed(pod: str, error: type[PeerbootError], tmp_path: Path) -> None:
    """A name of another set, a Pod that is no member, and this Pod itself: each is an error in one line."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            await w.formed()
            with pytest.raises(error):
                await say(w.pods[0], "remove", pod=pod, yes=True)

    story()


# --------------------------------------------------------------------- observe


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below, with its time and content."""
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def observe(w: World) -> None:
    """All Pods of the set observe from their next start on."""
    for pod in w.pods:
        pod.environ["PEERBOOT_MODE"] = "observe"


@pytest.mark.parametrize("disk", ["data", "blank", "corrupt"])
def test_observe_mode_writes_nothing(disk: str, tmp_path: Path) -> None:
    """Whatever it finds it decides and tells; no file of the server or the volume changes and no call is made."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            members = await w.formed()
            pod = w.pods[2]
            await pod.stop()
            if disk == "blank":
                pod.wipe()
            elif disk == "corrupt":
                Files(pod.data_dir).wal.write_bytes(b"\x07" * 4096)
            before = tree(pod.home / "volume")
            observe(w)
            pod.start()
            await w.still(120, lambda: pod.server is None)
            assert before == tree(pod.home / "volume")
            assert {"status.txt", "decision.json"} == {path.name for path in pod.output_dir.iterdir()}
            assert members == w.members()
            assert dict(pod.live.tally.acted) == {}
            for name in ("hold", "resume", "consent", "remove"):
                with pytest.raises(SettingsError, match="observe changes nothing"):
                    await say(pod, name, pod="db-1", yes=True)

    story()
