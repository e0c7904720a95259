"""Copies that fail half-way, with the whole product around them: each says why, leaves nothing behind, and comes about
by itself once the cause is gone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.postgres_scenes import PATIENT, formed, primaries, settled, sql, writing
from tests.real.scenes import MakeLab, did
from tests.real.test_postgres_refused import INNER, SMALL

ROWS = "CREATE TABLE public.filler AS SELECT i, repeat('x', 1000) AS rest FROM generate_series(1, {}) AS i"
COPYING = """#!/bin/sh
# pg_basebackup, on a volume of {small} while the file says so.
if [ -e {switch} ]; then
    volume=$(cat {switch})
    set -- {wrapped} "$volume" {inner} {program} "$@"
    exec "$@"
fi
exec {program} "$@"
"""


def quoted(*words: str) -> str:
    """For sh."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


def with_a_small_volume(server: Server, root: Path) -> tuple[Server, Path]:
    """The same server; while the file that is returned names a volume, its pg_basebackup finds that one full soon."""
    home, switch = root / "home", root / "small"
    home.mkdir()
    (home / "bin").mkdir()
    for program in (server.path / "bin").iterdir():
        (home / "bin" / program.name).symlink_to(program)
    copying = home / "bin/pg_basebackup"
    copying.unlink()
    text = COPYING.format(
        small="30 MiB", switch=quoted(str(switch)), wrapped=quoted(*SMALL), inner=quoted(*INNER),
        program=quoted(str(server.path / "bin/pg_basebackup")),
    )  # fmt: skip
    copying.write_text(text)
    copying.chmod(0o755)
    return dataclasses.replace(server, path=home), switch


async def says(lab: Lab, ordinal: int, *words: str) -> None:
    """Until ``peerboot status`` there has these words."""
    shown = ""

    async def there() -> bool:
        nonlocal shown
        shown = (await lab.pods[ordinal].run("status")).stdout
        return all(word in shown for word in words)

    try:
        await lab.until(f"{lab.pod_name(ordinal)} says {words}", there, PATIENT)
    except Exception:
        print(shown)
        raise


def left(lab: Lab, ordinal: int) -> list[str]:
    """What of a copy lies on a Pod's volume."""
    return sorted(path.name for path in lab.volume(ordinal).iterdir() if path.name.startswith("pgdata"))


@pytest.mark.row(5)
async def test_the_volume_is_full(make_lab: MakeLab, postgres: Server, tmp_path: Path) -> None:
    """A standby's new volume is too small for the copy: it says so, tries again, and has it once there is room."""
    server, switch = with_a_small_volume(postgres, tmp_path)
    async with make_lab(server) as lab:
        cluster = await formed(lab)
        async with writing(lab):
            await sql(lab, 0, ROWS.format(60_000))
            await lab.wipe(1, recreate=False)
            switch.write_text(str(lab.volume(1)))
            await lab.create(1)
            await says(lab, 1, "the primary was not copied", "No space left on device", "make room on the volume")
            assert left(lab, 1) == []
            switch.unlink()
            assert await settled(lab, 0) == cluster


@pytest.mark.row(5)
async def test_the_primary_dies_while_it_is_copied(make_lab: MakeLab, postgres: Server) -> None:
    """Its Pod crashes in the middle of a copy: what was copied goes, the primary takes the writes again, and the copy
    is made anew.
    """
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        async with writing(lab) as writer:
            await sql(lab, 0, ROWS.format(300_000), 120.0)
            begun = lab.data_dir(1).with_name("pgdata.peerboot-new") / "base"
            await lab.wipe(1)
            await lab.until("a copy has begun", lambda: _is_there(begun), PATIENT)
            await lab.crash(0)
            await says(lab, 1, "the primary was not copied")
            await writer.grows()
            assert await settled(lab, 0) == cluster
        assert "the primary was not copied" in lab.log(1, "server")


async def _is_there(path: Path) -> bool:
    return path.exists()


@pytest.mark.row(5)
async def test_the_primary_lets_nobody_copy_it(make_lab: MakeLab, postgres: Server) -> None:
    """Somebody put a line in front of pg_hba.conf that refuses replication: the Pod says so and what helps, and after
    that has been done it copies.
    """
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        async with writing(lab):
            rules = lab.data_dir(0) / "pg_hba.conf"
            rules.write_text(f"host replication peerboot all reject\n{rules.read_text()}")
            await sql(lab, 0, "SELECT pg_reload_conf()")
            await lab.wipe(1)
            await says(lab, 1, "pg_hba.conf rejects replication connection", "restart the primary's Pod")
            assert (await primaries(lab), left(lab, 1)) == ([0], [])
            await lab.crash(0)
            assert await settled(lab, 0) == cluster


@pytest.mark.row(5)
async def test_a_pod_has_another_password(make_lab: MakeLab, postgres: Server, tmp_path: Path) -> None:
    """A Pod that comes back without its disk has another password: it neither copies nor makes a cluster, and says that
    the servers do not let it in.
    """
    wrong = tmp_path / "wrong"
    wrong.write_text("another one\n")
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        async with writing(lab):
            lab.pod_env[1] = {"PEERBOOT_POSTGRES_PASSWORD_FILE": str(wrong)}
            await lab.wipe(1)
            await says(lab, 1, "The server of db-0 does not let peerboot in", "PEERBOOT_POSTGRES_PASSWORD_FILE")
            assert (await primaries(lab), left(lab, 1), did(lab, 1, "recorded birth")) == ([0], [], 1)
            del lab.pod_env[1]
            await lab.crash(1)
            assert await settled(lab, 0) == cluster


@pytest.mark.row(5)
async def test_the_password_is_changed_while_all_run(make_lab: MakeLab, postgres: Server) -> None:
    """As the page of the system says: in the Secret, then in the server; nothing restarts, and it copies with it."""
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        async with writing(lab):
            (lab.spec.root / "secrets/postgres").write_text("the new one\n")
            await sql(lab, 0, "ALTER ROLE peerboot PASSWORD 'the new one'")
            await lab.wipe(1)
            assert await settled(lab, 0) == cluster
            assert [lab.pods[o].server.starts for o in lab.ordinals] == [1, 1, 1]
