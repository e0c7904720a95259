"""Two real Postgres servers, a real HAProxy or PgBouncer before them, and clients that note what they are told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from peerboot.lab import routers
from peerboot.lab.network import Network, dying_with_parent
from peerboot.lab.postgres import as_user, find
from peerboot.model import Identity
from peerboot.roles import Role
from peerboot.serve import Serve
from peerboot.systems.postgres import routes
from peerboot.systems.postgres.config import Pair, PostgresConfig
from peerboot.systems.postgres.routes import Routes
from tests.postgres.server import PORT, Postgres
from tests.shape import pages
from tests.shape.pages import ROOT

WITHIN = 60.0
PODS = ("pg-0", "pg-1")
BOUNCER_PORT = 6432
LOOK = """SELECT pg_is_in_recovery(), COALESCE((SELECT status FROM pg_stat_wal_receiver), ''),
    COALESCE(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint, 0)"""
USERS = {"app": "its password", "admin": "another"}
"""Roles with a password; ``postgres`` has none, and is let in without."""
HBA_APP = "host all app 127.0.0.0/8 scram-sha-256\n"


def of_the_page() -> tuple[str, str]:
    """What docs/postgres-clients.md shows: the user's own ``pgbouncer.ini``, and the query for ``users.txt``."""
    text = (ROOT / "docs/postgres-clients.md").read_text()
    [own] = pages.blocks(text, "ini")
    [query] = [command for command, _ in pages.commands(text) if "pg_authid" in command]
    return own, query.partition('-AtXc "')[2].removesuffix('"').replace('\\"', '"')


async def until(what: Callable[[], Awaitable[bool]], says: str) -> None:
    """Poll; raises ``TimeoutError``."""
    end = time.monotonic() + WITHIN
    while not await what():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {WITHIN:g} s: {says}")
        await asyncio.sleep(0.05)


