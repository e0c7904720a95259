"""What people do to a real set: secrets, holds, consents, removals, observing, adopting, full and read-only disks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
from pathlib import Path

import pytest

from peerboot.lab.client import ClientError
from peerboot.lab.cluster import Lab
from peerboot.lab.pod import Pod
from peerboot.lab.servers import Server
from tests.real.mortal import FAST
from tests.real.scenes import (
    MakeLab,
    aside,
    client,
    consent_in,
    did,
    formed,
    healthy,
    ids,
    members,
    stays,
    writing,
)

# ----------------------------------------------------------------- secrets


def a_key() -> str:
    """A line of the secret file."""
    return secrets.token_hex(32)


def give(lab: Lab, ordinal: int, *keys: str) -> None:
    """Replace a Pod's secret file, as the kubelet does: another file in its place."""
    path = lab.secret_file(ordinal)
    part = path.with_suffix(".new")
    part.write_text("".join(f"{key}\n" for key in keys))
    part.chmod(0o600)
    part.replace(path)


async def _texts(lab: Lab, ordinal: int) -> dict[str, str]:
    """What one Pod says of the evidence of each other that it doubts."""
    evidence = (await lab.decision(ordinal)).get("evidence", {})
    return {pod: cell["text"] for pod, cell in evidence.items() if cell["kind"] == "unknown"}


async def test_wrong_secret_in_one_pod(make_lab: MakeLab, etcd: Server) -> None:
    """A Pod with another key is unknown to the others, with the reason, and they to it: nothing forms. Corrected in
    place, it forms without any restart.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        lab.secret_file(2).parent.mkdir()
        lab.secret_file(2).write_text(f"{a_key()}\n")
        await lab.start()
        wrong = (
            "its census key (PEERBOOT_SECRET_FILE) differs from this Pod's: give all Pods the same key, which they "
            "read again by themselves; if they have, it is of another set, and the Service's selector is wrong"
        )
        expected: list[dict[str, str]] = [{"db-2": wrong}, {"db-2": wrong}, {"db-0": wrong, "db-1": wrong}]
        await lab.until("every Pod names the key", lambda: _all_say(lab, expected))
        for ordinal in lab.ordinals:
            await stays(lab, ordinal, "wait-for-all", seconds=1.0)
        assert [(pod.server.starts, did(lab, o, "recorded birth")) for o, pod in lab.pods.items()] == [(0, 0)] * 3
        give(lab, 2, lab.secret_file(0).read_text().strip())
        await healthy(lab)
        assert [pod.sidecar.starts for pod in lab.pods.values()] == [1, 1, 1]


async def _all_say(lab: Lab, expected: list[dict[str, str]]) -> bool:
    return [await _texts(lab, ordinal) for ordinal in lab.ordinals] == expected


async def test_rotated_secret(make_lab: MakeLab, etcd: Server) -> None:
    """Rotated in three steps, Pod by Pod, a set is never split, also while a Pod with a new disk rejoins in the middle
    of it; in the end the old key opens nothing.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before, old, new = await ids(lab), lab.secret_file(0).read_text().strip(), a_key()
        doubts: list[dict[str, str]] = []

        async def listen() -> None:
            while True:
                doubts.extend([await _texts(lab, ordinal) for ordinal in sorted(lab.pods)])
                await asyncio.sleep(0.1)

        async with writing(lab):
            listening = asyncio.create_task(listen())
            await lab.wipe(2)
            for keys in ((old, new), (new, old), (new,)):
                for ordinal in lab.ordinals:
                    give(lab, ordinal, *keys)
                    await asyncio.sleep(0.4)
            await lab.until_ready()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        after = await healthy(lab)
        assert (after["db-0"], after["db-1"]) == (before["db-0"], before["db-1"])
        assert after["db-2"] != before["db-2"]
        assert [text for doubt in doubts for text in doubt.values() if "key" in text] == []

        # A Pod that only knows the old key is heard by nobody now, and starts with its data all the same.
        give(lab, 0, old)
        await lab.crash(0)
        await lab.until("db-0 is not believed", lambda: _doubts_both(lab))
        assert await healthy(lab) == after


async def _doubts_both(lab: Lab) -> bool:
    return sorted(pod for pod, text in (await _texts(lab, 0)).items() if "key" in text) == ["db-1", "db-2"]


# -------------------------------------------------- hold, consent, removal


