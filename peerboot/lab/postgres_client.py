"""A client of the lab's Postgres: psql, which finds the server that takes the writes as any client of libpq does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from peerboot.lab.cluster import Lab
from peerboot.lab.container import send
from peerboot.lab.errors import LabError
from peerboot.lab.postgres import SUPERUSER_PASSWORD

PATIENT = 180.0
"""Seconds for what a loaded machine may take."""
ANSWERS = 5.0
"""Seconds after which a client gives a statement up."""
MADE = "CREATE TABLE IF NOT EXISTS public.rows (number int PRIMARY KEY)"
WRITTEN = (
    "INSERT INTO public.rows VALUES ({}) ON CONFLICT (number) DO UPDATE SET number = excluded.number RETURNING number"
)


def _conninfo(lab: Lab, pods: Sequence[int], attrs: str) -> str:
    hosts = ",".join(lab.pods[ordinal].spec.address for ordinal in pods)
    return (
        f"host={hosts} port={lab.system.client_port} user=postgres dbname=postgres connect_timeout=2 "
        f"target_session_attrs={attrs}"
    )


async def _psql(lab: Lab, pods: Sequence[int], attrs: str) -> asyncio.subprocess.Process:
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "PGPASSWORD": SUPERUSER_PASSWORD,
        "PGOPTIONS": "-c statement_timeout=0",
    }
    return await asyncio.create_subprocess_exec(
        str(lab.spec.server.path / "bin" / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
        _conninfo(lab, pods, attrs), env=environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


async def sql(lab: Lab, ordinal: int, text: str, timeout: float = 20.0) -> list[str]:
    """The lines that one Pod's server answers. Raises ``LabError``."""
    process = await _psql(lab, [ordinal], "any")
    try:
        async with asyncio.timeout(timeout):
            told, wrong = await process.communicate(f"{text};\n".encode())
    except TimeoutError:
        raise LabError(f"{lab.pod_name(ordinal)} does not answer within {timeout:g} s: {text}") from None
    finally:
        await _end(process)
    if process.returncode:
        raise LabError(f"{lab.pod_name(ordinal)}: {wrong.decode('utf-8', 'replace').strip()}")
    return told.decode().split("\n")[:-1]


async def _end(process: asyncio.subprocess.Process) -> None:
    send(process, signal.SIGKILL)
    await process.wait()


async def primaries(lab: Lab) -> list[int]:
    """The ordinals whose servers say that they take writes."""
    found = []
    for ordinal in sorted(lab.pods):
        with contextlib.suppress(LabError):
            if await sql(lab, ordinal, "SELECT pg_is_in_recovery()", 5.0) == ["f"]:
                found.append(ordinal)
    return found


@dataclass
class Writer:
    """Writes numbered rows, one statement each, to whichever server takes them, and remembers those acknowledged."""

    lab: Lab
    pause: float = 0.02
    acknowledged: set[int] = field(default_factory=set)
    failures: int = 0
    longest: float = 0.0
    """Seconds between two that were acknowledged, at most."""
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the table, then write in the background until stopped."""
        for ordinal in await primaries(self.lab):
            await sql(self.lab, ordinal, MADE)
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        loop, last = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        number = 0
        while True:
            pods = sorted(self.lab.pods)
            if not pods:
                await asyncio.sleep(0.1)
                continue
            process = await _psql(self.lab, pods, "read-write")
            try:
                while await self._one(process, number):
                    self.acknowledged.add(number)
                    self.longest = max(self.longest, loop.time() - last)
                    number, last = number + 1, loop.time()
                    await asyncio.sleep(self.pause)
                # Tried again under the same number: whether it took place does not matter then.
                self.failures += 1
            finally:
                await _end(process)
            await asyncio.sleep(0.1)

    async def _one(self, process: asyncio.subprocess.Process, number: int) -> bool:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        try:
            process.stdin.write(f"{WRITTEN.format(number)};\n".encode())
            async with asyncio.timeout(ANSWERS):
                await process.stdin.drain()
                return await process.stdout.readline() == f"{number}\n".encode()
        except (OSError, TimeoutError):
            return False

    async def grows(self, by: int = 5, seconds: float = PATIENT) -> None:
        """Return when so many more are acknowledged. Raises ``LabError``."""
        enough = len(self.acknowledged) + by

        async def has() -> bool:
            return len(self.acknowledged) >= enough

        await self.lab.until(f"{by} more rows are acknowledged", has, seconds)

    async def stop(self) -> None:
        """Stop writing; what was acknowledged stays known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def missing(self, ordinal: int) -> list[int]:
        """Acknowledged rows that a Pod's server does not have. Raises ``LabError``."""
        found = {int(line) for line in await sql(self.lab, ordinal, "SELECT number FROM public.rows")}
        return sorted(self.acknowledged - found)
