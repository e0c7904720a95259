"""Real servers that the door is tried on: by the least role, with the lines of pg_hba.conf that peerboot writes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from peerboot.lab.network import Network
from peerboot.lab.postgres import find
from peerboot.outside import postgres
from peerboot.outside.postgres import How, PostgresError, Seen
from tests.postgres.server import PORT, WITHIN, Postgres
from tests.postgres.test_config import ODD, made

HOW = How(password=ODD, tls=None, timeout=WITHIN)
"""Nothing is late on a machine that is only busy."""


def set_up(version: str, data_dir: Path, network: Network, *options: str, **settings: str) -> Postgres:
    """A new cluster that takes writes and knows the role, with settings that a clone has too."""
    server = Postgres(find(version), data_dir, network.another())
    server.init(*options)
    let_in(server)
    with (data_dir / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    server.start(**settings)
    server.until_it_answers()
    server.sql(made().roles(bytes(16)).replace("\n", " "))
    return server


def let_in(server: Postgres) -> None:
    """The lines of pg_hba.conf, as launch.sh puts them: first."""
    path = server.data_dir / "pg_hba.conf"
    path.write_text(made().hba() + path.read_text())


def standby_of(server: Postgres, data_dir: Path, network: Network, name: str = "pg_1") -> Postgres:
    """A standby that copies by a slot; not started yet."""
    found = server.clone(data_dir, network.another(), "-R", "-C", "-S", name)
    follow(found, server.address, PORT, name)
    return found


def follow(server: Postgres, address: str, port: int, name: str = "pg_1") -> None:
    """Where it copies from when it is started."""
    source = f"host={address} port={port} user=postgres application_name={name}"
    with (server.data_dir / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{source}'\nwal_retrieve_retry_interval = '200ms'\n")


def become_standby(server: Postgres) -> None:
    """The next start is a standby's."""
    (server.data_dir / "postmaster.pid").unlink(missing_ok=True)
    (server.data_dir / "standby.signal").touch()


def read_again(server: Postgres) -> None:
    """Its files, pg_hba.conf too; returns when it has."""
    loaded = "SELECT pg_conf_load_time()"
    before = server.sql(loaded)
    server.sql("SELECT pg_reload_conf()")
    server.until(lambda: server.sql(loaded) != before, "it has read its files")


async def look(server: Postgres) -> Seen:
    """What it says now."""
    return await postgres.look(server.address, PORT, **HOW)


async def until(server: Postgres, true: Callable[[Seen], bool]) -> Seen:
    """What it says once that holds."""
    end = time.monotonic() + WITHIN
    while True:
        with contextlib.suppress(PostgresError):
            seen = await look(server)
            if true(seen):
                return seen
        assert time.monotonic() < end, server.log
        await asyncio.sleep(0.02)


async def caught_up(server: Postgres, source: Postgres) -> Seen:
    """What a standby says once it has replayed all that its source has."""
    wanted = (await look(source)).position
    return await until(server, lambda seen: seen.settled and seen.position >= wanted)


class Wire:
    """A connection between a standby and its primary, which can be cut in the middle of a message."""

    def __init__(self) -> None:
        self.port = 0
        self.left: int | None = None
        """Bytes that still go through to the standby; None: all."""
        self.cut = asyncio.Event()
        """They have gone through."""

    @asynccontextmanager
    async def between(self, address: str, there: tuple[str, int]) -> AsyncIterator[str]:
        """Listens at an address, and goes on to ``there``."""
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self.left != 0:
                    far_reader, far_writer = await asyncio.open_connection(*there)
                    try:
                        up = asyncio.create_task(self._copy(reader, far_writer))
                        await self._copy(far_reader, writer, counted=True)
                    finally:
                        up.cancel()
                        await asyncio.gather(up, return_exceptions=True)
                        far_writer.close()
            writer.close()
            tasks.discard(task)

        listening = await asyncio.start_server(serve, address, 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield address
        finally:
            listening.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while data := await reader.read(1 << 14):
            if counted and self.left is not None:
                data = data[: self.left]
                self.left -= len(data)
            writer.write(data)
            await writer.drain()
            if counted and self.left == 0:
                self.cut.set()
                return
