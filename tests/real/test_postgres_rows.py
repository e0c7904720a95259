"""Rows of Postgres' decision table that a set does not come to by itself: late Pods, wrong volumes, half-made ones."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.postgres import SUPERUSER_PASSWORD, as_user
from peerboot.lab.servers import Server
from tests.real.postgres_scenes import PATIENT, formed, primaries, settled, sql, sysid, writing
from tests.real.scenes import MakeLab, decided, did, stays

ROOT = Path(__file__).parents[2]


def tool(server: Server, *command: str, given: str = "") -> None:
    """Run one of Postgres' programs as its user."""
    subprocess.run(  # noqa: S603 - the lab's own servers
        [*as_user(), str(server.path / "bin" / command[0]), *command[1:]], input=given.encode(), check=True, timeout=60,
        capture_output=True, env={"PATH": f"{server.path}/bin:/usr/bin:/bin", "LC_ALL": "C"},
    )  # fmt: skip


@pytest.mark.row(1)
async def test_a_late_pod_is_waited_for(make_lab: MakeLab, postgres: Server) -> None:
    """Two of three Pods are there: nothing forms until the third has said that its disk is blank, however long."""
    async with make_lab(postgres) as lab:
        await lab.start(only=(0, 1))
        await stays(lab, 0, "wait-for-all")
        await stays(lab, 1, "wait-for-all")
        assert [lab.data_dir(o).exists() for o in (0, 1)] == [False, False]
        await lab.create(2)
        await settled(lab, 0)


@pytest.mark.row(2)
async def test_a_half_made_directory_goes_aside(make_lab: MakeLab, postgres: Server) -> None:
    """Somebody's initdb was cut off in a standby's data directory: once it stayed so it goes aside, kept, and the Pod
    copies the primary.
    """
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        await lab.crash(1, recreate=False)
        shutil.rmtree(lab.data_dir(1))
        lab.data_dir(1).mkdir(mode=0o700)
        (lab.data_dir(1) / "PG_VERSION").write_text(postgres.version.partition(".")[0] + "\n")
        await lab.create(1)
        await lab.until_rule(1, "corrupt-replaced")
        assert await settled(lab, 0) == cluster
        kept = [path for path in lab.volume(1).iterdir() if ".aside-" in path.name]
        assert [path.name for one in kept for path in one.iterdir()] == ["PG_VERSION"]


@pytest.mark.row(6)
async def test_other_volumes_are_found_before_a_server_starts(make_lab: MakeLab, either_postgres: Server) -> None:
    """Data of another cluster on a Pod's volume, and another Pod's volume: neither starts, neither is touched."""
    async with make_lab(either_postgres) as lab:
        cluster = await formed(lab)
        await asyncio.gather(*(lab.crash(ordinal, recreate=False) for ordinal in (1, 2)))
        _moved(lab.data_dir(1), "mine")
        tool(either_postgres, "initdb", "-D", str(lab.data_dir(1)), "-U", "postgres", "-A", "trust", "--no-sync")
        _moved(lab.volume(2), "mine")
        shutil.copytree(lab.volume(1), lab.volume(2))
        await asyncio.gather(lab.create(1), lab.create(2))
        await stays(lab, 1, "foreign-data")
        await stays(lab, 2, "foreign-volume")
        assert [lab.pods[o].server.starts for o in (1, 2)] == [0, 0]
        assert sysid(lab, 1) != cluster
        assert await primaries(lab) == [0]


def _moved(path: Path, suffix: str) -> None:
    path.rename(path.with_name(f"{path.name}.{suffix}"))


@pytest.mark.row(8)
async def test_a_copy_that_went_on_by_itself_is_a_persons_business(make_lab: MakeLab, either_postgres: Server) -> None:
    """A standby's data was started by hand without its signal file, and wrote on the timeline of the primary: it is no
    copy any more, and pg_rewind cannot see it. A person's word sets it aside, and it is copied anew.
    """
    async with make_lab(either_postgres) as lab:
        cluster = await formed(lab)
        await lab.crash(1, recreate=False)
        (lab.data_dir(1) / "standby.signal").unlink()
        (lab.data_dir(1) / "postmaster.pid").unlink(missing_ok=True)
        rows = "CREATE TABLE public.mine AS SELECT generate_series(1, 100000) AS number;\n"
        tool(either_postgres, "postgres", "--single", "-D", str(lab.data_dir(1)), "postgres", given=rows)
        await lab.create(1)
        await stays(lab, 1, "same-timeline")
        assert lab.pods[1].server.starts == 0
        shown = await lab.pods[1].run("postgres", "rebuild")
        assert (shown.returncode, "Nothing was done: add --yes." in shown.stdout) == (0, True)
        done = await lab.pods[1].run("postgres", "rebuild", "--yes")
        assert done.returncode == 0, done.stderr
        assert await settled(lab, 0) == cluster
        assert did(lab, 1, "moved the data aside") == 1
        assert await sql(lab, 1, "SELECT count(*) FROM pg_class WHERE relname = 'mine'") == ["0"]
        # What was set aside can be read, as the page of the system says it.
        assert _rows_kept(either_postgres, lab) == "100000"


