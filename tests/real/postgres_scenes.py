"""What scenarios with sets of real Postgres share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from peerboot.lab.cluster import Lab
from peerboot.lab.postgres_client import PATIENT, Writer, primaries, sql
from peerboot.systems.postgres import datadir

__all__ = ("PATIENT", "Writer", "formed", "primaries", "settled", "sql", "switched", "sysid", "timeline", "writing")


async def formed(lab: Lab) -> str:
    """Create all Pods and wait until all serve; returns the system identifier."""
    await lab.start()
    await lab.until_ready(PATIENT)
    return await settled(lab, 0)


async def settled(lab: Lab, primary: int) -> str:
    """All serve, that Pod's server and no other takes writes, and all are of one cluster, which is returned."""
    await lab.until_ready(PATIENT)
    assert await primaries(lab) == [primary]
    found = {sysid(lab, ordinal) for ordinal in lab.ordinals}
    assert len(found) == 1
    return found.pop()


def sysid(lab: Lab, ordinal: int) -> str:
    """The system identifier on a Pod's disk."""
    control = datadir.read(lab.data_dir(ordinal)).control
    return control.sysid if control is not None else ""


async def switched(lab: Lab, target: int) -> None:
    """A person's word moves the writes; given again while a Pod that has just come back has a new address."""

    async def taken() -> bool:
        return (await lab.pods[target].run("postgres", "switchover", "--yes")).returncode == 0

    await lab.until(f"a switchover to {target} is accepted", taken, PATIENT)


async def timeline(lab: Lab, ordinal: int) -> int:
    """Of a server that takes writes."""
    found = await sql(lab, ordinal, "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")
    return int(found[0])


@asynccontextmanager
async def writing(lab: Lab) -> AsyncIterator[Writer]:
    """Rows are written while the block runs; at the end no server that is there may miss an acknowledged one."""
    writer = Writer(lab)
    await writer.start()
    try:
        await writer.grows()
        yield writer
        await writer.grows()
    finally:
        await writer.stop()
    for ordinal in sorted(lab.pods):
        await lab.until(f"{ordinal} has all", partial(_has_all, writer, ordinal), PATIENT)


async def _has_all(writer: Writer, ordinal: int) -> bool:
    return await writer.missing(ordinal) == []
