"""Clients of a real Postgres through real HAProxy, PgBouncer and libpq, by the files that peerboot writes for them.

With ``-s`` each prints for how long its clients had no answer.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from peerboot.lab import routers
from peerboot.systems.postgres import routes
from peerboot.systems.postgres.routes import READ_PORT, WRITE_PORT, Routes
from peerboot.systems.postgres.settings import DEFAULT_HOST
from tests.postgres.test_config import made
from tests.real.postgres_routes import PODS, Rig, Session, Told, rig, until

STANDBY = "SELECT pg_is_in_recovery()"
ADDRESS = "SELECT inet_server_addr()"
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


async def until_it_answers(session: Session, query: str, expected: str) -> None:
    """That client, which may lose its connection meanwhile."""

    async def does() -> bool:
        return await session.ask(query) == expected

    await until(does, f"{query} is {expected}")


async def until_it_leads_to(r: Rig, port: int, expected: str) -> None:
    """``t``: a new client of that port of HAProxy's gets a standby, ``f``: the primary."""

    async def does() -> bool:
        session = r.proxied(port)
        answer = await session.ask(STANDBY)
        session.close()
        return answer == expected

    await until(does, f"port {port} leads to pg_is_in_recovery {expected}")


async def kept(r: Rig, told: Told, what: str) -> bool:
    """Whether the new primary has all rows that the client was told of."""
    print(f"{what}: {len(told.acked)} rows, {len(told.failed)} errors, {told.gap():.2f} s without an answer")
    return set(told.acked) <= await r.rows(f"host={r.config.host_of('pg-1')} dbname=app")


async def test_haproxy_follows_the_primary(short_root: Path) -> None:
    """Its file is the same before and after. A client loses its connection and has the new primary with the next one;
    reads go to the primary while no replica is there, and back to one that comes.
    """
    async with rig(short_root) as r:
        await r.write()
        before = (r.out / "haproxy.cfg").read_text()
        await r.route("haproxy")
        await r.answers(r.proxied(WRITE_PORT))
        await until_it_leads_to(r, READ_PORT, "t")
        async with r.writing(r.proxied(WRITE_PORT)) as told:
            await told.more()
            await r.switch()
            await told.more()
        assert (await kept(r, told, "HAProxy"), told.failed != []) == (True, True)
        await until_it_leads_to(r, READ_PORT, "f")
        await r.comes_back()
        await until_it_leads_to(r, READ_PORT, "t")
        await until_it_leads_to(r, WRITE_PORT, "f")
        await r.write()
        assert (r.out / "haproxy.cfg").read_text() == before


async def test_haproxy_takes_a_changed_file_and_no_wrong_one(short_root: Path) -> None:
    """Another Pod of the set is a new file, which it reads without a client's notice. One that it finds wrong it does
    not, and says so.
    """
    async with rig(short_root) as r:
        await r.write(("pg-0",))
        await r.route("haproxy")
        await r.answers(r.proxied(WRITE_PORT))
        async with r.writing(r.proxied(WRITE_PORT)) as told:
            await told.more()
            assert set(await r.write()) == {"haproxy.cfg", "pgbouncer.ini", "pg_service.conf"}
            await r.until_said("haproxy reads its file again")
            await until_it_leads_to(r, READ_PORT, "t")
            r.put("haproxy.cfg", "listen nonsense\n  bind :no-port\n")
            await r.until_said("HAProxy finds this wrong in its new file, and keeps the last one")
            await told.more()
            await r.answers(r.proxied(WRITE_PORT))
        assert told.failed == []


async def test_pgbouncer_that_is_paused_keeps_the_switch_from_its_clients(short_root: Path) -> None:
    """PAUSE, the switch, the new file, RELOAD, RESUME: clients wait, and none is told of an error."""
    async with rig(short_root) as r:
        await r.write()
        await r.bouncer("transaction")
        console = r.pooled("pgbouncer", "admin")
        one, two = (r.pooled() for _ in range(2))
        async with r.writing(one) as told, r.writing(two, 1_000_000) as more:
            await told.more()
            await more.more()
            assert await console.ask("PAUSE app") == ""
            await r.switch()
            await r.until_written("pgbouncer.ini")
            assert [await console.ask(f"{word}") for word in ("RELOAD", "RESUME app")] == ["", ""]
            await told.more()
            await more.more()
        assert (await kept(r, told, "PgBouncer, paused"), await kept(r, more, "another")) == (True, True)
        assert [*told.failed, *more.failed] == []


