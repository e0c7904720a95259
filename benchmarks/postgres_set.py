"""How long a set of Postgres takes to form, and a lost standby to be back, against the same steps by hand and Patroni.

``python -m benchmarks.postgres_set [RUNS [MEGABYTES]]``; the rows of the second measurement take so much room. By hand
is the shortest script that does it: Pod 0 runs initdb and starts, the others run pg_basebackup until it succeeds, and
start. It knows who is the primary, so it would make a second cluster where Pod 0 loses its disk. Patroni has its etcd
running before, and its own intervals. All run in the same lab with the same settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import patroni
from benchmarks.tables import AS_IN_THE_IMAGE, show, spread
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Container
from peerboot.lab.errors import LabError
from peerboot.lab.pod import PodSpec
from peerboot.lab.postgres import SUPERUSER_PASSWORD, find
from peerboot.lab.servers import Server
from peerboot.outside import postgres
from peerboot.outside.postgres import PostgresError
from peerboot.systems.postgres import texts
from peerboot.systems.postgres.config import GRANTS, ROLE

Times = tuple[float, float, float]
"""Seconds until the primary is writable, until all standbys stream, and from a lost disk's new Pod until then."""
Make = Callable[[PodSpec, str], Container]

SIZE = 3
BOUND = 300.0
ENDS = 20.0
"""Seconds for a container to end by itself: Patroni's server has a session of its own, and Patroni alone ends it."""
PASSWORD = "a password of the lab"  # noqa: S105 - its servers listen on loopback, and hold nothing
SCRIPT = """set -eu
export LC_ALL=C PGPASSWORD='{password}'
if [ ! -e {data}/PG_VERSION ]; then
    if [ {ordinal} = 0 ]; then
        printf '%s\\n' '{superuser}' >{run}/superuser
        initdb -D {data} -U postgres --encoding=UTF8 -A scram-sha-256 --pwfile={run}/superuser --data-checksums \\
            --locale=C.UTF-8 >/dev/null
        printf '%s\\n' 'host all all all scram-sha-256' 'host replication all all scram-sha-256' >>{data}/pg_hba.conf
        postgres --single -D {data} postgres <{run}/roles.sql >/dev/null
    else
        until pg_basebackup -d 'host={source} user={role}' -D {data} -R -X stream --checkpoint=fast -w 2>/dev/null
        do sleep 0.2; rm -rf {data}; done
    fi
fi
exec postgres -D {data} -c listen_addresses={address} -c config_file={data}/postgresql.conf -c shared_buffers=16MB \\
    -c unix_socket_directories= -c wal_keep_size=512MB -c wal_log_hints=on -c wal_retrieve_retry_interval=1s
"""


async def until(true: Callable[[], Awaitable[bool]], began: float) -> float:
    """Seconds since ``began`` at which something became so."""
    while not await true():
        if time.monotonic() - began > BOUND:
            raise LabError(f"not within {BOUND:g} s")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def seen(address: str) -> postgres.Seen | None:
    """What a server says, None while it does not."""
    with contextlib.suppress(PostgresError):
        return await postgres.look(address, 5432, password=PASSWORD, tls=None, timeout=2.0)
    return None


async def writable(address: str) -> bool:
    """Whether a server takes writes."""
    found = await seen(address)
    return found is not None and not found.standby


async def copied(address: str, count: int) -> bool:
    """Whether so many standbys stream from it; a copy that is being made does too."""
    found = await seen(address)
    there = [one for one in found.streams if one.name != "pg_basebackup"] if found is not None else []
    return sum(one.state == "streaming" for one in there) >= count