@dataclass
class Told:
    """What a client was told, one query after the other."""

    acked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When it was acknowledged."""

    async def more(self, count: int = 5) -> None:
        """Until so many more are acknowledged."""
        wanted = len(self.acked) + count

        async def are() -> bool:
            return len(self.acked) >= wanted

        await until(are, f"{count} more rows; failed: {self.failed}")

    def gap(self) -> float:
        """The longest time without one, in seconds; for people who run this with ``-s``."""
        return max((later - earlier for earlier, later in pairwise(self.times)), default=0.0)


class Session:
    """psql as a client that connects once, and again when it has lost its connection."""

    def __init__(self, program: str, place: str, env: Mapping[str, str]) -> None:
        self._command = [*dying_with_parent(), program, "-X", "-q", "-A", "-t", "-d", place]
        self._env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5", **env}
        self._process: subprocess.Popen[str] | None = None
        self._count = 0

    async def ask(self, query: str) -> str:
        """The answer's lines, with what psql complains of; ends with ``lost`` when its connection did."""
        return await asyncio.to_thread(self._ask, query)

    def _ask(self, query: str) -> str:
        process = self._process or subprocess.Popen(  # noqa: S603 - the lab's psql
            self._command, env=self._env, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._count += 1
        end, lines = f"end-{self._count}", list[str]()
        # psql ends by itself when it has no connection, and says why.
        with suppress(BrokenPipeError):
            process.stdin.write(f"{query};\n\\echo {end}\n")
        for line in process.stdout:
            if line.strip() == end:
                return "\n".join(lines)
            lines.append(line.strip())
        self.close()
        return "\n".join([*lines, "lost"])

    def close(self) -> None:
        """End it; an answer that is waited for is lost."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    assert pipe is not None
                    pipe.close()


@dataclass(frozen=True)
class _View:
    """Nothing but the role is asked for here."""

    role: Callable[[], Awaitable[Role]]


class Rig:
    """pg-0 takes writes, pg-1 copies it; each has the role endpoints that its peerboot would have."""

    def __init__(self, root: Path, network: Network, stack: AsyncExitStack, *, tls: bool) -> None:
        self.root, self.out, self.network, self._stack = root, root / "out", network, stack
        self.out.mkdir()
        self.release = find()
        self.config = PostgresConfig(
            identity=Identity(
                namespace="prod", service="pg", statefulset="pg", pod="pg-0", ordinal=0, system="postgres",
                domain="cluster.local", replicas=len(PODS),
            ),
            data_dir=str(root / "data"), output_dir=str(self.out), port=PORT, host=network.peer_host, password="x",
            pair=Pair(certificate="", key="", authority="") if tls else None,
        )  # fmt: skip
        self.front = network.another()
        self.wanted = Routes(kinds=routes.KINDS, databases=("app",), bind=self.front)
        self.servers: dict[str, Postgres] = {}
        self._looks: dict[str, tuple[float, Role]] = {}
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Both servers, with the second streaming, and the database ``app``."""
        first = Postgres(self.release, self.root / "pg-0", self.config.host_of("pg-0"))
        self.servers["pg-0"] = first
        await asyncio.to_thread(first.init)
        hba = first.data_dir / "pg_hba.conf"
        hba.write_text(HBA_APP + hba.read_text())
        await self.serve("pg-0")
        settings = self._tls() if self.config.tls else {}
        await asyncio.to_thread(lambda: first.start(**settings))
        await asyncio.to_thread(first.until_it_answers)
        await asyncio.to_thread(first.sql, "CREATE DATABASE app")
        self.servers["pg-1"] = await asyncio.to_thread(
            first.clone, self.root / "pg-1", self.config.host_of("pg-1"), "-R"
        )
        await self.serve("pg-1")
        await asyncio.to_thread(lambda: self.servers["pg-1"].start(**settings))
        await until(lambda: self.is_role("pg-1", "replica"), "pg-1 streams")
        session = self.session(f"host={self.config.host_of('pg-0')} dbname=app")
        roles_made = [f"CREATE ROLE {name} LOGIN PASSWORD '{password}'" for name, password in USERS.items()]
        for query in ("CREATE TABLE t (n int)", *roles_made, "GRANT ALL ON t TO app"):
            assert await session.ask(query) == ""

    def _tls(self) -> dict[str, str]:
        """A certificate for both, signed by itself; the server's settings for it."""
        key, certificate = self.root / "tls.key", self.out / "ca.crt"
        names = ",".join(f"IP:{self.config.host_of(pod)}" for pod in PODS)
        subprocess.run(  # noqa: S603 - a fixed program, no shell
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",  # noqa: S607
             "-subj", "/CN=pg", "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        key.chmod(0o600)
        return {"ssl": "on", "ssl_key_file": str(key), "ssl_cert_file": str(certificate)}

    # ------------------------------------------------------------ roles

    async def role(self, pod: str) -> Role:
        """By a look that is a second old at most, as peerboot has it."""
        at, role = self._looks.get(pod, (0.0, Role(pod=pod, system="postgres")))
        if time.monotonic() - at > 1.0:
            role = await asyncio.to_thread(self._look, pod)
            self._looks[pod] = (time.monotonic(), role)
        return role

    def _look(self, pod: str) -> Role:
        try:
            standby, status, lag = self.servers[pod].sql(LOOK).split("|")
        except AssertionError:
            return Role(pod=pod, system="postgres", why="it does not answer")
        streams = status == "streaming"
        return Role(
            pod=pod, system="postgres", up=True, serves=standby == "f" or streams, leads=standby == "f",
            streams=streams, lag=int(lag), sync="async", why="it does not stream",
        )  # fmt: skip

    async def is_role(self, pod: str, expected: routes.Role) -> bool:
        """Whether that is its role by now."""
        return (await self.known())[pod] == expected

    async def known(self) -> dict[str, routes.Role]:
        """All roles."""
        found: dict[str, routes.Role] = {}
        for pod in self.servers:
            role = await self.role(pod)
            found[pod] = "primary" if role.leads else "replica" if role.serves else "unknown"
        return found

    async def serve(self, pod: str) -> None:
        """peerboot's own server on its ports of that Pod."""
        host, view = self.config.host_of(pod), _View(lambda: self.role(pod))
        served = Serve(cast(Any, view))
        self._stack.push_async_callback(served.stop)
        await served.start(f"{host}:7070", f"{host}:{self.wanted.roles_port}", "")

    # ---------------------------------------------------------- routers

    async def write(self, pods: Sequence[str] = PODS) -> list[str]:
        """As peerboot does: what has changed, each file whole. Their names."""
        made = routes.files(self.config, self.wanted, pods, await self.known())
        changed = [
            name for name in made if not (self.out / name).exists() or (self.out / name).read_text() != made[name]
        ]
        for name in changed:
            self.put(name, made[name])
        return changed

    def put(self, name: str, text: str) -> None:
        """Write one file whole."""
        (self.out / f".{name}").write_text(text)
        (self.out / f".{name}").rename(self.out / name)

    async def until_written(self, name: str) -> None:
        """Write until that file has changed."""

        async def has_changed() -> bool:
            return name in await self.write()

        await until(has_changed, f"{name} changes")

    async def until_said(self, part: str) -> None:
        """Until a router has printed that."""

        async def is_said() -> bool:
            return part in self.said()

        await until(is_said, f"{part!r} is said")

    async def route(self, name: str, *arguments: str) -> None:
        """``router.sh`` of that program in the background."""
        program = routers.find(name).path
        user = as_user() if name == "pgbouncer" else ()
        with (self.root / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *user, *dying_with_parent(), "sh", str(self.out / routes.ROUTER_NAME), name, *arguments,
                env={"PATH": f"{program.parent}:/usr/bin:/bin"}, cwd="/", stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        self._stack.push_async_callback(self._end, process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def bouncer(self, mode: str) -> None:
        """PgBouncer with the page's file and users; returns when it answers."""
        own, query = of_the_page()
        both = query.replace("= 'app'", "IN ('app', 'admin')")
        users = await self.session(f"host={self.config.host_of('pg-0')} dbname=app").ask(both)
        (self.out / "users.txt").write_text(f"{users}\n")
        for shown, here in {
            "listen_addr = *": f"listen_addr = {self.front}", "/etc/pgbouncer/users": str(self.out),
            "/run/peerboot": str(self.out), "pool_mode = transaction": f"pool_mode = {mode}",
        }.items():  # fmt: skip
            assert shown in own
            own = own.replace(shown, here)
        (self.root / "own.ini").write_text(own)
        await self.route("pgbouncer", str(self.root / "own.ini"))
        await self.answers(self.pooled())

    def pooled(self, database: str = "app", user: str = "app") -> Session:
        """A client of PgBouncer's."""
        place = f"host={self.front} port={BOUNCER_PORT} dbname={database} user={user}"
        return self.session(place, PGPASSWORD=USERS[user])

    def proxied(self, port: int) -> Session:
        """A client of HAProxy's."""
        return self.session(f"host={self.front} port={port} dbname=app")

    async def answers(self, session: Session) -> None:
        """Until that client gets in."""

        async def does() -> bool:
            return await session.ask("SELECT 1") == "1"

        try:
            await until(does, "it answers")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.said()}") from None

    def said(self) -> str:
        """What the routers have printed."""
        paths = [self.root / f"{name}.log" for name in routers.SOURCES]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    # ---------------------------------------------------------- clients

    def session(self, place: str, **env: str) -> Session:
        """A client; as the superuser if the place names no user."""
        made = Session(f"{self.release.path}/bin/psql", f"user=postgres {place}", env)
        self._stack.callback(made.close)
        return made

    @asynccontextmanager
    async def writing(self, session: Session, first: int = 0) -> AsyncIterator[Told]:
        """Rows inserted one after the other meanwhile, without a pause but after an error."""
        told, goes_on = Told(), True

        async def write() -> None:
            number = first
            while goes_on:
                number += 1
                answer = await session.ask(f"INSERT INTO t VALUES ({number}) RETURNING n")  # noqa: S608 - a number
                good = answer == str(number)
                (told.acked if good else told.failed).append(answer)
                if good:
                    told.times.append(time.monotonic())
                await asyncio.sleep(0.01 if good else 0.1)

        task = asyncio.create_task(write())
        try:
            yield told
        finally:
            goes_on = False
            done, _ = await asyncio.wait([task], timeout=WITHIN)
            if not done:
                session.close()
            await task

    async def rows(self, place: str) -> set[str]:
        """What is in the table there."""
        return set((await self.session(place).ask("SELECT n FROM t")).split())

    # ------------------------------------------------------- a switchover

    async def switch(self) -> None:
        """pg-0 stops, and pg-1, which has all that it had, takes the writes."""
        await asyncio.to_thread(self.servers["pg-0"].stop)
        await asyncio.to_thread(self.servers["pg-1"].promote)

    async def comes_back(self) -> None:
        """pg-0 copies pg-1 from now on."""
        server, primary = self.servers["pg-0"], self.config.host_of("pg-1")
        (server.data_dir / "standby.signal").touch()
        conninfo = f"host={primary} port={PORT} user=postgres"
        await asyncio.to_thread(lambda: server.start(primary_conninfo=conninfo))
        await until(lambda: self.is_role("pg-0", "replica"), "pg-0 streams")


@asynccontextmanager
async def rig(root: Path, *, tls: bool = False) -> AsyncIterator[Rig]:
    """Two servers that run."""
    async with AsyncExitStack() as stack:
        network = Network()
        stack.callback(network.close)
        made = Rig(root, network, stack, tls=tls)
        try:
            await made.start()
            yield made
        finally:
            for server in made.servers.values():
                server.kill()