async def test_hold_and_resume(make_lab: MakeLab, etcd: Server) -> None:
    """A hold of the whole set reaches a Pod that is new: with a lost disk it replaces nobody until the hold is ended.
    A Pod with its own data starts meanwhile.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        held = await lab.pods[0].run("hold", "--all", "--for", "2h", "--why", "node upgrade")
        assert (held.returncode, "Automatic changes of the whole set are held for" in held.stdout) == (0, True)
        await lab.crash(1)
        await lab.until_ready(only=[1])
        await lab.wipe(2)
        decision = await lab.until_rule(2, "held")
        assert ("node upgrade" in decision["reason"], decision["waits_for"]) == (True, ["`peerboot resume` --all"])
        await stays(lab, 2, "held")
        assert (await ids(lab), lab.pods[2].server.starts) == (before, 0)
        shown = await lab.pods[2].run("status")
        assert (shown.returncode, "node upgrade" in shown.stdout) == (0, True)

        resumed = await lab.pods[2].run("resume", "--all")
        assert resumed.returncode == 0
        after = await healthy(lab)
        assert [after[pod] == before[pod] for pod in sorted(after)] == [True, True, False]


async def test_consent_for_a_cloned_volume(make_lab: MakeLab, etcd: Server) -> None:
    """A volume that is a clone of another Pod's is refused, with a nonce. Any other word allows nothing; the nonce
    moves its data aside, once, and this Pod joins as a new member.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        async with writing(lab):
            await asyncio.gather(lab.crash(1, recreate=False), lab.crash(2, recreate=False))
            shutil.rmtree(lab.volume(2))
            shutil.copytree(lab.volume(1), lab.volume(2))
            await asyncio.gather(lab.create(1), lab.create(2))
            await lab.until_ready(only=(0, 1))
            await stays(lab, 2, "foreign-volume")
            reason = (await lab.decision(2))["reason"]
            assert "belongs to etcd pod lab/db-1, not to lab/db-2" in reason
            wrong = await lab.pods[2].run("consent", "0123456789")
            assert (wrong.returncode, "allows nothing now" in wrong.stderr) == (5, True)
            assert (aside(lab, 2), lab.pods[2].server.starts) == ([], 0)

            right = await lab.pods[2].run("consent", consent_in(reason))
            assert (right.returncode, "Allowed, once" in right.stdout) == (0, True)
            await lab.until_ready()
        after = await healthy(lab)
        assert [after[pod] == before[pod] for pod in sorted(after)] == [True, True, False]
        assert (did(lab, 2, "used consent"), len(aside(lab, 2))) == (1, 1)


