"""One Pod as a kubelet makes it: a native sidecar, its startup probe as the gate, then the server; stopped in the
order that was measured: the server's preStop, its SIGTERM, its exit, and only then the sidecar's SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from peerboot.lab.container import Container, Timing, send
from peerboot.outside.http import Http, HttpError

PORT, METRICS_PORT = 7070, 7072
Phase = Literal["starting", "waiting", "running", "stopping", "gone"]


@dataclass
class PodSpec:
    """Everything that a Pod is made of."""

    name: str
    ordinal: int
    uid: str
    address: str
    volume: Path
    directory: Path
    """Output directory, termination logs: what dies with the Pod."""
    logs: Path
    """What its containers print is appended to files here."""
    env: Mapping[str, str]
    """For peerboot's container."""
    server: Sequence[str]
    """The server container's command."""
    timing: Timing
    server_env: Mapping[str, str] = field(default_factory=dict)
    """For the server's container, beside what every program needs."""
    style: Literal["native", "init"] = "native"
    """``init``: an init container and a plain sidecar, as on Kubernetes before 1.29."""
    peerboot: Sequence[str] = field(default_factory=lambda: (sys.executable, "-m", "peerboot"))
    publish: Callable[[], None] = lambda: None
    withdraw: Callable[[], None] = lambda: None
    notice: Callable[[str], None] = lambda _text: None


class Pod:
    """Starts, is watched, stops."""

    def __init__(self, spec: PodSpec) -> None:
        self.spec = spec
        self.phase: Phase = "starting"
        self.output = spec.directory / "run"
        self.termination_log = spec.directory / "termination-log"
        self._http = Http()
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        prefix = f"{spec.name}."
        self.sidecar = self._container("peerboot", (*spec.peerboot, "sidecar"), self.env, prefix)
        self.init = self._container("init", (*spec.peerboot, "init"), self.env, prefix, once=True)
        server_env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.server = self._container("server", spec.server, {**server_env, **spec.server_env}, prefix)

    def _container(
        self, name: str, command: Sequence[str], env: Mapping[str, str], prefix: str, *, once: bool = False
    ) -> Container:
        notice = self.spec.notice
        return Container(
            name, command, env, self.spec.logs / f"{prefix}{name}.log", self.spec.timing, once=once,
            notice=lambda text: notice(f"{self.spec.name}: {text}"),
        )  # fmt: skip

    @property
    def env(self) -> dict[str, str]:
        """The environment of peerboot's container."""
        return {
            **self.spec.env, "PEERBOOT_OUTPUT_DIR": str(self.output),
            "PEERBOOT_TERMINATION_LOG": str(self.termination_log),
        }  # fmt: skip

    # ---------------------------------------------------------------- start

    def start(self) -> None:
        """Make its directories and start its containers in order."""
        self.output.mkdir(parents=True, exist_ok=True)
        self.termination_log.touch()
        self.spec.volume.mkdir(parents=True, exist_ok=True)
        self._task = asyncio.create_task(self._life())
        self._later(self.spec.timing.publish, self._publish)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            what()

        task = asyncio.create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _publish(self) -> None:
        if self.phase not in ("stopping", "gone"):
            self.spec.publish()

    async def _life(self) -> None:
        self.phase = "waiting"
        if self.spec.style == "init":
            self.init.start()
            await self.init.done()
            self.sidecar.start()
        else:
            self.sidecar.start()
            # A kubelet polls too: a probe is a program that is run, it cannot be waited for.
            while not await self.probe("startup"):  # noqa: ASYNC110
                await asyncio.sleep(self.spec.timing.probe)
        self.phase = "running"
        self.server.start()

    async def probe(self, what: str) -> bool:
        """Run ``peerboot-probe`` as the kubelet does."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "peerboot.probe", what, env=self.env, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            return await process.wait() == 0
        finally:
            send(process, signal.SIGKILL)
            await process.wait()

    # ----------------------------------------------------------------- stop

    async def terminate(self, grace: float) -> None:
        """Deleted with a grace period; its record stays in DNS until it is gone."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self.phase = "stopping"
        await self._end_life()
        if self.server.starts:
            with contextlib.suppress(HttpError):
                await self._http.fetch("GET", f"http://{self.spec.address}:{PORT}/prestop", timeout=max(grace, 0.1))
            await self.server.stop(max(end - loop.time(), 0.0))
        for container in (self.init, self.sidecar):
            if container.starts:
                await container.stop(max(end - loop.time(), 2.0))
        await self._gone()

    async def crash(self) -> None:
        """Everything is killed at once: the node lost its power."""
        self.phase = "stopping"
        await self._end_life()
        await asyncio.gather(*(container.stop(0.0) for container in (self.server, self.sidecar, self.init)))
        await self._gone()

    async def _end_life(self) -> None:
        for task in (self._task, *self._tasks):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _gone(self) -> None:
        self.phase = "gone"
        self.spec.withdraw()
        await self._http.close()

    # ----------------------------------------------------------------- look

    async def get(self, path: str, port: int = PORT, timeout: float = 3.0) -> tuple[int, str]:
        """One GET to its peerboot; status 0 with the reason when there is no answer."""
        try:
            reply = await self._http.fetch(
                "GET", f"http://{self.spec.address}:{port}{path}", timeout=timeout, limit=4 << 20
            )
        except HttpError as error:
            return 0, str(error)
        return reply.status, reply.body.decode("utf-8", "replace")

    def sentence(self) -> str:
        """The first line of its status.txt."""
        return self._status().partition("\n")[0]

    def says_ready(self) -> bool:
        """Whether the second line of its status.txt says that it is ready."""
        return self._status().rstrip().endswith("ready=yes")

    def _status(self) -> str:
        try:
            return (self.output / "status.txt").read_text(encoding="utf-8")
        except OSError:
            return ""

    async def run(self, *args: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a peerboot command in its peerboot container, as ``kubectl exec`` would."""
        process = await asyncio.create_subprocess_exec(
            *self.spec.peerboot, *args, env=self.env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        finally:
            send(process, signal.SIGKILL)
            await process.wait()
        code = process.returncode if process.returncode is not None else -1
        return subprocess.CompletedProcess(args, code, out.decode(), err.decode())
