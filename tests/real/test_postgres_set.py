"""Sets of real Postgres: they form, restart, lose disks, switch over and part, and lose no acknowledged row."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.postgres_scenes import PATIENT, formed, primaries, settled, sql, switched, sysid, timeline, writing
from tests.real.scenes import MakeLab, consent_in, decided, did, stays


@pytest.mark.row(1, 3, 4)
async def test_a_set_forms_restarts_and_clones_a_lost_disk(make_lab: MakeLab, every_postgres: Server) -> None:
    """Three form one cluster, and a writer runs: the primary's server is killed, its Pod crashes, a standby loses its
    disk, all crash at once. The last primary takes the writes again each time, on a new timeline.
    """
    async with make_lab(every_postgres) as lab:
        cluster = await formed(lab)
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [1, 1, 1]
        assert await timeline(lab, 0) == 2
        async with writing(lab) as writer:
            lab.kill(0)
            await lab.until("its container was restarted", lambda: _restarted(lab, 0))
            await writer.grows()
            await settled(lab, 0)
            await lab.crash(0)
            await writer.grows()
            await lab.wipe(1)
            await lab.until_ready(PATIENT)
            await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        assert await settled(lab, 0) == cluster
        assert await timeline(lab, 0) == 5
        assert {"join/join", "join/claimed"} <= set(decided(lab, 1))
        # A standby that was written to a moment ago may just connect anew.
        await lab.until("both slots are in use", partial(_in_use, lab, ["db_1", "db_2"]), PATIENT)


async def _in_use(lab: Lab, slots: list[str]) -> bool:
    return await sql(lab, 0, "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1") == slots


async def _restarted(lab: Lab, ordinal: int) -> bool:
    return lab.pods[ordinal].server.starts > 1


@pytest.mark.row(5, 9)
async def test_the_primarys_lost_disk_is_a_persons_business(make_lab: MakeLab, postgres: Server) -> None:
    """The seed's Pod comes back with an empty volume: it makes no second cluster, nobody is promoted by itself, and a
    person's word promotes the one that has most. With synchronous standbys no acknowledged row is missing.
    """
    async with make_lab(postgres, env={"PEERBOOT_POSTGRES_SYNCHRONOUS": "2"}) as lab:
        cluster = await formed(lab)
        async with writing(lab) as writer:
            await lab.wipe(0)
            await stays(lab, 0, "cluster-exists", "wait-for-all", "anchor-forbids")
            await stays(lab, 2, "no-primary")
            assert await primaries(lab) == []
            decision = await lab.until_rule(2, "no-primary")
            await lab.until("all are heard", lambda: _says(lab, 2, "its disk was lost"), PATIENT)
            plan = await lab.pods[2].run("postgres", "promote")
            assert (plan.returncode, "Nothing was done: add --yes." in plan.stdout) == (0, True)
            assert consent_in(decision["reason"])
            done = await lab.pods[2].run("postgres", "promote", "--yes")
            assert done.returncode == 0, done.stderr
            await writer.grows()
            assert await settled(lab, 2) == cluster
        assert did(lab, 0, "recorded birth") == 1


async def _says(lab: Lab, ordinal: int, words: str) -> bool:
    return words in str((await lab.decision(ordinal)).get("reason", ""))


@pytest.mark.row(11)
async def test_a_switchover_loses_no_row(make_lab: MakeLab, postgres: Server) -> None:
    """A person's word moves the writes to another Pod and back: the old primary follows without a rewind."""
    async with make_lab(postgres) as lab:
        await formed(lab)
        async with writing(lab) as writer:
            for target in (2, 0):
                await switched(lab, target)
                await lab.until("it takes the writes", partial(_takes, lab, target), PATIENT)
                await writer.grows()
                await settled(lab, target)
        assert await timeline(lab, 0) == 4
        assert [path.name for path in lab.volume(0).iterdir() if ".before-" in path.name] == []


async def _takes(lab: Lab, ordinal: int) -> bool:
    return await primaries(lab) == [ordinal]