async def test_removal_by_word(make_lab: MakeLab, etcd: Server) -> None:
    """`remove` shows its plan and does nothing; with --yes the member goes, for a person said so. The Pod that comes
    back with that data sets it aside and joins as a new member.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        async with writing(lab):
            own = await lab.pods[2].run("remove", "db-2", "--yes")
            assert (own.returncode, "ask another pod's peerboot" in own.stderr) == (2, True)
            await lab.crash(2, recreate=False)
            plan = await lab.pods[0].run("remove", "db-2")
            assert (plan.returncode, f"remove member {before['db-2']} (db-2, voter)" in plan.stdout) == (0, True)
            await asyncio.sleep(1.5)
            assert await ids(lab) == before
            done = await lab.pods[1].run("remove", "db-2", "--yes")
            assert done.returncode == 0
            await lab.until("the member is gone", lambda: _listed(lab, 2))
            assert [did(lab, o, "remove ") for o in (0, 1)] == [0, 1]
            await lab.create(2)
            await lab.until_ready()
        after = await healthy(lab)
        assert [after[pod] == before[pod] for pod in sorted(after)] == [True, True, False]
        assert (did(lab, 2, "moved the data aside"), len(aside(lab, 2))) == (1, 1)


async def _listed(lab: Lab, number: int) -> bool:
    with contextlib.suppress(ClientError):
        return len(await members(lab)) == number
    return False


async def test_stuck_learner(make_lab: MakeLab, etcd: Server) -> None:
    """A learner that somebody added by hand and that never starts blocks all who want to join: when it has stood still
    for the set time, one Pod removes it, and the Pod that waited for its turn joins.
    """
    async with make_lab(etcd, env={"PEERBOOT_ETCD_LEARNER_STALL": "3s"}, timing=FAST) as lab:
        await formed(lab)
        await lab.crash(2, recreate=False)
        async with client(lab, 0) as asked:
            await asked.call("/v3/cluster/member/remove", {"ID": str(int((await ids(lab))["db-2"], 16))})
            await lab.until("etcd is calm", lambda: _added(lab))
        await lab.create(2)
        await lab.until_ready()
        assert len(await healthy(lab)) == 3
        # The lowest that serves does it. One that does not hear it for a moment is the lowest too; to remove what is
        # removed already changes nothing.
        removed = [did(lab, o, "remove ") for o in lab.ordinals]
        assert (sum(removed[:2]) in (1, 2), removed[2]) == (True, 0)
        assert len(aside(lab, 2)) == 1


async def _added(lab: Lab) -> bool:
    """Add a learner that nobody is; false while etcd refuses changes, a few seconds after the last one."""
    async with client(lab, 0) as asked:
        try:
            await asked.call("/v3/cluster/member/add", {"peerURLs": ["http://127.0.0.9:9"], "isLearner": True})
        except ClientError:
            return False
    return True


# ------------------------------------------------- read-only and full disks

ROOT = os.geteuid() == 0
UNSHARE = ("unshare", *(() if ROOT else ("--user", "--map-root-user")), "--mount", "--propagation", "private")
SPACE = "/mnt"
"""Where one process gets a small file system of its own."""
FAULTS = {
    "read-only": ('mount -o remount,bind,ro "$0"', 'mount -o remount,bind,rw "$0"', "the file system is read-only"),
    "full": (
        (
            f'mount -t tmpfs -o size=64k none {SPACE} && cp -a "$0" {SPACE}/up && mount --bind {SPACE}/up "$0" && '
            f"! dd if=/dev/zero of={SPACE}/filled bs=4096 2>/dev/null"
        ),
        'umount "$0"',
        "the file system is full",
    ),
}


async def in_namespace(pid: int, script: str, directory: Path) -> None:
    """Run a script in the mount namespace of a process."""
    user = () if ROOT else ("--user", "--preserve-credentials")
    process = await asyncio.create_subprocess_exec(
        "nsenter", "--target", str(pid), *user, "--mount", "sh", "-c", script, str(directory)
    )
    assert await process.wait() == 0


@pytest.mark.parametrize("fault", FAULTS)
async def test_output_directory_cannot_be_written(make_lab: MakeLab, etcd: Server, fault: str) -> None:
    """While peerboot cannot write its output directory, the last good files stay, its server restarts with them, and it
    says so once for each file; afterwards it writes them again.
    """
    spoil, mend, words = FAULTS[fault]
    # The server stays away for longer than a pass at rest takes to come round, so that there is something to write.
    async with make_lab(etcd, timing=dataclasses.replace(FAST, restart=6.0)) as lab:
        script = 'mount --bind "$PEERBOOT_OUTPUT_DIR" "$PEERBOOT_OUTPUT_DIR" && exec "$@"'
        peerboot = (*UNSHARE, "sh", "-c", script, "sh", *lab.spec.peerboot)
        lab.spec = dataclasses.replace(lab.spec, peerboot=peerboot)
        await formed(lab)
        before, pod = await ids(lab), lab.pods[1]
        permit = (pod.output / "etcd.yaml").read_text()
        pid = pod.sidecar.pid
        assert pid is not None
        await in_namespace(pid, spoil, pod.output)
        lab.kill(1, "server", signal.SIGTERM)
        await lab.until("its server is started again", lambda: _starts(pod, 2))
        await lab.until("it has complained of both", lambda: _complained(lab, 2))
        await lab.until_ready()
        complaints = [line for line in lab.log(1).splitlines() if "The last good file stays" in line]
        assert (len(complaints), [line for line in complaints if words not in line]) == (2, [])
        assert (pod.output / "etcd.yaml").read_text() == permit

        await in_namespace(pid, mend, pod.output)
        await lab.until("both are written again", lambda: _mended(lab, 1))
        assert (await healthy(lab), pod.sidecar.starts) == (before, 1)
        # A server that finds no permit now would show that the file in place is not the one that peerboot writes.
        lab.kill(1, "server", signal.SIGTERM)
        await lab.until("its server is started again", lambda: _starts(pod, 3))
        await lab.until_ready()


async def _complained(lab: Lab, times: int) -> bool:
    return lab.log(1).count("The last good file stays") >= times


async def _starts(pod: Pod, number: int) -> bool:
    return pod.server.starts >= number and pod.server.pid is not None


async def _mended(lab: Lab, ordinal: int) -> bool:
    return lab.log(ordinal).count("is written again") == 2
