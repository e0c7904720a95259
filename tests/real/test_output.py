"""The output directory: full, and not writable. The config is never half written, and the Pod says what is wrong."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from peerboot.lab.cluster import Lab
from peerboot.lab.dns import Mode
from peerboot.lab.pod import Pod
from peerboot.lab.servers import Server
from tests.real.scenes import MakeLab, did, formed, healthy, stays


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """An own file system of 64 KiB there for root; anybody else has to do without."""
    directory.mkdir(parents=True)
    root = os.geteuid() == 0
    if root:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], check=True)  # noqa: S603, S607
    try:
        yield
    finally:
        if root:
            subprocess.run(["umount", "-l", directory], check=True)  # noqa: S603, S607


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nothing may be written there, not even by root."""
    if os.geteuid() != 0:
        directory.chmod(0o500)
        yield
        directory.chmod(0o700)
        return
    for mode in ("ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{mode}", directory], check=True)  # noqa: S603, S607
        if mode == "ro":
            yield


@contextlib.contextmanager
def no_room(directory: Path) -> Iterator[None]:
    """Fill the disk; for others than root: nothing new may be written there."""
    if os.geteuid() != 0:
        directory.chmod(0o500)
        yield
        directory.chmod(0o700)
        return
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))
    yield
    filler.unlink()


async def test_a_full_output_directory(etcd: Server, make_lab: MakeLab) -> None:
    """A lost disk's member is added but its config cannot be written: there is none, not half of one, and the log says
    why; the other members are not troubled by it. When there is room it joins.
    """
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await lab.wipe(2, recreate=False)
        lab.dns.fault(Mode.SERVFAIL, "db-2")
        spec = await lab.pod_spec(2)
        output = spec.directory / "run"
        with small_disk(output):
            lab.pods[2] = Pod(spec)
            lab.pods[2].start()
            await stays(lab, 2, "wait-for-all", seconds=1.0)
            with no_room(output):
                lab.dns.fault(Mode.OK, "db-2")
                await lab.until("it says so", lambda: _logged(lab, 2, "Not done: wrote etcd.yaml"))
                await lab.until_ready(60, only=(0, 1))
                assert not (output / "etcd.yaml").exists()
                assert (lab.pods[2].server.starts, await _alive(lab, 2)) == (0, True)
            after = await healthy(lab)
            assert after.pop("db-2") != before.pop("db-2")
            assert after == before
            assert did(lab, 2, "add-learner") <= 2
            await lab.crash(2, recreate=False)


async def _logged(lab: Lab, ordinal: int, text: str) -> bool:
    return text in lab.log(ordinal)


async def _alive(lab: Lab, ordinal: int) -> bool:
    return (await lab.pods[ordinal].get("/livez"))[0] == 200


async def test_a_read_only_output_directory(etcd: Server, make_lab: MakeLab) -> None:
    """One line, exit 2, in the termination log too; the others wait for it, and form when it can be written."""
    async with make_lab(etcd) as lab:
        await lab.start(only=(0, 1))
        spec = await lab.pod_spec(2)
        output = spec.directory / "run"
        with small_disk(output):
            pod = lab.pods[2] = Pod(spec)
            with read_only(output):
                pod.start()
                await lab.until("it gives up", lambda: _ended(pod))
                assert pod.sidecar.exits[0].code == 2
                last = pod.termination_log.read_text()
                assert ("PEERBOOT_OUTPUT_DIR" in last, last.count("\n")) == (True, 1)
                await stays(lab, 0, "wait-for-all", seconds=0.5)
            await healthy(lab)
            await lab.crash(2, recreate=False)


async def _ended(pod: Pod) -> bool:
    return bool(pod.sidecar.exits)
