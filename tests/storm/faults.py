"""Carries faults out on a storm's set. What the laws forbid at that moment is held back, and said so."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from peerboot.lab.container import Container
from tests.storm import disks, law, skewed
from tests.storm.cluster import LEAVES, StormLab
from tests.storm.schedule import Fault

REFILL = 0.5
"""Seconds after which a full disk is filled again: what was freed meanwhile is taken too."""
PATIENCE = 12.0
"""A disk is lost within so many seconds of its time, or not at all."""
LARGE = 256 << 10
"""Bytes that the whole cluster is made to write that often, while a disk is full."""
READY = 30.0
"""A roll-out waits so long for a Pod, at most, before it takes the next."""


class Faults:
    """Begins faults, and ends them."""

    def __init__(self, lab: StormLab, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._say = say
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks = {ordinal: asyncio.Lock() for ordinal in lab.ordinals}
        """Of each Pod: two faults neither end nor make it at the same moment."""
        self._law = asyncio.Lock()
        """From a look at the cluster to the end of the disk that it allowed to lose."""
        self._scaling = asyncio.Lock()
        self._full: Counter[int] = Counter()
        """How many faults fill a Pod's volume now."""
        self._calm = asyncio.Event()
        self.stopped: Counter[int] = Counter()
        """How many faults have a Pod's peerboot stopped now: it cannot say anything."""
        self.counts: Counter[str] = Counter()
        self.held_back: Counter[str] = Counter()

    def begin(self, fault: Fault) -> None:
        """Carry it out in the background."""
        self._calm.clear()
        task = asyncio.create_task(self._carry_out(fault))
        self._tasks.add(task)

    async def end(self) -> None:
        """All that lasts ends now, and a roll-out takes no further Pod. Raises what went wrong in any of them."""
        self._calm.set()
        tasks, self._tasks = self._tasks, set()
        await asyncio.gather(*tasks)
        self._lab.dns.fault("ok")
        # peerboot deletes nothing, so each time that a Pod is scaled away, or its data does not read, a copy stays on
        # its volume. On the small ones these would take all room within half an hour.
        for ordinal in self._lab.small:
            cleared = disks.clear_aside(self._lab.data_dir(ordinal))
            if cleared:
                self._say(f"{cleared} copies that were set aside are deleted on the volume of {ordinal}")

    async def cancel(self) -> None:
        """At once, when the storm is broken off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what went wrong in a fault that is over."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    async def _carry_out(self, fault: Fault) -> None:
        kinds: dict[str, Callable[[Fault], Coroutine[Any, Any, None]]] = {
            "kill-peerboot": lambda one: self._kill(one, "peerboot"),
            "kill-etcd": lambda one: self._kill(one, "etcd"),
            "kill-pod": lambda one: self._kill(one, "pod"),
            "kill-several": lambda one: self._kill(one, one.detail),
            "power-cut": lambda one: self._kill(one, "pod"),
            "pause-etcd": lambda one: self._pause(one, "server"),
            "pause-peerboot": lambda one: self._pause(one, "peerboot"),
            "wipe": self._wipe,
            "wipe-several": self._wipe,
            "dns": self._dns,
            "skew": self._skew,
            "full-disk": self._full_disk,
            "delete": self._delete,
            "force-delete": self._force_delete,
            "roll-out": self._roll_out,
            "scale": self._scale,
        }
        self._say(f"begins: {fault}")
        self.counts[fault.kind] += 1
        await kinds[fault.kind](fault)

    async def _lasts(self, seconds: float) -> None:
        """So long, or until it is calm."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._calm.wait()

    # ----------------------------------------------------------------- kill

    async def _kill(self, fault: Fault, what: str) -> None:
        await asyncio.gather(*(self._kill_one(ordinal, what) for ordinal in fault.pods))

    async def _kill_one(self, ordinal: int, what: str) -> None:
        if what == "pod":
            async with self._locks[ordinal]:
                if ordinal in self._lab.pods:
                    await self._lab.crash(ordinal)
        elif ordinal in self._lab.pods:
            self._lab.kill(ordinal, {"etcd": "server"}.get(what, what))

    async def _pause(self, fault: Fault, container: str) -> None:
        found = [self._container(ordinal, container) for ordinal in fault.pods if ordinal in self._lab.pods]
        stopped = [fd for one in found if (fd := _stopped(one)) is not None]
        if container == "peerboot":
            self.stopped.update(fault.pods)
        try:
            await self._lasts(fault.lasts)
        finally:
            for fd in stopped:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGCONT)
                os.close(fd)
            if container == "peerboot":
                self.stopped.subtract(fault.pods)

    def _container(self, ordinal: int, name: str) -> Container:
        pod = self._lab.pods[ordinal]
        return pod.server if name == "server" else pod.sidecar

    # ---------------------------------------------------------------- disks

    async def _wipe(self, fault: Fault) -> None:
        """As soon as the law allows it, or not at all."""
        if await self._allowed(fault):
            self._say(f"wiped: {fault}")

    async def _allowed(self, fault: Fault) -> bool:
        """Wait until the law allows it, and do it. For so long only; then it is held back."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while why := await self._forbidden(fault):
            if asyncio.get_running_loop().time() > end or self._calm.is_set():
                self.held_back[fault.kind] += 1
                self._say(f"held back: {fault}: {why}")
                return False
            await self._lasts(1.0)
        return True

    async def _forbidden(self, fault: Fault) -> str:
        """Lose these disks, or begin to fill one; or why the law forbids it."""
        async with self._law, contextlib.AsyncExitStack() as locks:
            for ordinal in sorted(fault.pods):
                await locks.enter_async_context(self._locks[ordinal])
            # What is full may turn out to be lost: then its member is replaced as that of a disk that was wiped.
            why = law.forbids(await self._lab.look(), {*fault.pods, *+self._full})
            if why:
                return why
            if fault.kind == "full-disk":
                self._full.update(fault.pods)
                return ""
            exist = set(self._lab.pods)
            await asyncio.gather(*(self._lab.wipe(ordinal, recreate=ordinal in exist) for ordinal in fault.pods))
            return ""

    async def _full_disk(self, fault: Fault) -> None:
        if not await self._allowed(fault):
            return
        [ordinal] = fault.pods
        end = asyncio.get_running_loop().time() + fault.lasts
        taken = written = 0
        try:
            while asyncio.get_running_loop().time() < end and not self._calm.is_set():
                async with self._locks[ordinal]:
                    taken += disks.fill(self._lab.volume(ordinal))
                written += await self._press()
                if fault.detail != "fills" and written == 1:
                    await self._kill_one(ordinal, fault.detail)
                await self._lasts(REFILL)
        finally:
            async with self._locks[ordinal]:
                if not self._full[ordinal] - 1:
                    disks.free(self._lab.volume(ordinal))
            self._full.subtract(fault.pods)
        self._say(f"room again: {fault}: {taken >> 20} MiB were taken, {written} values written meanwhile")

    async def _press(self) -> int:
        """Have the cluster write something large, for small values find room in what was set aside before."""
        value = base64.b64encode(os.urandom(LARGE)).decode()
        body = {"key": base64.b64encode(b"large").decode(), "value": value}
        for ordinal in sorted(self._lab.pods):
            if await self._lab.answer(ordinal, "/v3/kv/put", body, 1.0) is not None:
                return 1
        return 0

    # ------------------------------------------------------- names and time

    async def _dns(self, fault: Fault) -> None:
        names = [self._lab.pod_name(ordinal) for ordinal in fault.pods]
        for name in names:
            self._lab.dns.fault(fault.detail, name)
        await self._lasts(fault.lasts)
        for name in names:
            self._lab.dns.fault("ok", name)

    async def _skew(self, fault: Fault) -> None:
        wall, _, pace = fault.detail.partition(" x")
        for ordinal in fault.pods:
            skewed.write(self._lab.clock(ordinal), float(wall), float(pace))

    # ----------------------------------------------------------------- Pods

    async def _delete(self, fault: Fault) -> None:
        await self._delete_each(fault.pods)

    async def _force_delete(self, fault: Fault) -> None:
        await self._delete_each(fault.pods, force=True)

    async def _delete_each(self, ordinals: Iterable[int], *, force: bool = False) -> None:
        for ordinal in ordinals:
            async with self._locks[ordinal]:
                if ordinal in self._lab.pods:
                    await self._lab.delete(ordinal, force=force)

    async def _roll_out(self, fault: Fault) -> None:
        loop = asyncio.get_running_loop()
        for ordinal in fault.pods:
            if self._calm.is_set():
                return
            if ordinal not in self._lab.pods:
                continue
            await self._delete_each((ordinal,))
            end = loop.time() + READY
            # A controller looks at the Pod again and again, too.
            while loop.time() < end and not self._calm.is_set() and not await self._lab.ready(ordinal):  # noqa: ASYNC110
                await asyncio.sleep(0.3)

    async def _scale(self, fault: Fault) -> None:
        """Down, all at once, as a StatefulSet with ``Parallel`` does; and up again, with the volumes as they are."""
        if self._scaling.locked():
            self.held_back[fault.kind] += 1
            self._say(f"held back: {fault}: the set is scaled already")
            return
        async with self._scaling:
            self._lab.scale(self._lab.spec.replicas - len(fault.pods))
            await asyncio.gather(*(self._scale_away(ordinal) for ordinal in fault.pods))
            self._say(f"scaled: {fault}")
            await self._lasts(fault.lasts)
            self._lab.scale(self._lab.spec.replicas)
            for ordinal in fault.pods:
                async with self._locks[ordinal]:
                    if ordinal not in self._lab.pods:
                        await self._lab.create(ordinal)

    async def _scale_away(self, ordinal: int) -> None:
        async with self._locks[ordinal]:
            if ordinal in self._lab.pods:
                await self._lab.delete(ordinal, grace=LEAVES, recreate=False)


def _stopped(container: Container) -> int | None:
    """Stop its process; returns what names this very process, None where there is none."""
    pid = container.pid
    if pid is None:
        return None
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGSTOP)
    return fd