async def fill(lab_server: Server, address: str, megabytes: int) -> None:
    """Rows that take so much room."""
    rows = str(megabytes * 1024)
    text = (
        "CREATE TABLE public.filler (number int, rest text); ALTER TABLE public.filler ALTER rest SET STORAGE PLAIN; "
        "INSERT INTO public.filler SELECT i, repeat('x', 1000) || i FROM generate_series(1, :rows) AS i;\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(lab_server.path / "bin" / "psql"), "-X", "-q", "-v", f"rows={rows}", "-v", "ON_ERROR_STOP=1",
        f"host={address} user=postgres dbname=postgres", env={"PGPASSWORD": SUPERUSER_PASSWORD},
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await process.communicate(text.encode())
    if process.returncode:
        raise LabError("the rows could not be written")


async def any_writable(addresses: Sequence[str]) -> bool:
    """Whether one of them takes writes."""
    return any(await asyncio.gather(*(writable(address) for address in addresses)))


async def rest() -> None:
    """Until the primary has noticed, and all that was written before is on the disk: it is not what is measured."""
    await asyncio.sleep(4)
    await asyncio.to_thread(os.sync)


async def with_peerboot(server: Server, root: Path, megabytes: int) -> Times:
    """By peerboot."""
    async with Lab(LabSpec(root=root, server=server, replicas=SIZE, peerboot=AS_IN_THE_IMAGE)) as lab:
        began = time.monotonic()
        first = lab.pods[0].spec.address
        wrote = await until(lambda: writable(first), began)
        formed = await until(lambda: copied(first, SIZE - 1), began)
        await lab.until_ready(BOUND)
        await fill(server, first, megabytes)
        await lab.wipe(1, recreate=False)
        await rest()
        began = time.monotonic()
        await lab.create(1)
        return wrote, formed, await until(lambda: copied(first, SIZE - 1), began)


def roles() -> str:
    """The role by which servers are copied and asked."""
    made = f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD {texts.literal(texts.verifier(PASSWORD, bytes(16)))};"
    return "\n".join([made, *(line.format(role=ROLE) for line in GRANTS)]) + "\n"


def by_hand(spec: PodSpec, source: str) -> Container:
    """The container of a Pod whose script a person wrote."""
    run = spec.directory / "run"
    run.mkdir(parents=True, exist_ok=True)
    spec.volume.mkdir(parents=True, exist_ok=True)
    (run / "roles.sql").write_text(roles())
    text = SCRIPT.format(
        password=PASSWORD, superuser=SUPERUSER_PASSWORD, data=spec.volume / "pgdata", run=run, ordinal=spec.ordinal,
        source=source, role=ROLE, address=spec.address,
    )  # fmt: skip
    (run / "start.sh").write_text(text)
    log = spec.logs / f"{spec.name}.log"
    return Container("server", (*spec.server[:-1], f"{run}/start.sh"), dict(spec.server_env), log, spec.timing)


async def of_others(lab: Lab, servers: dict[int, Container], make: Make, megabytes: int) -> Times:
    """The same without peerboot: ``make`` gives the container of a Pod, whatever runs in it."""
    specs = [await lab.pod_spec(ordinal) for ordinal in lab.ordinals]
    addresses = [spec.address for spec in specs]
    for spec in specs:
        servers[spec.ordinal] = make(spec, addresses[0])
    began = time.monotonic()
    for container in servers.values():
        container.start()
    wrote = await until(lambda: any_writable(addresses), began)
    (first,) = [address for address in addresses if await writable(address)]
    formed = await until(lambda: copied(first, SIZE - 1), began)
    await fill(lab.spec.server, first, megabytes)
    lost = next(spec for spec in specs if spec.address != first)
    await servers.pop(lost.ordinal).stop(ENDS)
    shutil.rmtree(lost.volume)
    await rest()
    servers[lost.ordinal] = make(lost, first)
    began = time.monotonic()
    servers[lost.ordinal].start()
    return wrote, formed, await until(lambda: copied(first, SIZE - 1), began)


@asynccontextmanager
async def bare(server: Server, root: Path) -> AsyncIterator[tuple[Lab, dict[int, Container]]]:
    """A lab without Pods, and the containers that are ended with it."""
    lab = Lab(LabSpec(root=root, server=server, replicas=SIZE))
    servers: dict[int, Container] = {}
    await lab.start(only=())
    try:
        yield lab, servers
    finally:
        await asyncio.gather(*(container.stop(ENDS) for container in servers.values()))
        await lab.stop()


async def with_a_script(server: Server, root: Path, megabytes: int) -> Times:
    """By hand."""
    async with bare(server, root) as (lab, servers):
        return await of_others(lab, servers, by_hand, megabytes)


async def with_patroni(server: Server, root: Path, megabytes: int) -> Times:
    """By Patroni, whose etcd runs before."""
    async with bare(server, root) as (lab, servers):
        spec = await lab.pod_spec(SIZE)
        async with patroni.an_etcd(spec, spec.address) as etcd:

            def make(pod: PodSpec, _source: str) -> Container:
                return patroni.agent(pod, server, etcd, PASSWORD, roles())

            try:
                return await of_others(lab, servers, make, megabytes)
            finally:
                # Before their etcd, without which they end nothing.
                await asyncio.gather(*(container.stop(ENDS) for container in servers.values()))


WAYS: dict[str, Callable[[Server, Path, int], Awaitable[Times]]] = {
    "with peerboot": with_peerboot, "by hand": with_a_script, "with Patroni": with_patroni,
}  # fmt: skip


async def measure(runs: int, megabytes: int) -> None:
    """All ways in turn."""
    server = find()
    patroni.provide()
    found: dict[str, list[Times]] = {name: [] for name in WAYS}
    for _ in range(runs):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory(prefix="pb-") as root:
                found[name].append(await way(server, Path(root), megabytes))
    rows = [["", *WAYS, "to by hand", "to Patroni"]]
    names = (
        "all Pods started to primary writable",
        "all Pods started to all standbys streaming",
        f"lost disk of {megabytes} MB: new Pod to streaming",
    )
    for number, name in enumerate(names):
        each = {way: [run[number] for run in times] for way, times in found.items()}
        ours, hand, theirs = (statistics.median(times) for times in each.values())
        rows.append([name, *map(spread, each.values()), f"{ours / hand:.2f}", f"{ours / theirs:.2f}"])
    show(f"Seconds, {SIZE} Pods, Postgres {server.version}; median, least and greatest of {runs}; ratios", rows)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    asyncio.run(measure(*(given + [3, 1000][len(given) :])[:2]))