def _rows_kept(server: Server, lab: Lab) -> str:
    page = (ROOT / "peerboot/systems/postgres/README.md").read_text()
    copied, started, asked = page.partition("```sh\ncopy=")[2].partition("\n```")[0].splitlines()
    script = [
        "set -e", f"copy={copied}", started, 'until pg_isready -q -h "$copy" -p 5433; do sleep 0.1; done',
        f'{asked.partition("    #")[0]} -d postgres -XAtqc "$QUESTION"', "kill -INT $! && wait",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - the lab's own servers
        [*as_user(), "sh", "-c", "\n".join(script)], check=True, timeout=60, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, env={
            "PATH": f"{server.path}/bin:/usr/bin:/bin", "LC_ALL": "C",
            "PGDATA": str(lab.data_dir(1)), "PGPASSWORD": SUPERUSER_PASSWORD,
            "QUESTION": "SELECT count(*) FROM public.mine",
        },
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


@pytest.mark.row(10)
async def test_a_set_grows(make_lab: MakeLab, postgres: Server) -> None:
    """A fourth Pod copies the primary at once; when all know of it, it has a slot."""
    async with make_lab(postgres) as lab:
        await formed(lab)
        async with writing(lab):
            more = {"PEERBOOT_REPLICAS": "4"}
            lab.pod_env.update({ordinal: dict(more) for ordinal in range(4)})
            shutil.copy(lab.secret_file(0), lab.secret_file(3))
            await lab.create(3)
            await lab.until_ready(PATIENT, only=(3,))
            for ordinal in (2, 1, 0):
                await lab.crash(ordinal)
                await lab.until_ready(PATIENT, only=range(4))
            await _until_slots(lab, ["db_1", "db_2", "db_3"])
        assert "join/claimed" in decided(lab, 3)


async def _until_slots(lab: Lab, expected: Sequence[str]) -> None:
    async def there() -> bool:
        found = await sql(lab, 0, "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1")
        return found == list(expected)

    await lab.until(f"slots {expected} are used", there, PATIENT)


@pytest.mark.row(5)
async def test_a_backup_is_restored(make_lab: MakeLab, postgres: Server) -> None:
    """As the page of the example says: a base backup of a standby becomes the data of ordinal 0, all other volumes are
    empty, and a person's word lets it take the writes; the others copy it, and all rows of the backup are there.
    """
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        await sql(lab, 0, "CREATE TABLE public.mine AS SELECT generate_series(1, 1000) AS number")

        async def copied() -> bool:
            return await sql(lab, 1, "SELECT count(*) FROM pg_class WHERE relname = 'mine'") == ["1"]

        await lab.until("the standby has it", copied, PATIENT)
        source = f"host={lab.pods[1].spec.address} user=postgres password='{SUPERUSER_PASSWORD}'"
        backup = lab.spec.root / "backup"
        await asyncio.to_thread(
            tool, postgres, "pg_basebackup", "-d", source, "-D", str(backup), "-X", "fetch", "--checkpoint=fast"
        )
        for ordinal in lab.ordinals:
            await lab.wipe(ordinal, recreate=False)
        lab.volume(0).mkdir()
        backup.rename(lab.data_dir(0))
        await asyncio.gather(*(lab.create(ordinal) for ordinal in lab.ordinals))

        async def promoted() -> bool:
            return (await lab.pods[0].run("postgres", "promote", "--yes")).returncode == 0

        await lab.until("a person's word is taken", promoted, PATIENT)
        assert await settled(lab, 0) == cluster
        assert await sql(lab, 2, "SELECT count(*) FROM public.mine") == ["1000"]