async def test_pgbouncer_follows_its_file(short_root: Path) -> None:
    """Nobody tells it: the primary is gone, and the new file leads to the next one, without a restart. Reads go to the
    primary where no replica is left.
    """
    async with rig(short_root) as r:
        await r.write()
        await r.bouncer("transaction")
        writer, reader = (r.pooled(name) for name in ("app", "app_ro"))
        assert await reader.ask(STANDBY) == "t"
        async with r.writing(writer) as told:
            await told.more()
            await r.switch()
            await r.until_written("pgbouncer.ini")
            await told.more()
        assert await kept(r, told, "PgBouncer, transaction")
        await until_it_answers(reader, STANDBY, "f")


async def test_pgbouncer_ends_sessions_with_a_former_primary(short_root: Path) -> None:
    """In session pools too: when the file names another server though the old one still answers, or when it is gone."""
    async with rig(short_root) as r:
        await r.write()
        await r.bouncer("session")
        session = r.pooled()
        first, second = (r.config.host_of(pod) for pod in PODS)
        assert await session.ask(ADDRESS) == first
        good = (r.out / "pgbouncer.ini").read_text()
        r.put("pgbouncer.ini", routes.pgbouncer(r.config, r.wanted, "pg-1", ["pg-0"]))
        await until_it_answers(session, ADDRESS, second)
        r.put("pgbouncer.ini", good)
        await until_it_answers(session, ADDRESS, first)
        async with r.writing(session) as told:
            await told.more()
            await r.switch()
            await r.until_written("pgbouncer.ini")
            await told.more()
        assert await kept(r, told, "PgBouncer, session")


async def test_libpq_finds_the_primary_by_itself(short_root: Path) -> None:
    """By the service file, under TLS with the server's name verified; through PgBouncer, too, the way to the server is
    encrypted.
    """
    async with rig(short_root, tls=True) as r:
        await r.write()
        await r.bouncer("transaction")
        pooled = r.pooled()
        env = {"PGSERVICEFILE": str(r.out / "pg_service.conf")}
        writer, reader = (r.session(f"service={name} dbname=app", **env) for name in ("pg", "pg_ro"))
        assert [await writer.ask(STANDBY), await reader.ask(STANDBY)] == ["f", "t"]
        assert [await one.ask(ENCRYPTED) for one in (writer, reader, pooled)] == ["t", "t", "t"]
        async with r.writing(writer) as told:
            await told.more()
            await r.switch()
            await told.more()
        assert (await kept(r, told, "libpq"), told.failed != []) == (True, True)


@pytest.mark.parametrize(
    ("wanted", "host", "more"),
    [
        (Routes(kinds=("haproxy",)), DEFAULT_HOST, ""),
        (Routes(kinds=("haproxy",), bind="::", family="ipv6"), "fd00::{ordinal}", ""),
        (
            Routes(kinds=("haproxy",)),
            DEFAULT_HOST,
            "global\n  maxconn 10\ndefaults\n  mode http\n  timeout client 1s\n",
        ),
    ],
    ids=["names", "ipv6", "own-options"],
)
def test_haproxy_finds_nothing_to_say(tmp_path: Path, wanted: Routes, host: str, more: str) -> None:
    """No error and no warning, alone and before a file with options of the user's own."""
    pods = ("pg-0", "pg-1", "pg-2")
    text = routes.files(made(PEERBOOT_POSTGRES_HOST=host), wanted, pods, {})["haproxy.cfg"]
    (tmp_path / "haproxy.cfg").write_text(text)
    (tmp_path / "own.cfg").write_text(more)
    command: Sequence[str] = [str(routers.find("haproxy").path), "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(  # noqa: S603 - the lab's HAProxy
        [*command, "-f", str(tmp_path / "own.cfg")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Configuration file is valid\n", "")