@pytest.mark.row(7)
async def test_who_went_on_alone_is_rewound(make_lab: MakeLab, every_postgres: Server) -> None:
    """A primary wrote rows that nobody copied and vanished; a person promoted another one past it. When it comes back
    it is rewound, and what it had beyond is kept aside.
    """
    async with make_lab(every_postgres) as lab:
        await formed(lab)
        await sql(lab, 0, "CREATE TABLE public.mine (number int)")
        await lab.until("both have the table", partial(_have_the_table, lab, 1, 2))
        await asyncio.gather(*(lab.crash(ordinal, recreate=False) for ordinal in (1, 2)))
        # Processes of a server that was killed notice it a moment later, and may take in some more until then.
        await lab.until("nobody copies it", partial(_is_alone, lab, 0), PATIENT)
        await sql(lab, 0, "INSERT INTO public.mine SELECT generate_series(1, 1000)")
        await lab.crash(0, recreate=False)
        await asyncio.gather(lab.create(1), lab.create(2))
        best = await _with_most(lab, 1, 2)
        done = await lab.pods[best].run("postgres", "promote", "--yes")
        assert done.returncode == 0, done.stderr
        await lab.until_ready(PATIENT, only=(1, 2))
        async with writing(lab):
            await lab.create(0)
            await settled(lab, best)
        assert "resume/diverged" in decided(lab, 0)
        assert len([path for path in lab.volume(0).iterdir() if ".before-" in path.name]) == 1
        assert await sql(lab, 0, "SELECT count(*) FROM public.mine") == ["0"]


async def _have_the_table(lab: Lab, *ordinals: int) -> bool:
    said = [await sql(lab, ordinal, "SELECT to_regclass('public.mine') IS NOT NULL") for ordinal in ordinals]
    return all(lines == ["t"] for lines in said)


async def _is_alone(lab: Lab, ordinal: int) -> bool:
    return await sql(lab, ordinal, "SELECT count(*) FROM pg_stat_replication") == ["0"]


async def _with_most(lab: Lab, *ordinals: int) -> int:
    """Which of these Pods, once each has heard the other, has no less: of two that were killed one may have more."""
    reasons: dict[int, str] = {}

    async def heard() -> bool:
        for ordinal in ordinals:
            reasons[ordinal] = str((await lab.decision(ordinal)).get("reason", ""))
        return all("Not known of: db-0 (not in DNS). " in reason for reason in reasons.values())

    await lab.until("both say that only db-0 is silent", heard, PATIENT)
    return next(ordinal for ordinal in ordinals if "more than this one" not in reasons[ordinal])


@pytest.mark.row(8)
async def test_a_standby_that_was_promoted_by_hand_is_followed(make_lab: MakeLab, either_postgres: Server) -> None:
    """Somebody runs pg_promote on a standby while the primary lives: the older one stops, is rewound and follows."""
    async with make_lab(either_postgres) as lab:
        await formed(lab)
        await sql(lab, 1, "SELECT pg_promote()")
        await lab.until("one takes writes", lambda: _takes(lab, 1), PATIENT)
        await settled(lab, 1)
        assert "wait/two-primaries" in decided(lab, 0)
        async with writing(lab) as writer:
            await lab.crash(1)
            await writer.grows()
            await settled(lab, 1)


@pytest.mark.row(9)
async def test_best_when_full_promotes_without_a_person(make_lab: MakeLab, postgres: Server) -> None:
    """With that policy a primary's lost disk needs nobody: once all are heard the one that has most takes over."""
    env = {"PEERBOOT_POSTGRES_PROMOTE": "best-when-full", "PEERBOOT_POSTGRES_SYNCHRONOUS": "2"}
    async with make_lab(postgres, env=env) as lab:
        cluster = await formed(lab)
        async with writing(lab) as writer:
            await lab.wipe(0)
            await writer.grows()
            await lab.until_ready(PATIENT)
            assert sysid(lab, 0) == cluster
        assert await primaries(lab) in ([1], [2])
