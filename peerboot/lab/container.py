"""One container as a kubelet runs it: a process that is restarted alone, with back-off, whatever its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """Seconds, as measured on a real node; what a kubelet does in tens of seconds is ten times faster here."""

    publish: float = 0.3
    """From the start of a Pod's first container to its record in DNS (median 0.29)."""
    probe: float = 0.25
    """Between startup probes. A kubelet's least is 1 s."""
    restart: float = 0.7
    """From a container's first exit to its restart (0.7)."""
    backoff: float = 1.0
    """The second restart comes after so long (10), each later one after twice as long."""
    backoff_most: float = 5.0
    """(300)"""
    backoff_reset: float = 60.0
    """A container that ran for so long starts again at once (600)."""
    grace: float = 30.0
    recreate: float = 1.8
    """From a Pod's end to the record of the next one of its name in DNS (1.8), less ``publish``."""
    force_withdrawn: float = 0.13
    """After a forced deletion: the record goes, the next Pod starts, the old one gets SIGTERM."""
    force_next: float = 0.6
    force_term: float = 1.07


@dataclass(frozen=True)
class Exit:
    """One end of the process: the exit code, or minus the signal's number."""

    code: int
    ran: float
    """Seconds that it had run."""


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal a process that has not been waited for yet.

    ``Process.send_signal`` polls first, and so takes the exit status away from whoever waits for it.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


class Container:
    """Runs ``command`` again and again until told to stop."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, timing: Timing,
        *, once: bool = False, notice: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        """``once``: an init container, which is done when it exits with 0."""
        self.name = name
        self._command = tuple(command)
        self._env = dict(env)
        self._log = log
        self._timing = timing
        self._once = once
        self._notice = notice
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.exits: list[Exit] = []
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The process now running, None between two of them."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._supervise())

    async def _supervise(self) -> None:
        loop, pauses = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            began = loop.time()
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd="/",
                    start_new_session=True,
                )  # fmt: skip
            self.starts += 1
            code = await self._process.wait()
            # What it had started ends with it, as a container does with its first process.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            ran = loop.time() - began
            self.exits.append(Exit(code, ran))
            self._notice(f"{self.name} exited with {code} after {ran:.1f} s")
            if self._once and code == 0:
                return
            pauses = 0 if ran >= self._timing.backoff_reset else pauses
            pause = self._timing.restart if pauses == 0 else min(
                self._timing.backoff * 2 ** (pauses - 1), self._timing.backoff_most
            )  # fmt: skip
            pauses += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; it is restarted when it ends by it."""
        if self._process is not None:
            send(self._process, number)

    async def done(self) -> None:
        """Until it is over: an init container that succeeded, or one that was stopped."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over; not restarted."""
        self._stopping.set()
        self.signal(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        try:
            async with asyncio.timeout(max(grace, 0.001)):
                await self.done()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.done()
